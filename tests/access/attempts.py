"""Tries what an ACL allows or refuses, on a real broker, without changing anything there."""

import asyncio
from collections.abc import Callable, Collection, Mapping
from concurrent.futures import Future
from typing import Any

from aiokafka.client import AIOKafkaClient  # type: ignore[import-untyped]  # Has none.
from aiokafka.helpers import create_ssl_context  # type: ignore[import-untyped]  # Has none.
from aiokafka.protocol.fetch import FetchRequest  # type: ignore[import-untyped]  # Has none.
from confluent_kafka import (
    ConsumerGroupTopicPartitions,
    KafkaError,
    KafkaException,
    Producer,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Documented, not re-exported.
    AdminClient,
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewPartitions,
    NewTopic,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialUpsertion,
)

from streams.access.acls import Acl, Operation, Pattern, Resource
from streams.access.cluster import _binding, delete_acls, delete_users

TIMEOUT_S = 60.0

TOPIC_REFUSED = KafkaError.TOPIC_AUTHORIZATION_FAILED
GROUP_REFUSED = KafkaError.GROUP_AUTHORIZATION_FAILED
ID_REFUSED = KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED
CLUSTER_REFUSED = KafkaError.CLUSTER_AUTHORIZATION_FAILED
REFUSALS = (TOPIC_REFUSED, GROUP_REFUSED, ID_REFUSED, CLUSTER_REFUSED)


