"""Records of `rates` and `days` from the state of one partition.

Thousands are made at once, and all but their encoding is done in columns: a field of all of them at a time.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from itertools import repeat
from typing import Final

import msgspec
import numpy as np

from streams.domain.category import Category
from streams.domain.cell import COUNTERS
from streams.domain.period import EventPeriod
from streams.domain.policy import Policy
from streams.domain.verdict import (
    RANK_BREACH,
    RANK_TICKET,
    RateStatus,
    Severity,
    status_of_rank,
)
from streams.domain.window import PANE_MS, TICK_MS, day_text, instant_text
from streams.records import published
from streams.records.published import (
    DayRecord,
    FirstIssue,
    PartFigures,
    PeriodFigures,
    RateRecord,
    VerdictFigures,
    WindowFigures,
    struct_of,
)
from streams.reference.types import Reference
from streams.stages.columns import Bools, Int64s, Ints
from streams.stages.days import DayBook, first_figures
from streams.stages.figures import (
    BATCH,
    LOOSE,
    RATE_DIGITS,
    FigureColumns,
    by_scope,
    figures,
    latest,
    ratios,
    rounded,
)
from streams.stages.judge import Judge
from streams.stages.lines import NONE, Verdicts
from streams.stages.scopes import Scope, Scopes
from streams.stages.stage import Output
from streams.stages.windows import CORE, Span, Windows

ALL_CATEGORIES: Final = "*"

RATE: Final = struct_of(RateRecord)
WINDOW: Final = struct_of(WindowFigures)
PERIOD: Final = struct_of(PeriodFigures)
VERDICT: Final = struct_of(VerdictFigures)
DAY: Final = struct_of(DayRecord)
PART: Final = struct_of(PartFigures)
FIRST_ISSUE: Final = struct_of(FirstIssue)

# Texts by number; the last of each is at NONE.
SEVERITIES: Final = [*(severity.name for severity in Severity), None]
CATEGORY_TEXTS: Final = [*(category.name for category in Category), ALL_CATEGORIES]
assert NONE == -1


@dataclass(frozen=True, slots=True)
class Publisher:
    """Makes records of what has changed since a tick. It changes nothing."""

    policy: Policy
    scopes: Scopes
    windows: Windows
    judge: Judge
    days: DayBook

    # --- rates ---

    def rates(
        self, reference: Reference, *, since: int, verdicts: Int64s, unknown: Bools
    ) -> list[Output]:
        """Return the rate records of all scopes that have changed after tick `since`.

        `verdicts` are the ticks at which verdicts last changed, `unknown` the scopes whose channel is
        silent.
        """
        changed = np.maximum(latest(self.scopes, self.windows.changed), verdicts)
        due = np.flatnonzero(changed > since)
        if not len(due):
            return []
        windows = [
            _window_figures(figures(self.scopes, core).over(slice(None)).at(due))
            for core in (
                self.windows.core_of_day(self.windows.today),
                self.windows.core_of_trailing(),
                self.windows.core_of_week(),
            )
        ]
        periods = self._period_figures(reference, due)
        scopes = [self.scopes.scope(number) for number in due.tolist()]
        records = map(
            RATE,
            [scope.granularity.value for scope in scopes],
            [scope.scope_id for scope in scopes],
            [scope.city_code for scope in scopes],
            [scope.county_code for scope in scopes],
            [scope.enterprise_id for scope in scopes],
            repeat(day_text(self.windows.today)),
            *windows,
            [periods.get(number, []) for number in due.tolist()],
            self._verdict_figures(due, unknown[due]),
            repeat(self.policy.caliber_id),
            instant_texts(changed[due]),
        )
        return [
            Output(published.RATES, rate_key(scope), published.encode(record))
            for scope, record in zip(scopes, records, strict=True)
        ]

    def _verdict_figures(self, due: Ints, unknown: Bools) -> Iterator[msgspec.Struct]:
        found = self.judge.current.take(due)
        ns, covered = found.n.astype(np.int64).tolist(), found.covered.astype(np.int64).tolist()
        return map(
            VERDICT,
            repeat(day_text(self.judge.day)),
            status_names(found, unknown),
            ((found.ranks == RANK_TICKET) & ~unknown).tolist(),
            [SEVERITIES[n] for n in np.where(unknown, NONE, found.severities).tolist()],
            found.targets.tolist(),
            [CATEGORY_TEXTS[n] for n in found.categories.tolist()],
            self.judge.ids_of(found.periods),
            ns,
            covered,
            [round(c / n, RATE_DIGITS) if n else None for c, n in zip(covered, ns, strict=True)],
            [round(bound, RATE_DIGITS) for bound in found.bounds.tolist()],
            found.bound_zs(self.policy).tolist(),
        )

    def _period_figures(self, reference: Reference, due: Ints) -> dict[int, list[msgspec.Struct]]:
        found: dict[int, list[msgspec.Struct]] = {}
        for period in reference.periods:
            sums = self.windows.spans.get(span_of(period))
            if sums is None:
                continue
            member = self.scopes.in_origin(period.origin_codes, self.windows.today)
            if period.scope_bit is not None:
                member = member & (self.scopes.group_event_scopes >> period.scope_bit & 1 == 1)
            columns = [
                by_scope(self.scopes, column[: len(member)] * member).sum(axis=1)[due]
                for column in sums
            ]
            mature, on_time, late = columns
            rates = rounded(ratios(on_time + late, mature))
            on_time_rates = rounded(ratios(on_time, mature))
            lists = [column.tolist() for column in columns]
            for at, number in enumerate(due.tolist()):
                if not lists[0][at]:
                    continue
                found.setdefault(number, []).append(
                    PERIOD(
                        event_period_id=period.event_period_id,
                        mature=lists[0][at],
                        covered_on_time=lists[1][at],
                        covered_late=lists[2][at],
                        missing=lists[0][at] - lists[1][at] - lists[2][at],
                        rate=rates[at],
                        on_time_rate=on_time_rates[at],
                    )
                )
        return found

    # --- days ---

    def day(self, day: int, *, since: int, verdicts: Verdicts, unknown: Bools) -> list[Output]:
        """Return the records of one business day of all scopes that have changed after tick `since`.

        `verdicts` are the day's.
        """
        changed = latest(self.scopes, self.windows.day_changes(day))
        due = np.flatnonzero(changed > since)
        if not len(due):
            return []
        table = figures(self.scopes, self.windows.core_of_day(day)).at(due)
        columns = self.windows.day_columns(day)
        others = [
            by_scope(self.scopes, columns[counter]).sum(axis=1)[due].tolist()
            for counter in range(CORE, COUNTERS)
        ]
        issues, date = self.days.of_day(day), day_text(day)
        scopes = [self.scopes.scope(number) for number in due.tolist()]
        found = verdicts.take(due)
        records = map(
            DAY,
            [scope.granularity.value for scope in scopes],
            [scope.scope_id for scope in scopes],
            repeat(date),
            [scope.city_code for scope in scopes],
            [scope.county_code for scope in scopes],
            [scope.enterprise_id for scope in scopes],
            *_counts(whole := table.over(slice(None))),
            *others,
            *_rates(whole),
            _part_figures(table.over(LOOSE)),
            _part_figures(table.over(BATCH)),
            _by_category(table),
            [target or None for target in found.targets.tolist()],
            [CATEGORY_TEXTS[n] for n in found.categories.tolist()],
            status_names(found, unknown[due]),
            self.judge.ids_of(found.periods),
            repeat(issues.status.name),
            issues.revisions[due].tolist(),
            _first_issues(first_figures(issues).at(due), issues.first_ticks[due]),
            repeat(self.policy.caliber_id),
            instant_texts(changed[due]),
        )
        return [
            Output(published.DAYS, day_key(scope, date), published.encode(record))
            for scope, record in zip(scopes, records, strict=True)
        ]


def rate_key(scope: Scope) -> bytes:
    """Return the key of a scope on `rates`."""
    return published.rate_key(scope.granularity.value, scope.scope_id)


def day_key(scope: Scope, date: str) -> bytes:
    """Return the key of a scope's business day on `days`."""
    return published.day_key(scope.granularity.value, scope.scope_id, date)


