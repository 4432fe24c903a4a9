"""The cluster against the catalogue: created, checked, corrected, and what may go wrong."""

from collections.abc import Mapping

import pytest
from confluent_kafka.admin import AdminClient

from streams.kafka.client import client_config
from streams.kafka.errors import KafkaRefused, KafkaUnavailable, TopicMissing
from streams.kafka.topics import (
    check_topics,
    correct_topics,
    create_topics,
    require_topics,
)
from streams.records.topics import COUNTS, RATES, SHIPMENTS, Topic, catalogue
from tests.conftest import FEW_PARTITIONS


@pytest.mark.kafka
def test_topics_are_created_once_and_then_agree(admin: AdminClient, prefix: str) -> None:
    topics = catalogue(prefix, FEW_PARTITIONS)
    names = tuple(topic.name for topic in topics.values())

    first = create_topics(admin, topics, replication_factor=1)
    assert (first.created, first.existing) == (names, ())
    again = create_topics(admin, topics, replication_factor=1)
    assert (again.created, again.existing) == ((), names)

    assert check_topics(admin, topics) == []
    require_topics(admin, topics)


@pytest.mark.kafka
def test_a_missing_topic_is_named_with_the_command_that_creates_it(
    admin: AdminClient,
    topics: Mapping[str, Topic],
    prefix: str,
) -> None:
    later = {**topics, "later": catalogue(f"{prefix}later.")[RATES]}
    (drift,) = check_topics(admin, later)
    assert drift.kind == "missing"
    assert str(drift) == f"topic {prefix}later.rates does not exist; run `realname topics create`"
    with pytest.raises(TopicMissing, match=rf"{prefix}later\.rates; run `realname topics create`$"):
        require_topics(admin, later)


@pytest.mark.kafka
def test_another_number_of_partitions_is_found_in_every_topic_that_follows(
    admin: AdminClient,
    topics: Mapping[str, Topic],
    prefix: str,
) -> None:
    drifts = check_topics(admin, catalogue(prefix, {**FEW_PARTITIONS, SHIPMENTS: 3}))
    assert [(drift.topic.removeprefix(prefix), drift.kind) for drift in drifts] == [
        ("shipments", "partitions"),
        ("match.state", "partitions"),
        ("compliance.state", "partitions"),
        ("parcels.missing", "partitions"),
    ]
    assert "the number of partitions is 2, not 3; if 2 is meant, say so" in str(drifts[0])


@pytest.mark.kafka
def test_another_setting_is_found_and_corrected(
    admin: AdminClient,
    topics: Mapping[str, Topic],
    prefix: str,
) -> None:
    counts = topics[COUNTS]
    forgetful = {"retention.ms": "1000", "cleanup.policy": "compact,delete"}
    spoilt = Topic(counts.name, counts.key, counts.partitions, "", config=forgetful)
    correct_topics(admin, check_topics(admin, {COUNTS: spoilt}))
    assert check_topics(admin, {COUNTS: spoilt}) == []

    drifts = check_topics(admin, topics)
    assert {(drift.setting, drift.actual, drift.expected) for drift in drifts} == {
        ("retention.ms", "1000", "-1"),
        ("cleanup.policy", "compact,delete", "delete"),
    }
    assert all(str(drift).endswith("run `realname topics correct`") for drift in drifts)
    correct_topics(admin, drifts)
    assert check_topics(admin, topics) == []


@pytest.mark.kafka
def test_the_order_of_cleanup_policies_is_no_difference(
    admin: AdminClient,
    topics: Mapping[str, Topic],
) -> None:
    rates = topics[RATES]
    turned = Topic(
        rates.name, "", rates.partitions, "", config={"cleanup.policy": "delete,compact"}
    )
    assert check_topics(admin, {RATES: turned}) == []


@pytest.mark.kafka
def test_more_copies_than_brokers_are_refused_with_the_reason(
    admin: AdminClient,
    prefix: str,
) -> None:
    with pytest.raises(KafkaRefused, match=rf"creating topic {prefix}\S+ .*correct that"):
        create_topics(admin, catalogue(prefix, FEW_PARTITIONS), replication_factor=3)


def test_a_cluster_that_does_not_answer_is_unavailable() -> None:
    # Port 1 is reserved, and nobody listens there.
    admin = AdminClient(client_config("127.0.0.1:1", client_id="tests"))
    with pytest.raises(KafkaUnavailable, match=r"try again$") as raised:
        check_topics(admin, catalogue(), timeout_s=0.3)
    assert raised.value.retryable
    with pytest.raises(KafkaUnavailable, match=r"try again$"):
        create_topics(admin, catalogue(), replication_factor=1, timeout_s=0.3)
