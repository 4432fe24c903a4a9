"""Turns a story into what the system takes in: records of `reference` and `shipments`, in their order."""

import itertools
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Final

from streams.domain.category import Category
from streams.domain.period import EventLevel, EventPeriod, EventPhase, Granularity, Phase, Target
from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, instant_text
from streams.reference.history import plan_apply
from streams.reference.listing import (
    Agreements,
    AnyListing,
    ListedOutlet,
    Outlets,
    Periods,
    Row,
)
from streams.reference.mistakes import ReferenceFileError
from streams.reference.types import Filing
from streams.stages.pipeline import LogRecord
from tests.builders import DAY_ONE_MS
from tests.scenarios.story import CATEGORIES, Statement, Story, names, suggestion

LATE_MS: Final = 2 * HOUR_MS
AFTER_MS: Final = 5 * MINUTE_MS
LONG_MS: Final = 100 * DAY_MS


@dataclass(frozen=True)
class Moment:
    """An instant at which the story looks at what has come out, or at which a worker crashes.

    `records` are those received since the moment before.
    """

    at_ms: int
    records: Sequence[LogRecord]
    expects: Sequence[Statement]
    crash: bool = False


@dataclass(frozen=True)
class Script:
    """A story ready to be played. `reference` are the records of that topic; all are known at once."""

    story: Story
    reference: Sequence[tuple[bytes, bytes | None]]
    moments: Sequence[Moment]


@dataclass
class _Parcel:
    waybill: str
    outlet: str
    collected_ms: int | None = None
    registered_ms: int | None = None
    registrations: int = 0
    sent: list[dict[str, Any]] = field(default_factory=list)


def script_of(story: Story) -> Script:
    """Work a story out; raises StoryError where its statements contradict one another."""
    setting = _Setting()
    traffic = _Traffic(setting)
    looks: list[Statement] = []
    for statement in story.statements:
        if statement.verb in ("expect", "crash"):
            looks.append(statement)
        elif hasattr(setting, statement.verb):
            getattr(setting, statement.verb)(statement)
        else:
            if not setting.records:
                setting.publish(statement)
            getattr(traffic, statement.verb)(statement)
    setting.publish(story.statements[-1])
    return Script(story, list(setting.records.items()), _moments(traffic.records, looks))


def _moments(
    records: Sequence[tuple[int, LogRecord]], looks: Sequence[Statement]
) -> Sequence[Moment]:
    waiting = sorted(records, key=lambda record: record[0])
    moments = []
    for (at_ms, verb), group in itertools.groupby(looks, key=lambda s: (s.time_ms, s.verb)):
        due = [record for received_ms, record in waiting if received_ms <= at_ms]
        waiting = waiting[len(due) :]
        expects = list(group) if verb == "expect" else []
        moments.append(Moment(at_ms, due, expects, crash=verb == "crash"))
    return moments


