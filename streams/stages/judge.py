"""Who is judged by which targets, and the verdicts of the ticks that are gone through together.

A *line* is one target with the groups whose parcels it is about (`domain.verdict`). A `Bench` holds the
lines of one business day with their sums, and moves them on by what the windows say has changed, so that
only scopes whose parcels have changed are judged again.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streams.domain.category import Category
from streams.domain.period import EventLevel, EventPeriod, EventPhase, Granularity, Target
from streams.domain.policy import Policy
from streams.domain.verdict import Line, Verdict
from streams.domain.window import PANE_MS, PANES_PER_DAY, day_start_ms
from streams.reference.types import Reference
from streams.stages.columns import Array, Bools, Floats, Ints
from streams.stages.lines import NONE, Verdicts, longer, no_verdicts, table_of, verdict_at
from streams.stages.scopes import Scopes
from streams.stages.windows import MATURE, Moves, Span, Windows

RULING: Final = ("ranks", "severities", "targets", "categories", "periods", "clear")
"""What of a verdict must change for the verdict to have changed; the rest is its evidence."""

NEVER: Final = 1 << 62
"""A group that will not come."""

SUMS: Final = 3
"""What a line sums up: mature parcels, covered ones, and young ones without a registration."""


@dataclass(frozen=True, slots=True)
class Turns:
    """The verdicts of ticks that were gone through together, in order of tick, then scope.

    It has those on scopes whose parcels have changed at a tick.

    Attributes:
        ticks: Tick of each verdict.
        scopes: Its scope.
        verdicts: Itself.
        changed: Whether more than its evidence is new.
        lines: The worst line that it is of.
        pending: Young parcels without a registration of that line.

    """

    ticks: Ints
    scopes: Ints
    verdicts: Verdicts
    changed: Bools
    lines: Ints
    pending: Ints

    def __len__(self) -> int:
        return len(self.ticks)

    def take(self, index: Array | slice) -> "Turns":
        """Return the verdicts at an index, a mask or a slice."""
        return Turns(
            self.ticks[index],
            self.scopes[index],
            self.verdicts.take(index),
            self.changed[index],
            self.lines[index],
            self.pending[index],
        )


def no_turns() -> Turns:
    """Return columns of length zero."""
    nothing = np.empty(0, np.intp)
    no_bools = np.empty(0, np.bool_)
    return Turns(nothing, nothing, no_verdicts(0), no_bools, lines=nothing, pending=nothing)


@dataclass(frozen=True, slots=True)
class _Line:
    """A line and the parcels that it is about.

    Groups are numbered in the order of ticks, so "once group g is there" tells a time too.

    Attributes:
        line: Its target,
        granularity: and of which scopes it is one.
        period: The number of its event period.
        scope_of: The scope of each group; NONE where its parcels are not meant.
        since: By scope, the group with which the line begins to apply.
        until: By scope, the group with which it ceases to.
        span: Panes outside which mature parcels do not count; None for the whole business day.

    """

    line: Line
    granularity: Granularity
    period: int
    scope_of: Ints
    since: Ints
    until: Ints
    span: Span | None

    @property
    def name(self) -> tuple[Line, Granularity, Span | None]:
        """What tells it from the others of its day."""
        return self.line, self.granularity, self.span


class _Bench:
    """The lines of one business day, with their sums as of some tick."""

    def __init__(
        self, lines: Sequence[_Line], count: int, policy: Policy, spans: Container[Span]
    ) -> None:
        """Take lines over `count` scopes; one whose span is not among the kept ones applies nowhere."""
        self.lines: Final = lines
        self.count: Final = count
        self._table: Final = table_of(
            tuple(line.line for line in lines), tuple(line.period for line in lines), policy
        )
        self._since: Final = np.zeros((len(lines), count), np.intp)
        self._until: Final = np.zeros((len(lines), count), np.intp)
        self._bare = False  # Whether there may be scopes without any line.
        for at, line in enumerate(lines):
            self._since[at], self._until[at] = line.since, line.until
            if line.span is not None and line.span not in spans:
                self._since[at] = NEVER
                self._bare = True
        self.groups = 0  # How many there were at the last tick that was judged.
        self.sums: Floats | None = None  # By what is summed up, line and scope.
        self._first = 0
        self._pending: Floats = np.zeros(
            (len(lines), 1, count)
        )  # By line, tick from the first, scope.
        self.worst: Ints = np.zeros(count, np.intp)

    def go_on_from(self, before: "_Bench") -> None:
        """Begin where a bench of the same day and of fewer groups stands, unless its lines were others."""
        if [line.name for line in self.lines] != [line.name for line in before.lines]:
            return
        known = slice(0, before.count)
        self.groups = before.groups
        self.worst[known] = before.worst
        if before.sums is not None:
            self.sums = np.zeros((SUMS, len(self.lines), self.count))
            self.sums[:, :, known] = before.sums

    def judge_all(self, windows: Windows, day: int) -> Verdicts:
        """Return the verdicts on all scopes as the windows stand, and go on from there."""
        if not self.lines:
            return no_verdicts(self.count)
        self.groups = len(self.lines[0].scope_of)
        self.sums = self._sums_of(windows, day)
        self._pending = self.sums[2][:, np.newaxis]
        applies = (self._since < self.groups) & (self._until >= self.groups)
        found, self.worst = self._judged(self.sums[0], self.sums[1], applies)
        return found

    def turns(self, windows: Windows, day: int, *, first: int, groups: Ints) -> Turns:
        """Judge the ticks from `first` on; `groups` has for each how many groups there were then.

        Returned are the scopes whose mature parcels have changed since the tick before, or to which a
        line applies anew; at the very first tick that is all. Whether they have changed is not known here.
        """
        touched = self._anew(groups)
        sums = self._steps(windows.take_moves().of_day(day), first, touched)
        for at in range(1, len(groups)):
            sums[:, :, at] += sums[:, :, at - 1]
        if self.sums is None:
            self.sums = self._sums_of(windows, day) - sums[:, :, -1]
        sums += self.sums[:, :, np.newaxis]
        self.sums, self._pending, self._first = sums[:, :, -1], sums[2], first
        ticks, scopes = touched.nonzero()
        if not len(ticks):
            return no_turns()
        n, covered, pending = sums[:, :, ticks, scopes]
        then = groups[ticks]
        applies = (self._since[:, scopes] < then) & (self._until[:, scopes] >= then)
        found, worst = self._judged(n, covered, applies)
        return Turns(
            first + ticks,
            scopes,
            found,
            np.zeros(len(ticks), np.bool_),
            lines=worst,
            pending=pending[worst, np.arange(len(ticks))].astype(np.intp),
        )

    def _judged(self, n: Floats, covered: Floats, applies: Bools) -> tuple[Verdicts, Ints]:
        found, worst = self._table.judge(n, covered, applies)
        if self._bare:
            bare = found.ranks == 0
            found.targets[bare] = 0.0
            found.categories[bare] = found.periods[bare] = NONE
        return found, worst

    def _sums_of(self, windows: Windows, day: int) -> Floats:
        """Sum up what the windows hold of a day's groups."""
        sums = np.zeros((SUMS, len(self.lines), self.count))
        columns = windows.day_columns(day)
        mature, covered = columns[MATURE], columns[MATURE + 1] + columns[MATURE + 2]
        pending = columns[0] - columns[1] - columns[2] - mature + covered
        for at, line in enumerate(self.lines):
            groups = (line.scope_of >= 0).nonzero()[0]
            scopes = line.scope_of[groups]
            kinds = (mature, covered, pending)
            span = None if line.span is None else windows.spans.get(line.span)
            if span is not None:
                kinds = (span[0], span[1] + span[2], pending)
            for kind, column in enumerate(kinds):
                sums[kind, at] = np.bincount(scopes, column[groups], self.count)
        return sums

    def _steps(self, moves: Moves, first: int, touched: Bools) -> Floats:
        """Return how much each sum changes: by what is summed up, line, tick and scope.

        Where mature parcels change, it is noted in `touched`, by tick and scope.
        """
        steps = np.zeros((SUMS, len(self.lines), *touched.shape))
        if not len(moves.ticks):
            return steps
        old = moves.of_mature()  # Most are of young parcels only.
        for at, line in enumerate(self.lines):
            inside = old if line.span is None else old.of_panes(*line.span)
            places, (mature, covered) = self._places(line, inside, first, inside[3:5])
            touched.reshape(-1)[places] = True
            steps[0, at].reshape(-1)[:] = np.bincount(places, mature, touched.size)
            steps[1, at].reshape(-1)[:] = np.bincount(places, covered, touched.size)
            places, (pending,) = self._places(line, moves, first, moves[5:])
            steps[2, at].reshape(-1)[:] = np.bincount(places, pending, touched.size)
        return steps

    def _places(
        self, line: _Line, moves: Moves, first: int, columns: Sequence[Array]
    ) -> tuple[Ints, Sequence[Array]]:
        """Return the places, by tick and scope, of what a line is about, and columns of it."""
        scopes = line.scope_of[moves.groups]
        places = (moves.ticks - first) * self.count + scopes
        if line.period == NONE:  # The routine target's line is about all groups.
            return places, columns
        meant = scopes >= 0
        return places[meant], [column[meant] for column in columns]

    def _anew(self, groups: Ints) -> Bools:
        """Return, by tick and scope, whether a line begins to apply."""
        anew = np.zeros((len(groups), self.count), np.bool_)
        for at, now in enumerate(groups.tolist()):
            if now > self.groups:
                anew[at] = ((self._since >= self.groups) & (self._since < now)).any(axis=0)
                self.groups = now
        return anew

    def pending(self, tick: int) -> Ints:
        """Return, by scope, the worst line's young, unregistered parcels at a tick that `turns` was given."""
        found = np.zeros(self.count, np.intp)
        if self.lines:
            at = min(tick - self._first, self._pending.shape[1] - 1)
            found[:] = self._pending[self.worst, at, np.arange(self.count)]
        return found


