"""Whose a record is, and what of it is written: every way in, in a table."""

import json

import pytest

from streams.gateway.checking import GatewayCode
from streams.gateway.subjects import SubjectKey, SubjectKeys
from streams.records.rejects import RejectCode
from streams.records.shipments import TYPE_OF, VALUE_BYTES_MAX, decode
from streams.resources import schema_dir
from streams.tokens import Grant
from tests.gateway.setting import (
    COLLECTED,
    GRANTS,
    IDENTITY,
    KEY,
    NAME,
    PHONE,
    REGISTERED,
    checker,
    encoded,
)

ZT, ZX, YT = GRANTS[:3]
NOT_YOURS, PERSONAL = GatewayCode.NOT_YOURS.value, GatewayCode.PERSONAL_DATA.value

REFUSED: list[tuple[bytes, str, str, str]] = [
    # value, code, path, why
    (encoded(COLLECTED, source="/enterprise/yt"), NOT_YOURS, "$.source", "another's source"),
    (encoded(COLLECTED, source="/nobody"), NOT_YOURS, "$.source", "a source that nobody has"),
    (encoded(COLLECTED, source="/anyidi"), NOT_YOURS, "$.source", "a source of no enterprise"),
    (encoded(COLLECTED, outlet_id="150105-YT-0001"), NOT_YOURS, "$.outlet_id", "another's outlet"),
    (encoded(COLLECTED, outlet_id="nowhere"), NOT_YOURS, "$.outlet_id", "no outlet at all"),
    (encoded(REGISTERED, outlet_id="150105-YT-0001"), NOT_YOURS, "$.outlet_id", "claimed for it"),
    (encoded(COLLECTED, outlet_id="150105-YT-0002"), NOT_YOURS, "$.outlet_id", "ours until today"),
    (
        encoded(COLLECTED)[:-1] + b',"source":"/enterprise/yt"}',
        NOT_YOURS,
        "$.source",
        "the second of two names counts, as for a worker",
    ),
    (b"", "empty", "$", "nothing"),
    (b"{", "not_json", "$", "no JSON"),
    (b"[]", "not_json", "$", "no object"),
    (encoded(COLLECTED, id="?").replace(b"?", b"\xff"), "not_json", "$", "no UTF-8"),
    (b"[" * 50_000, "not_json", "$", "deeper than any parser goes"),
    (encoded(COLLECTED, reason=" " * VALUE_BYTES_MAX), "oversized", "$", "more than 64 KiB"),
    (encoded(COLLECTED, type="shipment.lost"), "unknown_type", "$.type", "a type that is none"),
    (
        b'{"type":"stream.heartbeat","received_at":"2999-01-01T00:00:00Z"}',
        "unknown_type",
        "$.type",
        "a heartbeat would mature everybody's parcels",
    ),
    (encoded(COLLECTED, outlet_id=7), "schema", "$.outlet_id", "a number for a text"),
    (encoded(COLLECTED, waybill_no=...), "schema", "$.waybill_no", "no waybill"),
    (encoded(COLLECTED, parcel_category="GIFT"), "schema", "$.parcel_category", "no such word"),
    (encoded(COLLECTED, time="yesterday"), "bad_time", "$.time", "no time"),
    (encoded(COLLECTED, recorded_at="2017-09-08T10:16:02"), "bad_time", "$.recorded_at", "no zone"),
    (encoded(COLLECTED, time="1999-12-31T00:00:00Z"), "too_old", "$.time", "before the year 2000"),
    (
        encoded(COLLECTED, time="2017-09-08T13:35:01+08:00"),
        "from_the_future",
        "$.time",
        "over five minutes ahead",
    ),
    (encoded(COLLECTED, courier_id=IDENTITY), PERSONAL, "$.courier_id", "an identity number"),
    (encoded(COLLECTED, courier_id=PHONE), PERSONAL, "$.courier_id", "a mobile number"),
    (encoded(COLLECTED, courier_id="138-0013-8000"), PERSONAL, "$.courier_id", "with breaks"),
    (encoded(COLLECTED, courier_id="138 00138000"), PERSONAL, "$.courier_id", "with one break"),
    (encoded(COLLECTED, courier_id=NAME), PERSONAL, "$.courier_id", "a name"),
    (encoded(COLLECTED, agreement_id="a\nb"), PERSONAL, "$.agreement_id", "a line break"),
    (encoded(COLLECTED, id=IDENTITY), PERSONAL, "$.id", "an identity number for an id"),
    (
        encoded(REGISTERED, registration_id=PHONE),
        PERSONAL,
        "$.registration_id",
        "a mobile number for an id",
    ),
    (encoded(COLLECTED, waybill_no=NAME), PERSONAL, "$.waybill_no", "a name for a waybill"),
    (encoded(COLLECTED, waybill_no=PHONE), PERSONAL, "$.waybill_no", "a mobile number for it"),
    (encoded(COLLECTED, waybill_no=f"+86 {PHONE}"), PERSONAL, "$.waybill_no", "in any form"),
    (
        encoded(COLLECTED, waybill_no=IDENTITY),
        PERSONAL,
        "$.waybill_no",
        "an identity number for it",
    ),
    (encoded(REGISTERED, client_role=f"x {PHONE}"), PERSONAL, "$.client_role", "in a sentence"),
]


