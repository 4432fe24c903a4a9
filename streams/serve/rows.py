"""Rows of the view: of each published record what filters and the board need, and the record itself.

Only what is needed is decoded, so that a record of a later version, or of an earlier one that a
compacted topic still holds, is served as it is.
"""

from dataclasses import dataclass

import msgspec
from msgspec import structs


class Counts(msgspec.Struct, frozen=True):
    """Parcels of one scope and window."""

    eligible: int
    covered_on_time: int
    covered_late: int
    missing: int
    covered_young: int
    pending: int
    rate: float | None
    on_time_rate: float | None

    @property
    def mature(self) -> int:
        """Parcels whose grace has run out: the base of the rate."""
        return self.covered_on_time + self.covered_late + self.missing

    @property
    def covered(self) -> int:
        """Mature parcels that are covered, late or not."""
        return self.covered_on_time + self.covered_late


class Verdict(msgspec.Struct, frozen=True):
    """The part of a verdict that is shown; see `records.published.VerdictFigures`."""

    date: str
    rate_status: str
    severity: str | None
    target: float | None
    parcel_category: str
    event_period_id: str | None
    n: int
    covered: int
    rate: float | None

    @property
    def shortfall(self) -> float:
        """How far the rate lies below its target; 0 where it does not, or where there is none."""
        if self.rate is None or self.target is None:
            return 0.0
        return max(self.target - self.rate, 0.0)


class RateRow(msgspec.Struct, frozen=True):
    """One scope's rates now. `record` is the record as it was published."""

    granularity: str
    scope_id: str
    city_code: str | None
    county_code: str | None
    enterprise_id: str | None
    date: str
    today: Counts
    trailing_24h: Counts
    verdict: Verdict
    as_of: str
    record: bytes = b""

    @property
    def status(self) -> str:
        """What the filter `status` is about."""
        return self.verdict.rate_status


class DayRow(Counts, frozen=True):
    """One scope's business day. `record` is the record as it was published."""

    granularity: str
    scope_id: str
    date: str
    city_code: str | None
    county_code: str | None
    enterprise_id: str | None
    rate_status: str
    target: float | None
    day_status: str
    as_of: str
    record: bytes = b""

    @property
    def status(self) -> str:
        """What the filter `status` is about."""
        return self.rate_status


class Evidence(msgspec.Struct, frozen=True):
    """What is shown of the evidence of an alert; see `records.published.Evidence`."""

    covered: int | None = None
    missing: int | None = None
    breaching: int | None = None
    judged: int | None = None
    collections: int | None = None


class AlertRow(msgspec.Struct, frozen=True):
    """One episode of an alert, as of its latest record, which is `record`."""

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
    observed: float | None
    target: float | None
    parcel_category: str
    n: int
    event_period_id: str | None
    first_at: str
    last_at: str
    duration_s: int | None
    evidence: Evidence = Evidence()
    record: bytes = b""

    @property
    def is_open(self) -> bool:
        """Whether it has not ended."""
        return self.state != "ended"


Row = RateRow | DayRow | AlertRow


@dataclass(frozen=True, slots=True)
class Incoming:
    """One record of a followed topic.

    Attributes:
        topic: Short name, as in `records.topics`.
        key: Its key.
        value: None for a tombstone.
        timestamp_ms: Kafka's.

    """

    topic: str
    key: bytes
    value: bytes | None
    timestamp_ms: int


def rate_row(value: bytes) -> RateRow:
    """Return the row of a record of `rates`; raises ValueError where it is none."""
    return structs.replace(msgspec.json.decode(value, type=RateRow), record=value)


def day_row(value: bytes) -> DayRow:
    """Return the row of a record of `days`; raises ValueError where it is none."""
    return structs.replace(msgspec.json.decode(value, type=DayRow), record=value)


def alert_row(value: bytes) -> AlertRow:
    """Return the row of a record of `alerts`; raises ValueError where it is none."""
    return structs.replace(msgspec.json.decode(value, type=AlertRow), record=value)
