"""Fixtures for tests that need Kafka: one embedded broker for all, topics of one's own for each.

A test that uses them carries `pytest.mark.kafka`, so that `make check` can leave it out.
"""

import itertools
import os
import shutil
from collections.abc import Callable, Iterator, Mapping

import pytest
from confluent_kafka.admin import AdminClient

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.topics import create_topics
from streams.records.topics import (
    ALERTS,
    COUNTS,
    DAYS,
    RATES,
    SHIPMENTS,
    SHIPMENTS_DLQ,
    Topic,
    catalogue,
)
from tests.sharing import (  # noqa: F401 (hooks, which pytest looks for here)
    pytest_collection_modifyitems,
    pytest_xdist_make_scheduler,
)

# Two partitions where it matters that there are several, and one where it does not.
FEW_PARTITIONS = {SHIPMENTS: 2, COUNTS: 2, SHIPMENTS_DLQ: 1, RATES: 1, DAYS: 1, ALERTS: 1}

_numbers = itertools.count(1)

NewBroker = Callable[[str], EmbeddedBroker]


@pytest.fixture(scope="session")
def new_broker(tmp_path_factory: pytest.TempPathFactory) -> Iterator[NewBroker]:
    """Make embedded brokers, each with its folder and a free port; they end with the session."""
    brokers: list[EmbeddedBroker] = []

    def make(name: str) -> EmbeddedBroker:
        data_dir = tmp_path_factory.mktemp(name)
        java_home = os.environ.get("JAVA_HOME")
        brokers.append(EmbeddedBroker(data_dir, port=0, java_home=java_home, brief=True))
        return brokers[-1]

    yield make
    for broker in brokers:
        broker.kill()
        # pytest keeps the folders of three sessions; of these only the logs are worth it.
        shutil.rmtree(broker.data_dir / "kafka", ignore_errors=True)


@pytest.fixture(scope="session")
def broker(new_broker: NewBroker) -> EmbeddedBroker:
    """The broker that all tests share; whoever stops or kills one makes one of their own."""
    broker = new_broker("broker")
    broker.start()
    return broker


@pytest.fixture(scope="session")
def admin(broker: EmbeddedBroker) -> AdminClient:
    return AdminClient(client_config(broker.bootstrap, client_id="tests"))


@pytest.fixture
def prefix() -> str:
    """A topic prefix that no other test has; good for group and transactional ids, too."""
    return f"test-{next(_numbers)}."


@pytest.fixture
def topics(admin: AdminClient, prefix: str) -> Iterator[Mapping[str, Topic]]:
    """The catalogue with few partitions under the test's prefix; its topics exist, empty."""
    topics = catalogue(prefix, FEW_PARTITIONS)
    create_topics(admin, topics, replication_factor=1)
    yield topics
    # Not waited for: nobody uses these names again, and the broker gets its memory back.
    admin.delete_topics([topic.name for topic in topics.values()])
