"""Lets time go on where no records come: a heartbeat into each source partition that is at its end.

Only with `clock = wall`. The record says nothing but its type; its time is the one that the broker
stamps on it, so a worker's wrong clock cannot mature anything. It need not be in a transaction: one
more or one less, or the same twice, changes no figure.

The time that the broker has stamped comes back with its acknowledgement, and so tells by how much the two
clocks differ. Where no partition is quiet, a heartbeat now and then is written for that alone.
"""

import logging
from collections.abc import Callable, Collection, Mapping
from functools import partial
from typing import Any, Final

from confluent_kafka import (
    TIMESTAMP_LOG_APPEND_TIME,
    KafkaError,
    KafkaException,
    Message,
    Producer,
)

from streams.kafka.clock import now_ms

LOGGER: Final = logging.getLogger(__name__)

IDLE_S: Final = 30.0
CLOCK_S: Final = 300.0
"""After so long without a heartbeat one is written for the clocks' sake."""
VALUE: Final = b'{"type":"stream.heartbeat"}'


class Heartbeats:
    """Writes heartbeats to one topic. For one thread.

    Args:
        client: Settings of a Kafka client.
        topic: Where to, with prefix.
        idle_s: How long a partition must have been at its end.
        clock_s: How long to go without a heartbeat while any partition is at its end.
        on_clock: Is told, after each, by how many ms Kafka's clock is ahead of ours; see `ahead_ms`.

    """

    def __init__(
        self,
        client: Mapping[str, Any],
        *,
        topic: str,
        idle_s: float = IDLE_S,
        clock_s: float = CLOCK_S,
        on_clock: Callable[[int], None] = lambda _: None,
    ) -> None:
        self._producer = Producer(
            {**client, "enable.idempotence": True, "error_cb": self._on_error}
        )
        self._topic = topic
        self._idle_s = idle_s
        self._clock_s = clock_s
        self._on_clock = on_clock
        self._written_s: float | None = None
        self._idle_since_s: dict[int, float] = {}

    def beat(self, at_end: Collection[int], now_s: float) -> None:
        """Take note of the partitions that are at their end, and write where that is long so.

        `now_s` is of a clock that only goes forward. Does not wait, and a failure is not an error:
        the next one will do.
        """
        self._idle_since_s = {p: self._idle_since_s.get(p, now_s) for p in at_end}
        for partition, since_s in self._idle_since_s.items():
            if now_s - since_s >= self._idle_s:
                self._idle_since_s[partition] = self._written_s = now_s
                self._write(partition)
        if self._written_s is None:
            self._written_s = now_s
        elif at_end and now_s - self._written_s >= self._clock_s:
            self._written_s = now_s
            self._write(min(at_end))
        self._producer.poll(0)

    def _write(self, partition: int) -> None:
        try:
            self._producer.produce(
                self._topic,
                VALUE,
                partition=partition,
                on_delivery=partial(self._on_delivery, now_ms()),
            )
        except (BufferError, KafkaException) as error:
            LOGGER.warning(
                "no heartbeat into partition %d of %s: %s", partition, self._topic, error
            )

    def _on_delivery(self, sent_ms: int, error: KafkaError | None, message: Message) -> None:
        kind, appended_ms = message.timestamp()
        if error is None and kind == TIMESTAMP_LOG_APPEND_TIME:
            self._on_clock(ahead_ms(sent_ms, appended_ms, now_ms()))
        if error is not None:
            LOGGER.warning(
                "no heartbeat into partition %s of %s: %s",
                message.partition(),
                self._topic,
                error.str(),
            )

    def _on_error(self, error: KafkaError) -> None:
        LOGGER.warning("heartbeats: %s", error.str())


def ahead_ms(sent_ms: int, appended_ms: int, heard_ms: int) -> int:
    """Return by how much Kafka's clock is ahead of ours, at the least; negative where it is behind.

    It appended between our sending and our hearing of it, so where its time lies between them, nothing
    can be said: 0. An acknowledgement that is late hides as much, and never makes up a difference.
    """
    return max(appended_ms - heard_ms, 0) + min(appended_ms - sent_ms, 0)
