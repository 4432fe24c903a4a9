"""Who is judged by which targets, and the verdicts that come of it."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import numpy as np

from streams.domain.category import Category
from streams.domain.period import EventLevel, EventPeriod, EventPhase, Granularity, Target
from streams.domain.policy import Policy
from streams.domain.verdict import Line, Verdict
from streams.domain.window import PANE_MS, PANES_PER_DAY, day_start_ms
from streams.reference.types import Reference
from streams.stages.bench import NEVER, Bench, JudgedLine, Turns
from streams.stages.columns import Ints
from streams.stages.lines import NONE, Verdicts, longer, no_verdicts, verdict_at
from streams.stages.scopes import Scopes
from streams.stages.windows import Span, Windows

RULING: Final = ("ranks", "severities", "targets", "categories", "periods", "clear")
"""What of a verdict must change for the verdict to have changed; the rest is its evidence."""


class Judge:
    """Verdicts on the scopes of one partition.

    `period_ids` numbers the event periods that have been judged by.
    """

    def __init__(self, policy: Policy, scopes: Scopes, windows: Windows) -> None:
        self._policy: Final = policy
        self._scopes: Final = scopes
        self._windows: Final = windows
        self._bench = Bench([], 0, policy, ())
        self.period_ids: list[str] = []
        self.current = no_verdicts(0)
        self.day = 0

    def prepare(self, reference: Reference, day: int, judged_ms: int) -> None:
        """Judge by the targets that are active at `judged_ms`, an instant of business day `day`."""
        self.day = day
        self._bench = self._bench_of(reference, day, judged_ms)

    def grow(self, reference: Reference, judged_ms: int) -> None:
        """Judge new groups as well, by the same targets as before."""
        before = self._bench
        self._bench = self._bench_of(reference, self.day, judged_ms)
        self._bench.go_on_from(before)

    def turns(self, first: int, groups: Ints) -> Turns:
        """Make the verdicts of the ticks from `first` on, from what the windows have been given of them.

        `groups` has for each tick how many groups there were then. `follow` makes them the present ones.
        """
        turns = self._bench.turns(self._windows, self.day, first=first, groups=groups)
        if len(self.current) < self._scopes.count:
            self.current = longer(self.current, self._scopes.count)
        if len(turns):
            self._find_changed(turns)
        return turns

    def _find_changed(self, turns: Turns) -> None:
        """Compare each verdict with the scope's one before it: of these ticks, or the present one."""
        order = np.argsort(turns.scopes, kind="stable")
        again = turns.scopes[order[1:]] == turns.scopes[order[:-1]]
        later, earlier = order[1:][again], order[:-1][again]
        for name in RULING:
            now = getattr(turns.verdicts, name)
            before = getattr(self.current, name)[turns.scopes]
            before[later] = now[earlier]
            turns.changed[before != now] = True

    def follow(self, turns: Turns) -> None:
        """Take verdicts as the present ones."""
        if not len(turns):
            return
        for name in Verdicts.__slots__:  # Where a scope has several, the last remains.
            getattr(self.current, name)[turns.scopes] = getattr(turns.verdicts, name)
        self._bench.worst[turns.scopes] = turns.lines

    def present(self, scopes: Ints, tick: int) -> Turns:
        """Return the present verdicts on scopes, as those of a tick; see `pending`."""
        return Turns(
            np.full(len(scopes), tick),
            scopes,
            self.current.take(scopes),
            np.zeros(len(scopes), np.bool_),
            lines=self._bench.worst[scopes],
            pending=self.pending(tick)[scopes],
        )

    def resume(self) -> None:
        """Go on from the windows as they stand; all verdicts on them have been made."""
        self._bench.judge_all(self._windows, self.day)

    def verdicts_of_day(self, reference: Reference, day: int, judged_ms: int) -> Verdicts:
        """Return the verdicts on another day, by the targets that were active at its end."""
        return self._bench_of(reference, day, judged_ms).judge_all(self._windows, day)

    def ruling(self, scope: int) -> tuple[str | None, int]:
        """Return the event period, if any, and the rank of one scope's present verdict."""
        period = int(self.current.periods[scope])
        return None if period == NONE else self.period_ids[period], int(self.current.ranks[scope])

    def verdict(self, scope: int) -> Verdict:
        """Return one scope's present verdict."""
        return verdict_at(self.current, scope, self.period_ids, self._policy)

    def pending(self, tick: int) -> Ints:
        """Return, by scope, the worst line's young, unregistered parcels of the judged day.

        The tick must be one of the last `turns`, and its verdicts the present ones.
        """
        return self._bench.pending(tick)

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

    def ids_of(self, periods: Ints) -> list[str | None]:
        """Return the event period ids of numbers; None for NONE."""
        ids = [*self.period_ids, None]  # The last is at NONE.
        return [ids[period] for period in periods.tolist()]

    # --- lines ---

    def _bench_of(self, reference: Reference, day: int, judged_ms: int) -> Bench:
        lines = self._lines_of(reference, day, judged_ms)
        return Bench(lines, self._scopes.count, self._policy, self._windows.spans)

    def _lines_of(self, reference: Reference, day: int, judged_ms: int) -> list[JudgedLine]:
        lines = []
        for granularity in self._scopes.granularities:
            event = self._event_lines(reference, granularity, day=day, judged_ms=judged_ms)
            lines += [line for line in event if (line.since < NEVER).any()]
            ruled = np.full(self._scopes.count, NEVER)
            for line in event:
                np.minimum(ruled, line.since, out=ruled)
            routine = self._routine_line(granularity, ruled)
            if (routine.since < routine.until).any():
                lines.append(routine)
        return lines

    def _routine_line(self, granularity: Granularity, ruled: Ints) -> JudgedLine:
        """Return the line of the routine target, which applies until a group comes that is ruled."""
        scope_of = self._scopes.of_groups(granularity)
        line = Line(self._policy.routine_target, self._n_min(granularity))
        since = self._first_groups(np.arange(len(scope_of)), scope_of)
        return JudgedLine(line, granularity, NONE, scope_of, since=since, until=ruled, span=None)

    def _first_groups(self, groups: Ints, scopes: Ints) -> Ints:
        """Return, by scope, the first of the groups."""
        first = np.full(self._scopes.count, NEVER)
        np.minimum.at(first, scopes, groups)
        return first

    def _n_min(self, granularity: Granularity) -> int:
        outlet = granularity is Granularity.OUTLET
        return self._policy.n_min_outlet if outlet else self._policy.n_min_rollup

    def _event_lines(
        self, reference: Reference, granularity: Granularity, *, day: int, judged_ms: int
    ) -> list[JudgedLine]:
        """Return the lines of the active periods; the strictest alone where it covers the parcels."""
        targets = [
            (period, target)
            for period in reference.periods
            if period.phase_at(judged_ms) is not None
            for target in period.targets
            if target.granularity is granularity
        ]
        targets.sort(key=lambda pair: -pair[1].rate)  # Stable: the earlier period before its equal.
        lines: list[JudgedLine] = []
        kinds: list[tuple[int | None, Category | None]] = []
        for period, target in targets:
            line = self._event_line(period, target, day=day, judged_ms=judged_ms)
            kind = (period.scope_bit, target.category)
            for stricter, other in zip(lines, kinds, strict=True):
                if other == kind and (stricter.span or (0, 0)) <= (line.span or (0, 0)):
                    loose = ((line.scope_of >= 0) & (stricter.scope_of < 0)).nonzero()[0]
                    since = self._first_groups(loose, line.scope_of[loose])
                    line = replace(line, since=np.maximum(line.since, since))
            lines.append(line)
            kinds.append(kind)
        return lines

    def _event_line(
        self, period: EventPeriod, target: Target, *, day: int, judged_ms: int
    ) -> JudgedLine:
        member = self._scopes.in_origin(period.origin_codes, day)
        if period.scope_bit is not None:
            member = member & (self._scopes.group_event_scopes >> period.scope_bit & 1 == 1)
        if target.category is not None:
            member = member & (self._scopes.group_categories == target.category)
        groups = np.flatnonzero(member)
        scope_of = np.where(member, self._scopes.of_groups(target.granularity), NONE)
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
        return JudgedLine(
            line,
            target.granularity,
            number,
            scope_of,
            since=self._first_groups(groups, scope_of[groups]),
            until=np.full(self._scopes.count, NEVER),
            span=span,
        )
