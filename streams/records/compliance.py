"""What an enterprise gets: the events of `compliance.<enterprise_id>`, with their keys, ids and data.

Keys are `family|subject` and, where a subject has several, the day or episode. Events of one family
replace each other under compaction: what is left of a key is its present state.
`schemas/compliance/` is the contract; all fields are always written.
"""

from collections.abc import Mapping
from typing import Final, Literal

import msgspec

from streams.records.cloudevents import CloudEvent, id_of

SOURCE: Final = "/realname/compliance"
"""The source of every event."""

RATE_UPDATED: Final = "rate.updated"
DAY_CLOSED: Final = "day.closed"
DAY_REVISED: Final = "day.revised"
ALERT_RAISED: Final = "alert.raised"
ALERT_CHANGED: Final = "alert.changed"
ALERT_ENDED: Final = "alert.ended"
PERIOD_DECLARED: Final = "period.declared"
PERIOD_ENDED: Final = "period.ended"
PARCEL_MISSING: Final = "parcel.missing"
PARCEL_RETRACTED: Final = "parcel.retracted"
PARCEL_EXPIRED: Final = "parcel.expired"
RECORDS_REJECTED: Final = "records.rejected"

PARCEL: Final = "PARCEL"
PERIOD: Final = "PERIOD"
FEED: Final = "SOURCE"

RESTRICTED: Final = {"dataclassification": "restricted", "dataregulation": "PIPL"}
"""Extension attributes of an event that names a parcel."""


class Figures(msgspec.Struct, frozen=True):
    """Parcels of one window or part; all null, and `withheld`, where they are too few."""

    withheld: bool
    eligible: int | None = None
    covered_on_time: int | None = None
    covered_late: int | None = None
    missing: int | None = None
    covered_young: int | None = None
    pending: int | None = None
    rate: float | None = None
    on_time_rate: float | None = None
    rate_low: float | None = None
    rate_high: float | None = None


class Part(msgspec.Struct, frozen=True):
    """Parcels of one kind."""

    withheld: bool
    eligible: int | None = None
    covered_on_time: int | None = None
    covered_late: int | None = None
    missing: int | None = None
    covered_young: int | None = None
    pending: int | None = None
    rate: float | None = None


class PeriodRate(msgspec.Struct, frozen=True):
    """Mature parcels of one event period to date."""

    event_period_id: str
    withheld: bool
    mature: int | None = None
    covered_on_time: int | None = None
    covered_late: int | None = None
    missing: int | None = None
    rate: float | None = None
    on_time_rate: float | None = None


class Verdict(msgspec.Struct, frozen=True):
    """Whether the target is met; the figures are of the target's parcels."""

    date: str
    rate_status: str
    severity: str | None
    target: float | None
    parcel_category: str
    event_period_id: str | None
    withheld: bool
    n: int | None
    covered: int | None
    rate: float | None


class RateData(msgspec.Struct, frozen=True):
    """Data of `rate.updated`."""

    granularity: str
    scope_id: str
    city_code: str | None
    county_code: str | None
    date: str
    today: Figures
    trailing_24h: Figures
    trailing_7d: Figures
    event_periods: list[PeriodRate]
    verdict: Verdict
    caliber_id: str
    as_of: str


class FirstIssue(msgspec.Struct, frozen=True):
    """A day's figures as they were first issued."""

    as_of: str
    withheld: bool
    eligible: int | None = None
    covered_on_time: int | None = None
    covered_late: int | None = None
    missing: int | None = None
    rate: float | None = None
    on_time_rate: float | None = None


class DayData(msgspec.Struct, frozen=True):
    """Data of `day.closed` and `day.revised`."""

    granularity: str
    scope_id: str
    city_code: str | None
    county_code: str | None
    date: str
    day_status: str
    revision: int
    figures: Figures
    first_issue: FirstIssue | None
    loose: Part
    batch: Part
    by_category: dict[str, Part]
    exempt: int | None
    voided: int | None
    rescans: int
    duplicates: int
    attempts_failed: int
    backdated: int
    orphans: int
    after_close: int
    target: float | None
    parcel_category: str
    rate_status: str
    event_period_id: str | None
    caliber_id: str
    as_of: str


class AlertEvidence(msgspec.Struct, frozen=True):
    """What an alert rests on."""

    window: str
    date: str | None
    covered: int | None
    missing: int | None
    pending: int | None
    breaching: int | None
    judged: int | None
    collections: int | None


class AlertData(msgspec.Struct, frozen=True):
    """Data of `alert.raised`, `alert.changed` and `alert.ended`."""

    alert_id: str
    episode: int
    alert_kind: str
    state: str
    reason: str
    severity: str
    severity_highest: str
    granularity: str
    scope_id: str
    city_code: str | None
    county_code: str | None
    withheld: bool
    observed: float | None
    n: int | None
    target: float | None
    parcel_category: str
    event_period_id: str | None
    evidence: AlertEvidence
    first_at: str
    last_at: str
    duration_s: int | None
    caliber_id: str


