"""Records as a broken or malicious producer sends them: made from sound ones, with a knowledge of their form.

Pure: what comes out follows from the random numbers alone.
"""

import json
import random
from collections.abc import Callable, Sequence
from typing import Final

from streams.records.shipments import VALUE_BYTES_MAX
from tests.stages.match.drawn import Sent

Token = bytes
"""A JSON value as it stands in the text, or what somebody takes for one."""


def _text(content: str) -> Token:
    return b'"' + content.encode() + b'"'


_NESTED: Final = [
    b"[" * 20 + b"]" * 20,
    b"[" * 2_000 + b"]" * 2_000,
    b"[" * 30_000 + b"]" * 30_000,
    b"[" * 60_000,
    b'{"a":' * 10_000 + b"1" + b"}" * 10_000,
]
_NUMBERS: Final = [
    *(b"0", b"-0", b"-1", b"1.5", b"1e999", b"-1e999", b"1e-999", b"01", b"+1", b"0x1", b"1_0"),
    *(b"9" * 400, b"9" * 20_000, b"9223372036854775808", b"-9223372036854775809", b"1504850000000"),
    *(b"NaN", b"Infinity", b"-Infinity"),
]
_OTHER_TYPES: Final = [b"null", b"true", b"false", b"[]", b"{}", b'[""]', b'{"":null}', b"", b"nul"]
_LENGTHS: Final = (0, 1, 31, 32, 33, 63, 64, 65, 127, 128, 129, 255, 256, 1_000, VALUE_BYTES_MAX)
_TEXTS: Final = [
    *(
        _text(letter * length)
        for letter in ("x", " ", "\u8fd0", "\U0001f4e6")
        for length in _LENGTHS
    ),
    *(b'"\\u0000"', b'"\x00"', b'"\n"', b'"\\x41"', b'"\\u00"', b'"\\', b'"\\u0057\\u0030"'),
    *(b'"\\ud83d\\udce6"', b'"\\ud800"', b'"\\udc00\\ud800"', b'"\\ud800x"'),
    *(_text("\u202eW0"), _text("W0\u0301"), _text("\ufeffW0"), b"'W0'", b'"W0'),
    *(_text("11010519491231002X"), _text("13800138000")),
]
_BROKEN_UTF8: Final = [
    *(b"\xff", b"\x80", b"\xc0\x80", b"\xe8\xbf", b"\xed\xa0\x80", b"\xf4\x90\x80\x80"),
    *(b"\xf8\x88\x80\x80\x80", b"\xef\xbb\xbf", b"\xfe\xff"),
]
_INSTANTS: Final = [
    *("0000-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "0001-01-01T00:00:00+23:59"),
    *("1969-12-31T23:59:59.999Z", "1970-01-01T00:00:00Z", "1999-12-31T23:59:59.999Z"),
    *("2000-01-01T00:00:00Z", "2017-09-08T02:00:00.0000000001Z", "2017-09-08T02:00:00.999999999Z"),
    *("2038-01-19T03:14:08Z", "2262-04-11T23:47:16.854Z", "2999-12-31T23:59:59.999Z"),
    *("3000-01-01T00:00:00Z", "3246-12-31T00:00:00Z", "6053-12-31T00:00:00Z"),
    *("9999-12-31T23:59:59.999Z", "9999-12-31T23:59:59-23:59"),
    *("10000-01-01T00:00:00Z", "-001-01-01T00:00:00Z", "2017-02-29T00:00:00Z"),
    *("2016-02-29T00:00:00Z", "2017-13-01T00:00:00Z", "2017-00-10T00:00:00Z"),
    *("2017-09-08T24:00:00Z", "2017-09-08T02:60:00Z", "2016-12-31T23:59:60Z"),
    *(
        "2017-09-08T02:00:00",
        "2017-09-08T02:00:00z",
        "2017-09-08t02:00:00Z",
        "2017-09-08 02:00:00Z",
    ),
    *("2017-09-08T02:00:00+08", "2017-09-08T02:00:00+0800", "2017-09-08T02:00:00+24:00"),
    *("2017-09-08T02:00:00+23:59", "2017-09-08T02:00:00-23:59", "2017-09-08T02:00:00-00:00"),
    *("2017-09-08T02:00:00.Z", "2017-09-08T02:00Z", "2017-W36-5T02:00:00Z", "20170908T020000Z"),
    *("\uff12017-09-08T02:00:00Z", "2017-09-08T02:00:0\u0665Z", "1504850000000", "", "now"),
]
TIMES: Final = ("time", "recorded_at", "received_at")
FIELDS: Final = (
    *("type", "id", "source", "waybill_no", "outlet_id", "parcel_category", "agreement_id"),
    *("courier_id", "destination_code", "route_type", "registration_id", "registration_mode"),
    *("verification_result", "id_doc_type", "channel", "is_backfill", "hub_id", "reason", "extra"),
    *TIMES,
)
TYPES: Final = (
    *("shipment.collected", "realname.registered", "realname.revoked", "waybill.voided"),
    *("hub.outbound_scanned", "stream.heartbeat", "shipment.Collected", ""),
)
KEYS: Final = [None, b"", b"\xff\xfe", b"\x00", b"W" * 300, "\u8fd0".encode() * 100]
STAMPS_MS: Final = (-1, 0, 1, 946_684_799_999, 2**31, 4_102_444_800_000, 32_503_679_999_999)
"""A broker's clock may stand anywhere from the epoch to the year 2999; -1 says that there is none."""
LEAPS: Final = 0.02
"""Of changed clocks so many let the partition's time leap: after that little is accepted any more."""

_Body = list[tuple[bytes, Token]]


def mutated(rng: random.Random, record: Sent, other: Sent) -> Sent:
    """Return a record with one to three things wrong, or with none that anybody would notice.

    `other` is a record that pieces may come from.
    """
    draw = rng.random()
    if draw < 0.05:
        return record._replace(key=rng.choice([*KEYS, other.key]))
    if draw < 0.05 + LEAPS / 4:
        return record._replace(received_ms=rng.choice(STAMPS_MS))
    value = record.value
    for _ in range(rng.choice((1, 1, 1, 2, 3))):
        if value is None:
            return record._replace(value=other.value)
        mutate = rng.choice(BYTES_MUTATIONS if rng.random() < 0.3 else _OF_FIELDS)
        value = mutate(rng, value, other.value or b"")
    return record._replace(value=value)


# What knows nothing of the form.


def _flip(rng: random.Random, value: bytes, _: bytes) -> bytes:
    changed = bytearray(value)
    for _bit in range(rng.choice((1, 1, 2, 8))):
        if changed:
            changed[rng.randrange(len(changed))] ^= 1 << rng.randrange(8)
    return bytes(changed)


def _cut(rng: random.Random, value: bytes, _: bytes) -> bytes:
    start, end = sorted((rng.randrange(len(value) + 1), rng.randrange(len(value) + 1)))
    return rng.choice((value[:start], value[end:], value[:start] + value[end:]))


def _insert(rng: random.Random, value: bytes, _: bytes) -> bytes:
    at = rng.randrange(len(value) + 1)
    pieces = [rng.choice(_BROKEN_UTF8), rng.randbytes(rng.randrange(9)), value[at:], b" " * 70_000]
    return value[:at] + rng.choices(pieces, (10, 5, 5, 1))[0] + value[at:]


def _splice(rng: random.Random, value: bytes, other: bytes) -> bytes:
    return value[: rng.randrange(len(value) + 1)] + other[rng.randrange(len(other) + 1) :]


# What knows that it is an object of fields.


def _change(rng: random.Random, body: _Body) -> None:
    tokens = rng.choices((_NUMBERS, _OTHER_TYPES, _TEXTS, _NESTED), (5, 5, 10, 1))[0]
    _put(rng, body, rng.choice(FIELDS), rng.choice(tokens))


def _break_text(rng: random.Random, body: _Body) -> None:
    name, token = rng.choice(body)
    at = rng.randrange(1, max(len(token), 2))
    body[body.index((name, token))] = name, token[:at] + rng.choice(_BROKEN_UTF8) + token[at:]


def _set_clock(rng: random.Random, body: _Body) -> None:
    name = TIMES[2] if rng.random() < LEAPS else rng.choice(TIMES[:2])
    _put(rng, body, name, _text(rng.choice(_INSTANTS)))


def _write_clock_otherwise(rng: random.Random, body: _Body) -> None:
    """Write the same instant in another way, or nearly the same."""
    places = [at for at, (name, _) in enumerate(body) if name.decode() in TIMES]
    if places:
        name, token = body[rng.choice(places)]
        ways = (b".0+", b".000+", b".123456789+", b"+", b"Z", b"-")
        again = token.replace(b"+", rng.choice(ways), 1)
        body[body.index((name, token))] = name, again


def _change_type(rng: random.Random, body: _Body) -> None:
    _put(rng, body, "type", _text(rng.choice(TYPES)))


def _drop(rng: random.Random, body: _Body) -> None:
    del body[rng.randrange(len(body))]


def _repeat(rng: random.Random, body: _Body) -> None:
    name, token = rng.choice(body)
    body.insert(rng.randrange(len(body) + 1), (name, rng.choice([token, *_OTHER_TYPES])))


def _shuffle(rng: random.Random, body: _Body) -> None:
    rng.shuffle(body)


def _exchange(rng: random.Random, body: _Body) -> None:
    one, other = rng.randrange(len(body)), rng.randrange(len(body))
    (name, token), (other_name, other_token) = body[one], body[other]
    body[one], body[other] = (name, other_token), (other_name, token)


def _put(rng: random.Random, body: _Body, name: str, token: Token) -> None:
    for at, (known, _) in enumerate(body):
        if known == name.encode():
            body[at] = known, token
            return
    body.insert(rng.randrange(len(body) + 1), (name.encode(), token))


def _of_fields(
    change: Callable[[random.Random, _Body], None],
) -> Callable[[random.Random, bytes, bytes], bytes]:
    def mutate(rng: random.Random, value: bytes, other: bytes) -> bytes:
        body = _body(value)
        if not body:
            return _flip(rng, value, other)
        change(rng, body)
        return b"{" + b",".join(b'"' + name + b'":' + token for name, token in body) + b"}"

    return mutate


def _body(value: bytes) -> _Body:
    """Return the fields of an object, none of anything else."""
    try:
        fields = json.loads(value)
    except (ValueError, RecursionError):
        return []
    if not isinstance(fields, dict):
        return []
    return [
        (name.encode("utf8", "replace"), json.dumps(content).encode())
        for name, content in fields.items()
    ]


Mutation = Callable[[random.Random, bytes, bytes], bytes]
BYTES_MUTATIONS: Final[Sequence[Mutation]] = (_flip, _cut, _insert, _splice)
_OF_FIELDS: Final[Sequence[Mutation]] = [
    *map(_of_fields, (_change, _change, _change, _break_text, _set_clock, _set_clock)),
    *map(_of_fields, (_write_clock_otherwise, _change_type, _drop, _repeat, _shuffle, _exchange)),
]
