"""The rules that need more than one waybill's facts: refusals, time, missing parcels, reference data."""

import json
from collections.abc import Iterable

import pytest

from streams.domain.cell import PANE_BITS, SCOPE_MASK, Counter
from streams.domain.window import TICK_MS
from streams.records import changes
from streams.records.missing import decode
from streams.records.rejects import Reject, RejectCode
from streams.records.shipments import VALUE_BYTES_MAX
from streams.reference.types import Reference, ReferenceHistory
from streams.stages.match import MatchPartition
from streams.stages.match.waybills import Clock
from streams.stages.stage import Batch, Drained
from tests.builders import (
    Body,
    a_filing,
    a_history,
    a_period,
    a_reference,
    an_outlet,
    at,
    batch_of,
    collected,
    heartbeat,
    registered,
    revoked,
    scanned,
    voided,
)
from tests.stages.match import drawn


class Played:
    """A partition that is given records step by step."""

    def __init__(self, history: ReferenceHistory | None = None, clock: Clock = "data") -> None:
        self.partition: MatchPartition = drawn.a_partition(history or a_history(), clock=clock)
        self.drains: list[Drained] = []
        self.rejects: list[Reject] = []

    def take(self, *bodies: Body) -> list[Drained]:
        """Apply, drain and commit; return what was drained."""
        return self.take_batch(batch_of(list(bodies), offset=self.partition.next_offset))

    def take_batch(self, batch: Batch) -> list[Drained]:
        self.rejects += self.partition.apply(batch)
        self.drains.append(self.partition.drain(publish=True))
        self.partition.committed()
        return self.drains[-1:]

    @property
    def figures(self) -> dict[str, int]:
        return figures(self.drains)

    @property
    def missing(self) -> set[str]:
        return {key.decode() for key in drawn.missing_of(drawn.outputs_of(self.drains))}


def figures(drains: Iterable[Drained]) -> dict[str, int]:
    """Return what all counters of all cells come to."""
    sums: dict[str, int] = {}
    for (_, counter), figure in drawn.by_cell(drawn.rows_in(drains)).items():
        name = Counter(counter).name.lower()
        sums[name] = sums.get(name, 0) + figure
    return {name: figure for name, figure in sums.items() if figure}


# Refusals.


def as_bytes(body: Body) -> bytes:
    return json.dumps(body).encode()


SECRET = "Wang-Xiaoming-150102"
"""Stands in every field that may hold something personal; it must not come out in a reject."""

