"""Verdicts on all scopes at once: `domain.verdict` in columns.

`LineTable.judge` gives the same as `judge_line` and `worst` there, bit for bit; a property test holds it
to that.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streams.domain.category import Category
from streams.domain.period import EventLevel, EventPeriod, EventPhase, Granularity, Target
from streams.domain.policy import Policy
from streams.domain.verdict import (
    CERTAIN,
    CRITICAL_SHORTFALL,
    MAJOR_SHORTFALL,
    RANK_AT_RISK,
    RANK_BREACH,
    RANK_INSUFFICIENT,
    RANK_OK,
    RANK_TICKET,
    ROUNDING,
    Line,
    Severity,
    Verdict,
    n_needed,
    status_of_rank,
)
from streams.domain.window import PANE_MS, PANES_PER_DAY, day_start_ms
from streams.reference.types import Reference
from streams.stages.columns import Array, Bools, Floats, Ints
from streams.stages.scopes import Scopes
from streams.stages.windows import MATURE, Span, Windows

EVIDENCE: Final = frozenset({"n", "covered", "bounds"})
"""What of a verdict may change without the verdict having changed."""

NONE: Final = -1
"""No severity, no category, no event period."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Verdicts of all scopes, as columns of one length.

    `ranks` are those of `domain.verdict`; `periods` are places in the list of the period ids known to
    the `Judge`.
    """

    ranks: Ints
    severities: Ints
    targets: Floats
    categories: Ints
    periods: Ints
    n: Floats
    covered: Floats
    bounds: Floats
    clear: Bools

    def __len__(self) -> int:
        return len(self.ranks)


def no_verdicts(count: int) -> Verdicts:
    """Return columns of verdicts worse than which is every line's."""
    return Verdicts(
        ranks=np.zeros(count, np.intp),
        severities=np.full(count, NONE, np.intp),
        targets=np.zeros(count),
        categories=np.full(count, NONE, np.intp),
        periods=np.full(count, NONE, np.intp),
        n=np.zeros(count),
        covered=np.zeros(count),
        bounds=np.ones(count),
        clear=np.zeros(count, np.bool_),
    )


def longer(verdicts: Verdicts, count: int) -> Verdicts:
    """Return the verdicts, followed by those of `no_verdicts` up to `count` scopes."""
    new = no_verdicts(count - len(verdicts))
    columns = {
        name: np.concatenate([getattr(verdicts, name), getattr(new, name)])
        for name in Verdicts.__slots__
    }
    return Verdicts(**columns)


def wilson_uppers(rates: Floats, n: Floats, z: float) -> Floats:
    """Return the upper bounds of `domain.rate.wilson_upper`; n must be positive."""
    square = z * z
    centre = rates + square / (2.0 * n)
    spread = z * np.sqrt(rates * (1.0 - rates) / n + square / (4.0 * n * n))
    bounds: Floats = (centre + spread) / (1.0 + square / n)
    return bounds


