"""Plays JSON lines through the stages without Kafka, and gives out what can change no more.

What it holds is bounded by time, not by the length of the file: open parcels, the day records of the
days that may still change, and the missing parcels that may still be registered.
"""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import msgspec
import orjson

from streams.cli.show import Row
from streams.domain.personal import masked
from streams.domain.policy import Policy
from streams.domain.window import (
    DAY_MS,
    day_of,
    day_start_ms,
    day_text,
    instant_from_text,
    instant_text,
    tick_at_or_after,
)
from streams.records.topics import ALERTS, DAYS, PARCELS_MISSING
from streams.reference.types import ReferenceHistory
from streams.stages.match.hash_key import UNKEYED, HashKey
from streams.stages.pipeline import BATCH_RECORDS, LogRecord, Pipeline, heartbeat
from streams.stages.stage import Output
from streams.stages.windows import DAYS_BEHIND

QUIET_DAYS_MAX: Final = 2 * DAYS_BEHIND
"""Days without records that are gone through one by one: after them nothing is open any more."""


class Found(NamedTuple):
    """One finding: a settled day, a change of an alert, a missing parcel or a refused line."""

    kind: str
    row: Row


class _Head(msgspec.Struct):
    waybill_no: str | None = None
    recorded_at: str | None = None
    received_at: str | None = None


_head: Final = msgspec.json.Decoder(_Head).decode
_NO_HEAD: Final = _Head()


@dataclass(slots=True)
class _Lines:
    """Lines that are taken in at once. None is received on a later day than the first, which, if it
    begins a day, says when.
    """  # noqa: D205 (the second sentence is of the same kind)

    numbers: list[int] = field(default_factory=list)
    records: list[LogRecord] = field(default_factory=list)
    received_ms: int | None = None


class Replay:
    """One play of one file: `play` its lines, then `end`."""

    def __init__(
        self,
        policy: Policy,
        history: ReferenceHistory,
        *,
        wanted: Callable[[bytes], bool] = lambda _: True,
        key: HashKey = UNKEYED,
    ) -> None:
        """Start empty. Day records whose key (`granularity|scope|date`) is not wanted are dropped."""
        self._policy = policy
        self._pipeline = Pipeline(policy, history, key=key)
        self._wanted = wanted
        self._days: dict[bytes, bytes] = {}
        self._missing: dict[bytes, bytes] = {}
        self.lines = 0

    def play(self, lines: Iterable[bytes]) -> Iterator[Found]:
        """Take in lines in their order; yield what they lead to as soon as it is settled.

        Blank lines are passed over. A line's key is its waybill, so that no line's key is wrong.

        Raises:
            TooManyRejects: Most of what comes in is refused.
        """
        for taken in _in_batches(lines):
            if taken.received_ms is not None:
                yield from self._pass_midnights(taken.received_ms)
            self.lines += len(taken.numbers)
            yield from self._emit(self._pipeline.take(taken.records, publish=False))
            yield from self._refused(taken)

    def end(self, until_ms: int | None) -> Iterator[Found]:
        """Let time pass up to an instant, and yield all the rest.

        Without an instant, just as long as it takes until the last line counts.
        """
        stream_ms = self._pipeline.stream_time_ms
        if stream_ms:
            if until_ms is None:
                until_ms = tick_at_or_after(stream_ms + self._policy.disorder_ms)
            yield from self._pass_midnights(until_ms)
            yield from self._emit(self._pipeline.pass_time(until_ms))
        yield from self._settled_days(lambda _: True)
        yield from self._settled_missing(lambda _: True)

    def _pass_midnights(self, until_ms: int) -> Iterator[Found]:
        """Let time pass day by day, and take over each day's records before they are forgotten.

        A heartbeat received before the next record changes no figure.
        """
        now_ms = self._pipeline.stream_time_ms
        if not now_ms:
            return
        first = day_of(now_ms) + 1
        for day in range(first, min(day_of(until_ms), first + QUIET_DAYS_MAX) + 1):
            beat = heartbeat(day_start_ms(day))
            yield from self._emit(self._pipeline.take([beat], publish=True))
            yield from self._settle(day)

    def _settle(self, today: int) -> Iterator[Found]:
        last = day_text(today - DAYS_BEHIND - 1)
        yield from self._settled_days(lambda key: _date_of(key) < last)
        # Behind the final close nobody takes a missing parcel back.
        closed = instant_text(day_start_ms(today) - self._policy.final_close_ms - DAY_MS)
        yield from self._settled_missing(lambda parcel: parcel["missing_since"] < closed)

    def _emit(self, outputs: Sequence[Output]) -> Iterator[Found]:
        for output in outputs:
            assert output.key is not None
            if output.topic == ALERTS and output.value is not None:
                yield Found("alert", orjson.loads(output.value))
            elif output.topic == DAYS and output.value is not None:
                if self._wanted(output.key):
                    self._days[output.key] = output.value
            elif output.topic == PARCELS_MISSING:
                if output.value is None:
                    self._missing.pop(output.key, None)
                else:
                    self._missing[output.key] = output.value

    def _settled_days(self, settled: Callable[[bytes], bool]) -> Iterator[Found]:
        for key in sorted((k for k in self._days if settled(k)), key=lambda k: (_date_of(k), k)):
            yield Found("day", orjson.loads(self._days.pop(key)))

    def _settled_missing(self, settled: Callable[[dict[str, Any]], bool]) -> Iterator[Found]:
        for key, value in list(self._missing.items()):
            parcel = orjson.loads(value)
            if settled(parcel):
                del self._missing[key]
                yield Found("missing", parcel)

    def _refused(self, taken: _Lines) -> Iterator[Found]:
        for letter in self._pipeline.dead_letters:
            record, reject = letter
            row = {
                "line": taken.numbers[reject.index],
                "code": reject.code.value,
                "path": reject.path,
                "source": reject.source,
                "sample": masked(record.key.decode()) if record.key else None,
            }
            yield Found("reject", row)
        self._pipeline.dead_letters.clear()


def _in_batches(lines: Iterable[bytes]) -> Iterator[_Lines]:
    """Put lines together, until there are many or another day begins."""
    batch = _Lines()
    date = ""
    for number, line in enumerate(lines, start=1):
        value = line.strip()
        if not value:
            continue
        try:
            head = _head(value)
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
            head = _NO_HEAD
        received_at = head.received_at or head.recorded_at or ""
        received_ms = _instant(received_at) if received_at[:10] > date else None
        if received_ms is not None or len(batch.numbers) >= BATCH_RECORDS:
            yield batch
            batch = _Lines(received_ms=received_ms)
        if received_ms is not None:
            date = received_at[:10]
        key = head.waybill_no.encode() if head.waybill_no else None
        batch.numbers.append(number)
        batch.records.append(LogRecord(key, value))
    yield batch


def _instant(text: str) -> int | None:
    try:
        return instant_from_text(text)
    except ValueError:
        return None  # The line itself will be refused for it.


def _date_of(key: bytes) -> str:
    return key.rpartition(b"|")[2].decode()