class PeriodPhase(msgspec.Struct, frozen=True):
    """One phase of an event period: from `start` until before `end`."""

    event_phase: str
    start: str
    end: str


class PeriodTarget(msgspec.Struct, frozen=True):
    """A rate that scopes of one granularity must reach in the period."""

    granularity: str
    parcel_category: str
    target_rate: float
    min_n: int | None


class PeriodData(msgspec.Struct, frozen=True):
    """Data of `period.declared` and `period.ended`."""

    event_period_id: str
    name_zh: str
    name_en: str
    event_level: str
    start: str
    end: str
    origin_codes: list[str]
    destination_codes: list[str]
    phases: list[PeriodPhase]
    targets: list[PeriodTarget]
    reason: Literal["declared", "changed", "over", "withdrawn"]


class ParcelData(msgspec.Struct, frozen=True):
    """Data of `parcel.missing`. The waybill is personal information."""

    waybill_no: str
    outlet_id: str
    county_code: str
    parcel_category: str
    date: str
    collected_at: str
    missing_since: str


class Sample(msgspec.Struct, frozen=True):
    """One refused record, masked."""

    waybill_masked: str | None
    path: str
    received_at: str
    place: str


class RejectedData(msgspec.Struct, frozen=True):
    """Data of `records.rejected`: of one source, day, code and share of the dead letters."""

    record_source: str
    date: str
    code: str
    share: int
    shares: int
    count: int
    first_at: str
    last_at: str
    samples: list[Sample]


Data = RateData | DayData | AlertData | PeriodData | ParcelData | RejectedData

DATA_OF: Final[Mapping[str, type[msgspec.Struct] | None]] = {
    RATE_UPDATED: RateData,
    DAY_CLOSED: DayData,
    DAY_REVISED: DayData,
    ALERT_RAISED: AlertData,
    ALERT_CHANGED: AlertData,
    ALERT_ENDED: AlertData,
    PERIOD_DECLARED: PeriodData,
    PERIOD_ENDED: PeriodData,
    PARCEL_MISSING: ParcelData,
    PARCEL_RETRACTED: None,
    PARCEL_EXPIRED: None,
    RECORDS_REJECTED: RejectedData,
}
"""Every type of event, with what its data are; None has none."""

SCHEMA_OF: Final[Mapping[str, str]] = {
    RATE_UPDATED: "rate.v1",
    DAY_CLOSED: "day.v1",
    DAY_REVISED: "day.v1",
    ALERT_RAISED: "alert.v1",
    ALERT_CHANGED: "alert.v1",
    ALERT_ENDED: "alert.v1",
    PERIOD_DECLARED: "period.v1",
    PERIOD_ENDED: "period.v1",
    PARCEL_MISSING: "parcel.v1",
    RECORDS_REJECTED: "rejected.v1",
}
"""The schema of a type's data: the name of its file in `schemas/compliance/`."""

encode: Final = msgspec.json.Encoder().encode


def schema_uri(schema: str) -> str:
    """Return the URI of a schema by its file's name: `urn:realname-streams:compliance.rate:v1`."""
    name, _, version = schema.rpartition(".")
    return f"urn:realname-streams:compliance.{name}:{version}"


_URI_OF: Final = {kind: schema_uri(schema) for kind, schema in SCHEMA_OF.items()}


def key_of(kind: str, subject: str, *more: str) -> str:
    """Return the key of an event: its family, subject and what tells it from its like."""
    return "|".join((kind.partition(".")[0], subject, *more))


def event(
    kind: str,
    *,
    key: str,
    subject: str,
    time: str,
    mark: str,
    data: bytes | None,
    extensions: Mapping[str, str],
) -> CloudEvent:
    """Return an event. Type, key and `mark` decide its id: what tells it from others of its key."""
    return CloudEvent(
        id=event_id(kind, key, mark),
        source=SOURCE,
        type=kind,
        subject=subject,
        time=time,
        key=key,
        schema=None if data is None else _URI_OF[kind],
        data=data,
        extensions=extensions,
    )


def event_id(kind: str, key: str, mark: str) -> str:
    """Return the id of an event, which others may name as their cause."""
    return id_of(kind, key, mark)


def correlation(granularity: str, scope_id: str, date: str) -> str:
    """Return what events about one scope's business day have in common.

    The attribute `correlationid`: it leads from a missing parcel to its outlet's rate, alert and day.
    """
    return f"{granularity}|{scope_id}|{date}"
