"""Valid things by default, one keyword changes one fact: records of `shipments` and reference data.

All of it plays on 8 September 2017 and the days after. `at("10:00")` is that day in Shanghai,
`at("+3 10:05")` three days later.
"""

import itertools
import json
from typing import Any

from streams.domain.category import Category
from streams.domain.period import (
    ANY_CATEGORY,
    EventLevel,
    EventPeriod,
    EventPhase,
    Granularity,
    Phase,
    Target,
)
from streams.domain.window import (
    DAY_MS,
    HOUR_MS,
    MINUTE_MS,
    day_from_text,
    day_start_ms,
    instant_text,
)
from streams.reference.types import Filing, Outlet, Reference, ReferenceHistory
from streams.stages.stage import Batch

DAY_ONE_MS = day_start_ms(day_from_text("2017-09-08"))

Body = dict[str, Any]
"""One record of `shipments` before it is written as JSON."""

_numbers = itertools.count(1)


def at(text: str) -> int:
    """Return the instant of `HH:MM`, `HH:MM:SS` or `+days HH:MM`."""
    days, _, clock = text.rpartition(" ")
    hours, minutes, *seconds = map(int, clock.split(":"))
    return (
        DAY_ONE_MS
        + int(days or 0) * DAY_MS
        + hours * HOUR_MS
        + minutes * MINUTE_MS
        + sum(seconds) * 1000
    )


def a_record(
    kind: str,
    time: str,
    *,
    received: str | None = None,
    recorded: str | None = None,
    **more: object,
) -> Body:
    """Return a record of a type. It is recorded when it happened and received when recorded."""
    recorded = recorded or received or time
    return {
        "type": kind,
        "id": f"i{next(_numbers)}",
        "source": "S1",
        "time": instant_text(at(time)),
        "recorded_at": instant_text(at(recorded)),
        "received_at": instant_text(at(received or recorded)),
        "waybill_no": "W1",
        **more,
    }


def collected(time: str, **more: str | None) -> Body:
    """Return a collection at outlet A, of a loose parcel."""
    fields: dict[str, str | None] = {
        "outlet_id": "A",
        "parcel_category": "LOOSE",
        "courier_id": "C1",
    }
    return a_record("shipment.collected", time, **{**fields, **more})


def registered(time: str, registration_id: str = "R1", **more: str | None) -> Body:
    """Return a registration whose identity matched, claimed for outlet A."""
    fields: dict[str, str | None] = {"outlet_id": "A", "verification_result": "MATCHED"}
    return a_record(
        "realname.registered", time, registration_id=registration_id, **{**fields, **more}
    )


def revoked(time: str, registration_id: str = "R1", **more: str | None) -> Body:
    """Return the revocation of a registration."""
    return a_record("realname.revoked", time, registration_id=registration_id, **more)


def voided(time: str, **more: str | None) -> Body:
    """Return that the waybill was voided."""
    return a_record("waybill.voided", time, **more)


def scanned(time: str, **more: str | None) -> Body:
    """Return a hub's outbound scan."""
    return a_record("hub.outbound_scanned", time, **{"hub_id": "H1", **more})


def heartbeat(received: str) -> Body:
    """Return that time has passed."""
    return {"type": "stream.heartbeat", "received_at": instant_text(at(received))}


def batch_of(bodies: list[Body], *, offset: int = 0) -> Batch:
    """Return the records as a batch from an offset, as a producer writes them."""
    return Batch(
        range(offset, offset + len(bodies)),
        [body["waybill_no"].encode() if "waybill_no" in body else None for body in bodies],
        [json.dumps(body).encode() for body in bodies],
        [DAY_ONE_MS] * len(bodies),
    )


def an_outlet(
    outlet_id: str = "A", number: int = 0, county_code: str = "150102", enterprise_id: str = "E1"
) -> Outlet:
    """Return an outlet of enterprise E1 in the city 1501."""
    return Outlet(number, outlet_id, outlet_id, "ZTO", enterprise_id, county_code, "")


def a_filing(
    agreement_id: str = "G1",
    *,
    org_code_present: bool = True,
    responsible_id_present: bool = True,
    valid: tuple[int, int] = (DAY_ONE_MS - 100 * DAY_MS, DAY_ONE_MS + 100 * DAY_MS),
    recorded_at_ms: int = DAY_ONE_MS - 100 * DAY_MS,
) -> Filing:
    """Return a complete filing by headquarters, recorded long before, valid until long after."""
    return Filing(
        agreement_id=agreement_id,
        agreement_kind="AGREEMENT",
        customer_token="T1",
        org_code_present=org_code_present,
        responsible_id_present=responsible_id_present,
        valid_from_ms=valid[0],
        valid_to_ms=valid[1],
        filed_by="HQ",
        recorded_at_ms=recorded_at_ms,
    )


def a_period(
    start: str = "00:00",
    end: str = "+1 00:00",
    *,
    scope_bit: int | None = 0,
    destination_codes: tuple[str, ...] = ("150600",),
    origin_codes: tuple[str, ...] = (),
    category: Category | None = ANY_CATEGORY,
) -> EventPeriod:
    """Return an L2 period of one day with 95 % for outlets, for parcels to one city."""
    return EventPeriod(
        event_period_id="EP1",
        name_zh="活动",
        name_en="Event",
        event_level=EventLevel.L2,
        origin_codes=origin_codes,
        destination_codes=destination_codes,
        phases=(Phase(EventPhase.CORE, at(start), at(end)),),
        targets=(Target(Granularity.OUTLET, category, 0.95, None),),
        scope_bit=scope_bit,
    )


def a_reference(
    *filings: Filing,
    version: int = 1,
    effective_at_ms: int = 0,
    outlets: tuple[Outlet, ...] = (),
    retired: tuple[Outlet, ...] = (),
    periods: tuple[EventPeriod, ...] = (),
) -> Reference:
    """Return a version with the outlets A and B, in two cities and of two enterprises."""
    listed = outlets or (an_outlet("A", 0), an_outlet("B", 1, "150203", "E2"))
    agreements: dict[str, tuple[Filing, ...]] = {}
    for filing in filings:
        agreements[filing.agreement_id] = (*agreements.get(filing.agreement_id, ()), filing)
    return Reference(
        version=version,
        effective_at_ms=effective_at_ms,
        outlets={outlet.outlet_id: outlet for outlet in listed},
        retired={outlet.outlet_id: outlet for outlet in retired},
        agreements=agreements,
        periods=periods,
    )


def a_history(*versions: Reference) -> ReferenceHistory:
    """Return the history of these versions, or of the plain one."""
    return ReferenceHistory(versions or (a_reference(),))