class LineTable:
    """The lines of `domain.verdict`, one row each, as columns that spread over scopes."""

    def __init__(self, lines: Sequence[Line], periods: Sequence[int], policy: Policy) -> None:
        """Take lines and the numbers of their periods."""

        def column(values: Iterable[float]) -> Floats:
            return np.fromiter(values, np.float64).reshape(-1, 1)

        self._policy: Final = policy
        self.targets: Final = column(line.target for line in lines)
        self.certain: Final = self.targets >= CERTAIN
        self.n_needed: Final = column(n_needed(line) for line in lines)
        margin = policy.clear_margin
        self.margins: Final = column(min(1.0, line.target + margin) - ROUNDING for line in lines)
        self.least_severities: Final = np.array(
            [Severity.MINOR + line.l1_core for line in lines], np.intp
        )
        self.categories: Final = np.array(
            [NONE if line.category is None else line.category for line in lines], np.intp
        )
        self.periods: Final = np.array(periods, np.intp)

    def judge(self, n: Floats, covered: Floats, applies: Bools) -> tuple[Verdicts, Ints]:
        """Return each scope's verdict, and the line that it is of.

        All arguments have a row for each line and a column for each scope; every scope's line must
        apply somewhere, or it is left with rank 0.
        """
        some = np.maximum(n, 1.0)
        rates = covered / some
        page = wilson_uppers(rates, some, self._policy.z_page)
        ticket = wilson_uppers(rates, some, self._policy.z_ticket)
        enough = n >= self.n_needed
        ranks = np.where(rates < self.targets, RANK_AT_RISK, RANK_OK)
        ranks[ticket < self.targets] = RANK_TICKET
        ranks[page < self.targets] = RANK_BREACH
        if self.certain.any():
            every = np.where(covered < n, RANK_BREACH, RANK_OK)
            ranks = np.where(self.certain, every, ranks)
        ranks[~enough] = RANK_INSUFFICIENT
        ranks[~applies] = 0
        shortfalls = np.where(enough, self.targets - rates, 0.0)
        worst = self._worst(ranks, shortfalls)
        at = (worst, np.arange(n.shape[1]))
        judged = enough & applies
        unclear = judged & (rates < self.margins)
        clear = np.logical_and(judged.any(axis=0), ~unclear.any(axis=0))
        rank, shortfall = ranks[at], shortfalls[at]
        bounds = np.where(rank == RANK_TICKET, ticket[at], page[at])
        found = Verdicts(
            ranks=rank,
            severities=self._severities(rank, shortfall, worst),
            targets=self.targets[worst, 0],
            categories=self.categories[worst],
            periods=self.periods[worst],
            n=n[at],
            covered=covered[at],
            bounds=np.where(n[at] > 0, bounds, 1.0),
            clear=clear,
        )
        return found, worst

    def _worst(self, ranks: Ints, shortfalls: Floats) -> Ints:
        """Return each scope's worst line: by rank, shortfall, target, and then the earliest."""
        if len(ranks) == 1:
            return np.zeros(ranks.shape[1], np.intp)
        left = ranks == ranks.max(axis=0)
        for column in (shortfalls, self.targets):
            values = np.where(left, column, -np.inf)
            left = values == values.max(axis=0)
        first: Ints = left.argmax(axis=0)
        return first

    def _severities(self, ranks: Ints, shortfalls: Floats, lines: Ints) -> Ints:
        steps = self.least_severities[lines]
        steps += shortfalls >= MAJOR_SHORTFALL - ROUNDING
        steps += shortfalls >= CRITICAL_SHORTFALL - ROUNDING
        found = np.where(ranks == RANK_BREACH, np.minimum(steps, Severity.CRITICAL), NONE)
        found[ranks == RANK_TICKET] = Severity.MINOR
        return found


@dataclass(frozen=True, slots=True)
class _Line:
    """A line and the parcels that it is about: groups by number, each with its scope."""

    line: Line
    period: int
    groups: Ints
    scopes: Ints
    applies: Bools
    span: Span | None  # None for the whole business day.


class _Bench:
    """The lines of one business day, ready to be judged again and again."""

    def __init__(self, lines: Sequence[_Line], count: int, policy: Policy) -> None:
        self._lines: Final = lines
        self._count: Final = count
        self._table: Final = LineTable(
            [line.line for line in lines], [line.period for line in lines], policy
        )
        self._applies: Final = np.zeros((len(lines), count), np.bool_)
        for at, line in enumerate(lines):
            self._applies[at] = line.applies
        whole = [at for at, line in enumerate(lines) if line.span is None]
        self._parts: Final = [(at, line) for at, line in enumerate(lines) if line.span is not None]
        nothing = np.empty(0, np.intp)
        self._groups = np.concatenate([nothing, *(lines[at].groups for at in whole)])
        self._keys = np.concatenate([nothing, *(lines[at].scopes + at * count for at in whole)])
        self._n: Floats = np.zeros(self._applies.shape)
        self._covered: Floats = np.zeros(self._applies.shape)
        self._fresh = True
        self.worst: Ints = np.zeros(count, np.intp)

    def judge(self, windows: Windows, day: int) -> tuple[Ints, Verdicts]:
        """Return the scopes whose sums have changed since the last time, and their verdicts."""
        n, covered, applies = self._line_sums(windows, day)
        if self._fresh:
            self._fresh = False
            touched = np.arange(self._count)
        else:
            touched = ((n != self._n) | (covered != self._covered)).any(axis=0).nonzero()[0]
        self._n, self._covered = n, covered
        if not self._lines or not len(touched):
            return touched, no_verdicts(len(touched))
        if len(touched) == self._count:
            found, self.worst = self._table.judge(n, covered, applies)
        else:
            found, self.worst[touched] = self._table.judge(
                n[:, touched], covered[:, touched], applies[:, touched]
            )
        if applies is not self._applies:
            bare = found.ranks == 0
            found.targets[bare] = 0.0
            found.categories[bare] = found.periods[bare] = NONE
        return touched, found

    def _line_sums(self, windows: Windows, day: int) -> tuple[Floats, Floats, Bools]:
        """Return each line's mature and covered parcels by scope, and where it applies."""
        mature = windows.day_columns(day)[MATURE:]
        n = self._sums(mature[0])
        covered = self._sums(mature[1] + mature[2])
        applies = self._applies
        for at, line in self._parts:
            assert line.span is not None
            span = windows.spans.get(line.span)
            if span is None:  # A part of a day that is long past.
                applies = applies.copy()
                applies[at] = False
                continue
            n[at] = self._part_sums(line, span[0])
            covered[at] = self._part_sums(line, span[1] + span[2])
        return n, covered, applies

    def _sums(self, column: Array) -> Floats:
        size = len(self._lines) * self._count
        sums = np.bincount(self._keys, column[self._groups], size).astype(np.float64, copy=False)
        return sums.reshape(-1, self._count)

    def _part_sums(self, line: _Line, column: Array) -> Floats:
        sums = np.bincount(line.scopes, column[line.groups], self._count)
        return sums.astype(np.float64, copy=False)

    def pending(self, windows: Windows, day: int) -> Ints:
        """Return, by scope, the young, unregistered parcels of the worst line's groups."""
        columns = windows.day_columns(day)
        waiting = columns[0] - columns[1] - columns[2]
        waiting -= columns[MATURE] - columns[MATURE + 1] - columns[MATURE + 2]
        found = np.zeros(self._count, np.intp)
        sums = self._sums(waiting)
        for at, line in self._parts:
            sums[at] = self._part_sums(line, waiting)
        if self._lines:
            found[:] = sums[self.worst, np.arange(self._count)]
        return found


