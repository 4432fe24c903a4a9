"""What is published for people and programs: records of `rates`, `days` and `alerts`, as JSON.

Counts are of parcels. Rates lie between 0 and 1, rounded to a millionth, and are null for want of
parcels. Instants are RFC 3339 in Shanghai time, dates are business days.

Rates and days of thousands of scopes are written at once, and a dataclass takes three times as long to make
and to encode as a struct of the same fields; see `struct_of`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, fields
from typing import Final, TypeVar

import msgspec

RATES: Final = "rates"
DAYS: Final = "days"
ALERTS: Final = "alerts"


@dataclass(frozen=True, slots=True)
class PartFigures:
    """Figures of a part of a scope's parcels."""

    eligible: int
    covered_on_time: int
    covered_late: int
    missing: int
    covered_young: int
    pending: int
    rate: float | None


@dataclass(frozen=True, slots=True)
class WindowFigures:
    """Figures of one window, with the bounds of its final rate."""

    eligible: int
    covered_on_time: int
    covered_late: int
    missing: int
    covered_young: int
    pending: int
    rate: float | None
    on_time_rate: float | None
    rate_low: float | None
    rate_high: float | None


@dataclass(frozen=True, slots=True)
class PeriodFigures:
    """Mature parcels of one event period to date."""

    event_period_id: str
    mature: int
    covered_on_time: int
    covered_late: int
    missing: int
    rate: float | None
    on_time_rate: float | None


@dataclass(frozen=True, slots=True)
class VerdictFigures:
    """The present verdict, and the figures of the target's parcels that decided it.

    Attributes:
        date: The business day that is judged: that of the parcels that have just matured.
        rate_status: OK, AT_RISK, BREACH, INSUFFICIENT, or UNKNOWN while the channel is silent.
        ticket: At risk, and sure enough for somebody to look.
        severity: Of a breach or a ticket.
        parcel_category: `*` for all in the base.
        event_period_id: Whose target it is; null for the routine target.
        n: Mature parcels.
        wilson_upper: Upper bound of the rate, `z` standard deviations up.

    """

    date: str
    rate_status: str
    ticket: bool
    severity: str | None
    target: float | None
    parcel_category: str
    event_period_id: str | None
    n: int
    covered: int
    rate: float | None
    wilson_upper: float
    z: float


@dataclass(frozen=True, slots=True)
class RateRecord:
    """A scope's rolling rates now. `as_of` is the tick of their last change."""

    granularity: str
    scope_id: str
    city_code: str | None
    county_code: str | None
    enterprise_id: str | None
    date: str
    today: WindowFigures
    trailing_24h: WindowFigures
    trailing_7d: WindowFigures
    event_periods: list[PeriodFigures]
    verdict: VerdictFigures
    caliber_id: str
    as_of: str


@dataclass(frozen=True, slots=True)
class FirstIssue:
    """A day's figures when they were first issued. They never change."""

    eligible: int
    covered_on_time: int
    covered_late: int
    missing: int
    covered_young: int
    pending: int
    rate: float | None
    on_time_rate: float | None
    as_of: str


@dataclass(frozen=True, slots=True)
class DayRecord:
    """A scope's figures of one business day.

    `revision` counts its issues: 0 before the bulletin, and one more for each time its rate had moved
    far enough. `as_of` is the tick of the last change. `target`, `parcel_category`, `rate_status` and
    `event_period_id` are those of the end of the day, or of now while it is being judged. The target
    and the status are of that category's parcels, or of the event period's destinations, and `rate` is
    of all in the base: a day may be above its target and yet a breach.
    """

    granularity: str
    scope_id: str
    date: str
    city_code: str | None
    county_code: str | None
    enterprise_id: str | None
    eligible: int
    covered_on_time: int
    covered_late: int
    missing: int
    covered_young: int
    pending: int
    exempt: int
    voided: int
    rescans: int
    duplicates: int
    attempts_failed: int
    backdated: int
    orphans: int
    after_close: int
    rate: float | None
    on_time_rate: float | None
    rate_low: float | None
    rate_high: float | None
    loose: PartFigures
    batch: PartFigures
    by_category: dict[str, PartFigures]
    target: float | None
    parcel_category: str
    rate_status: str
    event_period_id: str | None
    day_status: str
    revision: int
    first_issue: FirstIssue | None
    caliber_id: str
    as_of: str


