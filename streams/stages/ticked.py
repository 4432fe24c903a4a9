"""What `rate` and `rollup` have in common: rows come in, complete ticks are gone through in order.

At a tick, in this order: the reference data of the tick is used; panes mature and leave; the tick's rows
are added; verdicts are made; business days are issued. A tick at which none of this can change anything
is passed over, with the same result as going through it.

What a tick costs is mostly not its rows, and ticks of one pane differ in their rows alone, unless another
reference, target or day comes in. So they are gone through together: their rows are added at once, and
the verdicts of all of them are made in columns. The result is the same as one after the other.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final

import msgspec
import numpy as np

from streams.domain.policy import Policy
from streams.domain.window import (
    DAY_MS,
    HOUR_MS,
    PANE_MS,
    TICK_MS,
    day_of,
    day_start_ms,
    tick_at_or_after,
)
from streams.records import changes
from streams.records.changes import Changes, Rows
from streams.records.rejects import Reject
from streams.reference.types import Reference, ReferenceHistory
from streams.stages.bench import Turns
from streams.stages.columns import Array, Bools, Int64s, Ints, pack, unpack
from streams.stages.days import DayBook, DayBookState
from streams.stages.inbox import Inbox, InboxState
from streams.stages.judge import Judge
from streams.stages.lines import Verdicts
from streams.stages.publish import Publisher, span_of
from streams.stages.scopes import Scopes
from streams.stages.stage import Batch, Drained, Output
from streams.stages.windows import Windows, WindowsState

TICKS_PER_PANE: Final = PANE_MS // TICK_MS
TICKS_PER_HOUR: Final = HOUR_MS // TICK_MS
STATE_FORMAT: Final = 1
STATE_BYTES: Final = 850_000


class _Delta(msgspec.Struct, array_like=True, frozen=True):
    """Input that was applied: applying it again gives the same state."""

    format: int
    next_offset: int
    values: list[bytes]


class BaseState(msgspec.Struct, frozen=True):
    """What a snapshot holds beside the arrays, whatever the stage."""

    next_offset: int
    tick: int
    reference_version: int
    day: int
    period_ids: list[str]
    inbox: InboxState
    windows: WindowsState
    days: DayBookState
    extra: bytes


JudgedBy = tuple[tuple[int, int], int, tuple[str | None, ...]]
"""Reference data, business day, and the phase of each event period: what verdicts are made by."""


class TickedStage:
    """A `Stage` that goes through ticks; subclasses say what follows from them."""

    def __init__(
        self, policy: Policy, history: ReferenceHistory, scopes: Scopes, *, sources: int
    ) -> None:
        self.policy: Final = policy
        self.history: Final = history
        self.scopes: Final = scopes
        self.windows = Windows(policy)
        self.judge = Judge(policy, scopes, self.windows)
        self.days = DayBook(policy, scopes, self.windows)
        self.reference = Reference()
        self.tick = 0  # The last tick (in minutes) that has been passed; 0 for none.
        self.verdicts_changed: Int64s = np.zeros(0, np.int64)
        self._inbox = Inbox(sources)
        self._publisher: Final = Publisher(policy, scopes, self.windows, self.judge, self.days)
        self._judged_by: JudgedBy | None = None
        self._boundary: int | None = None  # Next tick at which it is judged by something else.
        self._next_offset = 0
        self._committed_offset = 0
        self._applied: list[tuple[int, bytes]] = []  # Offset and value, since the last commit.
        self._peeked: dict[int, Changes] = {}
        self._published_tick = 0  # All changes up to here are published and committed.
        self._drained: tuple[int, int] | None = None  # Records applied, and tick published.

    # --- what subclasses add ---

    def _take_reference(self) -> None:
        """Follow a change of the reference data; it is in use already."""

    def _rows_added(self, rows: Rows) -> None:
        """Follow the rows of ticks that are gone through together, which have just been added."""

    def _verdicts_made(self, first: int, turns: Turns) -> None:
        """Follow the verdicts of ticks that are gone through together, from `first` to the windows' tick."""
        raise NotImplementedError

    def _extra_tick(self, after: int) -> int | None:
        """Return the next tick at which the subclass has to do something by itself, or None."""
        del after
        return None

    def _changes_out(self) -> list[Output]:
        """Return what is to be sent of all changes since the last commit."""
        return []

    def _forget_changes(self) -> None:
        """Forget what `_changes_out` last returned."""

    # --- Stage ---

    @property
    def next_offset(self) -> int:
        """First input offset that has not been applied."""
        return self._next_offset

    def reference_version_needed(self, batch: Batch) -> int:
        """Return the reference version that must be known before `apply`."""
        self._peeked = dict(self._decoded(batch))
        return max((c.header.reference_version for c in self._peeked.values()), default=0)

    def _decoded(self, batch: Batch) -> Iterator[tuple[int, Changes]]:
        for offset, value in zip(batch.offsets, batch.values, strict=True):
            assert value is not None, "nobody writes tombstones to a topic of changes"
            yield offset, self._peeked.get(offset) or changes.decode(value)

    def apply(self, batch: Batch) -> list[Reject]:
        """Take in a batch and go through the ticks that are complete now. Nothing is ever refused.

        Raises ValueError for a damaged record and GapError when a source's records are not in sequence;
        the state must then be restored.
        """
        for offset, taken in self._decoded(batch):
            assert offset >= self._next_offset, "a driver starts at next_offset"
            self._take(taken)
            self._next_offset = offset + 1
        self._applied += [
            (offset, value)
            for offset, value in zip(batch.offsets, batch.values, strict=True)
            if value is not None
        ]
        self._peeked = {}
        self._advance()
        return []

    def _take(self, taken: Changes) -> None:
        self._inbox.take(taken)

    def drain(self, *, publish: bool) -> Drained:
        """Return what the batches since the last `committed` have led to; see `Stage.drain`."""
        outputs = self._changes_out() if self._applied else []
        if publish:
            outputs += self.publish()
        self._drained = len(self._applied), self.windows.tick if publish else self._published_tick
        return Drained(state=list(self._deltas()), outputs=outputs)

    def _deltas(self) -> Iterator[bytes]:
        values: list[bytes] = []
        size = 0
        for offset, value in self._applied:
            if values and size + len(value) > STATE_BYTES:
                yield msgspec.msgpack.encode(_Delta(STATE_FORMAT, offset, values))
                values, size = [], 0
            values.append(value)
            size += len(value)
        if values:
            yield msgspec.msgpack.encode(_Delta(STATE_FORMAT, self._next_offset, values))

    def committed(self) -> None:
        """Forget what the last `drain` gave."""
        assert self._drained is not None, "committed without a drain"
        count, self._published_tick = self._drained
        self._drained = None
        if count:
            self._committed_offset = self._applied[count - 1][0] + 1
            del self._applied[:count]
            self._forget_changes()

    def restore_delta(self, payload: bytes) -> None:
        """Apply input once more, without sending anything."""
        delta = msgspec.msgpack.decode(payload, type=_Delta)
        if delta.format != STATE_FORMAT:
            raise ValueError(
                f"state log has format {delta.format}, this program reads {STATE_FORMAT}: "
                "run the version that wrote it, or rebuild the state"
            )
        for value in delta.values:
            self._take(changes.decode(value))
        self._next_offset = self._committed_offset = delta.next_offset
        self._advance()
        self._changes_out()
        self._forget_changes()

    def restored(self) -> None:
        """Say that restoring is over; every scope is due to be published again."""
        self._published_tick = 0

    # --- ticks ---

    def _advance(self) -> None:
        passed = self._inbox.passed_tick
        if passed is None or passed <= self.tick:
            return
        rows = self._inbox.release(passed)
        begin, count = 0, len(rows)
        while True:
            due = [self._next_tick(passed), int(rows.ticks[begin]) if begin < count else None]
            first = min((tick for tick in due if tick is not None), default=passed + 1)
            if first > passed:
                break
            end = self._end_of_rows(rows, begin, first, passed)
            self._go_through(first, rows.take(slice(begin, end)) if end > begin else None)
            begin = end
        self.tick = passed

    def _end_of_rows(self, rows: Rows, begin: int, first: int, passed: int) -> int:
        """Return where the rows end of the ticks that can be gone through together, from `first` on."""
        last = min((first // TICKS_PER_PANE + 1) * TICKS_PER_PANE - 1, passed)
        if self._stands_out(first, last):
            last = first
        end = int(rows.ticks.searchsorted(last, side="right"))
        if last > first and end > begin and self.windows.sees_new_day(rows.take(slice(begin, end))):
            end = int(rows.ticks.searchsorted(first, side="right"))
        return end

    def _stands_out(self, first: int, last: int) -> bool:
        """Return whether more than rows may come in at any of these ticks of one pane."""
        days_tick = self.days.next_tick()
        return (
            first % TICKS_PER_HOUR == 0
            or self._boundary is None
            or self._boundary <= last
            or (days_tick is not None and days_tick <= last)
            or self.history.at(first * TICK_MS).edition != self.reference.edition
            or self.history.at(last * TICK_MS).edition != self.reference.edition
        )

    def _next_tick(self, passed: int) -> int | None:
        """Return the next tick at which something changes without rows; None if it is after `passed`."""
        if not self.windows.count:
            return None  # Nothing to judge yet.
        last = max(self.windows.tick, self.tick)
        ticks = [self.windows.next_tick(), self.days.next_tick(), self._extra_tick(last)]
        ticks.append(self._boundary)
        if self.history.at((last + 1) * TICK_MS).edition != self.reference.edition:
            ticks.append(last + 1)
        else:
            change_ms = self.history.next_change_after((last + 1) * TICK_MS)
            ticks.append(None if change_ms is None else tick_at_or_after(change_ms) // TICK_MS)
        found = min(tick for tick in ticks if tick is not None)
        assert found > last, "time would stand still"
        return found if found <= passed else None

    def _next_boundary(self, judged_ms: int) -> int:
        """Return the next tick at which another business day or phase of a period is judged."""
        bounds = [day_start_ms(day_of(judged_ms) + 1)]
        for period in self.reference.periods:
            for phase in period.phases:
                bounds += [bound for bound in (phase.start_ms, phase.end_ms) if bound > judged_ms]
        return tick_at_or_after(min(bounds) + self.policy.grace_alert_ms + 1) // TICK_MS

    def _judged_ms(self, tick: int) -> int:
        """Return the last instant that is mature at a tick: its business day and its periods judge."""
        return tick * TICK_MS - self.policy.grace_alert_ms - 1

    def _go_through(self, first: int, rows: Rows | None) -> None:
        """Go through a tick, or all from `first` to that of the last row, which are in one pane."""
        reference = self.history.at(first * TICK_MS)
        renewed = reference.edition != self.reference.edition
        self.windows.move_to(first)
        if renewed:
            self.reference = reference
            self.scopes.take(reference)
            self.windows.changed[: self.windows.count] = first
        known = self.windows.count
        grown = False
        if rows is not None:
            self.windows.add(rows)
            grown = self.scopes.follow(self.windows.groups)
            self._rows_added(rows)
        if renewed:
            self._take_reference()
        if renewed or self._boundary is None or first >= self._boundary:
            self._prepare(first)
        elif grown:
            self.judge.grow(self.reference, self._judged_ms(first))
        self._verdicts_made(first, self.judge.turns(first, self._group_counts(first, known, rows)))
        self.days.move()

    def _group_counts(self, first: int, known: int, rows: Rows | None) -> Ints:
        """Return, for each tick from `first` to the present one, how many groups there were then."""
        counts = np.full(self.windows.tick - first + 1, known)
        if rows is not None and self.windows.count > known:
            np.maximum.at(counts, rows.ticks - first, self.windows.row_groups + 1)
            np.maximum.accumulate(counts, out=counts)
        return counts

    def _judged_by_now(self, tick: int) -> JudgedBy:
        judged_ms = self._judged_ms(tick)
        phases = [period.phase_at(judged_ms) for period in self.reference.periods]
        names = tuple(None if phase is None else phase.value for phase in phases)
        return self.reference.edition, day_of(judged_ms), names

    def _prepare(self, tick: int) -> None:
        judged_by = self._judged_by_now(tick)
        if judged_by != self._judged_by:
            self._judged_by = judged_by
            self.windows.keep_spans([*self._period_spans(tick), *self._day_spans()])
        judged_ms = self._judged_ms(tick)
        self._boundary = self._next_boundary(judged_ms)
        self.judge.prepare(self.reference, day_of(judged_ms), judged_ms)

    def _period_spans(self, tick: int) -> list[tuple[int, int]]:
        now_ms = tick * TICK_MS
        return [
            span_of(period)
            for period in self.reference.periods
            if period.start_ms <= now_ms < period.end_ms + self.policy.final_close_ms
        ]

    def _day_spans(self) -> list[tuple[int, int]]:
        today = self.windows.today
        days = range(today - self.policy.final_close_ms // DAY_MS - 1, today + 1)
        return self.judge.spans(self.reference, days)

    def _follow(self, turns: Turns) -> None:
        """Take verdicts as the present ones."""
        self.judge.follow(turns)
        more = self.scopes.count - len(self.verdicts_changed)
        if more:
            new = np.zeros(more, np.int64)
            self.verdicts_changed = np.concatenate([self.verdicts_changed, new])
        self.verdicts_changed[turns.scopes[turns.changed]] = turns.ticks[turns.changed]

    # --- publishing ---

    def _unknown(self) -> Bools:
        return np.zeros(self.scopes.count, np.bool_)

    def publish(self) -> list[Output]:
        """Return the records of all scopes that have changed since they were last published."""
        if not self.windows.count:
            return []
        unknown = self._unknown()
        outputs = self._publisher.rates(
            self.reference,
            since=self._published_tick,
            verdicts=self.verdicts_changed,
            unknown=unknown,
        )
        for day in self.windows.kept_days():
            if not (self.windows.day_changes(day) > self._published_tick).any():
                continue
            judged = day == self.judge.day
            outputs += self._publisher.day(
                day,
                since=self._published_tick,
                verdicts=self.judge.current if judged else self._verdicts_of(day),
                unknown=unknown if judged else np.zeros_like(unknown),
            )
        return outputs

    def _verdicts_of(self, day: int) -> Verdicts:
        """Return a day's verdicts by the targets of its end, or for a day ahead, those of now."""
        end_ms = day_start_ms(day) + DAY_MS - 1
        return self.judge.verdicts_of_day(
            self.reference, day, min(end_ms, self._judged_ms(self.windows.tick))
        )

    # --- snapshots ---

    def _extra_state(self) -> tuple[dict[str, Array], bytes]:
        """Return what the subclass adds to a snapshot."""
        return {}, b""

    def _restore_extra(self, arrays: Mapping[str, Array], extra: bytes) -> None:
        """Take back what `_extra_state` returned."""

    def snapshot(self) -> Iterator[bytes]:
        """Yield the whole state as of the last commit; nothing may have been applied since."""
        assert not self._applied, "a snapshot is of committed state"
        waiting, inbox = self._inbox.snapshot()
        arrays: dict[str, Array] = {
            "waiting.ticks": waiting.ticks,
            "waiting.cells": waiting.cells,
            "waiting.counters": waiting.counters,
            "waiting.deltas": waiting.deltas,
            "verdicts.changed": self.verdicts_changed,
        }
        window_arrays, windows = self.windows.snapshot()
        day_arrays, days = self.days.snapshot()
        more, extra = self._extra_state()
        arrays |= {f"windows.{name}": array for name, array in window_arrays.items()}
        arrays |= {f"days.{name}": array for name, array in day_arrays.items()}
        arrays |= {f"extra.{name}": array for name, array in more.items()}
        arrays |= {
            f"judge.{name}": getattr(self.judge.current, name) for name in Verdicts.__slots__
        }
        state = BaseState(
            next_offset=self._next_offset,
            tick=self.tick,
            reference_version=self.reference.version,
            day=self.judge.day,
            period_ids=self.judge.period_ids,
            inbox=inbox,
            windows=windows,
            days=days,
            extra=extra,
        )
        return pack(arrays, state)

    def restore_snapshot(self, chunks: Sequence[bytes]) -> None:
        """Replace the state with what `snapshot` yielded."""
        arrays, plain = unpack(chunks)
        state = msgspec.msgpack.decode(plain, type=BaseState)
        self._inbox.restore(
            Rows(
                arrays["waiting.ticks"],
                arrays["waiting.cells"],
                arrays["waiting.counters"],
                arrays["waiting.deltas"],
            ),
            state.inbox,
        )
        self._next_offset = self._committed_offset = state.next_offset
        self._applied = []
        self.tick = state.tick
        self.verdicts_changed = arrays["verdicts.changed"]
        self.windows.restore(_under("windows.", arrays), state.windows)
        self.days.restore(_under("days.", arrays), state.days)
        self.judge.current = Verdicts(**_under("judge.", arrays))
        self.judge.period_ids[:] = state.period_ids
        self._restore_extra(_under("extra.", arrays), state.extra)
        if self.windows.tick:
            self._use_restored_reference()

    def _use_restored_reference(self) -> None:
        tick = self.windows.tick
        self.reference = self.history.at(tick * TICK_MS)
        self.scopes.take(self.reference)
        self.scopes.follow(self.windows.groups)
        self._judged_by = self._judged_by_now(tick)
        judged_ms = self._judged_ms(tick)
        self._boundary = self._next_boundary(judged_ms)
        self.judge.prepare(self.reference, day_of(judged_ms), judged_ms)
        self.judge.resume()


def _under(prefix: str, arrays: Mapping[str, Array]) -> dict[str, Array]:
    return {
        name.removeprefix(prefix): array
        for name, array in arrays.items()
        if name.startswith(prefix)
    }
