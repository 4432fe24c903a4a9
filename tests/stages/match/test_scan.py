"""What machine code reads of a record is what the decoder reads; what is odd it leaves alone."""

import json
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.window import instant_from_text
from streams.records import shipments
from streams.records.instants import INSTANTS
from streams.records.rejects import Refused
from streams.records.shipments import Collected, Registered, Scanned
from streams.stages.match.native import scan as scanned
from streams.stages.match.native.scan import BAD, COLUMNS, KIND, UNREAD, instant, scan

HEAD: dict[str, object] = {
    "time": "2017-09-08T10:00:00.250+08:00",
    "id": "i-1",
    "source": "/enterprise/YTO",
    "recorded_at": "2017-09-08T02:00:01Z",
    "waybill_no": "YT0001",
    "received_at": "2017-09-08T02:00:02.5Z",
}
COLLECTED: dict[str, object] = {
    "type": "shipment.collected", **HEAD, "outlet_id": "150102-YTO-0001",
    "parcel_category": "LOOSE", "agreement_id": None, "destination_code": "110101",
}  # fmt: skip
REGISTERED: dict[str, object] = {
    "type": "realname.registered", **HEAD, "outlet_id": "150102-YTO-0001",
    "registration_id": "R1", "verification_result": "MATCHED", "is_backfill": False,
}  # fmt: skip
SCANNED: dict[str, object] = {"type": "hub.outbound_scanned", **HEAD, "hub_id": "H"}
KINDS = {Collected: scanned.COLLECTED, Registered: scanned.REGISTERED, Scanned: scanned.SCANNED}


def read(value: bytes, key: bytes = b"YT0001", *, data_clock: bool = True) -> dict[str, Any] | None:
    """Return what `scan` makes of a record that stands between two others, None where it makes nothing."""
    other = json.dumps(SCANNED).encode()
    values, keys = [other, value, other], [b"K", key, b"K"]
    text = np.frombuffer(b"".join(values), np.uint8)
    rows = np.full((COLUMNS, 3), -7, np.int64)
    ends, key_ends = (np.cumsum([len(one) for one in of]) for of in (values, keys))
    scan(text, ends, np.frombuffer(b"".join(keys), np.uint8), key_ends, data_clock, rows)
    assert rows[KIND, [0, 2]].tolist() == [scanned.SCANNED] * 2, "its neighbours are read as ever"
    found = rows[:, 1].tolist()
    if found[KIND] == UNREAD:
        return None

    def name(column: int) -> str | None:
        start, length = found[column : column + 2]
        return text[start : start + length].tobytes().decode() if length else None

    return {
        "kind": found[KIND],
        "time": found[scanned.TIME],
        "recorded": found[scanned.RECORDED],
        "received": found[scanned.RECEIVED],
        "own key": bool(found[scanned.OWN_KEY]),
        "waybill": name(scanned.WAYBILL),
        "source": name(scanned.SOURCE),
        "outlet": name(scanned.OUTLET),
        "id": name(scanned.ID),
        "agreement": name(scanned.AGREEMENT),
        "destination": name(scanned.DESTINATION),
        "category": found[scanned.CATEGORY] if found[KIND] == scanned.COLLECTED else None,
        "matched": bool(found[scanned.MATCHED]) if found[KIND] == scanned.REGISTERED else None,
    }


def expected(value: bytes, key: bytes, *, data_clock: bool) -> dict[str, Any] | None:
    """Return the same by the decoder; None for what is refused or of another type."""
    try:
        record = shipments.decode(value)
        if not isinstance(record, Collected | Registered | Scanned):
            return None
        received = None if record.received_at is None or not data_clock else record.received_at
        instants = {
            "time": INSTANTS.parse(record.time, ""),
            "recorded": INSTANTS.parse(record.recorded_at, ""),
            "received": -1 if received is None else INSTANTS.parse(received, ""),
        }
    except (ValueError, RecursionError, Refused):
        return None
    agreement = category = destination = matched = None
    if isinstance(record, Collected):
        agreement, destination = record.agreement_id, record.destination_code
        category = scanned.CATEGORIES.index(record.parcel_category)
    elif isinstance(record, Registered):
        matched = record.verification_result == "MATCHED"
    else:
        destination = record.destination_code
    return {
        "kind": KINDS[type(record)],
        **instants,
        "own key": record.waybill_no.encode() == key,
        "waybill": record.waybill_no,
        "source": record.source,
        "outlet": None if isinstance(record, Scanned) else record.outlet_id,
        "id": record.registration_id if isinstance(record, Registered) else record.id,
        "agreement": agreement,
        "destination": destination,
        "category": category,
        "matched": matched,
    }


