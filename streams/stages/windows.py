"""Sums of cells over the windows of time: panes, business days, trailing 24 hours, and spans.

Everything is kept by *group* (unit, category, event scope) in dense columns, and moved on with a handful
of numpy calls. Parcels of a pane are young until its end + grace; then the pane's sums join the mature
sums, and later changes of the pane join them directly.

Panes mature and leave only at the first tick of a pane, so the rows of a pane's ticks can be added all at
once, which costs hardly more than those of one tick. What they have changed when is in the `Moves`.
"""

from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

import msgspec
import numpy as np

from streams.domain.cell import COUNTERS, PANE_BITS, PANE_MASK, Counter
from streams.domain.policy import Policy
from streams.domain.window import (
    DAY_MS,
    PANE_MS,
    PANES_PER_DAY,
    SHANGHAI_OFFSET_PANES,
    TICK_MS,
    day_of,
    day_of_pane,
    pane_of,
)
from streams.records.changes import Rows
from streams.stages.columns import (
    Array,
    Bools,
    Index,
    Int32s,
    Ints,
    capacity_for,
    distinct,
    widened,
)

CORE: Final = 3
"""The counters that a rate is made of come first: eligible, covered on time, covered late."""

assert list(range(CORE)) == [Counter.ELIGIBLE, Counter.COVERED_ON_TIME, Counter.COVERED_LATE]

MATURE: Final = COUNTERS
"""In a day's columns all counters come first, then the mature parcels of the core ones."""

DAY_COLUMNS: Final = COUNTERS + CORE
DAYS_BEHIND: Final = 9
"""Business days that are kept before today: enough for the seven-day window, and for what is counted
until `closed_kept`. Older ones stand in the topic `days`; a change of one is dropped and counted."""

DAY_SLOTS: Final = DAYS_BEHIND + 2  # And today, and tomorrow for a clock that is ahead at midnight.

TICKS_PER_PANE: Final = PANE_MS // TICK_MS

Span = tuple[int, int]
"""Panes [first, end) whose mature sums are kept apart: an event period, or its part of a first day."""


class Moves(NamedTuple):
    """Changes of core sums, as columns of one length: by rows, and by panes that have matured.

    Attributes:
        ticks: When.
        panes: Whose parcels.
        groups: And of which group.
        mature: How many more mature parcels there are,
        covered: of these, covered ones,
        pending: and young ones without a registration.

    """

    ticks: Array
    panes: Array
    groups: Array
    mature: Array
    covered: Array
    pending: Array

    def of_day(self, day: int) -> "Moves":
        """Return the changes of one business day's parcels."""
        first = day * PANES_PER_DAY - SHANGHAI_OFFSET_PANES
        return self.of_panes(first, first + PANES_PER_DAY)

    def of_panes(self, first: int, end: int) -> "Moves":
        """Return the changes of panes [first, end)."""
        return self._where((self.panes >= first) & (self.panes < end))

    def of_mature(self) -> "Moves":
        """Return the changes of mature parcels."""
        return self._where((self.mature != 0) | (self.covered != 0))

    def _where(self, inside: Bools) -> "Moves":
        return self if inside.all() else Moves(*(column[inside] for column in self))


def _any_of(sums: Int32s) -> Ints:
    """Return the groups of which any of the core sums is not 0."""
    found: Ints = (sums[0] | sums[1] | sums[2]).nonzero()[0]
    return found


def _together(parts: Sequence[Moves]) -> Moves:
    if len(parts) == 1:
        return parts[0]
    if not parts:
        return Moves(*(np.empty(0, np.intp) for _ in Moves._fields))
    return Moves(*(np.concatenate(columns) for columns in zip(*parts, strict=True)))


class WindowsState(msgspec.Struct, frozen=True):
    """What a snapshot holds of the windows beside the arrays."""

    tick: int
    today: int
    newest: int
    rows_dropped: int
    young: list[int]
    trailing: list[int]
    days: list[int]
    spans: list[Span]