class _Setting:
    """Outlets, agreements and periods; a method for each verb that concerns them."""

    def __init__(self) -> None:
        self.outlets: dict[str, Row[ListedOutlet]] = {}
        self.filings: dict[str, Row[Filing]] = {}
        self.periods: dict[str, Row[EventPeriod]] = {}
        self.records: dict[bytes, bytes | None] = {}

    def outlet(self, said: Statement) -> None:
        for name in [name for word in said.words for name in names(word)]:
            outlet = ListedOutlet(
                name, name, "ZTO", said.fields["enterprise"], said.fields["county"], ""
            )
            self.outlets[name] = Row(said.line, outlet)

    def period(self, said: Statement) -> None:
        fields = said.fields
        phase = Phase(EventPhase.CORE, fields["from"], fields["to"])
        period = EventPeriod(
            event_period_id=said.name,
            name_zh=said.name,
            name_en=said.name,
            event_level=EventLevel[fields.get("level", "L2")],
            origin_codes=tuple(names(fields.get("origin", ""))),
            destination_codes=tuple(names(fields.get("destination", ""))),
            phases=(phase,),
            targets=(),
            scope_bit=None,
        )
        self.periods[said.name] = Row(said.line, period)

    def target(self, said: Statement) -> None:
        row = _known(said, "period", self.periods)
        category = said.fields.get("category", "*")
        if category not in ("*", *CATEGORIES):
            said.wrong(f"{category} is no category; {suggestion(category, ('*', *CATEGORIES))}")
        target = Target(
            Granularity[said.fields["granularity"]],
            None if category == "*" else Category[category],
            float(said.fields["rate"]),
            said.fields.get("min_n"),
        )
        period = replace(row.item, targets=(*row.item.targets, target))
        self.periods[period.event_period_id] = Row(row.line, period)

    def agreement(self, said: Statement) -> None:
        self._file(said, said.name, recorded_at_ms=DAY_ONE_MS - LONG_MS)

    def file(self, said: Statement) -> None:
        self.publish(said)
        self._file(said, said.fields["agreement"], recorded_at_ms=said.time_ms)
        self._apply(said, Agreements)

    def _file(self, said: Statement, name: str, *, recorded_at_ms: int) -> None:
        filing = Filing(
            agreement_id=name,
            agreement_kind="AGREEMENT",
            customer_token=f"customer-{name}",
            org_code_present=said.fields.get("org_code", "present") == "present",
            responsible_id_present=True,
            valid_from_ms=said.fields.get("from", DAY_ONE_MS - LONG_MS),
            valid_to_ms=said.fields.get("to", DAY_ONE_MS + LONG_MS),
            filed_by="HQ",
            recorded_at_ms=recorded_at_ms,
        )
        self.filings[name] = Row(said.line, filing)

    def withdraw(self, said: Statement) -> None:
        self.publish(said)
        del self.filings[_known(said, "agreement", self.filings).item.agreement_id]
        self._apply(said, Agreements)

    def remove(self, said: Statement) -> None:
        self.publish(said)
        del self.periods[_known(said, "period", self.periods).item.event_period_id]
        self._apply(said, Periods)

    def move(self, said: Statement) -> None:
        self.publish(said)
        outlet = _known(said, "outlet", self.outlets).item
        enterprise_id = said.fields.get("enterprise", outlet.enterprise_id)
        moved = replace(outlet, county_code=said.fields["county"], enterprise_id=enterprise_id)
        self.outlets[outlet.outlet_id] = Row(said.line, moved)
        self._apply(said, Outlets)

    def publish(self, said: Statement) -> None:
        """Apply the setting, which holds from the beginning; once."""
        if not self.records:
            for kind in (Outlets, Agreements, Periods):
                self._apply(said, kind)

    def _apply(self, said: Statement, kind: type[AnyListing]) -> None:
        listing: AnyListing
        if kind is Outlets:
            listing = Outlets(said.file, tuple(self.outlets.values()))
        elif kind is Agreements:
            listing = Agreements(said.file, tuple(self.filings.values()))
        else:
            listing = Periods(said.file, tuple(self.periods.values()))
        try:
            made = plan_apply(self.records, listing, now_ms=0, effective_at_ms=said.at_ms)
        except ReferenceFileError as error:
            said.wrong("; ".join(str(mistake) for mistake in error.mistakes))
        if made is None:
            said.wrong("changes nothing; leave it out")
        self.records[made.key] = made.value


def _known(said: Statement, what: str, rows: Mapping[str, Any]) -> Any:  # noqa: ANN401 - a row of a kind
    name = said.fields[what]
    if name not in rows:
        said.wrong(f"there is no {what} {name}; {suggestion(name, tuple(rows))}")
    return rows[name]


