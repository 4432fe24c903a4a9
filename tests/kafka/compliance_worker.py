"""Runs the compliance agent alone, as a process of its own, to be killed.

compliance_worker.py BOOTSTRAP PREFIX DATA_DIR CRASH_PLAN
"""

import logging
import sys
from pathlib import Path

from streams.agents.worker import WorkerConfig, run_worker
from tests.conftest import FEW_PARTITIONS


def main(bootstrap: str, prefix: str, data_dir: str, crash: str) -> int:
    logging.basicConfig(level=logging.INFO)
    config = WorkerConfig(
        bootstrap=bootstrap,
        prefix=prefix,
        data_dir=Path(data_dir),
        partitions=FEW_PARTITIONS,
        agents=["compliance"],
        clock="data",
        flush_s=0.05,
        snapshot_bytes_min=20_000,
        crash=crash,
    )
    return run_worker(config)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
