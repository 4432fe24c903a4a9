"""The state log without Kafka: what is written is read back, and what is missing is noticed."""

from collections.abc import Sequence

import msgspec
import pytest

from streams.kafka.state_log import (
    FORMAT,
    Kind,
    LogReader,
    LogRecord,
    StateDamaged,
    changes,
    decode,
    encode,
    snapshot,
)


class Letters:
    """A state that is a list of payloads."""

    def __init__(self) -> None:
        self.held: list[bytes] = []

    def restore_snapshot(self, chunks: Sequence[bytes]) -> None:
        self.held = list(chunks)

    def restore_delta(self, payload: bytes) -> None:
        self.held.append(payload)


def read(values: Sequence[bytes | None], *, truncated: bool = False) -> tuple[Letters, LogReader]:
    letters = Letters()
    reader = LogReader(letters, truncated=truncated)
    for value in values:
        reader.take(value)
    reader.finish()
    return letters, reader


ONE = changes(0, 5, [b"a"])
TWO = changes(5, 9, [b"b", b"c"])
NONE = changes(9, 12, [])
SNAPSHOT = list(snapshot(9, [b"x", b"y"]))
EMPTY_SNAPSHOT = list(snapshot(9, []))

READABLE = [
    ("an empty log is an empty state at no offset", [], [], None),
    ("changes are applied in order", [*ONE, *TWO], [b"a", b"b", b"c"], 9),
    ("a flush without changes moves the offset", [*ONE, *TWO, *NONE], [b"a", b"b", b"c"], 12),
    ("the first record may begin anywhere", TWO, [b"b", b"c"], 9),
    ("a snapshot replaces what came before", [*ONE, *TWO, *SNAPSHOT], [b"x", b"y"], 9),
    ("changes go on after a snapshot", [*SNAPSHOT, *NONE], [b"x", b"y"], 12),
    ("a snapshot of nothing is empty", [*ONE, *TWO, *EMPTY_SNAPSHOT], [], 9),
    ("the last snapshot counts", [*EMPTY_SNAPSHOT, *SNAPSHOT], [b"x", b"y"], 9),
]


@pytest.mark.parametrize(("_why", "values", "held", "offset"), READABLE, ids=lambda v: str(v)[:50])
def test_a_log_is_read_back(
    _why: str, values: Sequence[bytes], held: Sequence[bytes], offset: int | None
) -> None:
    letters, reader = read(values)
    assert letters.held == held
    assert reader.next_offset == offset


DAMAGED: list[tuple[str, Sequence[bytes | None], str]] = [
    ("a flush is missing", [*ONE, *NONE], "a gap"),
    ("a flush is there twice", [*ONE, *ONE], "a gap"),
    ("the first part of a flush is missing", [*ONE, TWO[1]], "part of a flush"),
    ("the last part of a flush is missing", [TWO[0]], "in the middle"),
    ("another flush begins inside one", [TWO[0], *NONE], "part of a flush"),
    ("a snapshot begins inside a flush", [TWO[0], *SNAPSHOT], "part of a flush"),
    ("a snapshot has lost a chunk", [SNAPSHOT[0], SNAPSHOT[2], SNAPSHOT[3]], "part of a snapshot"),
    ("a snapshot has lost its last chunk", [*SNAPSHOT[:2], SNAPSHOT[3]], "part of a snapshot"),
    ("a snapshot has lost its begin mark", SNAPSHOT[1:], "part of a snapshot"),
    ("a snapshot has lost its end mark", SNAPSHOT[:3], "in the middle"),
    ("a change stands inside a snapshot", [*SNAPSHOT[:3], *NONE], "end of a snapshot"),
    ("a snapshot is of an older state", [*ONE, *TWO, *NONE, *SNAPSHOT], "a gap"),
    ("a record is empty", [None], "empty record"),
    ("a record is something else", [bytes([FORMAT]) + b"\xc1"], "no log record"),
    ("a record is of a newer format", [bytes([FORMAT + 1]) + ONE[0][1:]], "format"),
]


@pytest.mark.parametrize(("_why", "values", "told"), DAMAGED, ids=lambda v: str(v)[:50])
def test_damage_is_noticed(_why: str, values: Sequence[bytes | None], told: str) -> None:
    with pytest.raises(StateDamaged, match=told):
        read(values)


def test_a_log_whose_beginning_was_deleted_must_begin_with_a_snapshot() -> None:
    letters, _ = read(SNAPSHOT, truncated=True)
    assert letters.held == [b"x", b"y"]
    with pytest.raises(StateDamaged, match="deleted"):
        read(TWO, truncated=True)


def test_the_sizes_tell_when_a_snapshot_is_due() -> None:
    _, reader = read([*ONE, *TWO, *SNAPSHOT, *NONE])
    assert reader.snapshot_bytes == sum(map(len, SNAPSHOT))
    assert reader.bytes_since_snapshot == sum(map(len, NONE))


def test_a_record_costs_a_few_bytes_beside_its_payload() -> None:
    record = LogRecord(Kind.CHANGE, 2**40, 2**40 + 200_000, 0, 1, bytes(100))
    assert decode(encode(record)) == record
    assert len(encode(record)) - 100 <= 26


def test_a_record_names_its_format_in_its_first_byte() -> None:
    assert ONE[0][0] == FORMAT
    assert msgspec.msgpack.decode(ONE[0][1:]) == [Kind.CHANGE, 0, 5, 0, 1, b"a"]


def test_whatever_a_state_makes_of_what_it_is_given_the_log_is_to_be_looked_at() -> None:
    class Choosy(Letters):
        def restore_delta(self, payload: bytes) -> None:
            raise (KeyError if payload == b"a" else ValueError)(payload)

    with pytest.raises(StateDamaged, match=r"cannot be taken in \(KeyError\)"):
        LogReader(Choosy()).take(ONE[0])
    with pytest.raises(ValueError, match="b"):
        LogReader(Choosy()).take(TWO[0])
