"""The wall clock, and the only place that reads it."""

import time
from typing import Final

_stepped_ms: Final = [0]


def step(to_ms: int) -> None:
    """Let this process's wall clock be wrong from now on by so many milliseconds. For tests."""
    _stepped_ms[0] = to_ms


def now_ms() -> int:
    """Return the wall time in UTC epoch milliseconds.

    It may step back when the machine's clock is set, and another machine's may differ: use it for
    what people read and for when to flush, never for what is counted or judged. Those take their
    time from the records.
    """
    return time.time_ns() // 1_000_000 + _stepped_ms[0]
