"""Named points at which a test may end the process, to prove that nothing is lost or counted twice."""

import os
import signal
from collections.abc import Callable
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
    "during_revocation",
    "snapshot_begin",
    "snapshot_chunk",
    "snapshot_end",
    "snapshot_delete",
)


class CrashPlan:
    """Where this process is to end: nowhere, unless it was told so.

    `plan` is empty, or `point:n`: at the n-th time, counted from 1, that the point is passed. `end`
    is what happens there; the default is what no handler can soften, SIGKILL.

    Raises:
        ValueError: The plan names no such point.

    """

    def __init__(self, plan: str = "", end: Callable[[], None] | None = None) -> None:
        point, _, count = plan.partition(":")
        if point and point not in CRASH_POINTS:
            raise ValueError(f"no crash point {point!r}; choose one of {', '.join(CRASH_POINTS)}")
        self._point = point
        self._left = int(count or 1)
        self._end = end or _kill_self

    def passed(self, point: str) -> None:
        """Say that a point has been reached."""
        if point != self._point:
            return
        self._left -= 1
        if self._left == 0:
            self._end()


def _kill_self() -> None:
    os.kill(os.getpid(), signal.SIGKILL)
