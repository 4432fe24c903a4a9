"""Runs the real worker over the counting stage, as a process of its own.

counting_worker.py BOOTSTRAP PREFIX DATA_DIR HTTP_PORT PROCESSES [CRASH_PLAN]
"""

import logging
import sys
from pathlib import Path

from streams.agents.app import StageContext, StageDefinition
from streams.agents.worker import WorkerConfig, run_worker
from streams.records.topics import SHIPMENTS
from streams.reference.types import ReferenceHistory
from streams.stages.stage import Stage
from tests.conftest import FEW_PARTITIONS
from tests.kafka.counting import CountingStage


def counting(partition: int, context: StageContext, history: ReferenceHistory) -> Stage:
    return CountingStage(partition)


def log() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(name)s %(levelname)s %(message)s")


def main(bootstrap: str, prefix: str, data_dir: str, *more: str) -> int:
    log()
    port, processes, crash = (*more, "")[:3]
    config = WorkerConfig(
        bootstrap=bootstrap,
        prefix=prefix,
        data_dir=Path(data_dir),
        partitions=FEW_PARTITIONS,
        agents=["match"],
        processes=int(processes),
        flush_s=0.1,
        http_port=int(port),
        log=log,
        crash=crash,
        topology={"match": StageDefinition(SHIPMENTS, counting, heartbeats=True)},
    )
    return run_worker(config)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
