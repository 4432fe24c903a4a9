"""The three stages in one process without Kafka, for `realname replay`, the simulator's checks and tests.

It drives the same stages as the workers do, through the same `Stage` protocol; what differs is only that
a transaction is a function call. One partition of each topic is enough, since figures do not depend on
the number of partitions as long as records are less than `policy.disorder_ms` out of order.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Final, NamedTuple

from streams.domain.policy import Policy
from streams.domain.window import instant_text
from streams.records import topics
from streams.records.rejects import Reject
from streams.reference.types import ReferenceHistory
from streams.stages.match import Clock, MatchPartition
from streams.stages.match.hash_key import UNKEYED, HashKey
from streams.stages.rate import RatePartition
from streams.stages.rollup import RollupPartition
from streams.stages.stage import Batch, Output, Stage

BATCH_RECORDS: Final = 10_000


class LogRecord(NamedTuple):
    """One record of a `shipments` log. `timestamp_ms` is Kafka's, and counts with `clock = wall` only."""

    key: bytes | None
    value: bytes | None
    timestamp_ms: int = 0


class DeadLetter(NamedTuple):
    """A refused record, whole, with the reason."""

    record: LogRecord
    reject: Reject


@dataclass(slots=True)
class _Link:
    """A stage and how many records it has been given."""

    stage: Stage
    offset: int = 0

    def apply(self, records: Sequence[LogRecord]) -> list[Reject]:
        offsets = range(self.offset, self.offset + len(records))
        self.offset = offsets.stop
        return self.stage.apply(
            Batch(
                offsets,
                [record.key for record in records],
                [record.value for record in records],
                [record.timestamp_ms for record in records],
            )
        )

    def drain(self, *, publish: bool) -> list[Output]:
        outputs = self.stage.drain(publish=publish).outputs
        self.stage.committed()
        return outputs


class Pipeline:
    """Takes records in, gives out what would be on the topics that leave the system.

    Each call hands what is due on through all stages before it returns, in order; so the outputs of
    one call follow from the records of this call and those before.
    """

    def __init__(
        self,
        policy: Policy,
        history: ReferenceHistory,
        *,
        clock: Clock = "data",
        key: HashKey = UNKEYED,
    ) -> None:
        """Start with nothing taken in. `history` may grow later; by `key` closed parcels are remembered."""
        self._policy = policy
        self._shipments = MatchPartition(
            0, policy, history, counts_partitions=1, clock=clock, key=key
        )
        self._match = _Link(self._shipments)
        self._rate = _Link(RatePartition(0, policy, history, sources=1))
        self._rollup = _Link(RollupPartition(policy, history, sources=1))
        self.dead_letters: list[DeadLetter] = []

    @property
    def stream_time_ms(self) -> int:
        """The watermark of what was taken in, in epoch milliseconds; 0 before the first record."""
        return self._shipments.stream_time_ms

    def take(self, records: Iterable[LogRecord], *, publish: bool = True) -> list[Output]:
        """Take in records in the order of their log; return the outputs of all stages.

        Refused ones are appended to `dead_letters`. Without `publish` the current rates and days stay
        due until a later call; alerts and missing parcels come out all the same.
        """
        outputs: list[Output] = []
        iterator = iter(records)
        while batch := list(islice(iterator, BATCH_RECORDS)):
            rejects = self._match.apply(batch)
            self.dead_letters += [DeadLetter(batch[reject.index], reject) for reject in rejects]
            outputs += self._flush(publish=False)
        return outputs + self._flush(publish=publish)

    def pass_time(self, until_ms: int, *, publish: bool = True) -> list[Output]:
        """Let time pass without records, until all ticks at or before `until_ms` are over."""
        return self.take([heartbeat(self._policy.beat_ms(until_ms))], publish=publish)

    def _flush(self, *, publish: bool) -> list[Output]:
        leaving: list[Output] = []
        links = (self._match, self._rate, self._rollup)
        for link, following in zip(links, (self._rate, self._rollup, None), strict=True):
            passed = []
            for output in link.drain(publish=publish):
                if output.topic in (topics.COUNTS, topics.TOTALS):
                    passed.append(LogRecord(output.key, output.value))
                else:
                    leaving.append(output)
            if following is not None and passed:
                following.apply(passed)
        return leaving


def heartbeat(received_ms: int) -> LogRecord:
    """Return a heartbeat that was received at an instant, by either clock."""
    text = instant_text(received_ms)
    value = f'{{"type":"stream.heartbeat","received_at":"{text}"}}'.encode()
    return LogRecord(None, value, received_ms)