class Judge:
    """Verdicts on the scopes of one partition.

    `period_ids` numbers the event periods that have been judged by.
    """

    def __init__(self, policy: Policy, scopes: Scopes, windows: Windows) -> None:
        self._policy: Final = policy
        self._scopes: Final = scopes
        self._windows: Final = windows
        self._bench = _Bench([], 0, policy)
        self.period_ids: list[str] = []
        self.current = no_verdicts(0)
        self.day = 0

    def prepare(self, reference: Reference, day: int, judged_ms: int) -> None:
        """Judge by the targets that are active at `judged_ms`, an instant of business day `day`."""
        self.day = day
        self._bench = self._bench_of(reference, day, judged_ms)

    def judge(self) -> Ints:
        """Make new verdicts; return the scopes of which more than the evidence has changed."""
        touched, after = self._bench.judge(self._windows, self.day)
        if len(self.current) < self._scopes.count:
            self.current = longer(self.current, self._scopes.count)
        changed = np.zeros(len(touched), np.bool_)
        for name in Verdicts.__slots__:
            before, now = getattr(self.current, name), getattr(after, name)
            if name not in EVIDENCE:
                changed |= before[touched] != now
            before[touched] = now
        return touched[changed]

    def verdicts_of_day(self, reference: Reference, day: int, judged_ms: int) -> Verdicts:
        """Return the verdicts on another day, by the targets that were active at its end."""
        _, found = self._bench_of(reference, day, judged_ms).judge(self._windows, day)
        return found

    def verdict(self, scope: int) -> Verdict:
        """Return one scope's present verdict."""
        return verdict_at(self.current, scope, self.period_ids, self._policy)

    def pending(self) -> Ints:
        """Return, by scope, the young, unregistered parcels of the judged day and worst line."""
        return self._bench.pending(self._windows, self.day)

    def spans(self, reference: Reference, days: Sequence[int]) -> list[Span]:
        """Return the spans that lines of these days need: the rest of a period's first day."""
        found = []
        for period in reference.periods:
            first = period.start_ms // PANE_MS
            for day in days:
                day_first = day_start_ms(day) // PANE_MS
                if day_first < first < day_first + PANES_PER_DAY:
                    found.append((first, day_first + PANES_PER_DAY))
        return found

    def number_of(self, event_period_id: str) -> int:
        """Return a period's place in `period_ids`; a new one gets the next."""
        if event_period_id not in self.period_ids:
            self.period_ids.append(event_period_id)
        return self.period_ids.index(event_period_id)

    # --- lines ---

    def _bench_of(self, reference: Reference, day: int, judged_ms: int) -> _Bench:
        lines = self._lines_of(reference, day, judged_ms)
        return _Bench(lines, self._scopes.count, self._policy)

    def _lines_of(self, reference: Reference, day: int, judged_ms: int) -> list[_Line]:
        lines = []
        for granularity in self._scopes.granularities:
            event = self._event_lines(reference, granularity, day=day, judged_ms=judged_ms)
            lines += [line for line in event if line.applies.any()]
            ruled = np.zeros(self._scopes.count, np.bool_)
            for line in event:
                ruled |= line.applies
            routine = self._routine_line(granularity, ruled)
            if routine.applies.any():
                lines.append(routine)
        return lines

    def _routine_line(self, granularity: Granularity, ruled: Bools) -> _Line:
        scopes = self._scopes.of_groups(granularity)
        applies = np.zeros(self._scopes.count, np.bool_)
        applies[scopes] = True
        line = Line(self._policy.routine_target, self._n_min(granularity))
        return _Line(line, NONE, np.arange(len(scopes)), scopes, applies & ~ruled, None)

    def _n_min(self, granularity: Granularity) -> int:
        outlet = granularity is Granularity.OUTLET
        return self._policy.n_min_outlet if outlet else self._policy.n_min_rollup

    def _event_lines(
        self, reference: Reference, granularity: Granularity, *, day: int, judged_ms: int
    ) -> list[_Line]:
        """Return the lines of the active periods; the strictest alone where it covers the parcels."""
        targets = [
            (period, target)
            for period in reference.periods
            if period.phase_at(judged_ms) is not None
            for target in period.targets
            if target.granularity is granularity
        ]
        targets.sort(key=lambda pair: -pair[1].rate)  # Stable: the earlier period before its equal.
        lines: list[_Line] = []
        kinds: list[tuple[int | None, Category | None]] = []
        for period, target in targets:
            line = self._event_line(period, target, day=day, judged_ms=judged_ms)
            kind = (period.scope_bit, target.category)
            for stricter, other in zip(lines, kinds, strict=True):
                if other == kind and (stricter.span or (0, 0)) <= (line.span or (0, 0)):
                    loose = line.scopes[np.isin(line.groups, stricter.groups, invert=True)]
                    applies = np.zeros_like(line.applies)
                    applies[loose] = True
                    line = replace(line, applies=line.applies & applies)
            lines.append(line)
            kinds.append(kind)
        return lines

    def _event_line(
        self, period: EventPeriod, target: Target, *, day: int, judged_ms: int
    ) -> _Line:
        member = self._scopes.in_origin(period.origin_codes, day)
        if period.scope_bit is not None:
            member = member & (self._scopes.group_event_scopes >> period.scope_bit & 1 == 1)
        if target.category is not None:
            member = member & (self._scopes.group_categories == target.category)
        groups = np.flatnonzero(member)
        scopes = self._scopes.of_groups(target.granularity)[groups]
        applies = np.zeros(self._scopes.count, np.bool_)
        applies[scopes] = True
        core = period.phase_at(judged_ms) is EventPhase.CORE
        n_min = self._n_min(target.granularity) if target.n_min is None else target.n_min
        line = Line(
            target=target.rate,
            n_min=n_min,
            category=target.category,
            event_period_id=period.event_period_id,
            l1_core=core and period.event_level is EventLevel.L1,
        )
        day_first = day_start_ms(day) // PANE_MS
        first = period.start_ms // PANE_MS
        span = (first, day_first + PANES_PER_DAY) if first > day_first else None
        number = self.number_of(period.event_period_id)
        return _Line(line, number, groups, scopes, applies, span)


def verdict_at(
    verdicts: Verdicts, scope: int, period_ids: Sequence[str], policy: Policy
) -> Verdict:
    """Return one scope's verdict."""
    rank, period = int(verdicts.ranks[scope]), int(verdicts.periods[scope])
    severity, category = int(verdicts.severities[scope]), int(verdicts.categories[scope])
    return Verdict(
        status=status_of_rank(rank),
        ticket=rank == RANK_TICKET,
        severity=None if severity == NONE else Severity(severity),
        target=float(verdicts.targets[scope]),
        category=None if category == NONE else Category(category),
        event_period_id=None if period == NONE else period_ids[period],
        n=int(verdicts.n[scope]),
        covered=int(verdicts.covered[scope]),
        bound=float(verdicts.bounds[scope]),
        bound_z=policy.z_ticket if rank == RANK_TICKET else policy.z_page,
        clear=bool(verdicts.clear[scope]),
    )
