"""From Kafka to the answers: a real broker, the follower's thread, the web application over it."""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence

import orjson
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.topics import create_topics
from streams.records.topics import ALERTS, ALERTS_ACKS, RATES, Topic, catalogue
from streams.reference.areas import shipped_areas
from streams.serve.follower import Follower
from streams.serve.rows import Incoming
from streams.serve.view import FOLLOWED, View
from tests.conftest import FEW_PARTITIONS, NewBroker
from tests.serve.conftest import recorded, reference_records
from tests.serve.test_view import an_alert, facts, incoming, record_of

pytestmark = pytest.mark.kafka

Topics = Mapping[str, Topic]
Start = Callable[[], tuple[View, Follower]]

PATIENCE_S = 30.0
SHOWN_WITHIN_S = 3.0


def until(true: Callable[[], bool], within_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + within_s
    while not true():
        assert time.monotonic() < deadline, "it does not come true"
        time.sleep(0.02)


@pytest.fixture
def producer(broker: EmbeddedBroker) -> Producer:
    """Idempotent, as whatever writes these topics is: what is sent again stays in its order."""
    extra = {"enable.idempotence": True}
    return Producer(client_config(broker.bootstrap, client_id="test", extra=extra))


@pytest.fixture
def start(broker: EmbeddedBroker, topics: Topics) -> Iterator[Start]:
    """Start a follower of the test's topics into a new view."""
    followers: list[Follower] = []

    def started() -> tuple[View, Follower]:
        view = View(shipped_areas())
        names = {short: topics[short].name for short in (*FOLLOWED, ALERTS_ACKS)}
        client = client_config(broker.bootstrap, client_id="test")
        followers.append(Follower(client, names, view))
        followers[-1].start()
        return view, followers[-1]

    yield started
    for follower in followers:
        follower.stop()


def publish(producer: Producer, topics: Topics) -> None:
    for record in (*reference_records(), *recorded()):
        producer.produce(topics[record.topic].name, record.value, record.key)
    assert producer.flush(PATIENCE_S) == 0


def test_all_that_was_published_is_there_when_it_says_so_and_what_comes_is_shown_soon(
    producer: Producer, topics: Topics, start: Start
) -> None:
    publish(producer, topics)
    view, follower = start()
    until(lambda: follower.ready)
    expected = View(shipped_areas())
    expected.apply(reference_records())
    expected.apply(recorded())
    assert facts(view) == facts(expected)
    assert view.names.enterprises
    assert follower.alive
    assert follower.records[RATES] == sum(record.topic == RATES for record in recorded())
    assert sum(follower.lag.values()) == 0

    alert = an_alert(5, "firing")
    producer.produce(topics[ALERTS].name, alert.value, alert.key)
    producer.flush()
    until(lambda: any(row.alert_id == "A:5" for row in view.alerts()), SHOWN_WITHIN_S)
    # A second replica comes to the same by itself.
    other, following = start()
    until(lambda: following.ready)
    assert facts(other) == facts(view)


def test_topics_without_records_are_read_to_their_end(start: Start) -> None:
    view, follower = start()
    until(lambda: follower.ready)
    assert view.as_of is None


def test_only_what_was_committed_is_shown(
    broker: EmbeddedBroker, topics: Topics, start: Start
) -> None:
    view, follower = start()
    until(lambda: follower.ready)
    config = client_config(broker.bootstrap, client_id="test")
    writer = Producer({**config, "transactional.id": f"{topics[RATES].name}-test"})
    writer.init_transactions()
    for n, (status, end) in enumerate(
        [("BREACH", writer.abort_transaction), ("OK", writer.commit_transaction)]
    ):
        record = record_of("rates", "REGION|150000")
        record["verdict"]["rate_status"] = status
        sent = incoming("rates", "REGION|150000", record)
        writer.begin_transaction()
        writer.produce(topics[RATES].name, sent.value, sent.key)
        writer.flush()
        time.sleep(0.5)
        assert view.rate("REGION", "150000") is None, f"seen before its end: {n}"
        end()
    until(lambda: view.rate("REGION", "150000") is not None, SHOWN_WITHIN_S)
    row = view.rate("REGION", "150000")
    assert row is not None
    assert row.status == "OK"


def test_a_topic_that_was_made_again_is_read_anew(
    admin: AdminClient, producer: Producer, topics: Topics, start: Start
) -> None:
    publish(producer, topics)
    view, follower = start()
    until(lambda: follower.ready)
    names = [topic.name for topic in topics.values()]
    for deleted in admin.delete_topics(names).values():
        deleted.result()
    until(lambda: follower.trouble is not None)
    # Nobody knows better yet, so the figures stay; they are seen to grow old.
    assert view.as_of is not None
    create_topics(admin, topics, replication_factor=1)
    sent = incoming("rates", "REGION|150000", record_of("rates", "REGION|150000"))
    producer.produce(topics[RATES].name, sent.value, sent.key)
    producer.flush()
    until(lambda: [row.scope_id for row in view.rates()] == ["150000"])
    until(lambda: follower.ready)
    assert view.alerts() == []
    assert follower.trouble is None


class Watched(View):
    """A view that remembers which figures of the region it was given, in order."""

    def __init__(self) -> None:
        super().__init__(shipped_areas())
        self.missing: list[int] = []

    def apply(self, records: Sequence[Incoming]) -> None:
        super().apply(records)
        if (row := self.rate("REGION", "150000")) is not None:
            self.missing.append(row.today.missing)


def test_through_an_outage_the_figures_stay_and_none_that_is_old_comes_back(
    new_broker: NewBroker, prefix: str
) -> None:
    broker = new_broker("outage")
    broker.start()
    config = client_config(broker.bootstrap, client_id="test")
    topics = catalogue(prefix, FEW_PARTITIONS)
    create_topics(AdminClient(config), topics, replication_factor=1)
    producer = Producer({**config, "enable.idempotence": True})

    def publish_missing(count: int) -> None:
        record = record_of("rates", "REGION|150000")
        record["today"]["missing"] = count
        sent = incoming("rates", "REGION|150000", record)
        producer.produce(topics[RATES].name, sent.value, sent.key)
        assert producer.flush(PATIENCE_S) == 0

    for count in range(5):
        publish_missing(count)
    view = Watched()
    names = {short: topics[short].name for short in (*FOLLOWED, ALERTS_ACKS)}
    follower = Follower(config, names, view)
    follower.start()
    until(lambda: follower.ready)
    broker.stop()
    until(lambda: follower.trouble is not None)
    assert view.missing[-1] == 4
    broker.start()
    publish_missing(5)
    until(lambda: view.missing[-1] == 5)
    until(lambda: follower.trouble is None)
    assert view.missing == sorted(view.missing)
    assert follower.ready
    follower.stop()


def test_a_broker_that_is_not_there_is_told_and_waited_for() -> None:
    names = {short: short for short in (*FOLLOWED, ALERTS_ACKS)}
    client = client_config("127.0.0.1:1", client_id="test", extra={"socket.timeout.ms": 1_000})
    follower = Follower(client, names, View(shipped_areas()))
    follower.start()
    until(lambda: follower.trouble is not None)
    assert "no answer from Kafka" in (follower.trouble or "")
    assert not follower.ready
    assert follower.alive
    follower.stop(20)


def test_an_acknowledgement_is_shown_with_its_alert(
    producer: Producer, topics: Topics, start: Start
) -> None:
    view, follower = start()
    until(lambda: follower.ready)
    alert = an_alert(5, "firing")
    producer.produce(topics[ALERTS].name, alert.value, alert.key)
    ack = {"alert_id": "A:5", "episode": 1, "by": "officer", "note": "", "acked_at": "2017-09-06"}
    producer.produce(topics[ALERTS_ACKS].name, orjson.dumps(ack), b"A:5|1")
    producer.flush()
    until(lambda: any(view.ack(row) is not None for row in view.alerts()), SHOWN_WITHIN_S)
