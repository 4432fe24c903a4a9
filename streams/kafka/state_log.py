"""The state log of one partition: what it says, how it is written, and how a state is rebuilt from it.

A log is a sequence of changes and snapshots. Each change says from and to which input offset it leads,
so a missing one is seen. A snapshot stands between a begin and an end mark, all in one transaction;
whoever reads a begin mark may forget what came before. Nothing here does I/O.

The first byte of a record is the version of its form: this program reads the version before its own.
"""

from collections.abc import Callable, Iterator, Sequence
from enum import IntEnum
from typing import Final, Protocol

import msgspec

FORMAT: Final = 1
FORMATS_READ: Final = frozenset({1})
RECORD_BYTES_MAX: Final = 900_000
"""Limit of a payload: a broker takes 1 MiB by default, and the frame needs a little."""


class Kind(IntEnum):
    """What a record of a state log is."""

    OFFSETS = 0  # Nothing changed but the input offset reached.
    CHANGE = 1
    SNAPSHOT_BEGIN = 2
    SNAPSHOT_CHUNK = 3
    SNAPSHOT_END = 4


class LogRecord(msgspec.Struct, array_like=True, frozen=True):
    """One record of a state log.

    Attributes:
        kind: What it is.
        from_offset: First input offset that it covers; the state before it was at this offset.
        to_offset: First input offset that the state after it does not contain.
        part: Number of this record in its flush or snapshot, from 0.
        parts: How many records the flush has, or how many chunks the snapshot.
        payload: What the stage gave; empty in marks.

    """

    kind: Kind
    from_offset: int
    to_offset: int
    part: int
    parts: int
    payload: bytes


class StateDamaged(Exception):  # noqa: N818 (it states a fact about the log)
    """A state log cannot be read to its end: a gap, a damaged record, or an unknown format.

    Reading it again gives the same. The message says what is wrong; whoever knows which stage and
    partition it belongs to adds what to do.
    """


class Restorable(Protocol):
    """The part of a stage that a log needs.

    It raises ValueError for what it cannot read, or may not go on from with its settings; the message
    says why, and what to do if anything.
    """

    def restore_snapshot(self, chunks: Sequence[bytes]) -> None:
        """Replace the state with what a snapshot gave."""
        ...

    def restore_delta(self, payload: bytes) -> None:
        """Apply one change."""
        ...


_FRAME: Final = bytes([FORMAT])
_encoder: Final = msgspec.msgpack.Encoder()
_decoder: Final = msgspec.msgpack.Decoder(LogRecord)


def encode(record: LogRecord) -> bytes:
    """Return the value of a log record."""
    assert len(record.payload) <= RECORD_BYTES_MAX, "a stage's payload is over the limit"
    return _FRAME + _encoder.encode(record)


def decode(value: bytes | None) -> LogRecord:
    """Return what `encode` made.

    Raises:
        StateDamaged: It is not a record of a log, or one of a format that this program does not read.

    """
    if not value:
        raise StateDamaged("an empty record")
    if value[0] not in FORMATS_READ:
        raise StateDamaged(
            f"a record of format {value[0]}, while this program reads up to {FORMAT}: "
            "run the version that wrote it"
        )
    try:
        return _decoder.decode(memoryview(value)[1:])
    except msgspec.MsgspecError as error:
        raise StateDamaged(f"a record that is no log record ({error})") from error


def changes(from_offset: int, to_offset: int, payloads: Sequence[bytes]) -> list[bytes]:
    """Return the values that one flush adds to the log: at least one, so that the offset is named."""
    if not payloads:
        return [encode(LogRecord(Kind.OFFSETS, from_offset, to_offset, 0, 1, b""))]
    count = len(payloads)
    return [
        encode(LogRecord(Kind.CHANGE, from_offset, to_offset, part, count, payload))
        for part, payload in enumerate(payloads)
    ]


def snapshot(offset: int, chunks: Sequence[bytes]) -> Iterator[bytes]:
    """Yield the values of a snapshot of the state at `offset`: begin mark, chunks, end mark."""
    count = len(chunks)
    yield encode(LogRecord(Kind.SNAPSHOT_BEGIN, offset, offset, 0, count, b""))
    for part, chunk in enumerate(chunks):
        yield encode(LogRecord(Kind.SNAPSHOT_CHUNK, offset, offset, part, count, chunk))
    yield encode(LogRecord(Kind.SNAPSHOT_END, offset, offset, count, count, b""))


