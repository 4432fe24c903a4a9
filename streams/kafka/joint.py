"""Several topics read by one member of a group, their partitions numbered through as those of one."""

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from confluent_kafka import OFFSET_INVALID, Message, TopicPartition

from streams.kafka.consumer import Fetched, GroupConsumer, fetched_of


class Inputs:
    """Numbers the partitions of several topics through, in the topics' order.

    A number stands for its partition in state logs, so neither the order nor a count may change while
    there are any.
    """

    def __init__(self, partitions: Mapping[str, int]) -> None:
        """Take each topic's number of partitions, by its full name."""
        begins = accumulate(partitions.values(), initial=0)
        self._begins: Final = dict(zip(partitions, begins, strict=False))
        self._places: Final = [
            (topic, partition) for topic, count in partitions.items() for partition in range(count)
        ]

    @property
    def topics(self) -> Sequence[str]:
        """The topics, in order."""
        return list(self._begins)

    def number(self, topic: str, partition: int) -> int:
        """Return the number of a partition."""
        return self._begins[topic] + partition

    def place(self, number: int) -> tuple[str, int]:
        """Return topic and partition of a number."""
        return self._places[number]


class JointConsumer(GroupConsumer):
    """A `GroupConsumer` of several topics, to whose owner they are one."""

    def __init__(self, config: Mapping[str, Any], *, inputs: Inputs, **more: Any) -> None:  # noqa: ANN401 (as the base)
        """Take what a GroupConsumer takes, and inputs in place of its topic."""
        super().__init__(config, topic=", ".join(inputs.topics), **more)
        self._inputs = inputs

    @property
    def topics(self) -> Sequence[str]:
        """The topics, in order."""
        return self._inputs.topics

    def place(self, number: int, offset: int = OFFSET_INVALID) -> TopicPartition:
        """Return a partition as Kafka knows it."""
        topic, partition = self._inputs.place(number)
        return TopicPartition(topic, partition, offset)

    def number(self, topic: str, partition: int) -> int:
        """Return the number of a partition."""
        return self._inputs.number(topic, partition)

    def _columns(self, messages: Sequence[Message]) -> list[Fetched]:
        runs: dict[int, list[Message]] = {}
        for message in messages:
            topic, partition = message.topic(), message.partition()
            assert topic is not None
            assert partition is not None
            runs.setdefault(self.number(topic, partition), []).append(message)
        return [fetched_of(number, run) for number, run in runs.items()]
