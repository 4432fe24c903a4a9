"""Named points at which a test may end or pause a process, to prove that nothing is lost or counted twice."""

import os
import signal
from collections.abc import Callable, Mapping
from typing import Final

CRASH_POINTS: Final = (
    "after_apply",
    "before_begin",
    "after_state_write",
    "after_outputs",
    "after_offsets_sent",
    "before_commit",
    "after_commit",
    "during_restore",
    "during_assignment",
    "during_revocation",
    "during_loss",
    "snapshot_begin",
    "snapshot_chunk",
    "snapshot_end",
    "snapshot_delete",
)


SIGNALS: Final[Mapping[str, signal.Signals]] = {
    "": signal.SIGKILL,
    "pause": signal.SIGSTOP,
}
"""What a process sends itself at its point: nothing that a handler can soften."""


class CrashPlan:
    """Where this process is to end: nowhere, unless it was told so.

    `plan` is empty, or `point:n`: at the n-th time, counted from 1, that the point is passed; with
    `point:n:pause` it stops there, until somebody lets it go on. `end` is what happens instead.

    Raises:
        ValueError: The plan names no such point, or nothing that can happen there.

    """

    def __init__(self, plan: str = "", end: Callable[[], None] | None = None) -> None:
        point, count, how = (*plan.split(":"), "", "")[:3]
        if point and point not in CRASH_POINTS:
            raise ValueError(f"no crash point {point!r}; choose one of {', '.join(CRASH_POINTS)}")
        if how not in SIGNALS:
            raise ValueError(f"nothing is called {how!r}; a process ends, or can pause")
        self._point = point
        self._left = int(count or 1)
        self._end = end or (lambda: os.kill(os.getpid(), SIGNALS[how]))

    def passed(self, point: str) -> None:
        """Say that a point has been reached."""
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            self._end()
