"""Issues of business days: open, then provisional at the bulletin, then final.

The first issue's figures are kept for good, beside those of now. Between the bulletin and the final
close a scope's day is issued anew whenever its rate has moved far enough by a whole hour.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum
from typing import Final

import msgspec
import numpy as np

from streams.domain.policy import Policy
from streams.domain.window import DAY_MS, HOUR_MS, TICK_MS, day_start_ms, tick_at_or_after
from streams.stages.columns import Array, Bools, Floats, Int64s
from streams.stages.figures import FigureColumns, figures, latest
from streams.stages.scopes import Scopes
from streams.stages.windows import Windows

ROUNDING: Final = 1e-9
TICKS_PER_HOUR: Final = HOUR_MS // TICK_MS
FIRST_COLUMNS: Final = 5


class DayStatus(IntEnum):
    """How settled a business day's figures are. Names are published."""

    OPEN = 0
    PROVISIONAL = 1
    FINAL = 2


@dataclass(slots=True)
class Issues:
    """The issues of one business day, by scope.

    Attributes:
        status: Of the whole day.
        revisions: How often the scope's day has been issued.
        rates: Its rate when last issued; NaN for none.
        first: Its five figures when first issued, one row each.
        first_ticks: When that was; 0 for never.

    """

    status: DayStatus
    revisions: Int64s
    rates: Floats
    first: Int64s
    first_ticks: Int64s

    def fit(self, count: int) -> None:
        """Make room for so many scopes."""
        more = count - len(self.revisions)
        if more:
            self.revisions = np.concatenate([self.revisions, np.zeros(more, np.int64)])
            self.rates = np.concatenate([self.rates, np.full(more, np.nan)])
            new = np.zeros((FIRST_COLUMNS, more), np.int64)
            self.first = np.concatenate([self.first, new], axis=1)
            self.first_ticks = np.concatenate([self.first_ticks, np.zeros(more, np.int64)])


def no_issues() -> Issues:
    """Return the issues of an open day without scopes."""
    return Issues(
        status=DayStatus.OPEN,
        revisions=np.empty(0, np.int64),
        rates=np.empty(0),
        first=np.empty((FIRST_COLUMNS, 0), np.int64),
        first_ticks=np.empty(0, np.int64),
    )


class DayBookState(msgspec.Struct, frozen=True):
    """What a snapshot holds of the day book beside the arrays: day and status."""

    days: list[tuple[int, int]]