@dataclass(frozen=True, slots=True)
class Evidence:
    """What an alert rests on.

    `window` TODAY is the judged business day. For a silent channel, `breaching` of `judged` outlets, or
    `collections` without a registration.
    """

    window: str
    date: str | None = None
    covered: int | None = None
    missing: int | None = None
    pending: int | None = None
    wilson_upper: float | None = None
    z: float | None = None
    breaching: int | None = None
    judged: int | None = None
    collections: int | None = None


@dataclass(frozen=True, slots=True)
class Raised:
    """What an alert was when it was raised. Never changes in an episode, whatever else does, so that
    receivers know the alert by it.
    """  # noqa: D205 (one sentence, with its reason)

    severity: str
    event_period_id: str | None
    event_level: str | None
    city_code: str | None
    county_code: str | None
    enterprise_id: str | None
    duty_group: str | None


@dataclass(frozen=True, slots=True)
class AlertRecord:
    """One change in the life of an alert.

    Attributes:
        id: Kind, granularity and scope.
        episode: How often it has been raised; with `id` its name for ever.
        reason: Why this record was written.
        state: firing, clearing or ended.
        observed: The rate that was observed, or the share of breaching outlets.
        n: Mature parcels, or judged outlets.
        first_at: When it was raised.
        last_at: When this was written.
        duration_s: From raise to end; null while it is open.
        raised: What it was when it was raised.
        severity_highest: The highest severity of the episode so far.

    """

    id: str
    alert_id: str
    episode: int
    alert_kind: str
    severity: str
    state: str
    reason: str
    granularity: str
    scope_id: str
    city_code: str | None
    county_code: str | None
    enterprise_id: str | None
    duty_group: str | None
    observed: float | None
    target: float | None
    parcel_category: str
    n: int
    evidence: Evidence
    event_period_id: str | None
    first_at: str
    last_at: str
    duration_s: int | None
    caliber_id: str
    raised: Raised
    severity_highest: str


Record = TypeVar("Record", RateRecord, DayRecord, AlertRecord)


def struct_of(kind: type) -> Callable[..., msgspec.Struct]:
    """Return a maker of structs with a record's fields, which are given in their order.

    They are for `encode` alone: it makes the same of them as of the record.
    """
    return msgspec.defstruct(kind.__name__, [field.name for field in fields(kind)], gc=False)


encode: Final[Callable[[RateRecord | DayRecord | AlertRecord | msgspec.Struct], bytes]] = (
    msgspec.json.Encoder().encode
)
"""Returns a record as JSON."""


def decode(value: bytes, kind: type[Record]) -> Record:
    """Return a record from JSON. Unknown fields are ignored; raises ValueError for anything else."""
    try:
        return msgspec.json.decode(value, type=kind)
    except msgspec.MsgspecError as error:
        raise ValueError(f"not a {kind.__name__}: {error}") from error


def rate_key(granularity: str, scope_id: str) -> bytes:
    """Return the key of a scope on `rates`."""
    return f"{granularity}|{scope_id}".encode()


def day_key(granularity: str, scope_id: str, date: str) -> bytes:
    """Return the key of a scope's business day on `days`."""
    return f"{granularity}|{scope_id}|{date}".encode()


def alert_key(alert_id: str, episode: int) -> bytes:
    """Return the key of an alert's episode on `alerts`."""
    return f"{alert_id}|{episode}".encode()


KINDS: Final[Mapping[str, type[RateRecord | DayRecord | AlertRecord]]] = {
    RATES: RateRecord,
    DAYS: DayRecord,
    ALERTS: AlertRecord,
}
"""Which record a topic of the catalogue holds."""