class Judge:
    """Verdicts on the scopes of one partition.

    `period_ids` numbers the event periods that have been judged by.
    """

    def __init__(self, policy: Policy, scopes: Scopes, windows: Windows) -> None:
        self._policy: Final = policy
        self._scopes: Final = scopes
        self._windows: Final = windows
        self._bench = _Bench([], 0, policy, ())
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

    def _bench_of(self, reference: Reference, day: int, judged_ms: int) -> _Bench:
        lines = self._lines_of(reference, day, judged_ms)
        return _Bench(lines, self._scopes.count, self._policy, self._windows.spans)

    def _lines_of(self, reference: Reference, day: int, judged_ms: int) -> list[_Line]:
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

    def _routine_line(self, granularity: Granularity, ruled: Ints) -> _Line:
        """Return the line of the routine target, which applies until a group comes that is ruled."""
        scope_of = self._scopes.of_groups(granularity)
        line = Line(self._policy.routine_target, self._n_min(granularity))
        since = self._first_groups(np.arange(len(scope_of)), scope_of)
        return _Line(line, granularity, NONE, scope_of, since=since, until=ruled, span=None)

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
                    loose = ((line.scope_of >= 0) & (stricter.scope_of < 0)).nonzero()[0]
                    since = self._first_groups(loose, line.scope_of[loose])
                    line = replace(line, since=np.maximum(line.since, since))
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
        return _Line(
            line,
            target.granularity,
            number,
            scope_of,
            since=self._first_groups(groups, scope_of[groups]),
            until=np.full(self._scopes.count, NEVER),
            span=span,
        )