def compact(record: dict[str, object]) -> bytes:
    return json.dumps(record, separators=(",", ":")).encode()


READ = [
    ("a collection", compact(COLLECTED)),
    ("a registration", compact(REGISTERED)),
    ("a scan", compact(SCANNED)),
    ("with white space", b"\n " + json.dumps(COLLECTED, indent=2).encode() + b"\t\r\n"),
    ("in another order", compact(dict(reversed(COLLECTED.items())))),
    ("a leap day", compact(COLLECTED | {"time": "2024-02-29T23:59:59.123456789-23:59"})),
    ("the longest names", compact(COLLECTED | {"outlet_id": "o" * 64, "source": "s" * 128})),
    ("all vocabulary", compact(COLLECTED | {"parcel_category": "UNCLASSIFIED",
                                             "route_type": "INTERNATIONAL"})),
    ("a failed attempt", compact(REGISTERED | {"verification_result": "REFUSED"})),
]  # fmt: skip


@pytest.mark.parametrize("value", [case[1] for case in READ], ids=[case[0] for case in READ])
def test_ordinary_records_are_read(value: bytes) -> None:
    for data_clock in (True, False):
        found = read(value, data_clock=data_clock)
        assert found is not None
        assert found == expected(value, b"YT0001", data_clock=data_clock)


LEFT = [
    ("nothing", b""),
    ("no object", b"[]"),
    ("an empty object", b"{}"),
    ("no type", compact({name: of for name, of in COLLECTED.items() if name != "type"})),
    ("another type", compact(COLLECTED | {"type": "waybill.voided"})),
    ("an unknown field", compact(COLLECTED | {"weight": "1"})),
    ("a field of another type", compact(COLLECTED | {"hub_id": "H"})),
    ("a field that is missing", compact({n: of for n, of in COLLECTED.items() if n != "id"})),
    ("a field that may not be null", compact(COLLECTED | {"id": None})),
    ("a field twice", compact(COLLECTED)[:-1] + b',"id":"i-2"}'),
    ("a number", compact(COLLECTED | {"id": 7})),
    ("an object", compact(COLLECTED | {"id": {}})),
    ("true for a text", compact(COLLECTED | {"id": True})),
    ("a text for true", compact(REGISTERED | {"is_backfill": "true"})),
    ("a word that is none", compact(COLLECTED | {"parcel_category": "LOOSER"})),
    ("the beginning of a word", compact(COLLECTED | {"parcel_category": "LOOS"})),
    ("an empty name", compact(COLLECTED | {"outlet_id": ""})),
    ("a name that is too long", compact(COLLECTED | {"outlet_id": "o" * 65})),
    ("an escape", compact(COLLECTED | {"outlet_id": 'a"b'})),
    ("another script", json.dumps(COLLECTED | {"outlet_id": "运"}, ensure_ascii=False).encode()),
    ("broken UTF-8", compact(COLLECTED).replace(b"LOOSE", b"LO\xffSE")),
    ("a control character", compact(COLLECTED).replace(b"i-1", b"i\x011")),
    ("cut short", compact(COLLECTED)[:-1]),
    ("cut short within a text", compact(COLLECTED)[:-5]),
    ("something behind it", compact(COLLECTED) + b"x"),
    ("a comma too much", compact(COLLECTED)[:-1] + b",}"),
    ("no instant", compact(COLLECTED | {"time": "2017-13-08T10:00:00Z"})),
    ("a day that is none", compact(COLLECTED | {"time": "2023-02-29T10:00:00Z"})),
    ("a leap second", compact(COLLECTED | {"time": "2016-12-31T23:59:60Z"})),
    ("no offset", compact(COLLECTED | {"time": "2017-09-08T10:00:00"})),
    ("too fine a fraction", compact(COLLECTED | {"time": "2017-09-08T10:00:00.1234567890Z"})),
    ("no fraction", compact(COLLECTED | {"time": "2017-09-08T10:00:00.Z"})),
    ("an offset too large", compact(COLLECTED | {"time": "2017-09-08T10:00:00+24:00"})),
    ("another millennium", compact(COLLECTED | {"time": "1999-09-08T10:00:00Z"})),
]


@pytest.mark.parametrize("value", [case[1] for case in LEFT], ids=[case[0] for case in LEFT])
def test_what_is_odd_is_left_to_the_decoder(value: bytes) -> None:
    assert read(value) is None


