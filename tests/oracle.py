"""An independent, simple computation of what a set of records must lead to: group, sort, loop.

It shares no code with the program and reads the reference files by itself. Slow and plain on
purpose: every figure of a waybill is computed anew after each of its records, and the differences
are summed.

    truth = judge(records, read_reference(folder), until_ms=...)
    truth.days["OUTLET", "150102-DB-0001", "2017-09-06"]["covered_late"]

`records` are (key, value) pairs in the order of their log, `clock = data`. `until_ms` is the instant
that all clocks have passed; no record may be received after it.
"""

import csv
import json
import re
import tomllib
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from pathlib import Path
from sys import intern
from typing import Any, NamedTuple

import orjson

MINUTE, HOUR, DAY, PANE = 60_000, 3_600_000, 86_400_000, 300_000
GRACE, CLOSE, KEPT, BULLETIN = 2 * HOUR, 72 * HOUR, 7 * DAY, 9 * HOUR
SHANGHAI = 8 * HOUR

COLLECTED, REGISTERED = "shipment.collected", "realname.registered"
REVOKED, VOIDED, SCANNED = "realname.revoked", "waybill.voided", "hub.outbound_scanned"
HEARTBEAT = "stream.heartbeat"

EXEMPT = {"EXEMPT", "OVERSEAS_INBOUND"}
BATCH = {"AGREEMENT", "ECOMMERCE", "TEMP_BATCH", "OVERSEAS_REFORWARD", "WAREHOUSE_DIRECT"}
LOOSE = {"LOOSE", "UNCLASSIFIED"}

# What adds up. In a day's figures the covered ones are split into mature and young.
COUNTED = (
    *("eligible", "covered_on_time", "covered_late", "exempt", "voided", "rescans"),
    *("duplicates", "attempts_failed", "backdated", "orphans", "after_close"),
)
FIGURES = (*COUNTED, "missing", "covered_young", "pending")

VOCABULARIES: dict[str, set[Any]] = {
    "parcel_category": EXEMPT | BATCH | LOOSE,
    "route_type": {"INTRA_CITY", "OUTBOUND", "INTERNATIONAL", None},
    "verification_result": {"MATCHED", "MISMATCHED", "REFUSED", "UNREADABLE", "NOT_CHECKED"},
}
COMMON = {"id": 64, "source": 128, "time": 40, "recorded_at": 40, "waybill_no": 32}
REQUIRED = {  # With their greatest lengths.
    COLLECTED: {**COMMON, "outlet_id": 64, "parcel_category": 64},
    REGISTERED: {**COMMON, "outlet_id": 64, "registration_id": 64, "verification_result": 64},
    REVOKED: {**COMMON, "registration_id": 64},
    VOIDED: COMMON,
    SCANNED: {**COMMON, "hub_id": 64},
}
OPTIONAL = {"agreement_id": 64, "destination_code": 64, "received_at": 40}
RFC3339 = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,9})?(Z|[+-]([01]\d|2[0-3]):[0-5]\d)", re.ASCII
)
EPOCH = datetime.fromtimestamp(0, UTC)

Cell = tuple[str, str, tuple[str, ...], int]
"""Outlet id, category, ids of the destination-scoped periods, pane."""
Key = tuple[str, str, str]
"""Granularity, scope id, date."""


class Fact(NamedTuple):
    """One usable record."""

    kind: str
    time: int
    recorded: int
    received: int
    source: str
    id: str
    waybill: str
    outlet: str
    category: str
    agreement: str
    destination: str
    registration: str
    result: str


@dataclass
class Reference:
    """The four files, parsed plainly."""

    outlets: dict[str, dict[str, str]] = field(default_factory=dict)
    # From, to and recorded_at of the filings that count, by agreement id.
    filings: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)
    scoped: list[dict[str, Any]] = field(default_factory=list)


@dataclass
class Truth:
    """What must come out.

    `first` holds the days' figures as first issued, at 09:00 of the next day; `missing` the waybills
    that are mature and not covered; `dead_letters` the refused records by code.
    """

    cells: dict[tuple[str, str, str, tuple[str, ...]], Counter[str]]
    days: dict[Key, Counter[str]]
    categories: dict[Key, dict[str, Counter[str]]]
    first: dict[Key, Counter[str]]
    missing: set[str]
    dead_letters: Counter[str]