class LogReader:
    """Rebuilds one state from its log, record by record in log order.

    `truncated` tells that the log's first records have been deleted, so that it must begin with a
    snapshot. After a StateDamaged the state is of no use.

    Attributes:
        next_offset: The input offset that the state has reached; None before the first record.
        bytes_since_snapshot: Bytes of log since the last whole snapshot, or since the beginning.
        snapshot_bytes: Bytes of the last whole snapshot; 0 without one.

    """

    def __init__(self, state: Restorable, *, truncated: bool = False) -> None:
        self._state = state
        self._must_begin = truncated
        self._chunks: list[bytes] | None = None
        self._chunks_bytes = 0
        self._unfinished: LogRecord | None = None
        self.next_offset: int | None = None
        self.bytes_since_snapshot = 0
        self.snapshot_bytes = 0

    def take(self, value: bytes | None) -> None:
        """Take in the next record.

        Raises:
            StateDamaged: The record does not follow on the one before, or cannot be read.
            ValueError: The state refuses what the log holds.

        """
        record = decode(value)
        size = len(value or b"")
        if self._must_begin and record.kind is not Kind.SNAPSHOT_BEGIN:
            raise StateDamaged("its beginning has been deleted and no snapshot stands there")
        self._must_begin = False
        if record.kind is Kind.SNAPSHOT_BEGIN:
            self._check_follows(record)
            self._chunks, self._chunks_bytes = [], size
        elif record.kind in (Kind.SNAPSHOT_CHUNK, Kind.SNAPSHOT_END):
            self._take_snapshot(record, size)
        else:
            self._take_change(record, size)

    def finish(self) -> None:
        """Say that the log has been read to its end.

        Raises:
            StateDamaged: It ends in the middle of a flush or a snapshot.

        """
        if self._chunks is not None or self._unfinished is not None:
            raise StateDamaged("it ends in the middle of what one transaction wrote")

    def _take_snapshot(self, record: LogRecord, size: int) -> None:
        chunks = self._chunks
        if chunks is None or record.part != len(chunks):
            raise StateDamaged("a part of a snapshot is missing")
        self._chunks_bytes += size
        if record.kind is Kind.SNAPSHOT_CHUNK:
            chunks.append(record.payload)
            return
        if record.parts != len(chunks):
            raise StateDamaged("a part of a snapshot is missing")
        self._hand_over(lambda: self._state.restore_snapshot(chunks))
        self.next_offset = record.to_offset
        self.snapshot_bytes, self.bytes_since_snapshot = self._chunks_bytes, 0
        self._chunks = None

    def _take_change(self, record: LogRecord, size: int) -> None:
        if self._chunks is not None:
            raise StateDamaged("the end of a snapshot is missing")
        if self._unfinished is None:
            self._check_follows(record)
        before = self._unfinished
        expected = record if before is None else before
        same = (record.from_offset, record.to_offset, record.parts) == (
            expected.from_offset,
            expected.to_offset,
            expected.parts,
        )
        if not same or record.part != (0 if before is None else before.part + 1):
            raise StateDamaged("a part of a flush is missing")
        if record.kind is Kind.CHANGE:
            self._hand_over(lambda: self._state.restore_delta(record.payload))
        self.bytes_since_snapshot += size
        self._unfinished = record
        if record.part == record.parts - 1:
            self._unfinished = None
            self.next_offset = record.to_offset

    @staticmethod
    def _hand_over(restore: Callable[[], None]) -> None:
        try:
            restore()
        except ValueError:
            raise
        except Exception as error:
            # Reading it again would give the same, whatever it is, and help is found in the same way.
            name = type(error).__name__
            raise StateDamaged(f"what stands in it cannot be taken in ({name})") from error

    def _check_follows(self, record: LogRecord) -> None:
        if self._unfinished is not None:
            raise StateDamaged("a part of a flush is missing")
        if self.next_offset is not None and record.from_offset != self.next_offset:
            raise StateDamaged(
                f"a gap: it has reached input offset {self.next_offset}, "
                f"and the next record goes on at {record.from_offset}"
            )