TEXTS: st.SearchStrategy[object] = st.one_of(
    st.sampled_from(["A", "YT0001", "x" * 64, "x" * 65, "", "运", 'a"b', "a\\b", "~", "\x7f", "null"]),
    st.sampled_from(["LOOSE", "EXEMPT", "MATCHED", "REFUSED", "INTRA_CITY", "OTHER"]),
    st.sampled_from(["2017-09-08T10:00:00Z", "2017-02-30T10:00:00Z", "2999-12-31T23:59:59.9+00:00"]),
    st.sampled_from([None, True, False, 1, 1.5, [], {}]),
)  # fmt: skip
NAMES = sorted({*COLLECTED, *REGISTERED, *SCANNED, "reason", "courier_id", "channel", "x"})


@settings(max_examples=2_000, deadline=None)
@given(
    base=st.sampled_from([COLLECTED, REGISTERED, SCANNED]),
    changed=st.dictionaries(st.sampled_from(NAMES), TEXTS, max_size=3),
    dropped=st.sets(st.sampled_from(NAMES), max_size=1),
    bytes_at=st.lists(st.tuples(st.integers(0, 400), st.integers(0, 255)), max_size=2),
    key=st.sampled_from([b"YT0001", b"YT0002", b"", b"A"]),
    spaced=st.booleans(),
    data_clock=st.booleans(),
)
def test_it_never_reads_what_the_decoder_does_not(  # noqa: PLR0917 - all that varies
    base: dict[str, object],
    changed: dict[str, object],
    dropped: set[str],
    bytes_at: list[tuple[int, int]],
    key: bytes,
    spaced: bool,
    data_clock: bool,
) -> None:
    record = {name: value for name, value in (base | changed).items() if name not in dropped}
    value = bytearray(
        json.dumps(record, ensure_ascii=False).encode() if spaced else compact(record)
    )
    for at, byte in bytes_at:
        if at < len(value):
            value[at] = byte
    found = read(bytes(value), key, data_clock=data_clock)
    assert found is None or found == expected(bytes(value), key, data_clock=data_clock)


ZONES = ["Z", "+08:00", "-11:30", "+08:0"]
FRACTIONS = ["", ".5", ".123", ".123456789", ".1234567890"]
DATES = [
    "2017-09-08", "2016-02-29", "2017-02-29", "1999-12-31", "0000-01-01", "2017-13-01", "９017-09-08",
]  # fmt: skip
CLOCKS = ["00:00:00", "23:59:59", "24:00:00", "10:60:00", "10:00:60", "1a:00:00", "10-00-00"]
PLAIN = st.tuples(*map(st.sampled_from, (DATES[:2], CLOCKS[:2], FRACTIONS[:4], ZONES[:3])))
STRANGE = st.tuples(*map(st.sampled_from, (DATES, CLOCKS, FRACTIONS, ZONES)))


def instant_of(text: str) -> int | None:
    """Return the instant that machine code reads, from between two others."""
    other = b"2001-01-01T00:00:00Z"
    own = text.encode()
    found = instant(np.frombuffer(other + own + other, np.uint8), len(other), len(own))
    return None if found == BAD else int(found)


def written(drawn: tuple[str, str, str, str]) -> str:
    date, clock, fraction, zone = drawn
    return f"{date}T{clock}{fraction}{zone}"


@given(plain=PLAIN, strange=STRANGE)
def test_an_instant_is_what_its_text_is_or_none(
    plain: tuple[str, str, str, str], strange: tuple[str, str, str, str]
) -> None:
    assert instant_of(written(plain)) == INSTANTS.parse(written(plain), "$.time")
    found = instant_of(written(strange))
    if found is not None:
        assert found == INSTANTS.parse(written(strange), "$.time")


INSTANT_TEXTS = [
    "2017-09-08T10:00:00+08:00", "2017-09-09T00:00:01+08:00", "2017-09-08T10:00:00.001Z",
    "2016-02-29T23:59:59.999Z", "2017-09-08T10:00:00.0019-11:30", "2017-09-08T10:00:00.5Z",
    "2017-09-08T10:00:00.55Z", "2017-09-08T10:00:00+07:00",
]  # fmt: skip


@pytest.mark.parametrize("text", INSTANT_TEXTS)
def test_an_instant_is_read_however_it_is_written(text: str) -> None:
    assert instant_of(text) == instant_from_text(text)


@pytest.mark.parametrize("text", ["2017-09-08T10:00:6?Z", "", "now", "1999-12-31T23:59:59+00:00"])
def test_what_is_no_instant_is_left_to_the_decoder(text: str) -> None:
    assert instant_of(text) is None
