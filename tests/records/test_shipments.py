"""Decoding of `shipments` beside what tests/test_schemas.py holds to the schemas."""

import json

import msgspec
import pytest

from streams.records.rejects import Refused, RejectCode
from streams.records.shipments import TYPE_OF, decode, why_refused
from tests.builders import collected, heartbeat, registered, revoked, scanned, voided

EVERY = [
    collected("10:00"),
    registered("10:00"),
    revoked("10:00"),
    voided("10:00"),
    scanned("10:00"),
    heartbeat("10:00"),
]


@pytest.mark.parametrize("body", EVERY, ids=lambda body: str(body["type"]))
def test_every_type_is_decoded_and_unknown_fields_are_ignored(body: dict[str, object]) -> None:
    record = decode(json.dumps({**body, "new_field": {"any": "thing"}}).encode())
    assert TYPE_OF[type(record)] == body["type"]


def test_every_type_is_tried() -> None:
    assert {body["type"] for body in EVERY} == set(TYPE_OF.values())


SOURCES = [
    ("a schema mistake names its source", {**voided("10:00"), "id": 1}, "S1"),
    ("an unknown type, too", {"type": "x", "source": "S2"}, "S2"),
    ("a source that is no text is unreadable", {**voided("10:00"), "source": 7}, ""),
    ("a source that is missing as well", {"type": "waybill.voided"}, ""),
    ("a long one is cut", {"type": "waybill.voided", "source": "x" * 200}, "x" * 128),
]


@pytest.mark.parametrize(("body", "source"), [s[1:] for s in SOURCES], ids=[s[0] for s in SOURCES])
def test_the_source_of_a_refused_record_is_read_where_it_can_be(
    body: dict[str, object], source: str
) -> None:
    value = json.dumps(body).encode()
    with pytest.raises(msgspec.ValidationError) as error:
        decode(value)
    assert why_refused(value, error.value)[2] == source


def test_a_source_that_is_no_utf8_is_unreadable() -> None:
    value = b'{"type":"waybill.voided","source":"\xff"}'
    assert why_refused(value, UnicodeDecodeError("utf-8", b"\xff", 0, 1, "")) == (
        RejectCode.NOT_JSON, "$", "",
    )  # fmt: skip


def test_a_refusal_says_where_and_never_what() -> None:
    refused = Refused(RejectCode.UNKNOWN_OUTLET, "$.outlet_id")
    assert str(refused) == "unknown_outlet at $.outlet_id"