REFUSED: list[tuple[str, RejectCode, str, bytes | None, bytes | None]] = [
    ("no value", RejectCode.EMPTY, "$", b"W1", None),
    ("an empty value", RejectCode.EMPTY, "$", b"W1", b""),
    ("too many bytes", RejectCode.OVERSIZED, "$", b"W1", b" " * (VALUE_BYTES_MAX + 1)),
    ("no JSON", RejectCode.NOT_JSON, "$", b"W1", SECRET.encode()),
    ("no UTF-8", RejectCode.NOT_JSON, "$", b"W1", b'{"type":"waybill.voided","id":"\xff"}'),
    ("nested without end", RejectCode.NOT_JSON, "$", b"W1", b'{"type":' + b"[" * 20_000),
    ("no object", RejectCode.NOT_JSON, "$", b"W1", b"[1]"),
    ("no type", RejectCode.UNKNOWN_TYPE, "$.type", b"W1", b"{}"),
    ("a type that is no text", RejectCode.UNKNOWN_TYPE, "$.type", b"W1", b'{"type":1}'),
    ("another type", RejectCode.UNKNOWN_TYPE, "$.type", b"W1",
     as_bytes({**voided("10:00"), "type": SECRET})),
    ("a field too few", RejectCode.SCHEMA, "$.outlet_id", b"W1",
     as_bytes({k: v for k, v in collected("10:00").items() if k != "outlet_id"})),
    ("a text that is empty", RejectCode.SCHEMA, "$.outlet_id", b"W1",
     as_bytes(collected("10:00", outlet_id=""))),
    ("a word that is none", RejectCode.SCHEMA, "$.parcel_category", b"W1",
     as_bytes(collected("10:00", parcel_category=SECRET))),
    ("a time without offset", RejectCode.BAD_TIME, "$.time", b"W1",
     as_bytes({**collected("10:00"), "time": "2017-09-08T10:00:00"})),
    ("a time that is none", RejectCode.BAD_TIME, "$.recorded_at", b"W1",
     as_bytes({**collected("10:00"), "recorded_at": SECRET})),
    ("a 31st of September", RejectCode.BAD_TIME, "$.received_at", b"W1",
     as_bytes({**collected("10:00"), "received_at": "2017-09-31T10:00:00Z"})),
    ("a 61st second", RejectCode.BAD_TIME, "$.time", b"W1",
     as_bytes({**collected("10:00"), "time": "2017-09-08T10:00:61Z"})),
    ("a heartbeat at no time", RejectCode.BAD_TIME, "$.received_at", None,
     as_bytes({**heartbeat("10:00"), "received_at": SECRET})),
    ("another waybill's key", RejectCode.KEY_MISMATCH, "$.waybill_no", b"W2",
     as_bytes(collected("10:00"))),
    ("no key", RejectCode.KEY_MISMATCH, "$.waybill_no", None, as_bytes(voided("10:00"))),
    ("an outlet that is not listed", RejectCode.UNKNOWN_OUTLET, "$.outlet_id", b"W1",
     as_bytes(registered("10:00", outlet_id=SECRET))),
    ("a time of another century", RejectCode.TOO_OLD, "$.time", b"W1",
     as_bytes({**scanned("10:00"), "time": "1999-12-31T23:59:59Z"})),
    ("an upload in another century", RejectCode.TOO_OLD, "$.recorded_at", b"W1",
     as_bytes({**registered("10:00"), "recorded_at": "1999-12-31T23:59:59Z"})),
    ("a time over five minutes ahead", RejectCode.FROM_THE_FUTURE, "$.time", b"W1",
     as_bytes(collected("10:05:01", received="10:00"))),
    ("an upload over five minutes ahead", RejectCode.FROM_THE_FUTURE, "$.recorded_at", b"W1",
     as_bytes(collected("10:00", received="10:00", recorded="10:05:01"))),
    ("a collection whose final close has come", RejectCode.TOO_LATE, "$.time", b"W1",
     as_bytes(collected("10:00", received="+3 10:05"))),
]  # fmt: skip


