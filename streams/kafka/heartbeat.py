"""Lets time go on where no records come: a heartbeat into each source partition that is at its end.

Only with `clock = wall`. The record says nothing but its type; its time is the one that the broker
stamps on it, so a worker's wrong clock cannot mature anything. It need not be in a transaction: one
more or one less, or the same twice, changes no figure.
"""

import logging
from collections.abc import Collection, Mapping
from typing import Any, Final

from confluent_kafka import KafkaError, KafkaException, Message, Producer

LOGGER: Final = logging.getLogger(__name__)

IDLE_S: Final = 30.0
VALUE: Final = b'{"type":"stream.heartbeat"}'


class Heartbeats:
    """Writes heartbeats to one topic. For one thread.

    Args:
        client: Settings of a Kafka client.
        topic: Where to, with prefix.
        idle_s: How long a partition must have been at its end.

    """

    def __init__(self, client: Mapping[str, Any], *, topic: str, idle_s: float = IDLE_S) -> None:
        self._producer = Producer(
            {**client, "enable.idempotence": True, "error_cb": self._on_error}
        )
        self._topic = topic
        self._idle_s = idle_s
        self._idle_since_s: dict[int, float] = {}

    def beat(self, at_end: Collection[int], now_s: float) -> None:
        """Take note of the partitions that are at their end, and write where that is long so.

        `now_s` is of a clock that only goes forward. Does not wait, and a failure is not an error:
        the next one will do.
        """
        self._idle_since_s = {p: self._idle_since_s.get(p, now_s) for p in at_end}
        for partition, since_s in self._idle_since_s.items():
            if now_s - since_s >= self._idle_s:
                self._idle_since_s[partition] = now_s
                self._write(partition)
        self._producer.poll(0)

    def _write(self, partition: int) -> None:
        try:
            self._producer.produce(
                self._topic, VALUE, partition=partition, on_delivery=self._on_delivery
            )
        except (BufferError, KafkaException) as error:
            LOGGER.warning(
                "no heartbeat into partition %d of %s: %s", partition, self._topic, error
            )

    def _on_delivery(self, error: KafkaError | None, message: Message) -> None:
        if error is not None:
            LOGGER.warning(
                "no heartbeat into partition %s of %s: %s",
                message.partition(),
                self._topic,
                error.str(),
            )

    def _on_error(self, error: KafkaError) -> None:
        LOGGER.warning("heartbeats: %s", error.str())