class _Traffic:
    """The records of `shipments`; a method for each verb that makes some."""

    def __init__(self, setting: _Setting) -> None:
        self._setting = setting
        self._numbers = itertools.count(1)
        self._named: dict[str, _Parcel] = {}
        self._unnamed: list[_Parcel] = []
        self.records: list[tuple[int, LogRecord]] = []

    # --- statements ---

    def collect(self, said: Statement) -> None:
        if not said.words:
            self._collect_many(said)
            return
        if "count" in said.fields or "registered" in said.fields:
            said.wrong("one parcel is named, so no count; write: register " + said.name)
        parcel = self._named.setdefault(said.name, _Parcel(said.name, said.fields["outlet"]))
        self._collected(said, parcel)

    def _collect_many(self, said: Statement) -> None:
        _known(said, "outlet", self._setting.outlets)
        count, registered = said.fields.get("count", 1), said.fields.get("registered", 0)
        if registered > count:
            said.wrong(f"of {count} parcels no {registered} can be registered")
        registered_ms = said.time_ms + said.fields.get("after", AFTER_MS)
        for index in range(count):
            parcel = _Parcel(f"N{next(self._numbers):06d}", said.fields["outlet"])
            self._unnamed.append(parcel)
            self._collected(said, parcel)
            if index < registered:
                self._registered(said, parcel, at_ms=registered_ms)

    def late(self, said: Statement) -> None:
        for parcel in self._some(said, registered=False):
            assert parcel.collected_ms is not None
            if said.time_ms <= parcel.collected_ms + LATE_MS:
                said.wrong("some of its parcels were collected less than two hours ago: not late")
            self._registered(said, parcel, at_ms=said.time_ms)

    def duplicate(self, said: Statement) -> None:
        for parcel in self._some(said, registered=True):
            self._registered(said, parcel, at_ms=said.time_ms)

    def _some(self, said: Statement, *, registered: bool) -> Sequence[_Parcel]:
        """Return the oldest of an outlet's unnamed parcels that are, or are not, registered by now."""
        count, outlet = said.fields["count"], said.fields["outlet"]
        found = [
            parcel
            for parcel in self._unnamed
            if parcel.outlet == outlet
            and (parcel.registered_ms is not None and parcel.registered_ms <= said.time_ms)
            is registered
        ]
        if len(found) < count:
            kind = "registered" if registered else "unregistered"
            said.wrong(f"{outlet} has only {len(found)} {kind} parcels by then")
        return found[:count]

    def register(self, said: Statement) -> None:
        parcel = self._named.get(said.name)
        if parcel is None:
            if "outlet" not in said.fields:
                said.wrong(f"{said.name} has not been collected; say outlet=, or collect it first")
            parcel = self._named[said.name] = _Parcel(said.name, said.fields["outlet"])
        self._registered(said, parcel, at_ms=said.time_ms)

    def revoke(self, said: Statement) -> None:
        parcel = self._parcel(said)
        name = said.fields.get("id", f"{parcel.waybill}-R1")
        self._send(said, parcel, "realname.revoked", registration_id=name)

    def void(self, said: Statement) -> None:
        self._send(said, self._parcel(said), "waybill.voided")

    def scan(self, said: Statement) -> None:
        self._send(said, self._parcel(said), "hub.outbound_scanned", hub_id="HUB")

    def rescan(self, said: Statement) -> None:
        _known(said, "outlet", self._setting.outlets)
        self._collected(said, self._parcel(said))

    def resend(self, said: Statement) -> None:
        """Everything of a waybill comes once more, as it was but for its arrival."""
        for body in self._parcel(said).sent:
            again = {**body, "received_at": instant_text(said.time_ms)}
            self._put(said.time_ms, body["waybill_no"], again)

    def send(self, said: Statement) -> None:
        value = said.fields["value"].encode()
        self.records.append((said.time_ms, LogRecord(said.fields["key"].encode(), value)))

    # --- records ---

    def _parcel(self, said: Statement) -> _Parcel:
        if said.name not in self._named:
            said.wrong(f"no parcel {said.name}; {suggestion(said.name, tuple(self._named))}")
        return self._named[said.name]

    def _collected(self, said: Statement, parcel: _Parcel) -> None:
        parcel.collected_ms = said.fields.get("time", said.time_ms)
        self._send(
            said,
            parcel,
            "shipment.collected",
            outlet_id=said.fields["outlet"],
            parcel_category=said.fields.get("category", "LOOSE"),
            agreement_id=said.fields.get("agreement"),
            destination_code=said.fields.get("destination"),
        )

    def _registered(self, said: Statement, parcel: _Parcel, *, at_ms: int) -> None:
        parcel.registrations += 1
        parcel.registered_ms = min(at_ms, parcel.registered_ms or at_ms)
        self._send(
            said,
            parcel,
            "realname.registered",
            received_ms=at_ms,
            outlet_id=said.fields.get("outlet", parcel.outlet),
            registration_id=said.fields.get("id", f"{parcel.waybill}-R{parcel.registrations}"),
            verification_result=said.fields.get("result", "MATCHED"),
        )

    def _send(
        self,
        said: Statement,
        parcel: _Parcel,
        kind: str,
        *,
        received_ms: int | None = None,
        **more: str | None,
    ) -> None:
        """Send a record. `time` is when it happened, `recorded` what the sender says of the upload."""
        received_ms = said.time_ms if received_ms is None else received_ms
        outlet = self._setting.outlets.get(more.get("outlet_id") or parcel.outlet)
        fields = said.fields
        body = {
            "type": kind,
            "id": f"i{len(self.records)}",
            "source": f"{outlet.item.enterprise_id if outlet else 'nobody'}-upload",
            "time": instant_text(fields.get("time", fields.get("recorded", received_ms))),
            "recorded_at": instant_text(fields.get("recorded", received_ms)),
            "received_at": instant_text(received_ms),
            "waybill_no": parcel.waybill,
            **more,
        }
        parcel.sent.append(body)
        self._put(received_ms, fields.get("key", parcel.waybill), body)

    def _put(self, received_ms: int, key: str, body: Mapping[str, Any]) -> None:
        value = json.dumps(body).encode()
        self.records.append((received_ms, LogRecord(key.encode(), value)))
