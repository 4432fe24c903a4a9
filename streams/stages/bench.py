"""The bench: the lines of one business day with their sums, judged at all ticks gone through together.

A *line* is one target with the groups whose parcels it is about (`domain.verdict`). Its sums move on by what
the windows say has changed, so that only scopes whose parcels have changed are judged again.
"""

from collections.abc import Container, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.period import Granularity
from streams.domain.policy import Policy
from streams.domain.verdict import Line
from streams.stages.columns import Array, Bools, Floats, Ints
from streams.stages.lines import NONE, Verdicts, no_verdicts, table_of
from streams.stages.windows import MATURE, Moves, Span, Windows

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
class JudgedLine:
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


class Bench:
    """The lines of one business day, with their sums as of some tick."""

    def __init__(
        self, lines: Sequence[JudgedLine], count: int, policy: Policy, spans: Container[Span]
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

    def go_on_from(self, before: "Bench") -> None:
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
        self, line: JudgedLine, moves: Moves, first: int, columns: Sequence[Array]
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