@pytest.mark.parametrize(
    ("code", "path", "key", "value"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_a_record_is_refused_with_a_code_and_a_path_and_the_stream_goes_on(
    code: RejectCode, path: str, key: bytes | None, value: bytes | None
) -> None:
    played = Played()
    good = batch_of([collected("10:00", waybill_no="W7")])
    played.take_batch(Batch(range(2), [key, *good.keys], [value, *good.values], [0, 0]))
    [reject] = played.rejects
    assert (reject.index, reject.code, reject.path) == (0, code, path)
    assert SECRET not in f"{reject} {reject.source}"
    assert played.figures == {"eligible": 1}
    assert played.partition.open_parcels == 1


def test_every_reject_code_is_in_the_table() -> None:
    assert {refused[1] for refused in REFUSED} == set(RejectCode)


def test_to_the_limit_a_record_is_taken() -> None:
    played = Played()
    played.take(collected("10:05", received="10:00"))
    played.take(collected("10:00", received="+3 10:04:59", waybill_no="W2"))
    assert not played.rejects
    assert played.figures == {"eligible": 2}


def test_a_refused_record_moves_no_clock() -> None:
    played = Played()
    played.take(collected("10:00"), collected("+1 10:00", outlet_id="X"))
    assert played.partition.stream_time_ms == at("09:59")


def test_a_heartbeat_moves_the_clock_by_its_time_stamp_or_by_its_field() -> None:
    by_wall, by_data = Played(clock="wall"), Played()
    beat = as_bytes(heartbeat("+1 10:00"))
    for played, expected in ((by_wall, at("11:00")), (by_data, at("+1 10:00"))):
        played.take_batch(Batch([0], [None], [beat], [at("11:00")]))
        assert played.partition.stream_time_ms == expected - 60_000
    silent = Played()
    silent.take({"type": "stream.heartbeat"})
    assert silent.partition.stream_time_ms == 0


def test_without_received_at_a_record_was_received_when_it_was_recorded() -> None:
    played = Played()
    body = collected("10:00", recorded="10:02")
    del body["received_at"]
    played.take(body)
    assert played.partition.stream_time_ms == at("10:01")


# Late records.


def test_a_collection_is_too_late_by_its_own_time_though_its_waybill_is_open() -> None:
    played = Played()
    played.take(collected("+2 10:00"), collected("10:00", received="+3 10:05"))
    assert [reject.code for reject in played.rejects] == [RejectCode.TOO_LATE]
    assert played.figures == {"eligible": 1}


def test_what_comes_of_a_closed_parcel_is_counted_once_per_record_and_changes_nothing_else() -> (
    None
):
    played = Played()
    played.take(collected("10:00"), registered("10:30"))
    again = revoked("11:00", received="+3 10:05")
    played.take(again, again, collected("09:00", received="+3 10:06"))
    assert not played.rejects
    assert played.figures == {"eligible": 1, "covered_on_time": 1, "after_close": 2}


def test_a_fact_received_after_its_own_final_close_waits_for_its_collection_from_then_on() -> None:
    played = Played()
    played.take(registered("10:00", received="+3 10:05", recorded="+3 10:05"))
    assert played.figures == {}
    played.take(collected("+3 10:10"))
    assert played.figures == {"eligible": 1, "covered_on_time": 1}


def test_such_a_fact_is_an_orphan_of_the_pane_in_which_it_arrived() -> None:
    played = Played()
    played.take(registered("10:00", received="+3 10:07", recorded="+3 10:07"))
    [drained] = played.take(heartbeat("+6 10:11"))
    rows = drawn.rows_in([drained])
    assert [cell & (1 << PANE_BITS) - 1 for cell in rows.cells.tolist()] == [
        at("+3 10:05") // 300_000
    ]
    assert [tick * TICK_MS for tick in rows.ticks.tolist()] == [at("+6 10:10")]
    assert played.figures == {"orphans": 1}


def test_a_waybill_that_was_neither_collected_nor_registered_begins_anew_after_its_close() -> None:
    played = Played()
    played.take(voided("10:00"), heartbeat("+3 10:06"))
    assert played.partition.open_parcels == 0
    played.take(collected("+3 10:05"))
    assert played.figures == {"eligible": 1}


def test_seven_days_after_its_collection_a_waybill_may_be_used_anew() -> None:
    played = Played()
    played.take(collected("10:00"), collected("+7 10:04", received="+7 10:04"))
    assert played.figures == {"eligible": 1, "after_close": 1}
    played.take(collected("+7 10:05"))
    assert played.figures == {"eligible": 2, "after_close": 1}


# Missing parcels.

MISSING: list[tuple[str, list[Body], bool]] = [
    ("an uncovered parcel once its pane is mature", [collected("10:00"), heartbeat("12:06")], True),
    ("not before", [collected("10:00"), heartbeat("12:05:59")], False),
    ("one that arrives when its pane is mature already",
     [heartbeat("13:00"), collected("10:00", received="13:00")], True),
    ("no parcel that is covered", [collected("10:00"), registered("10:30"), heartbeat("13:00")],
     False),
    ("none that was registered first", [registered("09:00"), collected("10:00"), heartbeat("13:00")],
     False),
    ("a covered one no more", [collected("10:00"), heartbeat("13:00"), registered("13:10")], False),
    ("a covered one again when its registration is revoked",
     [collected("10:00"), registered("10:30"), heartbeat("13:00"), revoked("13:10")], True),
    ("a voided one no more", [collected("10:00"), heartbeat("13:00"), voided("13:10")], False),
    ("a reinstated one again",
     [collected("10:00"), voided("10:30"), heartbeat("13:00"), scanned("10:20", received="13:10")],
     True),
    ("no letter", [collected("10:00", parcel_category="EXEMPT"), heartbeat("13:00")], False),
    ("none that waits in its young pane of an earlier collection",
     [collected("12:00"), collected("10:00", received="12:00"), heartbeat("13:00")], True),
    ("one that turns out to be a letter no more",
     [collected("10:00"), heartbeat("13:00"),
      collected("09:00", received="13:10", parcel_category="EXEMPT")], False),
    ("a missing one stays when it closes", [collected("10:00"), heartbeat("+4 00:00")], True),
    ("one that a record closes after a long silence",
     [collected("10:00"), revoked("+3 10:06")], True),
    ("none that nobody collected", [revoked("10:00"), heartbeat("13:00")], False),
]  # fmt: skip


@pytest.mark.parametrize(
    ("bodies", "missing"), [m[1:] for m in MISSING], ids=[m[0] for m in MISSING]
)
def test_a_mature_uncovered_parcel_is_missing(bodies: list[Body], missing: bool) -> None:
    played = Played()
    for body in bodies:
        played.take(body)
    assert played.missing == ({"W1"} if missing else set())
    assert not played.rejects


def test_a_missing_parcel_says_whose_it_is_and_since_when() -> None:
    played = Played()
    played.take(collected("10:02", outlet_id="B", parcel_category="ECOMMERCE"), heartbeat("12:06"))
    [value] = drawn.missing_of(drawn.outputs_of(played.drains)).values()
    record = decode(value)
    assert (record.waybill_no, record.outlet_id, record.enterprise_id) == ("W1", "B", "E2")
    assert (record.county_code, record.parcel_category) == ("150203", "ECOMMERCE")
    assert record.collected_at == "2017-09-08T10:02:00+08:00"
    assert record.missing_since == "2017-09-08T12:05:00+08:00"


def test_a_missing_parcel_that_moves_is_reported_where_it_is_now() -> None:
    played = Played()
    played.take(collected("10:00"), heartbeat("13:00"))
    played.take(collected("09:00", received="13:10", outlet_id="B"))
    [value] = drawn.missing_of(drawn.outputs_of(played.drains)).values()
    assert decode(value).outlet_id == "B"
    assert played.figures == {"eligible": 1, "rescans": 1}


def test_a_waybill_used_anew_after_a_long_silence_is_another_parcel() -> None:
    played = Played()
    played.take(collected("10:00"))
    played.take(collected("+8 10:00"))
    [first] = drawn.missing_of(drawn.outputs_of(played.drains)).values()
    assert decode(first).collected_at == "2017-09-08T10:00:00+08:00"
    played.take(registered("+8 11:00"), heartbeat("+8 13:00"))
    assert played.figures == {"eligible": 2, "covered_on_time": 1}
    assert played.partition.open_parcels == 1


def test_so_it_is_when_its_registration_comes_first() -> None:
    played = Played()
    played.take(collected("10:00"))
    played.take(registered("+8 10:00"), heartbeat("+8 11:00"))
    played.take(collected("+8 11:00"))
    assert played.figures == {"eligible": 2, "covered_on_time": 1}


# Reference data.


def waiting(history: ReferenceHistory) -> Played:
    """Return a partition with a parcel of 10:00 under agreement G1."""
    played = Played(history)
    played.take(collected("10:00", parcel_category="AGREEMENT", agreement_id="G1"))
    return played


FILED = a_filing(recorded_at_ms=at("10:30"))
FILINGS: list[tuple[str, Reference, dict[str, int]]] = [
    ("a complete filing covers from when it was recorded", a_reference(FILED, version=2),
     {"covered_on_time": 1}),
    ("one recorded after the grace covers late",
     a_reference(a_filing(recorded_at_ms=at("12:30")), version=2), {"covered_late": 1}),
    ("one without the organisation's code does not",
     a_reference(a_filing(org_code_present=False), version=2), {}),
    ("nor one without a responsible person",
     a_reference(a_filing(responsible_id_present=False), version=2), {}),
    ("one complete filing of two is enough",
     a_reference(a_filing(org_code_present=False), FILED, version=2), {"covered_on_time": 1}),
    ("two halves are not one whole",
     a_reference(a_filing(org_code_present=False), a_filing(responsible_id_present=False), version=2),
     {}),
    ("one that was valid later does not",
     a_reference(a_filing(valid=(at("10:01"), at("+9 00:00"))), version=2), {}),
    ("one that was valid to that very instant does",
     a_reference(a_filing(valid=(at("09:00"), at("10:00"))), version=2), {"covered_on_time": 1}),
    ("another agreement's does not", a_reference(a_filing("G2"), version=2), {}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("filed", "covered"), [f[1:] for f in FILINGS], ids=[f[0] for f in FILINGS]
)
def test_a_waiting_parcel_is_covered_when_a_filing_arrives(
    filed: Reference, covered: dict[str, int]
) -> None:
    history = a_history()
    played = waiting(history)
    assert played.figures == {"eligible": 1}
    history.add(filed)
    played.take(heartbeat("13:00"))
    assert played.figures == {"eligible": 1, **covered}
    assert played.missing == (set() if covered else {"W1"})


def test_a_filing_counts_from_the_tick_of_its_version() -> None:
    history = a_history(a_reference(), a_reference(FILED, version=2, effective_at_ms=at("11:00")))
    played = waiting(history)
    [before] = played.take(heartbeat("11:00:59"))
    assert figures([before]) == {}
    [after] = played.take(heartbeat("11:01"))
    assert figures([after]) == {"covered_on_time": 1}
    assert drawn.rows_in([after]).ticks.tolist() == [at("11:00") // TICK_MS]
    assert changes.decode(after.outputs[0].value or b"").header.reference_version == 2


def test_a_second_filing_covers_what_the_first_could_not() -> None:
    half = a_filing(org_code_present=False)
    history = a_history(a_reference(half))
    played = waiting(history)
    history.add(a_reference(half, FILED, version=2))
    played.take(heartbeat("11:00"))
    assert played.figures == {"eligible": 1, "covered_on_time": 1}


def test_a_withdrawal_touches_later_collections_only() -> None:
    ended = a_filing(valid=(at("00:00"), at("11:00")))
    history = a_history(
        a_reference(a_filing()), a_reference(ended, version=2, effective_at_ms=at("11:00"))
    )
    played = waiting(history)
    played.take(heartbeat("11:30"))
    later = {"parcel_category": "AGREEMENT", "agreement_id": "G1", "received": "12:00"}
    played.take(collected("11:01", waybill_no="W2", **later))
    played.take(collected("10:59", waybill_no="W3", **later))
    assert played.figures == {"eligible": 3, "covered_on_time": 2}


def test_a_parcel_that_was_collected_after_a_withdrawal_is_not_covered_as_of_before() -> None:
    ended = a_filing(valid=(at("00:00"), at("11:00")))
    history = a_history(
        a_reference(a_filing()), a_reference(ended, version=2, effective_at_ms=at("11:00"))
    )
    played = Played(history)  # Whose watermark has yet to pass both versions.
    played.take(collected("11:30", parcel_category="AGREEMENT", agreement_id="G1"))
    played.take(heartbeat("12:00"))
    assert played.figures == {"eligible": 1}


def test_what_waited_and_was_moved_or_covered_or_closed_meanwhile_is_left_alone() -> None:
    history = a_history()
    played = waiting(history)
    played.take(collected("09:59", received="10:10"))  # It was a loose parcel, elsewhere.
    agreed: dict[str, str | None] = {"parcel_category": "AGREEMENT", "agreement_id": "G1"}
    played.take(collected("10:00", waybill_no="W2", **agreed))
    played.take(heartbeat("+3 10:06"))  # W2 closes.
    before = played.figures
    history.add(a_reference(FILED, version=2))
    played.take(heartbeat("+3 10:10"))
    assert played.figures == before == {"eligible": 2, "rescans": 1}


def test_a_parcel_that_closes_after_a_silence_has_seen_the_filings_of_the_silence() -> None:
    history = a_history(a_reference(), a_reference(FILED, version=2, effective_at_ms=at("11:00")))
    played = waiting(history)
    played.take(scanned("+3 10:06"))
    assert played.figures == {"eligible": 1, "covered_on_time": 1, "after_close": 1}
    assert played.missing == set()


def test_records_of_an_outlet_that_is_listed_no_more_are_refused_from_that_tick_on() -> None:
    retired = a_reference(
        version=2, effective_at_ms=at("11:00"), outlets=(an_outlet("B", 1),),
        retired=(an_outlet("A", 0),),
    )  # fmt: skip
    played = Played(a_history(a_reference(), retired))
    played.take(collected("10:00", received="10:59:00"))
    played.take(collected("10:00", received="10:59:01", waybill_no="W2"))
    assert [reject.code for reject in played.rejects] == [RejectCode.UNKNOWN_OUTLET]
    played.take(heartbeat("12:10"))
    assert played.missing == {"W1"}, "the outlet's parcels can still be placed"


SCOPES: list[tuple[str, dict[str, str | None], int]] = [
    ("inside, towards the destination", {"destination_code": "150602"}, 1),
    ("a destination may be as wide as the period's", {"destination_code": "150600"}, 1),
    ("towards elsewhere", {"destination_code": "150102"}, 0),
    ("towards nobody knows where", {}, 0),
    ("from outside the origin", {"destination_code": "150602", "outlet_id": "B"}, 0),
]
PERIOD = a_period("10:00", "12:00", origin_codes=("150100",))


@pytest.mark.parametrize(("fields", "scope"), [s[1:] for s in SCOPES], ids=[s[0] for s in SCOPES])
@pytest.mark.parametrize(("time", "inside"), [("09:59:59", 0), ("10:00", 1), ("12:00", 0)])
def test_a_parcel_falls_under_the_periods_of_its_collection(
    fields: dict[str, str | None], scope: int, time: str, inside: int
) -> None:
    played = Played(a_history(a_reference(periods=(PERIOD,))))
    played.take(collected(time, **fields))
    assert scopes(played) == [scope & inside]


def scopes(played: Played) -> list[int]:
    rows = drawn.by_cell(drawn.rows_in(played.drains))
    return [cell >> PANE_BITS & SCOPE_MASK for cell, _ in rows]


def test_no_number_of_destinations_is_too_many() -> None:
    played = Played(a_history(a_reference(periods=(PERIOD,))))
    played.take(heartbeat("09:59"))
    remembered = played.partition._waybills.lookup._periods_between
    remembered.update({("A", f"{n:06}"): [] for n in range(100_000)})
    played.take(collected("10:00", destination_code="150602"))
    assert scopes(played) == [1]
    assert len(remembered) == 1


def test_the_scope_is_frozen_at_the_collection() -> None:
    without = a_reference(version=2, effective_at_ms=at("11:00"))
    played = Played(a_history(a_reference(periods=(PERIOD,)), without))
    played.take(collected("10:00", destination_code="150602"))
    played.take(registered("11:30"), revoked("11:31"), scanned("11:32"))
    assert set(scopes(played)) == {1}
    assert played.figures == {"eligible": 1}


def test_periods_that_name_no_destination_are_no_scope() -> None:
    everywhere = a_period(scope_bit=None, destination_codes=())
    played = Played(a_history(a_reference(periods=(everywhere,))))
    played.take(collected("10:00", destination_code="150602"))
    assert scopes(played) == [0]


def test_the_stage_makes_the_first_use_of_a_version_and_needs_none() -> None:
    played = Played()
    assert played.partition.reference_version_needed(batch_of([collected("10:00")])) == 0


def test_nothing_comes_of_nothing() -> None:
    played = Played()
    assert played.partition.apply(Batch([], [], [], [])) == []
    assert played.partition.drain(publish=True) == Drained()


def test_a_batch_that_was_applied_is_a_bug_of_the_driver() -> None:
    played = Played()
    batch = batch_of([collected("10:00")])
    played.take_batch(batch)
    with pytest.raises(AssertionError, match="twice"):
        played.partition.apply(batch)
