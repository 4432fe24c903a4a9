"""A scenario: what is played, when, how much of it, how well, with which faults. Read from TOML.

Shares are fractions of 1, durations are named with their unit, instants are TOML's own, with an
offset.
"""

import tomllib
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Annotated, Final, Literal

import msgspec

from streams.domain.category import Category
from streams.domain.window import MINUTE_MS
from streams.resources import config_dir

Share = Annotated[float, msgspec.Meta(ge=0, le=1)]
Minutes = Annotated[float, msgspec.Meta(gt=0)]
Instant = Annotated[datetime, msgspec.Meta(tz=True)]
Code = Annotated[str, msgspec.Meta(pattern=r"^\d{2,6}$")]

CHUNK_MS: Final = 15 * MINUTE_MS
"""The feed draws this much collection time at once, and holds little more than an hour."""

HOUR_WEIGHTS: Final = (
    *(0.2, 0.2, 0.2, 0.2, 0.2, 0.2, 0.8, 2.5, 6.0, 8.0, 9.0, 8.0),
    *(6.0, 7.0, 9.0, 10.0, 10.5, 9.5, 7.0, 4.0, 1.8, 0.9, 0.4, 0.3),
)
"""How a day's collections spread over its hours: a working day of twelve, and a little at night."""

CATEGORY_MIX: Final = {
    "LOOSE": 0.46,
    "AGREEMENT": 0.20,
    "ECOMMERCE": 0.20,
    "TEMP_BATCH": 0.04,
    "OVERSEAS_INBOUND": 0.01,
    "OVERSEAS_REFORWARD": 0.01,
    "WAREHOUSE_DIRECT": 0.04,
    "EXEMPT": 0.02,
    "UNCLASSIFIED": 0.02,
}


