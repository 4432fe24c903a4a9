"""Bodies are unpacked up to their limits and taken apart; nothing beyond a limit is ever held."""

import gzip
import tracemalloc
import zlib

import pytest

from streams.gateway.batches import (
    BYTES_MAX,
    PACKED_BYTES_MAX,
    RECORDS_MAX,
    Form,
    NotReadable,
    TooLarge,
    Unpacker,
    records_of,
)
from streams.gateway.budget import Budget, NoRoom

BODIES: list[tuple[str, Form, bytes, list[bytes]]] = [
    ("lines", "ndjson", b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
    ("lines of another system", "ndjson", b'{"a":1}\r\n\r\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
    ("a line that is no JSON is a record all the same", "ndjson", b"{\n[]", [b"{", b"[]"]),
    ("nothing", "ndjson", b"", []),
    ("an array", "json", b'[{"a":1}, {"b":[2]} ]', [b'{"a":1}', b'{"b":[2]}']),
    ("an array of anything", "json", b'[1,"x",null]', [b"1", b'"x"', b"null"]),
    ("an empty array", "json", b"[]", []),
]


@pytest.mark.parametrize(
    ("what", "form", "body", "records"), BODIES, ids=[case[0] for case in BODIES]
)
def test_a_body_is_taken_apart(what: str, form: Form, body: bytes, records: list[bytes]) -> None:
    assert list(records_of(body, form)) == records, what


@pytest.mark.parametrize("body", [b"", b"{}", b"[1", b"[1]]", b"[" * 100_000])
def test_what_is_no_array_is_not_readable(body: bytes) -> None:
    with pytest.raises(NotReadable):
        records_of(body, "json")


@pytest.mark.parametrize(
    ("form", "body"),
    [("ndjson", b"1\n" * (RECORDS_MAX + 1)), ("json", b"[1" + b",1" * RECORDS_MAX + b"]")],
)
def test_more_records_than_are_taken_are_too_many(form: Form, body: bytes) -> None:
    with pytest.raises(TooLarge):
        records_of(body, form)


def unpacked(*pieces: bytes, packed: bool = True) -> bytes:
    unpacker = Unpacker(gzip=packed)
    for piece in pieces:
        unpacker.take(piece)
    return unpacker.body()


GZIPPED = gzip.compress(b"some body")
BOMB = gzip.compress(b"\0" * (200 * 1024 * 1024))


def test_a_body_is_unpacked_however_it_comes() -> None:
    assert unpacked(GZIPPED) == b"some body"
    assert unpacked(*(bytes([byte]) for byte in GZIPPED), b"") == b"some body"
    assert unpacked(b"some ", b"body", packed=False) == b"some body"
    assert unpacked(gzip.compress(b"x" * BYTES_MAX)) == b"x" * BYTES_MAX


BAD = [
    ("no gzip", b"some body", NotReadable),
    ("zlib without gzip's header", zlib.compress(b"some body"), NotReadable),
    ("a gzip cut off", GZIPPED[:-9], NotReadable),
    ("its checksum wrong", GZIPPED[:-8] + b"\0" * 8, NotReadable),
    ("a second member", GZIPPED + GZIPPED, NotReadable),
    ("something behind it", GZIPPED + b"GET / HTTP/1.1", NotReadable),
    ("one byte more than is taken", gzip.compress(b"x" * (BYTES_MAX + 1)), TooLarge),
    ("a bomb", BOMB, TooLarge),
    ("a bomb in a bomb", gzip.compress(BOMB + b"\0" * (BYTES_MAX + 1)), TooLarge),
]


@pytest.mark.parametrize(("what", "body", "error"), BAD, ids=[case[0] for case in BAD])
def test_a_bad_gzip_is_refused(what: str, body: bytes, error: type[Exception]) -> None:
    with pytest.raises(error):
        unpacked(body)


def test_more_bytes_than_are_taken_are_too_many_whatever_is_in_them() -> None:
    for packed in (True, False):
        with pytest.raises(TooLarge):
            unpacked(GZIPPED[:3], b"x" * PACKED_BYTES_MAX, packed=packed)


def test_of_a_bomb_no_more_than_the_limit_is_ever_unpacked() -> None:
    tracemalloc.start()
    try:
        with pytest.raises(TooLarge):
            unpacked(BOMB)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert peak < 3 * BYTES_MAX


BUDGETS: list[tuple[str, list[tuple[str, int]], bool]] = [
    ("room for both", [("a", 50), ("b", 50)], True),
    ("one holds at most half", [("a", 51)], False),
    ("also in several requests", [("a", 30), ("a", 21)], False),
    ("the whole is the limit", [("a", 50), ("b", 49), ("c", 2)], False),
]


@pytest.mark.parametrize(("what", "taken", "room"), BUDGETS, ids=[case[0] for case in BUDGETS])
def test_a_budget_is_shared(what: str, taken: list[tuple[str, int]], room: bool) -> None:
    budget = Budget(100)
    leases = [(budget.lease(by), size) for by, size in taken]
    try:
        for lease, size in leases:
            lease.grow_to(size)
    except NoRoom:
        assert not room, what
    else:
        assert room, what
    for lease, _ in leases:
        lease.__exit__(None, None, None)
    assert budget.held == 0


def test_a_lease_is_given_back_whatever_happens() -> None:
    budget = Budget(100)
    with budget.lease("a") as lease:
        lease.grow_to(40)
        lease.grow_to(20)
        assert budget.held == 40
        with pytest.raises(NoRoom):
            lease.grow_to(60)
        assert budget.held == 40
    assert budget.held == 0
    budget.take("a", 50)
