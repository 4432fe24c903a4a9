"""From published figures to those that an enterprise gets: the same, without small cells."""

from collections.abc import Mapping
from typing import Any, Final, Protocol, TypeVar

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


_Shown = TypeVar("_Shown", Figures, Part, FirstIssue, PeriodRate)


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
        figures=_figures(record),
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


def _figures(figures: WindowFigures | DayRecord) -> Figures:
    return _shown(Figures, figures, small=is_small(_size(figures)))


def _part(part: PartFigures, *, hidden: bool) -> Part:
    return _shown(Part, part, small=hidden or is_small(_size(part)))


def _first_issue(issue: published.FirstIssue | None) -> FirstIssue | None:
    if issue is None:
        return None
    return _shown(FirstIssue, issue, small=is_small(_size(issue)), as_of=issue.as_of)


def _period_rate(period: published.PeriodFigures) -> PeriodRate:
    small = is_small(period.mature)
    return _shown(PeriodRate, period, small=small, event_period_id=period.event_period_id)


def _shown(
    into: type[_Shown],
    figures: object,
    *,
    small: bool,
    **told_anyway: Any,  # noqa: ANN401 (as the form has it)
) -> _Shown:
    """Return the figures that the form has, under the same names; none of them where they are small."""
    if small:
        return into(withheld=True, **told_anyway)
    names = [n for n in into.__struct_fields__ if n != "withheld" and n not in told_anyway]
    return into(withheld=False, **told_anyway, **{name: getattr(figures, name) for name in names})


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