class PaneError(Exception):
    """A change of a pane further in the future than any clock skew allows: the sender is broken."""


class Windows:
    """The sums of one partition. Ticks are minutes since the epoch and must rise."""

    def __init__(self, policy: Policy) -> None:
        assert policy.closed_kept_ms <= DAYS_BEHIND * DAY_MS
        self._grace_panes: Final = policy.grace_alert_ms // PANE_MS
        self._ahead: Final = policy.clock_skew_ms // PANE_MS + 2
        # Reaches back to the start of the judged day at its last judged tick.
        self._ring_panes: Final = PANES_PER_DAY + self._grace_panes + self._ahead + 2
        self.groups = Index()
        self.row_groups: Ints = np.empty(0, np.intp)
        self.tick = 0
        self.rows_dropped = 0
        self._moves: list[Moves] = []
        self._capacity = 0
        self._newest = 0  # Last pane that has a place in the ring.
        self._young: set[int] = set()  # Panes with counts that have not matured.
        self._trailing: set[int] = set()  # Panes with counts in the trailing 24 hours.
        self.spans: dict[Span, Int32s] = {}
        self._ring: Int32s = np.zeros((self._ring_panes, CORE, 0), np.int32)
        self._used: Bools = np.zeros(self._ring_panes, np.bool_)  # What of the ring is not empty.
        self._days: Int32s = np.zeros((DAY_SLOTS, DAY_COLUMNS, 0), np.int32)
        self._trail: Int32s = np.zeros((2 * CORE, 0), np.int32)
        self.changed: Int32s = np.zeros(0, np.int32)
        self.day_changed: Int32s = np.zeros((DAY_SLOTS, 0), np.int32)
        self._today = 0
        self._seen_days: set[int] = set()  # Kept days with any change.

    # --- where a tick stands ---

    @property
    def today(self) -> int:
        """The business day of the tick."""
        return self._today

    @property
    def count(self) -> int:
        """How many groups there are."""
        return len(self.groups)

    @property
    def mature_before(self) -> int:
        """First pane that is not mature at the tick."""
        return self.tick * TICK_MS // PANE_MS - self._grace_panes

    @property
    def _trailing_from(self) -> int:
        return pane_of(self.tick * TICK_MS - DAY_MS)

    def next_tick(self) -> int | None:
        """Return the next tick at which sums change without any rows, or None."""
        if not len(self.groups):
            return None
        ends = [(self._today + 1) * PANES_PER_DAY - SHANGHAI_OFFSET_PANES]
        if self._young:
            ends.append(min(self._young) + 1 + self._grace_panes)
        if self._trailing:
            ends.append(min(self._trailing) + 1 + PANES_PER_DAY)
        return min(ends) * TICKS_PER_PANE

    # --- moving on ---

    def move_to(self, tick: int) -> None:
        """Let panes mature and leave, as of `tick`.

        No tick at which `next_tick` wanted to be called may be passed over.
        """
        assert tick > self.tick
        self.tick = tick
        self._turn_ring(pane_of(tick * TICK_MS) + self._ahead)
        self._turn_days(day_of(tick * TICK_MS))
        mature_before, trailing_from = self.mature_before, self._trailing_from
        for pane in sorted(pane for pane in self._young if pane < mature_before):
            self._young.remove(pane)
            self._mature(pane)
        for pane in sorted(pane for pane in self._trailing if pane < trailing_from):
            self._trailing.remove(pane)
            self._leave(pane)

    def take_moves(self) -> Moves:
        """Return what has changed since the last call, in order of ticks."""
        moves, self._moves = _together(self._moves), []
        return moves

    def _turn_ring(self, newest: int) -> None:
        turned = min(newest - self._newest, self._ring_panes)
        if turned > 0:
            slots = np.arange(newest - turned + 1, newest + 1) % self._ring_panes
            for slot in slots[self._used[slots]].tolist():
                self._ring[slot] = 0
            self._used[slots] = False
            self._newest = newest

    def _turn_days(self, today: int) -> None:
        if today == self._today:
            return
        turned = min(today - self._today, DAY_SLOTS)
        slots = np.arange(today + 1 - turned + 1, today + 2) % DAY_SLOTS
        self._days[slots] = 0
        self.day_changed[slots] = 0
        # "Today" and "seven days" mean other panes now.
        seen = self.changed > 0
        self.changed[seen] = self.tick
        self._today = today
        self._seen_days = {day for day in self._seen_days if self.keeps_day(day)}

    def _mature(self, pane: int) -> None:
        sums, day = self._ring[pane % self._ring_panes, :, : len(self.groups)], day_of_pane(pane)
        known = np.s_[:, : len(self.groups)]
        self.day_columns(day)[MATURE:][known] += sums
        if pane >= self._trailing_from:
            self._trail[CORE:][known] += sums
        for (first, end), span_sums in self.spans.items():
            if first <= pane < end:
                span_sums[known] += sums
        groups = _any_of(sums)
        self.changed[groups] = self.tick
        self.day_changed[day % DAY_SLOTS][groups] = self.tick
        eligible, covered = sums[0, groups], sums[1, groups] + sums[2, groups]
        when, where = np.full_like(groups, self.tick), np.full_like(groups, pane)
        self._moves.append(Moves(when, where, groups, eligible, covered, covered - eligible))

    def _leave(self, pane: int) -> None:
        sums = self._ring[pane % self._ring_panes, :, : len(self.groups)]
        known = np.s_[:, : len(self.groups)]
        self._trail[:CORE][known] -= sums
        self._trail[CORE:][known] -= sums
        self.changed[_any_of(sums)] = self.tick

    # --- taking changes in ---

    def sees_new_day(self, rows: Rows) -> bool:
        """Return whether rows are of a business day that is kept and has had no changes."""
        panes = rows.cells & PANE_MASK
        first = max(day_of_pane(int(panes.min())), self._today - DAYS_BEHIND)
        days = range(first, day_of_pane(int(panes.max())) + 1)
        return not self._seen_days.issuperset(days)

    def add(self, rows: Rows) -> None:
        """Add rows, in order of ticks: those of the present tick, and of ticks after it in the same pane.

        The last row's tick is the present one then; `row_groups` holds the rows' groups. Rows of several
        ticks may be of no day that `sees_new_day`.
        """
        groups = self.row_groups = self.groups.find(rows.cells >> PANE_BITS, rows.ticks)
        self._grow()
        self.tick = int(rows.ticks[-1])
        panes = rows.cells & PANE_MASK
        oldest, newest = int(panes.min()), int(panes.max())
        if newest > self._newest:
            tick = int(rows.ticks[panes == newest][0])
            raise PaneError(
                f"a change of pane {newest} at tick {tick}: stop its sender and "
                "rebuild the state from before it"
            )
        oldest_kept = (self._today - DAYS_BEHIND) * PANES_PER_DAY - SHANGHAI_OFFSET_PANES
        if oldest < oldest_kept:
            kept = panes >= oldest_kept
            self.rows_dropped += int(len(kept) - kept.sum())
            if not kept.any():
                return
            rows, groups, panes = rows.take(kept), groups[kept], panes[kept]
            oldest = int(panes.min())
        self.changed[groups] = rows.ticks  # Where a group stands twice, the last tick remains.
        self._add_to_days(rows, groups, panes, range(day_of_pane(oldest), day_of_pane(newest) + 1))
        core = rows.counters < CORE
        if not core.all():
            rows, groups, panes = rows.take(core), groups[core], panes[core]
        if len(rows):
            self._add_core(rows, groups, panes)

    def _add_to_days(self, rows: Rows, groups: Ints, panes: Array, days: range) -> None:
        self._seen_days.update(days)
        slots: Array | int = days.start % DAY_SLOTS
        if len(days) > 1:
            slots = (panes + SHANGHAI_OFFSET_PANES) // PANES_PER_DAY % DAY_SLOTS
        self.day_changed[slots, groups] = rows.ticks
        at = (rows.counters.astype(np.intp) + slots * DAY_COLUMNS) * self._capacity + groups
        np.add.at(self._days.reshape(-1), at, rows.deltas)

    def _add_core(self, rows: Rows, groups: Ints, panes: Array) -> None:
        """Add changes of the core counters to panes, trailing sums, and mature sums."""
        deltas, counters = rows.deltas, rows.counters.astype(np.intp)
        at = counters * self._capacity + groups
        oldest, trailing_from = self._newest - self._ring_panes + 1, self._trailing_from
        places = (panes % self._ring_panes) * (CORE * self._capacity) + at
        ring, trail = self._ring.reshape(-1), self._trail.reshape(-1)
        seen = distinct(panes)
        self._used[np.array(seen) % self._ring_panes] = True
        if seen[0] < oldest:
            kept = panes >= oldest
            np.add.at(ring, places[kept], deltas[kept])
        else:
            np.add.at(ring, places, deltas)
        trailing = panes >= trailing_from
        if seen[0] < trailing_from:
            np.add.at(trail, at[trailing], deltas[trailing])
        else:
            np.add.at(trail, at, deltas)
        self._trailing.update(pane for pane in seen if pane >= trailing_from)
        mature_before = self.mature_before
        self._young.update(pane for pane in seen if pane >= mature_before)
        mature, eligible = panes < mature_before, counters == Counter.ELIGIBLE
        self._moves.append(
            Moves(
                rows.ticks,
                panes,
                groups,
                mature=deltas * (mature & eligible),
                covered=deltas * (mature & ~eligible),
                pending=np.where(eligible, deltas, -deltas) * ~mature,
            )
        )
        if seen[0] < mature_before:
            self._add_mature(at[mature], panes[mature], deltas[mature], trailing[mature])

    def _add_mature(self, at: Ints, panes: Array, deltas: Int32s, trailing: Bools) -> None:
        """Add changes of mature panes' core counters to the mature sums."""
        np.add.at(self._trail.reshape(-1), at[trailing] + CORE * self._capacity, deltas[trailing])
        days = (panes + SHANGHAI_OFFSET_PANES) // PANES_PER_DAY
        day_at = ((days % DAY_SLOTS) * DAY_COLUMNS + MATURE) * self._capacity + at
        np.add.at(self._days.reshape(-1), day_at, deltas)
        for (first, end), span in self.spans.items():
            inside = (panes >= first) & (panes < end)
            np.add.at(span.reshape(-1), at[inside], deltas[inside])

    def _grow(self) -> None:
        capacity = capacity_for(len(self.groups), self._capacity)
        if capacity == self._capacity:
            return
        self._capacity = capacity
        ring = np.zeros((self._ring_panes, CORE, capacity), np.int32)
        for slot in self._used.nonzero()[0].tolist():
            ring[slot, :, : self._ring.shape[-1]] = self._ring[slot]
        self._ring = ring
        self._days = widened(self._days, capacity)
        self._trail = widened(self._trail, capacity)
        self.changed = widened(self.changed, capacity)
        self.day_changed = widened(self.day_changed, capacity)
        self.spans = {span: widened(sums, capacity) for span, sums in self.spans.items()}

    # --- spans ---

    def keep_spans(self, wanted: Iterable[Span]) -> None:
        """Keep the mature sums of these spans and of no others; new ones begin with what is kept of them.

        That is whole business days, and single panes of the last day and a bit.
        """
        self.spans = {
            span: self.spans[span] if span in self.spans else self._span_sums(span)
            for span in sorted(set(wanted))
        }

    def _span_sums(self, span: Span) -> Int32s:
        first, end = span
        end = min(end, self.mature_before)
        sums = np.zeros((CORE, self._capacity), np.int32)
        oldest = self._newest - self._ring_panes + 1
        for day in range(self._today - DAYS_BEHIND, self._today + 1):
            day_first = day * PANES_PER_DAY - SHANGHAI_OFFSET_PANES
            day_end = day_first + PANES_PER_DAY
            if first <= day_first and day_end <= span[1]:
                sums += self.day_columns(day)[MATURE:]
                continue
            panes = np.arange(max(first, day_first, oldest), min(end, day_end))
            if len(panes):
                sums += self._ring[panes % self._ring_panes].sum(axis=0, dtype=np.int32)
        return sums

    # --- reading ---

    def keeps_day(self, day: int) -> bool:
        """Return whether a business day's sums are still kept."""
        return self._today - DAYS_BEHIND <= day <= self._today + 1

    def day_columns(self, day: int) -> Int32s:
        """Return a day's columns, all counters and then the mature core ones; a view, not a copy."""
        assert self.keeps_day(day), (day, self._today)
        columns: Int32s = self._days[day % DAY_SLOTS]
        return columns

    def core_of_day(self, day: int) -> Int32s:
        """Return a day's core counters of each group, and then the mature ones."""
        columns = self.day_columns(day)[:, : len(self.groups)]
        return np.concatenate([columns[:CORE], columns[MATURE:]])

    def core_of_trailing(self) -> Int32s:
        """Return the same for the 24 hours of panes that end at the tick."""
        return self._trail[:, : len(self.groups)]

    def core_of_week(self) -> Int32s:
        """Return the same for today and the six business days before it."""
        total = np.zeros((2 * CORE, len(self.groups)), np.int32)
        for day in self._seen_days:
            if self._today - 6 <= day <= self._today:
                total += self.core_of_day(day)
        return total

    def kept_days(self) -> list[int]:
        """Return the business days that may have had changes, in their order."""
        return sorted(self._seen_days)

    def day_changes(self, day: int) -> Int32s:
        """Return, by group, the tick at which a day's figures last changed; 0 for never."""
        ticks: Int32s = self.day_changed[day % DAY_SLOTS]
        return ticks

    def touch_day(self, day: int, groups: Bools, tick: int) -> None:
        """Say that what is told about a day's groups has changed at a tick, or later as is known."""
        ticks = self.day_changed[day % DAY_SLOTS]
        ticks[groups] = np.maximum(ticks[groups], tick)

    # --- snapshots ---

    def snapshot(self) -> tuple[dict[str, Array], WindowsState]:
        """Return the arrays, and the rest as a plain value."""
        arrays: dict[str, Array] = {
            "groups": self.groups.keys,
            "ring": self._ring,
            "days": self._days,
            "trail": self._trail,
            "changed": self.changed,
            "day_changed": self.day_changed,
        }
        for number, sums in enumerate(self.spans.values()):
            arrays[f"span{number}"] = sums
        return arrays, WindowsState(
            tick=self.tick,
            today=self._today,
            newest=self._newest,
            rows_dropped=self.rows_dropped,
            young=sorted(self._young),
            trailing=sorted(self._trailing),
            days=sorted(self._seen_days),
            spans=list(self.spans),
        )

    def restore(self, arrays: dict[str, Array], state: WindowsState) -> None:
        """Take back what `snapshot` returned, written under the same policy."""
        if arrays["ring"].shape[0] != self._ring_panes:
            raise ValueError("snapshot was made with other graces: rebuild the state")
        self.groups = Index(arrays["groups"])
        self._ring, self._days = arrays["ring"], arrays["days"]
        self._used = np.asarray(self._ring.any(axis=(1, 2)))
        self._trail, self.changed = arrays["trail"], arrays["changed"]
        self.day_changed = arrays["day_changed"]
        self._capacity = self._ring.shape[-1]
        self.tick, self._today, self._newest = state.tick, state.today, state.newest
        self.rows_dropped = state.rows_dropped
        self._young, self._trailing = set(state.young), set(state.trailing)
        self._seen_days = set(state.days)
        self.spans = {
            (first, end): arrays[f"span{number}"] for number, (first, end) in enumerate(state.spans)
        }
