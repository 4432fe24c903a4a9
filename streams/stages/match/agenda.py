"""What time will bring about: panes that mature and close, closed parcels that are forgotten.

A queue by instant over whole panes, so that it costs a parcel one entry in a list. What is entered twice
or has changed since is harmless: whoever is called looks at the parcel as it is then.
"""

from enum import IntEnum
from heapq import heappop, heappush
from typing import Final, NamedTuple

from streams.domain.policy import Policy
from streams.domain.window import pane_end_ms

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
    """The keys of each pane, by what is to be done with them, and when that is."""

    def __init__(self, policy: Policy) -> None:
        """Start with nothing to do."""
        self._grace_ms = policy.grace_alert_ms
        self._final_close_ms = policy.final_close_ms
        self._kept_ms = policy.closed_kept_ms
        self._due: list[Event] = []
        self.collected: dict[int, list[bytes]] = {}
        self.uncollected: dict[int, list[bytes]] = {}
        self.closed: dict[int, list[int]] = {}

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

    def enter_collected(self, pane: int, key: bytes) -> None:
        """Have a collected parcel looked at when its pane matures and when it closes."""
        self.queue_of(pane).append(key)

    def queue_of(self, pane: int) -> list[bytes]:
        """Return the keys of a pane's collected parcels; whoever appends to it has entered one."""
        keys = self.collected.get(pane)
        if keys is None:
            keys = self.collected[pane] = []
            self.enter(pane_end_ms(pane) + self._grace_ms, Due.MATURE, pane)
            self.enter(pane_end_ms(pane) + self._final_close_ms, Due.CLOSE, pane)
        return keys

    def enter_uncollected(self, pane: int, key: bytes) -> None:
        """Have a parcel without a collection looked at when it is to be given up."""
        keys = self.uncollected.get(pane)
        if keys is None:
            keys = self.uncollected[pane] = []
            self.enter(pane_end_ms(pane) + self._final_close_ms, Due.CLOSE, pane)
        keys.append(key)

    def enter_closed(self, pane: int, closed: int) -> None:
        """Have a closed parcel forgotten when its time has come."""
        hashes = self.closed.get(pane)
        if hashes is None:
            hashes = self.closed[pane] = []
            self.enter(pane_end_ms(pane) + self._kept_ms, Due.FORGET, pane)
        hashes.append(closed)