def read_reference(folder: Path) -> Reference:
    """Read outlets.csv, agreements.csv and periods.toml of a folder."""
    reference = Reference()
    with (folder / "outlets.csv").open(encoding="utf-8-sig", newline="") as file:
        reference.outlets = {row["outlet_id"]: row for row in csv.DictReader(file)}
    if (folder / "agreements.csv").exists():
        with (folder / "agreements.csv").open(encoding="utf-8-sig", newline="") as file:
            for row in csv.DictReader(file):
                if row["org_code_present"] == row["responsible_id_present"] == "true":
                    from_, to = start_of(row["valid_from"]), start_of(row["valid_to"])
                    to += DAY - 1 if len(row["valid_to"]) == 10 else 0
                    filing = (from_, to, start_of(row["recorded_at"]))
                    reference.filings.setdefault(row["agreement_id"], []).append(filing)
    if (folder / "periods.toml").exists():
        periods = tomllib.loads((folder / "periods.toml").read_text("utf8"))["periods"]
        reference.scoped = [p for p in periods if p.get("destination_codes")]
        reference.scoped.sort(key=lambda p: p["event_period_id"])
        for period in reference.scoped:
            period["start_ms"] = millis(period["phases"][0]["start"])
            period["end_ms"] = millis(period["phases"][-1]["end"])
    return reference


def start_of(text: str) -> int:
    """A date stands for the start of that day in Shanghai."""
    return millis(datetime.fromisoformat(text + "T00:00+08:00" if len(text) == 10 else text))


def millis(moment: datetime) -> int:
    return (moment - EPOCH) // timedelta(milliseconds=1)


def instant(text: object) -> int | None:
    if not isinstance(text, str) or not RFC3339.fullmatch(text):
        return None
    if text >= "3000":
        return None
    try:
        return millis(datetime.fromisoformat(text))
    except ValueError:
        return None


def judge(
    records: Iterable[tuple[bytes | None, bytes | None]], reference: Reference, *, until_ms: int
) -> Truth:
    """Compute everything, from the records of one log in their order."""
    dead: Counter[str] = Counter()
    waybills: dict[str, list[tuple[int, Fact]]] = defaultdict(list)
    watermark = 0
    for key, value in records:
        read = parse(key, value, reference)
        if isinstance(read, str):
            dead[read] += 1
            continue
        if isinstance(read, Fact):
            now, arrivals = max(read.received, watermark), waybills[read.waybill]
            if is_too_late(read, now) and not is_closed(arrivals, now, reference):
                dead["too_late"] += 1
                continue
            arrivals.append((now, read))
        received = read.received if isinstance(read, Fact) else read
        watermark = max(watermark, received - MINUTE)

    sums = _Sums(until_ms)
    missing = set()
    for waybill, arrivals in waybills.items():
        parcel = _Parcel(sums, reference)
        for now, fact in arrivals:
            parcel.arrive(fact, now)
        parcel.time_passes(until_ms)
        if parcel.is_missing(until_ms):
            missing.add(waybill)
    return sums.truth(reference, missing, dead)


def is_too_late(fact: Fact, now: int) -> bool:
    """Whether a collection's own final close has come; then no open parcel takes it in."""
    return fact.kind == COLLECTED and end_of(fact.time) + CLOSE <= now


def is_closed(arrivals: Iterable[tuple[int, Fact]], now: int, reference: Reference) -> bool:
    """Whether a waybill's parcel is closed at an instant, and still recognised."""
    parcel = _Parcel(_Sums(0), reference)
    for arrived, fact in arrivals:
        parcel.arrive(fact, arrived)
    parcel.time_passes(now)
    return parcel.closed is not None


def parse(key: bytes | None, value: bytes | None, reference: Reference) -> Fact | str | int:
    """Return the record, or the code with which it is refused, or when a heartbeat was received."""
    body = json_object(value)
    if isinstance(body, str):
        return body
    if body.get("type") == HEARTBEAT:
        return heartbeat(body)
    kind = body.get("type")
    if not isinstance(kind, str) or kind not in REQUIRED:
        return "unknown_type"
    if breaks_schema(kind, body):
        return "schema"
    time, recorded = instant(body["time"]), instant(body["recorded_at"])
    received = recorded if body.get("received_at") is None else instant(body["received_at"])
    if time is None or recorded is None or received is None:
        return "bad_time"
    # Texts that repeat are kept once, so that a million parcels fit into memory.
    names = ("outlet_id", "parcel_category", "agreement_id", "destination_code")
    outlet, category, agreement, destination = (intern(body.get(name) or "") for name in names)
    registration, result = body.get("registration_id") or "", body.get("verification_result") or ""
    fact = Fact(
        kind,
        time,
        recorded,
        received,
        intern(body["source"]),
        body["id"],
        body["waybill_no"],
        outlet,
        category,
        agreement,
        destination,
        registration,
        intern(result),
    )
    return unusable(key, fact, reference) or fact


