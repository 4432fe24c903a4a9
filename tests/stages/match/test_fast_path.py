"""The fast path is only ever a faster way to do what the rule does."""

import json
from collections.abc import Mapping

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.policy import Policy
from streams.domain.window import HOUR_MS, instant_text
from streams.records.shipments import Parcelled
from streams.stages.match import fast_path
from streams.stages.match.waybills import Clock, Waybills, When
from tests.stages.match import drawn
from tests.stages.match.drawn import Sent

CLOCKS: st.SearchStrategy[Clock] = st.sampled_from(["data", "data", "wall"])


def some_waybills(clock: Clock) -> Waybills:
    waybills = Waybills(0, Policy(), drawn.changing_history(), clock=clock, hash_seed=7)
    waybills.note_new_reference()
    return waybills


@settings(max_examples=600, deadline=None)
@given(records=drawn.STREAMS, clock=CLOCKS, run_min=st.sampled_from([1, 1, 1, 8]))
def test_the_fast_path_leads_where_the_rule_leads(
    records: list[Sent], clock: Clock, run_min: int
) -> None:
    fast, plain = some_waybills(clock), some_waybills(clock)
    batch = drawn.batch(records)
    assert fast_path.run(fast, batch, run_min=run_min) == drawn.take_plainly(plain, batch)
    assert drawn.listed(fast.ledger.rows()) == drawn.listed(plain.ledger.rows())
    assert fast.outputs == plain.outputs
    assert (fast.received_max_ms, fast.watermark_ms) == (plain.received_max_ms, plain.watermark_ms)
    assert fast.sources == plain.sources
    assert fast.entries == plain.entries
    assert (fast.closed, fast.late) == (plain.closed, plain.late)
    assert fast.entries.changes() == plain.entries.changes()
    assert (fast.closed_new, fast.late_new) == (plain.closed_new, plain.late_new)
    assert fast.lookup.version_used == plain.lookup.version_used


def told(
    of: str, waybill: str, received_ms: int, more: Mapping[str, str], *, upload_lag_ms: int = 0
) -> Sent:
    """Return a record that says when it was received, by its source's clock or by another."""
    at = instant_text(received_ms - upload_lag_ms)
    body = {"type": of, "id": f"{waybill}-{received_ms}", "source": "S1", "waybill_no": waybill}
    body |= {"time": at, "recorded_at": at, "received_at": instant_text(received_ms)}
    body |= more
    return Sent(received_ms, waybill.encode(), json.dumps(body).encode())


def a_long_life(waybill: str, second: int) -> list[Sent]:
    """Return what comes of one parcel when it is missing for an hour, and found, and found again."""
    place = {"outlet_id": "A"}
    registered = {**place, "verification_result": "MATCHED"}
    start_ms = drawn.START_MS + second * drawn.SECOND_MS
    hours = [start_ms + n * HOUR_MS for n in range(6)]
    first, again = {"registration_id": "R1"}, {"registration_id": "R2"}
    lag_ms = HOUR_MS // 2
    return [
        told("shipment.collected", waybill, start_ms, {**place, "parcel_category": "LOOSE"}),
        told("realname.registered", waybill, hours[3], registered | first),
        told("hub.outbound_scanned", waybill, hours[4], {"hub_id": "H"}),
        told(
            "realname.registered", waybill, hours[4] + 9, registered | again, upload_lag_ms=lag_ms
        ),
        told("hub.outbound_scanned", waybill, hours[5], {"hub_id": "H"}),
    ]


class Noting(Waybills):
    """Waybills that count what the rule takes."""

    by_rule = 0

    def take(self, record: Parcelled, key: bytes | None, when: When) -> None:
        self.by_rule += 1
        super().take(record, key, when)


def test_many_long_lives_are_told_as_the_rule_tells_them() -> None:
    # Repeated, the machine code does all of it; the rule is to be had once, at the source's first record.
    lives = [a_long_life(f"W{n}", n) for n in range(60)]
    records = sorted((record for life in lives for record in life), key=lambda r: r.received_ms)
    fast, plain = (
        Noting(0, Policy(), drawn.changing_history(), clock="data", hash_seed=7) for _ in range(2)
    )
    fast.note_new_reference()
    plain.note_new_reference()
    assert fast_path.run(fast, drawn.batch(records[:1])) == drawn.take_plainly(
        plain, drawn.batch(records[:1])
    )
    fast.by_rule = 0
    assert fast_path.run(fast, drawn.batch(records[1:]), run_min=1) == []
    assert drawn.take_plainly(plain, drawn.batch(records[1:])) == []
    assert fast.by_rule == 0
    assert fast.entries == plain.entries
    assert {entry[:1] for entry in fast.entries.values()} == {b"D"}
    assert fast.outputs == plain.outputs
    assert [output.value is None for output in fast.outputs].count(True) == 59, (
        "all but the first, with which time goes on"
    )
    assert drawn.listed(fast.ledger.rows()) == drawn.listed(plain.ledger.rows())
