"""Verdicts on all scopes at once: `domain.verdict` in columns.

`judge_line` and `merge` give the same as their scalar counterparts, bit for bit; a property test holds
them to it.
"""

from collections.abc import Sequence
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
from streams.stages.columns import Bools, Floats, Ints
from streams.stages.scopes import Scopes
from streams.stages.windows import CORE, MATURE, Span, Windows

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
    shortfalls: Floats
    categories: Ints
    periods: Ints
    n: Floats
    covered: Floats
    bounds: Floats
    judged: Bools
    clear: Bools

    def __len__(self) -> int:
        return len(self.ranks)


def no_verdicts(count: int) -> Verdicts:
    """Return columns of verdicts worse than which is every line's."""
    return Verdicts(
        ranks=np.zeros(count, np.intp),
        severities=np.full(count, NONE, np.intp),
        targets=np.zeros(count),
        shortfalls=np.full(count, -np.inf),
        categories=np.full(count, NONE, np.intp),
        periods=np.full(count, NONE, np.intp),
        n=np.zeros(count),
        covered=np.zeros(count),
        bounds=np.ones(count),
        judged=np.zeros(count, np.bool_),
        clear=np.ones(count, np.bool_),
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
    centre = rates + z * z / (2.0 * n)
    spread = z * np.sqrt(rates * (1.0 - rates) / n + z * z / (4.0 * n * n))
    bounds: Floats = (centre + spread) / (1.0 + z * z / n)
    return bounds


def judge_line(line: Line, n: Floats, covered: Floats, policy: Policy) -> Verdicts:
    """Return the verdicts on one line, its mature and covered parcels given by scope.

    `periods` are left at NONE.
    """
    enough = n >= n_needed(line)
    some = np.maximum(n, 1.0)
    rates = covered / some
    page = wilson_uppers(rates, some, policy.z_page)
    ranks = np.full(len(n), RANK_OK, np.intp)
    bounds = page
    if line.target >= CERTAIN:
        ranks[covered < n] = RANK_BREACH
    else:
        ticket = wilson_uppers(rates, some, policy.z_ticket)
        ranks[rates < line.target] = RANK_AT_RISK
        ranks[ticket < line.target] = RANK_TICKET
        ranks[page < line.target] = RANK_BREACH
        bounds = np.where((ranks == RANK_TICKET) & enough, ticket, page)
    ranks[~enough] = RANK_INSUFFICIENT
    shortfalls = np.where(enough, line.target - rates, 0.0)
    steps = np.full(len(n), Severity.MINOR + line.l1_core, np.intp)
    steps += shortfalls >= MAJOR_SHORTFALL - ROUNDING
    steps += shortfalls >= CRITICAL_SHORTFALL - ROUNDING
    severities = np.where(ranks == RANK_BREACH, np.minimum(steps, Severity.CRITICAL), NONE)
    severities[ranks == RANK_TICKET] = Severity.MINOR
    margin = min(1.0, line.target + policy.clear_margin) - ROUNDING
    return Verdicts(
        ranks=ranks,
        severities=severities,
        targets=np.full(len(n), line.target),
        shortfalls=shortfalls,
        categories=np.full(len(n), NONE if line.category is None else line.category, np.intp),
        periods=np.full(len(n), NONE, np.intp),
        n=n,
        covered=covered,
        bounds=np.where(n > 0, bounds, 1.0),
        judged=enough,
        clear=rates >= margin,
    )


def merge(before: Verdicts, line: Verdicts, applies: Bools) -> Verdicts:
    """Return the worse of two verdicts for each scope to which the line applies, else the one before."""
    tie = before.ranks == line.ranks
    same = tie & (before.shortfalls == line.shortfalls)
    worse = line.ranks > before.ranks
    worse |= tie & (line.shortfalls > before.shortfalls)
    worse |= same & (line.targets > before.targets)
    worse &= applies

    def chosen(name: str) -> Ints:
        new: Ints = np.where(worse, getattr(line, name), getattr(before, name))
        return new

    counts = applies & line.judged
    fields = {name: chosen(name) for name in Verdicts.__slots__ if name not in ("judged", "clear")}
    return Verdicts(
        **fields,  # type: ignore[arg-type]  # The kind of a column stays what it was.
        judged=before.judged | counts,
        clear=before.clear & (line.clear | ~counts),
    )


@dataclass(frozen=True, slots=True)
class _Line:
    """A line and the parcels that it is about: groups by number, each with its scope."""

    line: Line
    period: int
    groups: Ints
    scopes: Ints
    applies: Bools
    span: Span | None  # None for the whole business day.


class Judge:
    """Verdicts on the scopes of one partition.

    `period_ids` numbers the event periods that have been judged by.
    """

    def __init__(self, policy: Policy, scopes: Scopes, windows: Windows) -> None:
        self._policy: Final = policy
        self._scopes: Final = scopes
        self._windows: Final = windows
        self._lines: list[_Line] = []
        self.period_ids: list[str] = []
        self.current = no_verdicts(0)
        self.day = 0

    def prepare(self, reference: Reference, day: int, judged_ms: int) -> None:
        """Judge by the targets that are active at `judged_ms`, an instant of business day `day`."""
        self.day = day
        self._lines = self._lines_of(reference, day, judged_ms)

    def judge(self) -> Ints:
        """Make new verdicts; return the scopes of which more than the evidence has changed."""
        before = self.current
        if len(before) < self._scopes.count:
            before = longer(before, self._scopes.count)
        after = self._verdicts(self._lines, self.day)
        self.current = after
        changed = (before.ranks != after.ranks) | (before.severities != after.severities)
        changed |= (before.targets != after.targets) | (before.periods != after.periods)
        changed |= (before.categories != after.categories) | (before.clear != after.clear)
        return np.flatnonzero(changed)

    def verdicts_of_day(self, reference: Reference, day: int, judged_ms: int) -> Verdicts:
        """Return the verdicts on another day, by the targets that were active at its end."""
        return self._verdicts(self._lines_of(reference, day, judged_ms), day)

    def verdict(self, scope: int) -> Verdict:
        """Return one scope's present verdict."""
        return verdict_at(self.current, scope, self.period_ids, self._policy)

    def pending(self, scopes: Ints) -> dict[int, int]:
        """Return how many young, unregistered parcels of the judged day and worst line scopes have."""
        core = self._windows.core_of_day(self.day)[:, : self._windows.count]
        eligible = core[0] - core[CORE]
        covered = core[1] + core[2] - core[CORE + 1] - core[CORE + 2]
        found = np.zeros(self._scopes.count)
        for line in self._lines:
            worst = line.applies & (self.current.periods == line.period)
            worst &= self.current.targets == line.line.target
            category = NONE if line.line.category is None else line.line.category
            worst &= self.current.categories == category
            waiting = (eligible - covered)[line.groups]
            sums = np.bincount(line.scopes, weights=waiting, minlength=self._scopes.count)
            found = np.where(worst, sums, found)
        return {scope: int(found[scope]) for scope in scopes.tolist()}

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

    def _verdicts(self, lines: Sequence[_Line], day: int) -> Verdicts:
        count = self._scopes.count
        found = no_verdicts(count)
        for line in lines:
            mature = self._mature(line, day)
            if mature is None:
                continue
            n = np.bincount(line.scopes, weights=mature[0][line.groups], minlength=count)
            covered = np.bincount(
                line.scopes, weights=(mature[1] + mature[2])[line.groups], minlength=count
            )
            verdicts = judge_line(line.line, n, covered, self._policy)
            verdicts.periods[:] = line.period
            found = merge(found, verdicts, line.applies)
        return replace(found, clear=found.clear & found.judged)

    def _mature(self, line: _Line, day: int) -> Ints | None:
        """Return the mature sums by group; None for a part of a day that was not kept apart."""
        if line.span is None:
            return self._windows.day_columns(day)[MATURE:]  # type: ignore[return-value]  # int32
        return self._windows.spans.get(line.span)  # type: ignore[return-value]  # int32 as well


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
