"""Records of `rates` and `days` from the state of one partition."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.category import Category
from streams.domain.cell import COUNTERS, Counter
from streams.domain.period import EventPeriod
from streams.domain.policy import Policy
from streams.domain.verdict import RateStatus, status_of_rank
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
from streams.stages.lines import NONE, Verdicts, verdict_at
from streams.stages.scopes import Scope, Scopes
from streams.stages.stage import Output
from streams.stages.windows import CORE, Span, Windows

ALL_CATEGORIES: Final = "*"


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
        date = day_text(self.windows.today)
        judged_date = day_text(self.judge.day)
        as_of = {tick: instant_text(tick * TICK_MS) for tick in set(changed[due].tolist())}
        outputs = []
        for at, number in enumerate(due.tolist()):
            scope = self.scopes.scope(number)
            record = RateRecord(
                granularity=scope.granularity.value,
                scope_id=scope.scope_id,
                city_code=scope.city_code,
                county_code=scope.county_code,
                enterprise_id=scope.enterprise_id,
                date=date,
                today=windows[0][at],
                trailing_24h=windows[1][at],
                trailing_7d=windows[2][at],
                event_periods=periods.get(number, []),
                verdict=self._verdict_figures(number, judged_date, unknown=bool(unknown[number])),
                caliber_id=self.policy.caliber_id,
                as_of=as_of[int(changed[number])],
            )
            key = published.rate_key(record.granularity, record.scope_id)
            outputs.append(Output(published.RATES, key, published.encode(record)))
        return outputs

    def _verdict_figures(self, number: int, date: str, *, unknown: bool) -> VerdictFigures:
        found = verdict_at(self.judge.current, number, self.judge.period_ids, self.policy)
        status = RateStatus.UNKNOWN if unknown else found.status
        return VerdictFigures(
            date=date,
            rate_status=status.name,
            ticket=found.ticket and not unknown,
            severity=None if unknown or found.severity is None else found.severity.name,
            target=found.target,
            parcel_category=category_text(found.category),
            event_period_id=found.event_period_id,
            n=found.n,
            covered=found.covered,
            rate=round(found.covered / found.n, RATE_DIGITS) if found.n else None,
            wilson_upper=round(found.bound, RATE_DIGITS),
            z=found.bound_z,
        )

    def _period_figures(self, reference: Reference, due: Ints) -> dict[int, list[PeriodFigures]]:
        found: dict[int, list[PeriodFigures]] = {}
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
                    PeriodFigures(
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
        table = _DayTable(self, day, due)
        return [
            table.output(at, verdicts=verdicts, changed=int(changed[number]), unknown=unknown)
            for at, number in enumerate(due.tolist())
        ]


class _DayTable:
    """The columns from which one business day's records are made, one row for each scope that is due."""

    def __init__(self, publisher: Publisher, day: int, due: Ints) -> None:
        scopes, windows = publisher.scopes, publisher.windows
        self._publisher = publisher
        self._due = due
        self._date = day_text(day)
        table = figures(scopes, windows.core_of_day(day)).at(due)
        self._whole = _window_figures(table.over(slice(None)))
        self._loose = _part_figures(table.over(LOOSE))
        self._batch = _part_figures(table.over(BATCH))
        self._by_category: list[dict[str, PartFigures]] = [{} for _ in due]
        eligible = table.eligible
        for category in Category:
            some = np.flatnonzero(eligible[:, category])
            if len(some):
                parts = _part_figures(table.over([category]).at(some))
                for at, part in zip(some.tolist(), parts, strict=True):
                    self._by_category[at][category.name] = part
        columns = windows.day_columns(day)
        self._other: list[list[int]] = [
            by_scope(scopes, columns[counter]).sum(axis=1)[due].tolist()
            for counter in range(CORE, COUNTERS)
        ]
        issues = publisher.days.of_day(day)
        self._status = issues.status.name
        self._revisions: list[int] = issues.revisions[due].tolist()
        self._first = _first_issues(first_figures(issues).at(due), issues.first_ticks[due])

    def output(self, at: int, *, verdicts: Verdicts, changed: int, unknown: Bools) -> Output:
        """Return the record of one row."""
        number = int(self._due[at])
        scope: Scope = self._publisher.scopes.scope(number)
        whole = self._whole[at]
        status = status_of_rank(int(verdicts.ranks[number]))
        period, category = int(verdicts.periods[number]), int(verdicts.categories[number])
        record = DayRecord(
            granularity=scope.granularity.value,
            scope_id=scope.scope_id,
            date=self._date,
            city_code=scope.city_code,
            county_code=scope.county_code,
            enterprise_id=scope.enterprise_id,
            eligible=whole.eligible,
            covered_on_time=whole.covered_on_time,
            covered_late=whole.covered_late,
            missing=whole.missing,
            covered_young=whole.covered_young,
            pending=whole.pending,
            exempt=self._count(Counter.EXEMPT, at),
            voided=self._count(Counter.VOIDED, at),
            rescans=self._count(Counter.RESCANS, at),
            duplicates=self._count(Counter.DUPLICATES, at),
            attempts_failed=self._count(Counter.ATTEMPTS_FAILED, at),
            backdated=self._count(Counter.BACKDATED, at),
            orphans=self._count(Counter.ORPHANS, at),
            after_close=self._count(Counter.AFTER_CLOSE, at),
            rate=whole.rate,
            on_time_rate=whole.on_time_rate,
            rate_low=whole.rate_low,
            rate_high=whole.rate_high,
            loose=self._loose[at],
            batch=self._batch[at],
            by_category=self._by_category[at],
            target=float(verdicts.targets[number]) or None,
            parcel_category=category_text(None if category == NONE else Category(category)),
            rate_status=(RateStatus.UNKNOWN if unknown[number] else status).name,
            event_period_id=None if period == NONE else self._publisher.judge.period_ids[period],
            day_status=self._status,
            revision=self._revisions[at],
            first_issue=self._first[at],
            caliber_id=self._publisher.policy.caliber_id,
            as_of=instant_text(changed * TICK_MS),
        )
        key = published.day_key(record.granularity, record.scope_id, self._date)
        return Output(published.DAYS, key, published.encode(record))

    def _count(self, counter: Counter, at: int) -> int:
        return self._other[counter - CORE][at]