def span_of(period: EventPeriod) -> Span:
    """Return the panes of a whole event period."""
    return period.start_ms // PANE_MS, period.end_ms // PANE_MS


def category_text(category: Category | None) -> str:
    """Return a target's category as it is published."""
    return ALL_CATEGORIES if category is None else category.name


def instant_texts(ticks: Int64s) -> list[str]:
    """Return ticks as instants are written."""
    texts = {tick: instant_text(tick * TICK_MS) for tick in set(ticks.tolist())}
    return [texts[tick] for tick in ticks.tolist()]


def status_names(verdicts: Verdicts, unknown: Bools) -> list[str]:
    """Return the names of the verdicts' statuses, as they are published."""
    names = [status_of_rank(rank).name for rank in range(RANK_BREACH + 1)]
    names.append(RateStatus.UNKNOWN.name)
    return [names[n] for n in np.where(unknown, RANK_BREACH + 1, verdicts.ranks).tolist()]


def _counts(table: FigureColumns) -> list[list[int]]:
    return [table.eligible.tolist(), *(column.tolist() for column in table.columns())]


def _rates(table: FigureColumns) -> list[list[float | None]]:
    rates = (table.rate, table.on_time_rate, table.rate_low, table.rate_high)
    return [rounded(column) for column in rates]


def _window_figures(table: FigureColumns) -> Iterator[msgspec.Struct]:
    return map(WINDOW, *_counts(table), *_rates(table))


def _part_figures(table: FigureColumns) -> Iterator[msgspec.Struct]:
    return map(PART, *_counts(table), rounded(table.rate))


def _by_category(table: FigureColumns) -> list[dict[str, msgspec.Struct]]:
    """Return the figures of the categories that have any, by name."""
    found: list[dict[str, msgspec.Struct]] = [{} for _ in table.missing]
    eligible = table.eligible
    for category in Category:
        some = np.flatnonzero(eligible[:, category])
        parts = _part_figures(table.at(some).over([category]))
        for at, part in zip(some.tolist(), parts, strict=True):
            found[at][category.name] = part
    return found


def _first_issues(table: FigureColumns, ticks: Int64s) -> list[msgspec.Struct | None]:
    """Return the first issues; None for what has not been issued yet."""
    found: list[msgspec.Struct | None] = [None] * len(ticks)
    issued = np.flatnonzero(ticks)
    table, ticks = table.at(issued), ticks[issued]
    rates = (rounded(table.rate), rounded(table.on_time_rate))
    issues = map(FIRST_ISSUE, *_counts(table), *rates, instant_texts(ticks))
    for at, issue in zip(issued.tolist(), issues, strict=True):
        found[at] = issue
    return found
