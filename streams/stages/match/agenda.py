"""What time will bring about: panes that mature and close, closed parcels that are forgotten.

A queue by instant over whole panes, so that it costs a parcel eight bytes. Open parcels are named by the
slots of their entries, closed ones by their hashes. What is entered twice, or has changed since, is harmless:
whoever is called looks at the parcel as it is then.
"""

from array import array
from collections.abc import Iterator
from enum import IntEnum
from heapq import heapify, heappop, heappush
from typing import Final, NamedTuple, TypeAlias

import numpy as np

from streams.domain.policy import Policy
from streams.domain.window import pane_end_ms
from streams.stages.columns import Int64s

Queue: TypeAlias = "array[int]"
"""Slots of one pane, or hashes, in the order in which they were entered; whoever appends has entered one."""

NEVER_MS: Final = 1 << 62


class Due(IntEnum):
    """What happens, in the order in which it happens at one instant."""

    REFERENCE = 0  # Another version of the reference data takes effect.
    MATURE = 1  # The uncovered parcels of a pane are missing.
    CLOSE = 2  # The parcels of a pane are closed, or given up when never collected.
    FORGET = 3  # The closed parcels of a pane are not recognised any more.


class Event(NamedTuple):
    """One thing that is due. `pane` is 0 where it does not matter."""

    due_ms: int
    what: Due
    pane: int


class Agenda:
    """The parcels of each pane, by what is to be done with them, and when that is."""

    def __init__(self, policy: Policy) -> None:
        """Start with nothing to do."""
        self._grace_ms = policy.grace_alert_ms
        self._final_close_ms = policy.final_close_ms
        self._kept_ms = policy.closed_kept_ms
        self._due: list[Event] = []
        self.collected: dict[int, Queue] = {}
        self.uncollected: dict[int, Queue] = {}
        self.closed: dict[int, Queue] = {}

    @property
    def next_ms(self) -> int:
        """When the next thing is due; `NEVER_MS` when nothing is."""
        return self._due[0].due_ms if self._due else NEVER_MS

    def pop(self, until_ms: int) -> Event | None:
        """Take off the next thing that is due at or before `until_ms`."""
        return heappop(self._due) if self._due and self._due[0].due_ms <= until_ms else None

    def enter(self, due_ms: int, what: Due, pane: int = 0) -> None:
        """Have something done at an instant."""
        heappush(self._due, Event(due_ms, what, pane))

    def forget_matured(self, until_ms: int) -> None:
        """Do not have anybody reported who was reported before."""
        self._due = [e for e in self._due if e.what is not Due.MATURE or e.due_ms > until_ms]
        heapify(self._due)

    def collected_in(self, pane: int) -> Queue:
        """Return the slots of collected parcels to be looked at when their pane matures and closes."""
        queue = self.collected.get(pane)
        if queue is None:
            queue = self.collected[pane] = array("q")
            self.enter(pane_end_ms(pane) + self._grace_ms, Due.MATURE, pane)
            self.enter(pane_end_ms(pane) + self._final_close_ms, Due.CLOSE, pane)
        return queue

    def uncollected_in(self, pane: int) -> Queue:
        """Return the slots of parcels without a collection, to be given up when their pane closes."""
        queue = self.uncollected.get(pane)
        if queue is None:
            queue = self.uncollected[pane] = array("q")
            self.enter(pane_end_ms(pane) + self._final_close_ms, Due.CLOSE, pane)
        return queue

    def closed_in(self, pane: int) -> Queue:
        """Return the hashes of closed parcels, to be forgotten when their time has come."""
        queue = self.closed.get(pane)
        if queue is None:
            queue = self.closed[pane] = array("q")
            self.enter(pane_end_ms(pane) + self._kept_ms, Due.FORGET, pane)
        return queue


def enter(queue: Queue, some: Int64s) -> None:
    """Add slots or hashes to a queue."""
    queue.frombytes(some.tobytes())


def queued(queue: "Queue | None") -> Int64s:
    """Return what stands in a queue, which may be none, as a column of its own."""
    return np.array(() if queue is None else queue, np.int64)


def by_pane(panes: Int64s, queued: Int64s) -> Iterator[tuple[int, Int64s]]:
    """Yield each pane with what belongs to it, in its order."""
    if not len(panes):
        return
    first = int(panes[0])
    if (panes == first).all():
        yield first, queued
        return
    order = np.argsort(panes, kind="stable")
    panes, queued = panes[order], queued[order]
    starts = np.flatnonzero(np.diff(panes)) + 1
    for some, of in zip(np.split(panes, starts), np.split(queued, starts), strict=True):
        yield int(some[0]), of
