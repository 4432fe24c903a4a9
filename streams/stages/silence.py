"""Silent channels: an enterprise that collects and registers nothing, or whose outlets all fail at once.

Either means that its records do not reach us, not that hundreds of outlets went bad in one minute.

An enterprise that sends again is not trusted before it has sent for `silent_hold_ms`. Since when it sends
again is the life of its alert (`clearing`), which is in the snapshot; nothing more is kept. It ends with
a registration, so a channel of which nothing more is heard stays silent however much time passes.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.alert import Signal
from streams.domain.category import LOOSE_CATEGORIES, Category
from streams.domain.cell import (
    CATEGORY_MASK,
    CATEGORY_SHIFT,
    PANE_BITS,
    UNIT_SHIFT,
    Counter,
)
from streams.domain.policy import Policy
from streams.domain.verdict import RANK_BREACH, RANK_INSUFFICIENT
from streams.domain.window import TICK_MS
from streams.records.changes import Rows, summed
from streams.records.verdicts import VerdictChange
from streams.reference.types import ENTERPRISES_MAX
from streams.stages.columns import Array, Bools, Int64s
from streams.stages.scopes import ENTERPRISE_SHIFT

REGISTRATIONS: Final = (
    Counter.COVERED_ON_TIME,
    Counter.COVERED_LATE,
    Counter.DUPLICATES,
    Counter.ATTEMPTS_FAILED,
)
"""Whatever of these rises shows that the channel sends."""

_LOOSE: Bools = np.array([category in LOOSE_CATEGORIES for category in Category], np.bool_)
_NOBODY: Bools = np.zeros(ENTERPRISES_MAX, np.bool_)
_SENT: Bools = np.array([counter in REGISTRATIONS for counter in Counter], np.bool_)


class Channels:
    """For each enterprise, by number: since when it has collected loose parcels and registered none."""

    def __init__(self, policy: Policy) -> None:
        self._ticks: Final = policy.silent_ms // TICK_MS
        self._least: Final = policy.silent_collections
        self.tick = 0
        self._collected: Int64s = np.zeros((self._ticks, ENTERPRISES_MAX), np.int64)
        self._waiting_since: Int64s = np.zeros(ENTERPRISES_MAX, np.int64)
        self._coming: dict[int, tuple[Int64s, Bools]] = {}  # By tick: collections, and who sends.
        self.sent: Bools = _NOBODY  # Enterprises with a registration at the tick.

    def add(self, rows: Rows) -> None:
        """Take the rows of ticks to come, from all sources, in order of ticks."""
        if int(rows.deltas.min()) < 0:
            rows = summed(rows)  # A count that only moved between sources is no sign of life.
        if not len(rows):
            return
        groups = rows.cells >> PANE_BITS
        rising = (rows.deltas > 0) & _LOOSE[groups >> CATEGORY_SHIFT & CATEGORY_MASK]
        first, last = int(rows.ticks[0]), int(rows.ticks[-1])
        places = (rows.ticks - first) * ENTERPRISES_MAX + (
            groups >> (UNIT_SHIFT + ENTERPRISE_SHIFT)
        )
        shape = (last - first + 1, ENTERPRISES_MAX)
        collected = rising & (rows.counters == Counter.ELIGIBLE)
        sums = np.bincount(places, rows.deltas * collected, shape[0] * shape[1])
        sent = np.bincount(places, rising & _SENT[rows.counters], shape[0] * shape[1])
        self._coming = dict(
            zip(
                range(first, last + 1),
                zip(sums.astype(np.int64).reshape(shape), sent.reshape(shape) > 0, strict=True),
                strict=True,
            )
        )

    def move_to(self, tick: int) -> None:
        """Begin a tick."""
        passed = min(tick - self.tick, self._ticks)
        self._collected[np.arange(tick - passed + 1, tick + 1) % self._ticks] = 0
        self.tick = tick
        sums, self.sent = self._coming.pop(tick, (None, _NOBODY))
        if sums is None:
            return
        self._collected[tick % self._ticks] = sums
        self._waiting_since[(sums > 0) & (self._waiting_since == 0)] = tick
        self._waiting_since[self.sent] = 0

    def silent(self) -> dict[int, int]:
        """Return the enterprises that are silent at the tick, with their collections meanwhile."""
        long = (self._waiting_since > 0) & (self.tick - self._waiting_since >= self._ticks)
        if not long.any():
            return {}
        sums = self._collected[:, long].sum(axis=0)
        return {
            enterprise: count
            for enterprise, count in zip(np.flatnonzero(long).tolist(), sums.tolist(), strict=True)
            if count >= self._least
        }

    def next_tick(self) -> int | None:
        """Return the next tick at which a channel may have been silent long enough, or None."""
        waiting = self._waiting_since[self._waiting_since > self.tick - self._ticks]
        return int(waiting.min()) + self._ticks if len(waiting) else None

    def snapshot(self) -> tuple[dict[str, Array], int]:
        """Return the arrays, and the tick."""
        return {"collected": self._collected, "waiting_since": self._waiting_since}, self.tick

    def restore(self, arrays: dict[str, Array], tick: int) -> None:
        """Take back what `snapshot` returned."""
        if len(arrays["collected"]) != self._ticks:
            raise ValueError("snapshot was made with another `silent_ms`: rebuild the state")
        self._collected, self._waiting_since = arrays["collected"], arrays["waiting_since"]
        self.tick = tick


@dataclass(slots=True)
class Tally:
    """Outlets of one enterprise in one city under an alerting target: judged, and breaching."""

    ruled: int = 0
    judged: int = 0
    breaching: int = 0

    @property
    def share(self) -> float:
        """Share of the judged outlets that breach."""
        return self.breaching / self.judged if self.judged else 0.0


_NOTHING: Final = Tally()  # To be looked at only.

Place = tuple[str, str]
"""Enterprise id and city code."""


class Collapses:
    """For each enterprise and city: how many of its outlets are judged, and breach."""

    def __init__(self, policy: Policy) -> None:
        self._policy: Final = policy
        self._outlets: dict[int, tuple[Place, VerdictChange]] = {}
        self._tallies: dict[Place, Tally] = {}

    def put(self, place: Place, verdict: VerdictChange) -> Sequence[Place]:
        """Take an outlet's new verdict; return the places whose tally may have changed."""
        before = self._outlets.get(verdict.outlet)
        self._outlets[verdict.outlet] = (place, verdict)
        changed = self._count(place, verdict, 1)
        return changed if before is None else (*changed, *self._count(*before, -1))

    def drop(self, outlet: int) -> Sequence[Place]:
        """Forget an outlet; return the places whose tally may have changed."""
        known = self._outlets.pop(outlet, None)
        return () if known is None else self._count(*known, -1)

    def _count(self, place: Place, verdict: VerdictChange, sign: int) -> Sequence[Place]:
        if verdict.event_period_id is None and not self._policy.routine_alerts:
            return ()
        tally = self._tallies.setdefault(place, Tally())
        tally.ruled += sign
        if verdict.rank > RANK_INSUFFICIENT:
            tally.judged += sign
        if verdict.rank == RANK_BREACH:
            tally.breaching += sign
        return (place,)

    def tally(self, place: Place) -> Tally:
        """Return one place's tally."""
        return self._tallies.get(place, _NOTHING)

    def signal(self, place: Place) -> Signal | None:
        """Return what a tally says about a collapse; None when no target alerts there any more."""
        tally, policy = self.tally(place), self._policy
        if not tally.ruled:
            return None
        if tally.judged < policy.collapse_outlets:
            return Signal.UNKNOWN
        if tally.share < policy.collapse_share:
            return Signal.CLEAR
        return Signal.SURE if tally.breaching >= policy.collapse_outlets else Signal.HOLD

    def periods(self, place: Place) -> list[str]:
        """Return the periods whose targets are breached at a place, in order of their names."""
        return sorted(
            {
                verdict.event_period_id
                for where, verdict in self._outlets.values()
                if where == place
                and verdict.rank == RANK_BREACH
                and verdict.event_period_id is not None
            }
        )

    def restore(self, outlets: Iterable[tuple[Place, VerdictChange]]) -> None:
        """Take the outlets' verdicts anew."""
        self._outlets, self._tallies = {}, {}
        for place, verdict in outlets:
            self.put(place, verdict)

    def places_of(self, enterprise_id: str) -> list[Place]:
        """Return an enterprise's places."""
        return sorted(place for place in self._tallies if place[0] == enterprise_id)

    def places(self) -> dict[int, Place]:
        """Return each outlet's place, by number."""
        return {outlet: place for outlet, (place, _) in sorted(self._outlets.items())}