def instant_ms(instant: datetime) -> int:
    """Return an instant in epoch milliseconds."""
    return (instant - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


class ScenarioError(ValueError):
    """A scenario that cannot be played; the message says what to do. Retrying is useless."""


class _Part(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A table of a scenario file: a misspelt name is a mistake, not a default."""


class Habits(_Part, frozen=True):
    """How often couriers and their systems do what they do, as shares of parcels.

    Attributes:
        upload_lag_minutes: Mean of the exponential delay from collection to a registration's upload.
        early: Registered before the collection scan, by up to 14 minutes.
        agreement_use: Covered batch parcels that an agreement covers; the rest is registered.
        registered_anyway: Agreement-covered parcels that are registered as well.
        duplicate: Registered again under another registration id.
        retry: The same registration sent again by the device, as a new record.
        mismatched_first: A failed attempt before the registration that matched.
        failed_only: Uncovered parcels with a failed attempt and no more.
        backdated: Uploaded over 15 minutes after what the record says.
        revoked: Registration revoked later; every second one is registered anew.
        voided: Waybill voided; every fourth one too late, after a hub scan.
        hub_scan: Scanned out of a hub, three to nine hours later.
        rescan: Collected again at another outlet; every fifth one there first, and heard of later.
        resent: Record sent again, unchanged but for `received_at`.
        collected_late: Collection scans that an offline device uploads much later.
        backfill: Uncovered parcels that a make-up entry covers, hours to days later.
        after_close: Uncovered parcels that are registered after the final close.
        orphan: Registrations, per parcel, of a waybill that nobody ever collects.
        out_of_order: Records that overtake others by up to 50 seconds.

    """

    upload_lag_minutes: Minutes = 40
    early: Share = 0.06
    agreement_use: Share = 0.9
    registered_anyway: Share = 0.05
    duplicate: Share = 0.01
    retry: Share = 0.01
    mismatched_first: Share = 0.02
    failed_only: Share = 0.2
    backdated: Share = 0.003
    revoked: Share = 0.003
    voided: Share = 0.005
    hub_scan: Share = 0.3
    rescan: Share = 0.005
    resent: Share = 0.005
    collected_late: Share = 0.005
    backfill: Share = 0.05
    after_close: Share = 0.002
    orphan: Share = 0.001
    out_of_order: Share = 0.02


class Host(_Part, frozen=True):
    """The city that an event takes place in, and how carefully items sent there are registered.

    Attributes:
        code: A county of it, used as `destination_code`.
        share: Parcels sent there.
        rate: Those that are registered, always within the grace.
        upload_lag_minutes: Mean delay, cut off at 60 minutes.

    """

    code: Code
    share: Share = 0.03
    rate: Share = 1.0
    upload_lag_minutes: Minutes = 8


FaultKind = Literal[
    "county_stops",
    "brand_silent",
    "low_outlet",
    "duplicate_outlet",
    "late_makeup",
    "backdating_outlet",
    "host_missing",
    "garbage",
]


class FaultPlan(_Part, frozen=True):
    """A fault to plant in [start, end). Its place is picked from the outlets that are played.

    Attributes:
        city: City code within which the county or outlet is picked; None for the whole region.
        rank: Which one, 0 being the busiest that no other fault has; the last if there are fewer.
        rate: Rate of a low outlet.
        count: Garbage records of each reject code.
        oversized_count: The same for those over 64 KiB, which take room.
        backlog: Whether a silent channel sends afterwards what it held back.
        makeup: When a late outlet's make-up entries begin; they take an hour.

    """

    kind: FaultKind
    start: Instant
    end: Instant
    city: Code | None = None
    rank: int = 0
    rate: Share = 0.5
    count: int = 20
    oversized_count: int = 2
    backlog: bool = True
    makeup: Instant | None = None

    @property
    def start_ms(self) -> int:
        """First instant of the fault."""
        return instant_ms(self.start)

    @property
    def end_ms(self) -> int:
        """First instant after the fault."""
        return instant_ms(self.end)

    @property
    def makeup_ms(self) -> int | None:
        """When make-up entries begin, or None."""
        return None if self.makeup is None else instant_ms(self.makeup)


class Scenario(_Part, frozen=True):
    """What is played.

    Attributes:
        start: First instant of collection.
        collect_until: First instant without collections; None for `end`.
        end: Nothing is received after this; None plays for ever.
        region_parcels_per_day: The whole region's real volume; gives each outlet its real size.
        parcels_per_day: What is played of it.
        outlets: `busiest` plays the busiest outlets of every city at their real size until each
            city has its share; `all` plays all and scales their sizes.
        rates: True rate of an ordinary outlet as (instant, rate), linear between, constant outside.
        rate_spread: Standard deviation of the outlets' own rates around it.
        category_mix: Parcels by category; the weights need not add up to 1.

    """

    name: str
    text: str
    start: Instant
    rates: Annotated[list[tuple[Instant, Share]], msgspec.Meta(min_length=1)]
    collect_until: Instant | None = None
    end: Instant | None = None
    region_parcels_per_day: Annotated[int, msgspec.Meta(gt=0)] = 300_000
    parcels_per_day: Annotated[int, msgspec.Meta(gt=0)] = 300_000
    outlets: Literal["busiest", "all"] = "busiest"
    rate_spread: Share = 0.02
    category_mix: dict[str, float] = msgspec.field(default_factory=lambda: dict(CATEGORY_MIX))
    habits: Habits = Habits()
    host: Host | None = None
    faults: list[FaultPlan] = []

    @property
    def start_ms(self) -> int:
        """First instant of collection."""
        return instant_ms(self.start)

    @property
    def collect_until_ms(self) -> int | None:
        """First instant without collections, or None."""
        return self.end_ms if self.collect_until is None else instant_ms(self.collect_until)

    @property
    def end_ms(self) -> int | None:
        """Last instant at which anything is received, or None."""
        return None if self.end is None else instant_ms(self.end)


def load_scenario(name_or_path: str | Path) -> Scenario:
    """Return a built-in scenario by name, or the one in a TOML file.

    Raises:
        ScenarioError: It does not exist, or the file is not a scenario.
    """
    path = Path(name_or_path)
    if path.suffix != ".toml":
        path = config_dir() / "scenarios" / f"{name_or_path}.toml"
    try:
        content = path.read_bytes()
    except OSError as error:
        names = ", ".join(scenario_names())
        raise ScenarioError(
            f"no scenario {name_or_path}; there are {names}, or a .toml file"
        ) from error
    try:
        scenario = msgspec.convert(tomllib.loads(content.decode()), Scenario)
        _check(scenario)
    except (ValueError, msgspec.ValidationError) as error:
        raise ScenarioError(f"{path}: {error}") from error
    return scenario


def scenario_names() -> list[str]:
    """Return the names of the built-in scenarios, sorted."""
    return sorted(path.stem for path in (config_dir() / "scenarios").glob("*.toml"))


def _check(scenario: Scenario) -> None:
    """Raise ValueError for what types do not say."""
    instants = [at for at, _ in scenario.rates]
    if instants != sorted(set(instants)):
        raise ValueError("rates: the instants must rise")
    if scenario.start_ms % CHUNK_MS:
        raise ValueError("start: must be a quarter of an hour")
    until_ms, end_ms = scenario.collect_until_ms, scenario.end_ms
    if until_ms is not None and until_ms <= scenario.start_ms:
        raise ValueError("collect_until, end: must be after start")
    if end_ms is not None and until_ms is not None and end_ms < until_ms:
        raise ValueError("end: must not be before collect_until")
    for name, weight in scenario.category_mix.items():
        if name not in Category.__members__ or weight < 0:
            raise ValueError(f"category_mix: no category {name} with weight {weight}")
    for fault in scenario.faults:
        _check_fault(fault, scenario)


def _check_fault(fault: FaultPlan, scenario: Scenario) -> None:
    end_ms = scenario.end_ms
    if fault.end_ms <= fault.start_ms:
        raise ValueError(f"faults: {fault.kind} ends before it starts")
    if fault.start_ms < scenario.start_ms or (end_ms is not None and fault.end_ms > end_ms):
        raise ValueError(f"faults: {fault.kind} is not within the scenario's start and end")
    if fault.kind == "late_makeup" and fault.makeup is None:
        raise ValueError("faults: late_makeup needs `makeup`, when the entries come")
    if fault.kind == "host_missing" and scenario.host is None:
        raise ValueError("faults: host_missing needs a [host]")