def allowed(future: "Future[Any]") -> bool:
    """Return whether what was asked for was not refused; any other failure is one of the test."""
    try:
        future.result(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() in REFUSALS:
            return False
        raise
    return True


def seen(admin: AdminClient, topics: Collection[str]) -> set[str]:
    asked = admin.describe_topics(TopicCollection(list(topics)), request_timeout=TIMEOUT_S)
    return {topic for topic, future in asked.items() if allowed(future)}


def settings_seen(admin: AdminClient, topics: Collection[str]) -> set[str]:
    resources = [ConfigResource(ResourceType.TOPIC, topic) for topic in topics]
    asked = admin.describe_configs(resources, request_timeout=TIMEOUT_S)
    return {resource.name for resource, future in asked.items() if allowed(future)}


def settings_altered(admin: AdminClient, topics: Collection[str]) -> set[str]:
    entry = ConfigEntry("retention.ms", "1", incremental_operation=AlterConfigOpType.SET)
    asked = admin.incremental_alter_configs(
        [ConfigResource(ResourceType.TOPIC, t, incremental_configs=[entry]) for t in topics],
        validate_only=True,
        request_timeout=TIMEOUT_S,
    )
    return {resource.name for resource, future in asked.items() if allowed(future)}


def partitions_added(admin: AdminClient, topics: Collection[str]) -> set[str]:
    asked = admin.create_partitions(
        [NewPartitions(topic, 9) for topic in topics], validate_only=True, request_timeout=TIMEOUT_S
    )
    return {topic for topic, future in asked.items() if allowed(future)}


def created(admin: AdminClient, topics: Collection[str]) -> set[str]:
    asked = admin.create_topics(
        [NewTopic(topic, 1, 1) for topic in topics], validate_only=True, request_timeout=TIMEOUT_S
    )
    return {topic for topic, future in asked.items() if allowed(future)}


def deleted(admin: AdminClient, topics: Collection[str]) -> set[str]:
    """Try to delete the records before the first: the right is that to delete the topic."""
    asked = admin.delete_records(
        [TopicPartition(topic, 0, 0) for topic in topics], request_timeout=TIMEOUT_S
    )
    return {place.topic for place, future in asked.items() if allowed(future)}


def read(client: Mapping[str, Any], topics: Collection[str]) -> set[str]:
    """Fetch from partition 0 of each, without asking first which topics there are, as a client would."""
    return asyncio.run(_fetched(client, topics))


async def _fetched(client: Mapping[str, Any], topics: Collection[str]) -> set[str]:
    raw = AIOKafkaClient(
        bootstrap_servers=client["bootstrap.servers"],
        security_protocol="SASL_SSL",
        ssl_context=create_ssl_context(cafile=client["ssl.ca.location"]),
        sasl_mechanism=client["sasl.mechanism"],
        sasl_plain_username=client["sasl.username"],
        sasl_plain_password=client["sasl.password"],
    )
    await raw.bootstrap()
    try:
        wanted = [(topic, [(0, 0, 1)]) for topic in topics]
        answer = await raw.send(1, FetchRequest(100, 0, 1_000, 0, wanted))
    finally:
        await raw.close()
    errors = {topic: parts[0][1] for topic, parts in answer.topics}
    assert errors.keys() == set(topics)
    assert set(errors.values()) <= {0, TOPIC_REFUSED}, errors
    return {topic for topic, error in errors.items() if not error}


def written(client: Mapping[str, Any], topics: Collection[str]) -> set[str]:
    """Write a record to partition 0 of each."""
    producer = Producer(dict(client))
    answers: dict[str, KafkaError | None] = {}

    def note(topic: str) -> Callable[[KafkaError | None, object], None]:
        return lambda error, _: answers.update({topic: error})

    for topic in topics:
        producer.produce(topic, b"an attempt", partition=0, on_delivery=note(topic))
    assert producer.flush(TIMEOUT_S) == 0
    wrong = [e for e in answers.values() if e is not None and e.code() != TOPIC_REFUSED]
    assert not wrong, wrong
    return {topic for topic, error in answers.items() if error is None}


def groups_used(admin: AdminClient, groups: Collection[str], *, topic: str) -> set[str]:
    """Commit an offset in each group; the right to it is the right to be a member."""
    allowed_in = set()
    for group in groups:
        asked = admin.alter_consumer_group_offsets(
            [ConsumerGroupTopicPartitions(group, [TopicPartition(topic, 0, 0)])],
            request_timeout=TIMEOUT_S,
        )
        if allowed(asked[group]):
            allowed_in.add(group)
    return allowed_in


def groups_deleted(admin: AdminClient, groups: Collection[str]) -> set[str]:
    allowed_to = set()
    for group, future in admin.delete_consumer_groups(list(groups)).items():
        try:
            if allowed(future):
                allowed_to.add(group)
        except KafkaException as error:
            if error.args[0].code() != KafkaError.GROUP_ID_NOT_FOUND:
                raise
            allowed_to.add(group)
    return allowed_to


def transaction_begun(client: Mapping[str, Any], transactional_id: str) -> bool:
    producer = Producer({**client, "transactional.id": transactional_id})
    try:
        producer.init_transactions(TIMEOUT_S)
    except KafkaException as error:
        if error.args[0].code() != ID_REFUSED:
            raise
        return False
    return True


def cluster_rights(admin: AdminClient) -> set[str]:
    """Try to make a user and an ACL, and to alter the broker's settings; takes back what was made."""
    user = "attempt"
    info = ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, 4096)
    acl = Acl(user, Resource.TOPIC, user, Pattern.LITERAL, Operation.READ)
    entry = ConfigEntry("log.cleaner.threads", "1", incremental_operation=AlterConfigOpType.SET)
    broker = ConfigResource(ResourceType.BROKER, "1", incremental_configs=[entry])
    asked: dict[str, Future[Any]] = {
        "users": admin.alter_user_scram_credentials(
            [UserScramCredentialUpsertion(user, info, b"a password")]
        )[user],
        "acls": next(iter(admin.create_acls([_binding(acl)]).values())),
        "broker settings": admin.incremental_alter_configs([broker], validate_only=True)[broker],
    }
    found = {name for name, future in asked.items() if allowed(future)}
    if found:
        delete_users(admin, [user])
        delete_acls(admin, [acl])
    return found
