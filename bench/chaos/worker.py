"""`python -m bench.chaos.worker`: the worker, with what only a test may set.

It is what `realname worker --config FILE --slot NAME` starts, and ends itself where it is told to.
"""

import sys
from dataclasses import replace
from pathlib import Path

from streams.agents.worker import run_worker
from streams.cli.worker import worker_config
from streams.settings import load_settings


def main(config: str, slot: str, snapshot_bytes_min: str, *crash: str) -> int:
    """Run it. `crash` is nothing, or a stage, a point, and at which pass of it to end."""
    settings = load_settings({"slot": slot}, config=Path(config)).settings
    told = worker_config(settings)
    assert told.log is not None
    told.log()
    stage, point, passes = crash or ("", "", "")
    return run_worker(
        replace(
            told,
            http_port=None,
            snapshot_bytes_min=int(snapshot_bytes_min),
            crash=f"{point}:{passes}" if point else "",
            crash_stage=stage,
        )
    )


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
