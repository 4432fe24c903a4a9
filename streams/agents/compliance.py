"""The runner of the compliance stage: several topics in, a topic for each enterprise out.

What is particular about it: its inputs are numbered through; of a dead letter the stage gets the facts and
never the record; and a topic must exist before the transaction that writes to it.
"""

import logging
import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from confluent_kafka import Message
from confluent_kafka.admin import AdminClient

from streams.agents.runner import PartitionBatch, Runner
from streams.domain.personal import masked
from streams.kafka import dead_letters
from streams.kafka.clock import now_ms
from streams.kafka.consumer import GroupConsumer, Polled, consumer_config
from streams.kafka.dead_letters import headers_of
from streams.kafka.errors import AuthorizationFailed, TopicMissing
from streams.kafka.joint import Inputs, JointConsumer
from streams.kafka.topics import create_topics, require_topics
from streams.records.refusals import Refusal, encode
from streams.records.topics import SHIPMENTS_DLQ, Topic
from streams.stages.compliance.partition import CompliancePartition

LOGGER: Final = logging.getLogger(__name__)

BEAT_EVERY_S: Final = 30.0
QUIET_S: Final = 30.0
"""From so long at its end on, a partition is quiet, as for heartbeats."""

GIVE_WAY: Final = 10
"""How many times as long as a step took it waits, up to `GIVE_WAY_S`, while figures are behind."""
GIVE_WAY_S: Final = 5.0
LOOK_S: Final = 0.2

Topics = Callable[[], Sequence[Topic]]


class ComplianceRunner(Runner):
    """Runs the compliance stage.

    Args:
        inputs: The partitions of what it reads.
        topics: Asked for the enterprises' topics whenever the reference data have changed.
        beats: Whether the wall clock counts where a partition has been at its end for a while.
        gives_way: Whether the stages that make the figures are catching up in this process. They share
            its interpreter, and what is told of figures that are behind can wait.
        more: As of every runner.

    """

    def __init__(
        self,
        *of: Any,  # noqa: ANN401 (as the base)
        inputs: Inputs,
        topics: Topics,
        beats: bool,
        gives_way: Callable[[], bool] = lambda: False,
        **more: Any,  # noqa: ANN401 (the same)
    ) -> None:
        """Connect; nothing is read before `start`."""
        self._inputs: Final = inputs
        self._topics: Final = topics
        self._beats: Final = beats
        self._gives_way: Final = gives_way
        self._beaten_s = 0.0
        self._busy_s: dict[int, float] = {}  # When a partition was last seen with records left.
        self._made: frozenset[str] = frozenset()
        self._seen_version = -1
        super().__init__(*of, **more)

    def _new_consumer(self) -> GroupConsumer:
        config = self._config
        return JointConsumer(
            consumer_config(config.client, group=self._id(), instance=config.slot),
            inputs=self._inputs,
            handler=self,
            end_process=config.end_process,
        )

    def step(self, hand_over: Callable[[Sequence[PartitionBatch]], None]) -> None:
        """Do one round, and leave a long pause behind it where others need the time."""
        begun_s = self._now_s()
        super().step(hand_over)
        now_s = self._now_s()
        until_s = now_s + min(GIVE_WAY * (now_s - begun_s), GIVE_WAY_S)
        while self._gives_way() and not self._stopping and self._now_s() < until_s:
            time.sleep(LOOK_S)

    def _work(self, polled: Polled, hand_over: Callable[[Sequence[PartitionBatch]], None]) -> None:
        self._reference.poll()
        if self._reference.version != self._seen_version:
            self._make_topics()
            self._seen_version = self._reference.version
        self._beat()
        super()._work(polled, hand_over)

    def _beat(self) -> None:
        """Tell the time where nothing has come for a while; the next flush has what comes of it."""
        now_s = self._now_s()
        for partition, owned in self._owned.items():
            if not owned.at_end:
                self._busy_s[partition] = now_s
        if not self._beats or now_s - self._beaten_s < BEAT_EVERY_S:
            return
        self._beaten_s = now_s
        for partition, owned in self._owned.items():
            quiet_s = now_s - self._busy_s.setdefault(partition, now_s)
            stage = owned.stage
            assert isinstance(stage, CompliancePartition)
            if quiet_s >= QUIET_S and stage.beat(now_ms()):
                owned.unpublished = True

    def _make_topics(self) -> None:
        """Create what enterprises have no topic yet: one that is missing would hold up all others."""
        wanted = {topic.name: topic for topic in self._topics() if topic.name not in self._made}
        if not wanted:
            return
        admin = AdminClient(dict(self._config.client))
        try:
            require_topics(admin, wanted)
        except TopicMissing as missing:
            # A worker need not be allowed to create any: then an operator does.
            try:
                report = create_topics(admin, wanted, replication_factor=-1)
            except AuthorizationFailed:
                raise missing from None
            LOGGER.info("%s: created %s", self._plan.name, ", ".join(report.created))
        self._made |= wanted.keys()

    def apply(self, batches: Sequence[PartitionBatch]) -> None:
        """Apply what `step` handed over, dead letters as what may be told of them."""
        letters = self._config.prefix + SHIPMENTS_DLQ
        for item in batches:
            topic, _ = self._inputs.place(item.fetched.partition)
            if topic == letters:
                values = [encode(refusal_of(message)) for message in item.fetched.messages]
                item.batch = item.batch._replace(keys=[None] * len(values), values=values)
        super().apply(batches)


def refusal_of(message: Message) -> Refusal:
    """Return what may be told of a dead letter."""
    told = {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value or ""
        for name, value in headers_of(message)
    }
    key = message.key()
    received = told.get(dead_letters.TIMESTAMP, "")
    _, written_ms = message.timestamp()
    partition = told.get(dead_letters.PARTITION, "?")
    offset = told.get(dead_letters.OFFSET, "?")
    return Refusal(
        record_source=told.get(dead_letters.SOURCE, ""),
        code=told.get(dead_letters.CODE, ""),
        path=told.get(dead_letters.PATH, ""),
        waybill_masked=None if key is None else masked(bytes(key).decode(errors="replace")),
        received_ms=int(received) if received.isdigit() else written_ms,
        place=f"{partition}@{offset}",
    )
