"""From the dead letters to `records.rejected`: what of an enterprise's own records could not be used.

Counted by source, business day of arrival and reject code; each partition of the dead letters has its share,
and the total is their sum. A count is told when it has grown by a tenth, or ten minutes after it was last
told, so that a source that sends nothing but garbage makes some hundred events a day.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from streams.domain.window import DAY_MS, MINUTE_MS, day_of, day_text, instant_text
from streams.records import compliance, refusals
from streams.records.compliance import RejectedData, Sample, encode, event, key_of
from streams.records.refusals import Refusal
from streams.reference.types import ReferenceHistory
from streams.stages.compliance.telling import Entry, Told

SAMPLES_MAX: Final = 5
"""The first of a day: a producer's mistake looks the same each time."""
GROWTH_PERCENT: Final = 10
UNTOLD_MS_MAX: Final = 10 * MINUTE_MS
KEPT_MS: Final = 2 * DAY_MS


class Count(msgspec.Struct, array_like=True):
    """Refused records of one source, day and code.

    `told` is the count that was last told, `told_ms` the partition's time at that.
    """

    enterprise_id: str
    day: int
    first_ms: int
    last_ms: int
    samples: list[Sample]
    count: int = 0
    told: int = 0
    told_ms: int = 0


class RefusalsState(msgspec.Struct, array_like=True):
    """A snapshot."""

    clock_ms: int
    counts: list[tuple[str, str, Count]]


class RefusalsTeller:
    """One of the `shares` partitions of the dead letters."""

    def __init__(self, history: ReferenceHistory, *, share: int, shares: int) -> None:
        """Start with nothing counted."""
        self._history: Final = history
        self._share: Final = share
        self._shares: Final = shares
        self._clock_ms = 0
        self._counts: dict[tuple[str, int, str], Count] = {}

    def take(self, entry: Entry) -> Iterator[Told]:
        """Take in a refused record."""
        if entry.value is None:
            return
        refusal = refusals.decode(entry.value)
        yield from self._pass_time(refusal.received_ms)
        source = self._history.at(refusal.received_ms).sources.get(refusal.record_source)
        if source is None or source.enterprise_id is None:
            return
        day = day_of(refusal.received_ms)
        name = (refusal.record_source, day, refusal.code)
        count = self._counts.get(name)
        if count is None:
            received_ms = refusal.received_ms
            count = Count(source.enterprise_id, day, received_ms, received_ms, [])
            self._counts[name] = count
        _add(count, refusal)
        if count.count * 100 >= count.told * (100 + GROWTH_PERCENT):
            yield self._tell(name, count)

    def _pass_time(self, now_ms: int) -> Iterator[Told]:
        if now_ms // MINUTE_MS <= self._clock_ms // MINUTE_MS:
            return
        self._clock_ms = now_ms
        yield from self.beat(now_ms)
        gone = [name for name, count in self._counts.items() if count.last_ms < now_ms - KEPT_MS]
        for name in gone:
            del self._counts[name]

    def beat(self, now_ms: int) -> Iterator[Told]:
        """Tell the counts of which something has not been told for long enough."""
        for name, count in self._counts.items():
            if count.count > count.told and now_ms - count.told_ms >= UNTOLD_MS_MAX:
                yield self._tell(name, count)

    def _tell(self, name: tuple[str, int, str], count: Count) -> Told:
        record_source, day, code = name
        count.told, count.told_ms = count.count, self._clock_ms
        kind, date = compliance.RECORDS_REJECTED, day_text(day)
        subject = f"{compliance.FEED}|{record_source}"
        told = event(
            kind,
            key=key_of(kind, subject, date, code, str(self._share)),
            subject=subject,
            time=instant_text(count.last_ms),
            mark=str(count.count),
            data=encode(
                RejectedData(
                    record_source=record_source,
                    date=date,
                    code=code,
                    share=self._share,
                    shares=self._shares,
                    count=count.count,
                    first_at=instant_text(count.first_ms),
                    last_at=instant_text(count.last_ms),
                    samples=count.samples,
                )
            ),
            extensions={"correlationid": f"{subject}|{date}"},
        )
        return Told(count.enterprise_id, told)

    def snapshot(self) -> bytes:
        """Return all that it remembers."""
        counts = [(source, code, count) for (source, _, code), count in self._counts.items()]
        return msgspec.msgpack.encode(RefusalsState(self._clock_ms, counts))

    def restore(self, state: bytes) -> None:
        """Take back what `snapshot` returned."""
        found = msgspec.msgpack.decode(state, type=RefusalsState)
        self._clock_ms = found.clock_ms
        self._counts = {(source, count.day, code): count for source, code, count in found.counts}


def _add(count: Count, refusal: Refusal) -> None:
    count.count += 1
    count.first_ms = min(count.first_ms, refusal.received_ms)
    count.last_ms = max(count.last_ms, refusal.received_ms)
    if len(count.samples) < SAMPLES_MAX:
        received_at = instant_text(refusal.received_ms)
        sample = Sample(refusal.waybill_masked, refusal.path, received_at, refusal.place)
        count.samples.append(sample)
