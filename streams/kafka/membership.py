"""Whether a group has partitions that nobody reads, and what a worker that begins does about it.

An incremental rebalance has two phases: a member gives partitions back, and joins again so that others get
them. One that is killed in between, and started again before its session is over, takes its old place in a
group that is stable: no rebalance begins, and what it had given back belongs to nobody. So does a group
whose broker crashed there. Whoever begins and finds that, waits until the group has forgotten its place:
as a new member it makes the group share everything anew.
"""

import logging
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

from confluent_kafka import ConsumerGroupState, KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.consumer import SESSION_TIMEOUT_MS
from streams.kafka.errors import ClusterError
from streams.kafka.reading import partitions_of

LOGGER: Final = logging.getLogger(__name__)

FORGOTTEN_S: Final = SESSION_TIMEOUT_MS / 1000 + 3
"""After this a place is forgotten, or a predecessor still lives in it: joining replaces that one."""
LOOK_S: Final = 0.5
ASK_TIMEOUT_S: Final = 5.0

Place = tuple[str, int]
"""A topic and a partition."""


def await_forgotten(
    client: Mapping[str, Any],
    topics: Sequence[str],
    *,
    group: str,
    instance: str,
    stopping: Callable[[], bool],
) -> None:
    """Return at once, unless the group is stuck; then when it has forgotten the place `instance`.

    Returns too when `stopping`, after `FORGOTTEN_S`, and when Kafka does not answer.
    """
    admin = AdminClient(dict(client))
    deadline_s = time.monotonic() + FORGOTTEN_S
    while nobodys := _nobodys(admin, topics, group, instance):
        if stopping() or time.monotonic() > deadline_s:
            return
        LOGGER.warning(
            "%s: nobody reads %d partitions, which a rebalance has left behind; waiting until the "
            "group has forgotten slot %s, to share them anew",
            group,
            len(nobodys),
            instance,
        )
        time.sleep(LOOK_S)


def _nobodys(admin: AdminClient, topics: Iterable[str], group: str, instance: str) -> set[Place]:
    """Return the partitions that no member has of a stable group in which `instance` has a place."""
    try:
        asked = admin.describe_consumer_groups([group], request_timeout=ASK_TIMEOUT_S)
        described = asked[group].result()
        if described.state != ConsumerGroupState.STABLE:
            return set()
        if all(member.group_instance_id != instance for member in described.members):
            return set()
        read = {
            (place.topic, place.partition)
            for member in described.members
            for place in member.assignment.topic_partitions
        }
        return {(t, p) for t in topics for p in partitions_of(admin, t)} - read
    except (KafkaException, ClusterError) as error:
        LOGGER.debug("%s: cannot tell who reads what (%s)", group, error)
        return set()
