"""The oracle itself, by hand: short histories of one waybill, and what they must come to."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests import oracle

OUTLETS = """outlet_id,name,brand_code,enterprise_id,county_code,duty_group
A,a,ZTO,E1,150102,
B,b,ZTO,E1,150203,
"""
AGREEMENTS = """agreement_id,org_code_present,responsible_id_present,valid_from,valid_to,recorded_at
OK,true,true,2017-01-01,2017-09-08,2017-01-01T09:00:00+08:00
HALF,true,false,2017-01-01,2017-12-31,2017-01-01T09:00:00+08:00
LATE,true,true,2017-01-01,2017-12-31,2017-09-08T18:00:00+08:00
"""
PERIODS = """
[[periods]]
event_period_id = "EP"
destination_codes = ["150600"]
phases = [{ event_phase = "CORE", start = 2017-09-08T00:00:00+08:00, end = 2017-09-09T00:00:00+08:00 }]
"""
NUMBERS = iter(range(1_000_000))


@pytest.fixture
def reference(tmp_path: Path) -> oracle.Reference:
    for name, text in (
        ("outlets.csv", OUTLETS),
        ("agreements.csv", AGREEMENTS),
        ("periods.toml", PERIODS),
    ):
        (tmp_path / name).write_text(text, "utf8")
    return oracle.read_reference(tmp_path)


def at(text: str) -> str:
    """`10:00` is on 8 September; `+2 10:00` two days later."""
    days, _, clock = text.rpartition(" ")
    return f"2017-09-{8 + int(days or 0):02d}T{clock}:00+08:00"


def record(kind: str, time: str, received: str | None = None, **more: str | None) -> dict[str, Any]:
    upload = at(received or time)
    return {
        "type": kind,
        "id": f"i{next(NUMBERS)}",
        "source": "s",
        "time": at(time),
        "recorded_at": upload,
        "received_at": upload,
        "waybill_no": "W",
        **more,
    }


def taken(time: str, received: str | None = None, **more: str | None) -> dict[str, Any]:
    fields: dict[str, str | None] = {"outlet_id": "A", "parcel_category": "LOOSE", **more}
    return record(oracle.COLLECTED, time, received, **fields)


def registered(time: str, registration: str = "R1", **more: str | None) -> dict[str, Any]:
    fields: dict[str, str | None] = {"outlet_id": "A", "verification_result": "MATCHED", **more}
    return record(oracle.REGISTERED, time, registration_id=registration, **fields)


def held(time: str, received: str) -> dict[str, Any]:
    return {**registered(time), "received_at": at(received)}


def revoked(time: str, registration: str = "R1") -> dict[str, Any]:
    return record(oracle.REVOKED, time, registration_id=registration)


def voided(time: str) -> dict[str, Any]:
    return record(oracle.VOIDED, time)


def scanned(time: str) -> dict[str, Any]:
    return record(oracle.SCANNED, time, hub_id="H")


RESCAN = taken("10:30", outlet_id="B")
REPEATED = registered("11:00")
ON_TIME, LATE, MISSING = (
    {"eligible": 1, "covered_on_time": 1},
    {"eligible": 1, "covered_late": 1},
    {"eligible": 1, "missing": 1},
)

HISTORIES: list[tuple[str, list[dict[str, Any]], dict[str, int]]] = [
    ("collected only", [taken("10:00")], MISSING),
    ("registered in time", [taken("10:00"), registered("12:00")], ON_TIME),
    ("a minute too late", [taken("10:00"), registered("12:01")], LATE),
    ("registered first", [registered("09:00"), taken("10:00")], ON_TIME),
    ("held 15 minutes is believed", [taken("10:00"), held("12:00", "12:15")], ON_TIME),
    ("held longer is not", [taken("10:00"), held("12:00", "12:16")], {**LATE, "backdated": 1}),
    ("registered twice", [taken("10:00"), registered("11:00"), registered("11:05", "R2")],
     {**ON_TIME, "duplicates": 1}),
    ("a retry is no second", [taken("10:00"), registered("11:00"), registered("11:05")], ON_TIME),
    ("nor is a repeat", [taken("10:00"), REPEATED, REPEATED], ON_TIME),
    ("failed only", [taken("10:00"), registered("11:00", verification_result="REFUSED")],
     {**MISSING, "attempts_failed": 1}),
    ("failed, then matched under the same id",
     [taken("10:00"), registered("11:00", verification_result="REFUSED"), registered("11:05")],
     ON_TIME),
    ("matched, then failed under the same id",
     [taken("10:00"), registered("11:00"), registered("11:05", verification_result="REFUSED")],
     {**MISSING, "attempts_failed": 1}),
    ("at one instant the failure wins",
     [taken("10:00"), registered("11:00", verification_result="REFUSED"), registered("11:00")],
     {**MISSING, "attempts_failed": 1}),
    ("revoked", [taken("10:00"), registered("11:00"), revoked("13:00")], MISSING),
    ("revoked before it was heard of", [taken("10:00"), revoked("10:59"), registered("11:00")],
     MISSING),
    ("revoked and registered anew, late",
     [taken("10:00"), registered("11:00"), revoked("11:30"), registered("13:00", "R2")], LATE),
    ("voided", [taken("10:00"), registered("11:00"), voided("11:30")], {"voided": 1}),
    ("voided after a hub scan", [taken("10:00"), scanned("11:00"), voided("11:30")], MISSING),
    ("voided before a scan that is heard of first",
     [taken("10:00"), scanned("11:40"), voided("11:30")], {"voided": 1}),
    ("a letter", [taken("10:00", parcel_category="EXEMPT")], {"exempt": 1}),
    ("a letter, voided", [taken("10:00", parcel_category="EXEMPT"), voided("11:00")],
     {"voided": 1}),
    ("scanned in elsewhere", [taken("10:00"), RESCAN, RESCAN], {**MISSING, "rescans": 1}),
    ("under an agreement",
     [taken("10:00", parcel_category="AGREEMENT", agreement_id="OK")], ON_TIME),
    ("under one on its last day's last minute",
     [taken("23:59", parcel_category="ECOMMERCE", agreement_id="OK")], ON_TIME),
    ("under half a filing",
     [taken("10:00", parcel_category="AGREEMENT", agreement_id="HALF")], MISSING),
    ("under one filed later", [taken("10:00", parcel_category="AGREEMENT", agreement_id="LATE")],
     LATE),
    ("loose, whatever agreement it names", [taken("10:00", agreement_id="OK")], MISSING),
    ("registered after the close", [taken("10:00"), registered("+3 10:06")],
     {**MISSING, "after_close": 1}),
    ("registered in the last minute", [taken("10:00"), registered("+3 10:04")], LATE),
    ("a repeat after the close counts once",
     [taken("10:00"), REPEATED, *[{**REPEATED, "received_at": at("+3 10:06")}] * 2],
     {**ON_TIME, "after_close": 1}),
    ("never collected", [registered("10:00")], {"orphans": 1}),
    ("never collected, and revoked", [registered("10:00"), revoked("11:00")], {}),
    ("never collected nor registered", [voided("10:00"), scanned("11:00")], {}),
    ("collected after its orphan was counted",
     [registered("10:00"), taken("+3 10:00", "+3 10:06")], {"orphans": 1, "after_close": 1}),
]  # fmt: skip


@pytest.mark.parametrize(
    ("history", "expected"), [h[1:] for h in HISTORIES], ids=[h[0] for h in HISTORIES]
)
def test_a_waybills_history_comes_to_these_figures(
    reference: oracle.Reference, history: list[dict[str, Any]], expected: dict[str, int]
) -> None:
    truth = judged(reference, history, until="+6 00:00")
    figures = truth.days.get(("OUTLET", "A", "2017-09-08"), Counter[str]())
    assert {name: n for name, n in figures.items() if n} == expected
    assert truth.missing == ({"W"} if expected.get("missing") else set())
    assert not truth.dead_letters


def judged(
    reference: oracle.Reference, history: list[dict[str, Any]], *, until: str
) -> oracle.Truth:
    records = [(body["waybill_no"].encode(), json.dumps(body).encode()) for body in history]
    until_ms = oracle.instant(at(until))
    assert until_ms is not None
    return oracle.judge(records, reference, until_ms=until_ms)


def test_an_earlier_collection_takes_the_parcel_away_from_its_outlet(
    reference: oracle.Reference,
) -> None:
    later = taken("10:00", "12:00", outlet_id="B")
    truth = judged(reference, [taken("10:05"), registered("11:00"), later], until="+1 00:00")
    assert truth.days["OUTLET", "A", "2017-09-08"]["eligible"] == 0
    owner = truth.days["OUTLET", "B", "2017-09-08"]
    assert (owner["eligible"], owner["covered_on_time"], owner["rescans"]) == (1, 1, 1)
    assert truth.days["CITY", "150200", "2017-09-08"] == owner
    assert truth.days["ENTERPRISE_CITY", "E1|150200", "2017-09-08"] == owner
    assert truth.days["REGION", "150000", "2017-09-08"]["eligible"] == 1


def test_a_collection_is_too_late_by_itself_though_its_waybill_is_open(
    reference: oracle.Reference,
) -> None:
    history = [taken("+2 10:00"), taken("10:00", "+3 10:05")]
    truth = judged(reference, history, until="+3 11:00")
    assert dict(truth.dead_letters) == {"too_late": 1}
    assert truth.days["OUTLET", "A", "2017-09-10"]["rescans"] == 0


def test_a_fact_uploaded_after_its_final_close_waits_from_then_on(
    reference: oracle.Reference,
) -> None:
    late = held("10:00", "+3 10:05")
    collected = judged(reference, [late, taken("+3 10:00", "+3 11:00")], until="+3 14:00")
    figures = collected.days["OUTLET", "A", "2017-09-11"]
    assert (figures["covered_on_time"], figures["backdated"]) == (1, 1)
    never = judged(reference, [late], until="+6 10:10")
    assert never.days["OUTLET", "A", "2017-09-11"]["orphans"] == 1


def test_what_is_refused_moves_no_clock_and_a_heartbeat_does(reference: oracle.Reference) -> None:
    refused = taken("10:00", "+3 10:07", waybill_no="V")  # Its own final close has come.
    beat = {**refused, "type": oracle.HEARTBEAT}
    last = registered("+3 10:04")
    for between, name in ((refused, "covered_late"), (beat, "after_close")):
        truth = judged(reference, [taken("10:01"), between, last], until="+4 00:00")
        assert truth.days["OUTLET", "A", "2017-09-08"][name] == 1


YOUNG = [
    ("12:04", [taken("10:00"), registered("11:00")], {"covered_young": 1}),
    ("12:04", [taken("10:00")], {"pending": 1}),
    ("12:05", [taken("10:00"), registered("11:00")], {"covered_on_time": 1}),
    ("12:05", [taken("10:00")], {"missing": 1}),
]


@pytest.mark.parametrize(("until", "history", "expected"), YOUNG)
def test_a_parcel_matures_two_hours_after_the_end_of_its_pane(
    reference: oracle.Reference, until: str, history: list[dict[str, Any]], expected: dict[str, int]
) -> None:
    figures = judged(reference, history, until=until).days["OUTLET", "A", "2017-09-08"]
    assert {name: n for name, n in figures.items() if n} == {"eligible": 1, **expected}


def test_the_first_issue_is_what_was_known_at_nine_the_next_morning(
    reference: oracle.Reference,
) -> None:
    for received, late in (("+1 09:00", 1), ("+1 09:01", 0)):
        history = [taken("10:00"), registered(received)]
        truth = judged(reference, history, until="+2 00:00")
        key = ("OUTLET", "A", "2017-09-08")
        assert truth.first[key]["covered_late"] == late
        assert truth.first[key]["missing"] == 1 - late
        assert truth.days[key]["covered_late"] == 1


def test_a_parcel_to_a_named_destination_falls_under_the_period(
    reference: oracle.Reference,
) -> None:
    for time, destination, scope in (
        ("10:00", "150602", ("EP",)),
        ("10:00", "150702", ()),
        ("+1 00:00", "150602", ()),
    ):
        truth = judged(reference, [taken(time, destination_code=destination)], until="+2 00:00")
        assert [key[3] for key in truth.cells] == [scope]


REFUSED: list[tuple[str, bytes | None, bytes | None]] = [
    ("empty", b"W", None),
    ("oversized", b"W", b"x" * 65_537),
    ("not_json", b"W", b"[]"),
    ("not_json", b"W", b'{"type": "\xff"}'),
    ("unknown_type", b"W", b"{}"),
    ("schema", b"W", json.dumps(taken("10:00", outlet_id="")).encode()),
    ("schema", b"W", json.dumps(taken("10:00", parcel_category="BOX")).encode()),
    ("bad_time", b"W", json.dumps({**taken("10:00"), "time": "2017-09-08T10:00:00"}).encode()),
    ("key_mismatch", b"V", json.dumps(taken("10:00")).encode()),
    ("unknown_outlet", b"W", json.dumps(taken("10:00", outlet_id="C")).encode()),
    ("too_old", b"W", json.dumps({**taken("10:00"), "time": "1999-12-31T10:00:00Z"}).encode()),
    ("from_the_future", b"W", json.dumps({**taken("10:06"), "received_at": at("10:00")}).encode()),
    ("too_late", b"W", json.dumps(taken("10:00", "+3 10:05")).encode()),
]


@pytest.mark.parametrize(("code", "key", "value"), REFUSED)
def test_a_record_is_refused_with_its_code(
    reference: oracle.Reference, code: str, key: bytes | None, value: bytes | None
) -> None:
    truth = oracle.judge([(key, value)], reference, until_ms=1_600_000_000_000)
    assert dict(truth.dead_letters) == {code: 1}
    assert not truth.days


def test_rates_are_null_on_nothing_and_leave_young_parcels_out() -> None:
    nothing = dict.fromkeys(oracle.FIGURES, 0)
    assert set(oracle.rates(nothing).values()) == {None}
    some = {**nothing, "covered_on_time": 6, "covered_late": 1, "missing": 3, "covered_young": 8}
    assert oracle.rates({**some, "pending": 2}) == {
        "rate": 0.7,
        "on_time_rate": 0.6,
        "rate_low": 0.75,
        "rate_high": 0.85,
    }