def heartbeat(body: Mapping[str, Any]) -> str | int:
    """Return when it was received, 0 if it does not say, or why it is refused."""
    text = body.get("received_at")
    if text is None:
        return 0
    if not isinstance(text, str) or not 1 <= len(text) <= OPTIONAL["received_at"]:
        return "schema"
    return instant(text) or "bad_time"


def json_object(value: bytes | None) -> dict[str, Any] | str:
    if not value:
        return "empty"
    if len(value) > 65_536:
        return "oversized"
    try:
        body = orjson.loads(value)
    except ValueError:
        return "not_json"
    return body if isinstance(body, dict) else "not_json"


def unusable(key: bytes | None, fact: Fact, reference: Reference) -> str | None:
    if key != fact.waybill.encode():
        return "key_mismatch"
    if "outlet_id" in REQUIRED[fact.kind] and fact.outlet not in reference.outlets:
        return "unknown_outlet"
    if min(fact.time, fact.recorded) < 946_684_800_000:
        return "too_old"
    if max(fact.time, fact.recorded) > fact.received + 5 * MINUTE:
        return "from_the_future"
    return None


def breaks_schema(kind: str, body: dict[str, Any]) -> bool:
    for name, longest in REQUIRED[kind].items():
        text = body.get(name)
        if not isinstance(text, str) or not 1 <= len(text) <= longest:
            return True
    for name, longest in OPTIONAL.items():
        text = body.get(name)
        if text is not None and (not isinstance(text, str) or not 1 <= len(text) <= longest):
            return True
    return any(name in body and body[name] not in words for name, words in VOCABULARIES.items())


