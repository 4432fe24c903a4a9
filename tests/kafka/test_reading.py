"""What a person asks of Kafka while a leader is new: asked again, and told once it takes too long."""

from contextlib import closing

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.errors import ClusterError, KafkaRefused, KafkaUnavailable, TopicMissing
from streams.kafka.reading import patiently
from streams.kafka.topics import create_topics
from streams.records.topics import SHIPMENTS, catalogue

NEW_LEADER = KafkaException(KafkaError(KafkaError.NOT_LEADER_FOR_PARTITION))
NEW_COORDINATOR = KafkaException(KafkaError(KafkaError.NOT_COORDINATOR))
TOO_LARGE = KafkaException(KafkaError(KafkaError.MSG_SIZE_TOO_LARGE))
NO_TOPIC = KafkaException(KafkaError(KafkaError.UNKNOWN_TOPIC_OR_PART))

CASES: list[tuple[str, list[Exception], type[ClusterError] | None]] = [
    ("an answer is the answer", [], None),
    ("a leader that does not know that it leads", [NEW_LEADER, NEW_LEADER], None),
    ("a coordinator that has moved", [NEW_COORDINATOR], None),
    ("what is said of it by our own functions", [KafkaUnavailable("no partitions yet")], None),
    ("a refusal stays one", [TOO_LARGE], KafkaRefused),
    ("a refusal after patience", [NEW_LEADER, TOO_LARGE], KafkaRefused),
    ("a topic does not come by itself", [NO_TOPIC], TopicMissing),
]


@pytest.mark.parametrize(("why", "errors", "raised"), CASES, ids=[case[0] for case in CASES])
def test_what_passes_by_itself_is_asked_again(
    why: str, errors: list[Exception], raised: type[ClusterError] | None
) -> None:
    left = list(errors)

    def ask() -> str:
        if left:
            raise left.pop(0)
        return "answer"

    if raised is None:
        assert patiently(ask, doing="asking") == "answer", why
    else:
        with pytest.raises(raised):
            patiently(ask, doing="asking")
    assert not left, "asked as often as there was reason to"


MANY = 50


@pytest.mark.kafka
def test_topics_that_were_created_answer_a_client_that_asks_but_once(
    broker: EmbeddedBroker, admin: AdminClient, prefix: str
) -> None:
    """With many partitions a broker is known to lead the last before it knows it itself."""
    topic = catalogue(prefix, {SHIPMENTS: MANY})[SHIPMENTS]
    consumer = Consumer({"bootstrap.servers": broker.bootstrap, "group.id": f"{prefix}ends"})
    with closing(consumer):
        create_topics(admin, {SHIPMENTS: topic}, replication_factor=1)
        for partition in reversed(range(MANY)):
            place = TopicPartition(topic.name, partition)
            assert consumer.get_watermark_offsets(place, 10) == (0, 0)
    admin.delete_topics([topic.name])