class DayBook:
    """The issues of all kept business days of one partition."""

    def __init__(self, policy: Policy, scopes: Scopes, windows: Windows) -> None:
        self._policy: Final = policy
        self._scopes: Final = scopes
        self._windows: Final = windows
        self._issues: dict[int, Issues] = {}
        self._looked_at: list[int] = []  # The kept days when `_next_tick` was worked out.
        self._next_tick: int | None = None

    def of_day(self, day: int) -> Issues:
        """Return the issues of a kept day, with room for all scopes."""
        issues = self._issues.setdefault(day, no_issues())
        issues.fit(self._scopes.count)
        return issues

    def next_tick(self) -> int | None:
        """Return the next tick at which a day is to be issued, or looked at again; None for never."""
        return self._next_tick

    def _find_next_tick(self) -> int | None:
        ticks = [self._next_tick_of(day) for day in self._windows.kept_days()]
        return min((tick for tick in ticks if tick is not None), default=None)

    def _next_tick_of(self, day: int) -> int | None:
        status = self._issues[day].status if day in self._issues else DayStatus.OPEN
        if status is DayStatus.FINAL:
            return None
        if status is DayStatus.OPEN:
            return max(self._bulletin_tick(day), self._windows.tick + 1)
        whole_hour = (self._windows.tick // TICKS_PER_HOUR + 1) * TICKS_PER_HOUR
        return min(whole_hour, max(self._final_tick(day), self._windows.tick + 1))

    def _bulletin_tick(self, day: int) -> int:
        return _tick(day_start_ms(day) + DAY_MS + self._policy.bulletin_ms)

    def _final_tick(self, day: int) -> int:
        return _tick(day_start_ms(day) + DAY_MS + self._policy.final_close_ms)

    def move(self) -> None:
        """Issue what is due at the windows' present tick."""
        kept, tick = self._windows.kept_days(), self._windows.tick
        if kept == self._looked_at and (self._next_tick is None or tick < self._next_tick):
            return
        self._move(kept, tick)
        self._looked_at, self._next_tick = kept, self._find_next_tick()

    def _move(self, kept: Sequence[int], tick: int) -> None:
        for day in [day for day in self._issues if day not in kept]:
            del self._issues[day]
        for day in kept:
            issues = self.of_day(day)
            if issues.status is DayStatus.OPEN and tick >= self._bulletin_tick(day):
                issues.status = DayStatus.PROVISIONAL
                self._issue(day, issues)
                self._touch(day, self._windows.day_changes(day) > 0)
            if issues.status is not DayStatus.PROVISIONAL:
                continue
            if tick >= self._final_tick(day):
                issues.status = DayStatus.FINAL
                self._issue(day, issues)
                self._touch(day, self._windows.day_changes(day) > 0)
            elif tick % TICKS_PER_HOUR == 0:
                self._issue(day, issues)

    def _issue(self, day: int, issues: Issues) -> None:
        """Issue the scopes that have not been, and those whose rate has moved."""
        now = figures(self._scopes, self._windows.core_of_day(day)).over(slice(None))
        present = latest(self._scopes, self._windows.day_changes(day)) > 0
        rates = now.rate
        with np.errstate(invalid="ignore"):
            moved = np.abs(rates - issues.rates) >= self._policy.revision_rate - ROUNDING
        moved |= np.isnan(rates) != np.isnan(issues.rates)
        first = present & (issues.revisions == 0)
        due = first | (present & moved)
        if not due.any():
            return
        issues.revisions[due] += 1
        issues.rates[due] = rates[due]
        issues.first[:, first] = np.stack(now.columns())[:, first]
        issues.first_ticks[first] = self._windows.tick
        self._touch(day, self._groups_of(due) & (self._windows.day_changes(day) > 0))

    def _touch(self, day: int, groups: Bools) -> None:
        self._windows.touch_day(day, groups, self._windows.tick)

    def _groups_of(self, due: Bools) -> Bools:
        """Return the groups whose parcels count for any of the scopes."""
        touched = np.zeros(len(self._windows.changed), np.bool_)
        for granularity in self._scopes.granularities:
            numbers = self._scopes.of_groups(granularity)
            touched[: len(numbers)] |= due[numbers]
        return touched

    def snapshot(self) -> tuple[dict[str, Array], DayBookState]:
        """Return the arrays, and the rest."""
        arrays: dict[str, Array] = {}
        for day, issues in self._issues.items():
            arrays[f"{day}.revisions"] = issues.revisions
            arrays[f"{day}.rates"] = issues.rates
            arrays[f"{day}.first"] = issues.first
            arrays[f"{day}.first_ticks"] = issues.first_ticks
        return arrays, DayBookState([(day, i.status) for day, i in self._issues.items()])

    def restore(self, arrays: dict[str, Array], state: DayBookState) -> None:
        """Take back what `snapshot` returned."""
        self._issues = {
            day: Issues(
                DayStatus(status),
                arrays[f"{day}.revisions"],
                arrays[f"{day}.rates"],
                arrays[f"{day}.first"],
                arrays[f"{day}.first_ticks"],
            )
            for day, status in state.days
        }
        self._looked_at, self._next_tick = self._windows.kept_days(), self._find_next_tick()


def _tick(instant_ms: int) -> int:
    return tick_at_or_after(instant_ms) // TICK_MS


def first_figures(issues: Issues) -> FigureColumns:
    """Return the first-issued figures by scope."""
    return FigureColumns(*issues.first)