class _Parcel:
    """The facts of one waybill, one after the other."""

    def __init__(self, sums: "_Sums", reference: Reference) -> None:
        self.sums, self.reference = sums, reference
        self.facts: list[Fact] = []
        self.closed: Cell | None = None
        self.last: list[Fact] = []  # As they were at the close.
        self.late: set[tuple[str, str]] = set()

    def arrive(self, fact: Fact, now: int) -> None:
        self.time_passes(now)
        if self.closed is not None:
            if (fact.source, fact.id) not in self.late:
                self.late.add((fact.source, fact.id))
                self.sums.add(now, self.closed, {"after_close": 1})
            return
        if end_of(fact.time) + CLOSE <= fact.received:
            # What is uploaded that late waits for its collection from then on.
            fact = fact._replace(time=fact.received)
        before = self.counts()
        self.facts.append(fact)
        for (cell, figures), sign in ((before, -1), (self.counts(), 1)):
            if cell is not None:
                self.sums.add(now, cell, {name: sign * n for name, n in figures.items()})
        self.time_passes(now)

    def time_passes(self, now: int) -> None:
        """Close the parcel if its time has come, and forget that it was closed when that has."""
        if self.facts and (due := self.closes_at()) <= now:
            self.last, facts = self.facts, self.facts
            self.facts = []
            owner = owner_of(facts)
            if owner is not None:
                self.closed = self.cell_of(owner)
            elif valid := valid_registrations(facts):
                orphan = min(valid, key=lambda r: (r.time, r.id))
                self.closed = (orphan.outlet, "UNCLASSIFIED", (), orphan.time // PANE)
                self.sums.add(due, self.closed, {"orphans": 1})
        if self.closed is not None and (self.closed[3] + 1) * PANE + KEPT <= now:
            self.closed, self.late = None, set()

    def closes_at(self) -> int:
        owner = owner_of(self.facts)
        registered = [f.time for f in self.facts if f.kind == REGISTERED]
        times = [owner.time] if owner else registered or [f.time for f in self.facts]
        return end_of(min(times)) + CLOSE

    def is_missing(self, until: int) -> bool:
        facts = self.facts or self.last
        owner = owner_of(facts)
        if owner is None or end_of(owner.time) + GRACE > until:
            return False
        figures = counts(facts, owner, self.reference)
        return figures["eligible"] > figures["covered_on_time"] + figures["covered_late"]

    def counts(self) -> tuple[Cell | None, Counter[str]]:
        owner = owner_of(self.facts)
        if owner is None:
            return None, Counter()
        return self.cell_of(owner), counts(self.facts, owner, self.reference)

    def cell_of(self, owner: Fact) -> Cell:
        scope = scope_of(owner, self.reference)
        return owner.outlet, owner.category, scope, owner.time // PANE


class Valid(NamedTuple):
    """A registration that counts."""

    id: str
    time: int
    outlet: str
    upload: int
    backdated: bool


def end_of(time: int) -> int:
    """The end of the pane of an instant."""
    return (time // PANE + 1) * PANE


def owner_of(facts: Sequence[Fact]) -> Fact | None:
    collections = [f for f in facts if f.kind == COLLECTED]
    return min(collections, key=lambda f: (f.time, f.source, f.id), default=None)


def scope_of(owner: Fact, reference: Reference) -> tuple[str, ...]:
    destination = owner.destination
    if not destination:
        return ()
    county = reference.outlets[owner.outlet]["county_code"]
    return tuple(
        period["event_period_id"]
        for period in reference.scoped
        if period["start_ms"] <= owner.time < period["end_ms"]
        and within(county, tuple(period.get("origin_codes") or [""]))
        and within(destination, tuple(period["destination_codes"]))
    )


@lru_cache(maxsize=100_000)
def within(code: str, areas: tuple[str, ...]) -> bool:
    return any(code.startswith(re.sub("^(..)0000$|^(....)00$", r"\1\2", area)) for area in areas)


def valid_registrations(facts: Sequence[Fact]) -> list[Valid]:
    revoked = {f.registration for f in facts if f.kind == REVOKED}
    valid = []
    for registration, records in registrations_of(facts).items():
        if registration not in revoked and decided(records) == "MATCHED":
            matched = [f for f in records if f.result == "MATCHED"]
            upload, backdated = min(upload_of(f) for f in matched)
            time, outlet = min((f.time, f.outlet) for f in records)
            valid.append(Valid(registration, time, outlet, upload, backdated))
    return valid


def upload_of(fact: Fact) -> tuple[int, bool]:
    """The upload time that is believed, and whether it is another than the record says."""
    believed = fact.received - fact.recorded <= 15 * MINUTE
    return (fact.recorded, False) if believed else (fact.received, True)


def registrations_of(facts: Sequence[Fact]) -> dict[str, list[Fact]]:
    by_id: dict[str, list[Fact]] = defaultdict(list)
    for fact in facts:
        if fact.kind == REGISTERED:
            by_id[fact.registration].append(fact)
    return by_id


def decided(records: Sequence[Fact]) -> str:
    """The result of the latest record; at one instant the unfavourable one."""
    latest = max(f.recorded for f in records)
    results = {f.result for f in records if f.recorded == latest}
    return "MATCHED" if results == {"MATCHED"} else "FAILED"


def counts(facts: Sequence[Fact], owner: Fact, reference: Reference) -> Counter[str]:
    """What a collected parcel adds to its owner's cell."""
    valid = valid_registrations(facts)
    revoked = {f.registration for f in facts if f.kind == REVOKED}
    figures: Counter[str] = Counter()
    figures["rescans"] = len({(f.source, f.id) for f in facts if f.kind == COLLECTED}) - 1
    figures["duplicates"] = max(0, len(valid) - 1)
    figures["attempts_failed"] = sum(
        decided(records) != "MATCHED"
        for registration, records in registrations_of(facts).items()
        if registration not in revoked
    )
    figures["backdated"] = sum(r.backdated for r in valid)
    voids = [f.time for f in facts if f.kind == VOIDED]
    scans = [f.time for f in facts if f.kind == SCANNED]
    category = owner.category
    if voids and (not scans or min(voids) <= min(scans)):
        figures["voided"] = 1
    elif category in EXEMPT:
        figures["exempt"] = 1
    else:
        figures["eligible"] = 1
        uploads = [r.upload for r in valid]
        if category in BATCH:
            for from_, to, recorded in reference.filings.get(owner.agreement, ()):
                if from_ <= owner.time <= to:
                    uploads.append(max(owner.time, recorded))
        if uploads:
            in_time = min(uploads) <= owner.time + GRACE
            figures["covered_on_time" if in_time else "covered_late"] = 1
    return figures


class _Sums:
    """Counts by cell, and the same as of each cell's own bulletin."""

    def __init__(self, until_ms: int) -> None:
        self.until = until_ms
        self.last: dict[Cell, Counter[str]] = defaultdict(Counter)
        self.first: dict[Cell, Counter[str]] = defaultdict(Counter)

    def add(self, now: int, cell: Cell, figures: Mapping[str, int]) -> None:
        """Count at the tick at or after an instant."""
        tick = -(-now // MINUTE) * MINUTE
        for sums, limit in ((self.last, self.until), (self.first, bulletin_of(cell[3]))):
            if tick <= limit:
                counter = sums[cell]
                for name, number in figures.items():
                    if number:
                        counter[name] += number

    def truth(self, reference: Reference, missing: set[str], dead: Counter[str]) -> Truth:
        truth = Truth({}, {}, {}, {}, missing, dead)
        for cell, counter in self.last.items():
            outlet, category, scope, pane = cell
            figures = seen_at(self.until, pane, counter)
            day = day_of(pane)
            truth.cells.setdefault((outlet, day, category, scope), Counter()).update(figures)
        for (outlet, day, category, _), figures in truth.cells.items():
            for key in scopes_of(reference.outlets[outlet], day):
                truth.days.setdefault(key, Counter()).update(figures)
                by_category = truth.categories.setdefault(key, {})
                by_category.setdefault(category, Counter()).update(figures)
        first: dict[tuple[str, str], Counter[str]] = defaultdict(Counter)
        for cell, counter in self.first.items():
            if bulletin_of(cell[3]) <= self.until:
                figures = seen_at(bulletin_of(cell[3]), cell[3], counter)
                first[cell[0], day_of(cell[3])].update(figures)
        for (outlet, day), figures in first.items():
            for key in scopes_of(reference.outlets[outlet], day):
                truth.first.setdefault(key, Counter()).update(figures)
        return truth


def bulletin_of(pane: int) -> int:
    """09:00 of the day after a pane's."""
    day = (pane * PANE + SHANGHAI) // DAY
    return (day + 1) * DAY - SHANGHAI + BULLETIN


def day_of(pane: int) -> str:
    return (date(1970, 1, 1) + timedelta(days=(pane * PANE + SHANGHAI) // DAY)).isoformat()


def seen_at(now: int, pane: int, counter: Counter[str]) -> Counter[str]:
    """The figures of a pane at an instant: mature, or else young."""
    figures = Counter({name: number for name, number in counter.items() if number})
    covered = figures["covered_on_time"] + figures["covered_late"]
    if (pane + 1) * PANE + GRACE <= now:
        figures["missing"] = figures["eligible"] - covered
    else:
        figures["covered_young"], figures["pending"] = covered, figures["eligible"] - covered
        del figures["covered_on_time"], figures["covered_late"]
    return figures


def scopes_of(outlet: Mapping[str, str], day: str) -> list[Key]:
    """Everything that an outlet's figures are part of. The region is the first two digits."""
    county, enterprise = outlet["county_code"], outlet["enterprise_id"]
    city = county[:4] + "00"
    scopes = {
        "OUTLET": outlet["outlet_id"],
        "COUNTY": county,
        "CITY": city,
        "ENTERPRISE": enterprise,
        "ENTERPRISE_CITY": f"{enterprise}|{city}",
        "REGION": county[:2] + "0000",
    }
    return [(granularity, scope_id, day) for granularity, scope_id in scopes.items()]


def part(truth: Truth, key: Key, categories: Iterable[str]) -> Counter[str]:
    """A day's figures of some categories together, such as LOOSE or BATCH."""
    figures: Counter[str] = Counter(dict.fromkeys(FIGURES, 0))
    for category in categories:
        figures.update(truth.categories.get(key, {}).get(category, Counter()))
    return figures


def rates(figures: Mapping[str, int]) -> dict[str, float | None]:
    """The four rates of DOMAIN 4.3; None where there is nothing to divide by."""
    on_time, late = figures["covered_on_time"], figures["covered_late"]
    mature = on_time + late + figures["missing"]
    young, pending = figures["covered_young"], figures["pending"]
    everyone = mature + young + pending
    return {
        "rate": (on_time + late) / mature if mature else None,
        "on_time_rate": on_time / mature if mature else None,
        "rate_low": (on_time + late + young) / everyone if everyone else None,
        "rate_high": (on_time + late + young + pending) / everyone if everyone else None,
    }


def read_lines(path: Path) -> Iterable[tuple[bytes | None, bytes]]:
    """Read JSON lines as the records of a log; the key is the waybill, where there is one."""
    with path.open("rb") as file:
        for line in file:
            value = line.rstrip(b"\n")
            try:
                body = json.loads(value)
                key = body["waybill_no"].encode()
            except (ValueError, KeyError, TypeError, AttributeError):
                key = None
            yield key, value
