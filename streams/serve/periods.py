"""Event periods as they are shown: with their phase at the present of the figures."""

from collections.abc import Iterable, Sequence

import msgspec

from streams.domain.category import Category
from streams.domain.period import EventPeriod, Granularity, code_matches
from streams.domain.window import day_of, instant_text
from streams.serve.names import Name


class PhaseShown(msgspec.Struct, frozen=True):
    """One phase; `end` is the first instant after it."""

    event_phase: str
    start: str
    end: str


class TargetShown(msgspec.Struct, frozen=True):
    """A target of one granularity; `parcel_category` is `*` for all in the base."""

    granularity: str
    parcel_category: str
    target_rate: float
    min_n: int | None


class PeriodShown(msgspec.Struct, frozen=True):
    """A period.

    Attributes:
        active: Whether it holds at the present of the figures.
        event_phase: Its phase then; null outside it.
        day: Which of its `days` business days that is, from 1; null outside it.
        end: The first instant after it.

    """

    event_period_id: str
    name: Name
    event_level: str
    active: bool
    event_phase: str | None
    day: int | None
    days: int
    start: str
    end: str
    origin_codes: Sequence[str]
    destination_codes: Sequence[str]
    phases: Sequence[PhaseShown]
    targets: Sequence[TargetShown]


def shown(period: EventPeriod, at_ms: int | None) -> PeriodShown:
    """Return a period as of an instant; None is before the first figures, when none is active."""
    phase = period.phase_at(at_ms) if at_ms is not None else None
    first, last = day_of(period.start_ms), day_of(period.end_ms - 1)
    return PeriodShown(
        event_period_id=period.event_period_id,
        name=Name(period.name_zh, period.name_en),
        event_level=period.event_level.value,
        active=phase is not None,
        event_phase=phase.value if phase else None,
        day=day_of(at_ms) - first + 1 if phase and at_ms is not None else None,
        days=last - first + 1,
        start=instant_text(period.start_ms),
        end=instant_text(period.end_ms),
        origin_codes=period.origin_codes,
        destination_codes=period.destination_codes,
        phases=[
            PhaseShown(p.event_phase.value, instant_text(p.start_ms), instant_text(p.end_ms))
            for p in period.phases
        ],
        targets=[
            TargetShown(t.granularity.value, _category(t.category), t.rate, t.n_min)
            for t in period.targets
        ],
    )


def _category(category: Category | None) -> str:
    return category.name if category is not None else "*"


def target_of_all(
    periods: Iterable[EventPeriod],
    granularity: str,
    *,
    at_ms: int,
    county_code: str | None,
    city_code: str | None,
    routine: float,
) -> float:
    """Return the target that all parcels of a scope together must meet.

    That is the strictest of the active periods for parcels of any category to anywhere, or else the
    routine target. Targets of some parcels only, such as those to a host city, are left out: the
    rate that is shown beside it is that of all.
    """
    place = county_code or city_code
    found = [
        target.rate
        for period in periods
        if period.phase_at(at_ms) is not None
        and not period.destination_codes
        and (place is not None or not period.origin_codes)
        and code_matches(place or "", period.origin_codes)
        for target in period.targets
        if target.category is None and target.granularity is Granularity(granularity)
    ]
    return max(found, default=routine)