def span_of(period: EventPeriod) -> Span:
    """Return the panes of a whole event period."""
    return period.start_ms // PANE_MS, period.end_ms // PANE_MS


def category_text(category: Category | None) -> str:
    """Return a target's category as it is published."""
    return ALL_CATEGORIES if category is None else category.name


def _counts(table: FigureColumns) -> list[list[int]]:
    eligible: list[int] = table.eligible.tolist()
    return [eligible, *(column.tolist() for column in table.columns())]


def _part_figures(table: FigureColumns) -> list[PartFigures]:
    rows = zip(*_counts(table), rounded(table.rate), strict=True)
    return [PartFigures(*row) for row in rows]


def _window_figures(table: FigureColumns) -> list[WindowFigures]:
    rates = (table.rate, table.on_time_rate, table.rate_low, table.rate_high)
    rows = zip(*_counts(table), *(rounded(column) for column in rates), strict=True)
    return [WindowFigures(*row) for row in rows]


def _first_issues(table: FigureColumns, ticks: Int64s) -> Sequence[FirstIssue | None]:
    rates = (rounded(table.rate), rounded(table.on_time_rate))
    as_of = [instant_text(tick * TICK_MS) for tick in ticks.tolist()]
    rows = zip(*_counts(table), *rates, as_of, strict=True)
    issues = [FirstIssue(*row) for row in rows]
    return [issue if tick else None for issue, tick in zip(issues, ticks.tolist(), strict=True)]
