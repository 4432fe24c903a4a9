"""Deletes records that nobody needs any more: below a snapshot, and below a reader's commit."""

import logging
from collections.abc import Mapping
from concurrent.futures import Future
from typing import Any, Final

from confluent_kafka import KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

LOGGER: Final = logging.getLogger(__name__)


class Truncation:
    """Asks for the deletion of the first records of partitions."""

    def __init__(self, client: Mapping[str, Any]) -> None:
        self._client = client
        self._admin: AdminClient | None = None

    def delete_before(self, topic: str, offsets: Mapping[int, int]) -> None:
        """Delete each partition's records before an offset, without waiting for it.

        The caller vouches that a committed record stands there or that they are used up. A failure
        is logged and no error: the next call deletes the same records and more.
        """
        places = [TopicPartition(topic, partition, at) for partition, at in offsets.items() if at]
        if not places:
            return
        if self._admin is None:
            self._admin = AdminClient(dict(self._client))
        for future in self._admin.delete_records(places).values():
            future.add_done_callback(_note_failure)


def _note_failure(future: "Future[Any]") -> None:
    try:
        future.result()
    except KafkaException as error:
        LOGGER.warning("needless records were not deleted, they will be later: %s", error)
