"""`python -m bench.chaos.worker`: the worker, with what only a test may set.

It is what `realname worker --config FILE --slot NAME` starts, and ends itself where it is told to.
"""

import itertools
import sys
import threading
import time
from dataclasses import replace
from pathlib import Path
from typing import Final

from streams.agents.worker import run_worker
from streams.cli.worker import worker_config
from streams.domain.window import HOUR_MS
from streams.kafka import clock
from streams.settings import load_settings

STEPS_MS: Final = (-HOUR_MS, 0, HOUR_MS)


def main(config: str, slot: str, snapshot_bytes_min: str, clock_s: str, *crash: str) -> int:
    """Run it. `crash` is nothing, or a stage and a plan of `streams.kafka.crash`.

    The wall clock steps by an hour, to and fro, every `clock_s` seconds; never if that is 0.
    """
    if float(clock_s):
        threading.Thread(target=_step, args=(float(clock_s),), daemon=True).start()
    settings = load_settings({"slot": slot}, config=Path(config)).settings
    told = worker_config(settings)
    assert told.log is not None
    told.log()
    stage, plan = crash or ("", "")
    return run_worker(
        replace(
            told,
            http_port=None,
            snapshot_bytes_min=int(snapshot_bytes_min),
            crash=plan,
            crash_stage=stage,
        )
    )


def _step(every_s: float) -> None:
    for step_ms in itertools.cycle(STEPS_MS):
        clock.step(step_ms)
        time.sleep(every_s)


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
