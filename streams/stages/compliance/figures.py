"""From published figures to those that an enterprise gets: the same, without small cells."""

from collections.abc import Mapping
from typing import Final, Protocol

from streams.domain.category import BATCH_CATEGORIES, LOOSE_CATEGORIES
from streams.domain.small_cell import is_small, told, withheld
from streams.records import published
from streams.records.compliance import (
    DayData,
    Figures,
    FirstIssue,
    Part,
    PeriodRate,
    RateData,
    Verdict,
)
from streams.records.published import DayRecord, PartFigures, RateRecord, WindowFigures

_KINDS: Final = tuple(
    frozenset(category.name for category in categories)
    for categories in (LOOSE_CATEGORIES, BATCH_CATEGORIES)
)


class _Counted(Protocol):
    """Any of the published figures with the five core counts."""

    @property
    def eligible(self) -> int:
        """Parcels of the base."""
        ...

    @property
    def covered_on_time(self) -> int:
        """Mature, covered within the grace."""
        ...

    @property
    def covered_late(self) -> int:
        """Mature, covered later."""
        ...

    @property
    def missing(self) -> int:
        """Mature, not covered."""
        ...


def rate_data(record: RateRecord) -> RateData:
    """Return the data of `rate.updated`."""
    return RateData(
        granularity=record.granularity,
        scope_id=record.scope_id,
        city_code=record.city_code,
        county_code=record.county_code,
        date=record.date,
        today=_figures(record.today),
        trailing_24h=_figures(record.trailing_24h),
        trailing_7d=_figures(record.trailing_7d),
        event_periods=[_period_rate(period) for period in record.event_periods],
        verdict=_verdict(record.verdict),
        caliber_id=record.caliber_id,
        as_of=record.as_of,
    )


def day_data(record: DayRecord) -> DayData:
    """Return the data of `day.closed` and `day.revised`."""
    hidden = _withheld_categories(record.by_category)
    # What is withheld of one kind could be worked out from that kind's figures, and those of the one
    # from the other's.
    parts_hidden = any(
        is_small(sum(_size(record.by_category[name]) for name in hidden & kind)) for kind in _KINDS
    )
    return DayData(
        granularity=record.granularity,
        scope_id=record.scope_id,
        city_code=record.city_code,
        county_code=record.county_code,
        date=record.date,
        day_status=record.day_status,
        revision=record.revision,
        figures=_day_figures(record),
        first_issue=_first_issue(record.first_issue),
        loose=_part(record.loose, hidden=parts_hidden),
        batch=_part(record.batch, hidden=parts_hidden),
        by_category={
            name: _part(part, hidden=name in hidden) for name, part in record.by_category.items()
        },
        exempt=told(record.exempt),
        voided=told(record.voided),
        rescans=record.rescans,
        duplicates=record.duplicates,
        attempts_failed=record.attempts_failed,
        backdated=record.backdated,
        orphans=record.orphans,
        after_close=record.after_close,
        target=record.target,
        parcel_category=record.parcel_category,
        rate_status=record.rate_status,
        event_period_id=record.event_period_id,
        caliber_id=record.caliber_id,
        as_of=record.as_of,
    )


def _size(figures: _Counted) -> int:
    """Return the size of the smallest group that the figures tell of: all parcels, or the mature ones."""
    mature = figures.covered_on_time + figures.covered_late + figures.missing
    return mature if is_small(mature) else figures.eligible


def _withheld_categories(parts: Mapping[str, PartFigures]) -> frozenset[str]:
    return withheld({name: _size(part) for name, part in parts.items()})


def _figures(window: WindowFigures) -> Figures:
    if is_small(_size(window)):
        return Figures(withheld=True)
    return Figures(
        withheld=False,
        eligible=window.eligible,
        covered_on_time=window.covered_on_time,
        covered_late=window.covered_late,
        missing=window.missing,
        covered_young=window.covered_young,
        pending=window.pending,
        rate=window.rate,
        on_time_rate=window.on_time_rate,
        rate_low=window.rate_low,
        rate_high=window.rate_high,
    )


def _day_figures(record: DayRecord) -> Figures:
    return _figures(
        WindowFigures(
            eligible=record.eligible,
            covered_on_time=record.covered_on_time,
            covered_late=record.covered_late,
            missing=record.missing,
            covered_young=record.covered_young,
            pending=record.pending,
            rate=record.rate,
            on_time_rate=record.on_time_rate,
            rate_low=record.rate_low,
            rate_high=record.rate_high,
        )
    )


def _part(part: PartFigures, *, hidden: bool) -> Part:
    if hidden or is_small(_size(part)):
        return Part(withheld=True)
    return Part(
        withheld=False,
        eligible=part.eligible,
        covered_on_time=part.covered_on_time,
        covered_late=part.covered_late,
        missing=part.missing,
        covered_young=part.covered_young,
        pending=part.pending,
        rate=part.rate,
    )


def _first_issue(issue: published.FirstIssue | None) -> FirstIssue | None:
    if issue is None:
        return None
    if is_small(_size(issue)):
        return FirstIssue(as_of=issue.as_of, withheld=True)
    return FirstIssue(
        as_of=issue.as_of,
        withheld=False,
        eligible=issue.eligible,
        covered_on_time=issue.covered_on_time,
        covered_late=issue.covered_late,
        missing=issue.missing,
        rate=issue.rate,
        on_time_rate=issue.on_time_rate,
    )


def _period_rate(period: published.PeriodFigures) -> PeriodRate:
    if is_small(period.mature):
        return PeriodRate(event_period_id=period.event_period_id, withheld=True)
    return PeriodRate(
        event_period_id=period.event_period_id,
        withheld=False,
        mature=period.mature,
        covered_on_time=period.covered_on_time,
        covered_late=period.covered_late,
        missing=period.missing,
        rate=period.rate,
        on_time_rate=period.on_time_rate,
    )


def _verdict(verdict: published.VerdictFigures) -> Verdict:
    small = is_small(verdict.n)
    return Verdict(
        date=verdict.date,
        rate_status=verdict.rate_status,
        severity=verdict.severity,
        target=verdict.target,
        parcel_category=verdict.parcel_category,
        event_period_id=verdict.event_period_id,
        withheld=small,
        n=None if small else verdict.n,
        covered=None if small else verdict.covered,
        rate=None if small else verdict.rate,
    )