@pytest.mark.parametrize(
    ("value", "code", "path", "why"), REFUSED, ids=[case[3] for case in REFUSED]
)
def test_a_record_is_rejected_with_code_and_path(
    value: bytes, code: str, path: str, why: str
) -> None:
    checked = checker().check([encoded(COLLECTED), value, encoded(REGISTERED)], ZT)
    assert checked.rejected == [(1, code, path)]
    assert len(checked.keys) == len(checked.values) == 2, "the others are not affected"


TAKEN: list[tuple[bytes, str]] = [
    (encoded(COLLECTED), "a collection"),
    (encoded(REGISTERED), "a registration"),
    (encoded(COLLECTED, outlet_id="150105-ZX-0001"), "of our other brand"),
    (
        encoded(COLLECTED, outlet_id="150105-YT-0002", time="2017-09-07T10:00:00+08:00"),
        "an outlet that was ours that day",
    ),
    (encoded(COLLECTED, time="2017-09-08T13:35:00+08:00"), "five minutes ahead and no more"),
    (encoded(COLLECTED, waybill_no="8613800138000"), "a waybill is a number, too"),
    (encoded(COLLECTED, waybill_no="110105194912310021"), "which has no check digit"),
    (encoded(COLLECTED, waybill_no=f"ZT{PHONE}"), "or has letters in front"),
    (encoded(REGISTERED, registration_id=f"R{PHONE}"), "an id with a letter in front"),
    (encoded(REGISTERED, subject_token=IDENTITY), "a subject never reaches Kafka as it comes"),
]


@pytest.mark.parametrize(("value", "why"), TAKEN, ids=[case[1] for case in TAKEN])
def test_a_record_is_taken(value: bytes, why: str) -> None:
    checked = checker().check([value], ZT)
    assert not checked.rejected, why
    (written,) = checked.values
    assert decode(written) is not None
    assert checked.keys == [json.loads(value)["waybill_no"].encode()]


BRANDS = [(ZT, 2), (ZX, 1), (YT, 0)]


@pytest.mark.parametrize(("token", "taken"), BRANDS, ids=["both", "one of them", "another's"])
def test_a_token_writes_for_its_brands_only(token: Grant, taken: int) -> None:
    batch = [encoded(COLLECTED), encoded(COLLECTED, outlet_id="150105-ZX-0001")]
    assert len(checker().check(batch, token).values) == taken


@pytest.mark.parametrize("name", sorted(set(TYPE_OF.values()) - {"stream.heartbeat"}))
def test_every_field_of_the_schemas_is_written_but_the_claimed_time_of_receipt(name: str) -> None:
    properties = json.loads((schema_dir() / f"{name}.v1.schema.json").read_bytes())["properties"]
    whole = {field: schema["examples"][0] for field, schema in properties.items()}
    whole["source"] = "/enterprise/zt"
    if "outlet_id" in whole:
        whole["outlet_id"] = "150105-ZT-0031"
    (written,) = checker().check([encoded(whole)], ZT).values
    expected = {k: v for k, v in whole.items() if k != "received_at" and v is not None}
    if whole.get("subject_token"):
        expected["subject_token"] = KEY.token(whole["subject_token"])
    assert json.loads(written) == expected


def test_what_no_schema_names_is_not_written() -> None:
    value = encoded(
        COLLECTED,
        sender_name=NAME,
        sender_phone=PHONE,
        id_number=IDENTITY,
        enterprise_id="E-YT",
        nested={"name": NAME},
        received_at="2030-01-01T00:00:00Z",
    )
    checked = checker().check([value], ZT)
    assert [json.loads(written) for written in checked.values] == [dict(COLLECTED)]


def test_a_name_that_stands_there_twice_is_written_once() -> None:
    value = encoded(COLLECTED)[:-1] + b',"outlet_id":"150105-ZX-0001"}'
    (written,) = checker().check([value], ZT).values
    assert written.count(b"outlet_id") == 1
    assert json.loads(written)["outlet_id"] == "150105-ZX-0001"


def test_a_record_of_another_time_is_no_matter_where_data_have_their_own() -> None:
    value = encoded(COLLECTED, time="2030-01-01T00:00:00Z", recorded_at="2030-01-01T00:00:00Z")
    assert not checker(wall=False).check([value], ZT).rejected


def test_a_subject_is_written_as_a_token_of_the_key_in_use() -> None:
    value = encoded(REGISTERED, subject_token="enterprise-pseudonym")
    old, new = SubjectKey("k1", 0, b"a" * 32), SubjectKey("k2", 1, b"b" * 32)
    tokens = [
        json.loads(checker(subjects=SubjectKeys(keys)).check([value], ZT).values[0])[
            "subject_token"
        ]
        for keys in ([old], [old, new])
    ]
    assert tokens == list(SubjectKeys([old, new]).tokens("enterprise-pseudonym"))


def test_every_code_is_met_in_this_table() -> None:
    elsewhere = {
        RejectCode.KEY_MISMATCH,  # The gateway makes the key.
        RejectCode.TOO_LATE,  # Only a worker knows the parcel.
        RejectCode.UNKNOWN_OUTLET,  # Here `not_yours`, as another's.
    }
    met = {code for _, code, _, _ in REFUSED}
    assert met == {c.value for c in (*GatewayCode, *RejectCode)} - {c.value for c in elsewhere}
