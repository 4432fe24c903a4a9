"""The example subscriber on a secured broker: it prints its own alert, and is refused others'."""

import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.kafka.topics import create_topics
from streams.records.topics import ALERTS, compliance_topics
from tests.access.conftest import Secured
from tests.stages.telling import a_stage, batch, example

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parent.parent.parent
SUBSCRIBER = ROOT / "examples/subscriber/subscriber.py"
OURS, THEIRS = "911500000000010025", "911500000000010033"
USER = "enterprise-zto"


@pytest.fixture
def told(secured: Secured) -> Secured:
    """A broker on which the worker has told two enterprises of an alert each."""
    topics = compliance_topics([OURS, THEIRS])
    create_topics(secured.admin(), topics, replication_factor=1)
    producer = Producer(secured.client("worker"))
    for enterprise in (OURS, THEIRS):
        alert = {**example("alert/v1/good/raised"), "enterprise_id": enterprise}
        stage = a_stage(ALERTS)
        stage.apply(batch([(f"{alert['alert_id']}|1", alert)]))
        for topic, key, value, _, headers in stage.drain(publish=True).outputs:
            producer.produce(f"realname.{topic}", value, key, headers=list(headers or ()))
    assert producer.flush(30) == 0
    return secured


@pytest.fixture
def subscribers() -> Iterator[list[subprocess.Popen[str]]]:
    started: list[subprocess.Popen[str]] = []
    yield started
    for subscriber in started:
        subscriber.kill()
        subscriber.communicate()


def start(secured: Secured, enterprise: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, str(SUBSCRIBER), str(secured.users / f"{USER}.conf"), enterprise],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_the_example_is_as_long_as_we_say() -> None:
    assert len(SUBSCRIBER.read_text("utf8").splitlines()) <= 40


def test_it_prints_the_alert_of_its_own_enterprise(
    told: Secured, subscribers: list[subprocess.Popen[str]]
) -> None:
    subscribers.append(start(told, OURS))
    # A watchdog, since reading a line waits for ever.
    watchdog = threading.Timer(120, subscribers[0].kill)
    watchdog.start()
    assert subscribers[0].stdout is not None
    # What else its topic has, as of other tests on this broker, may be told first.
    ours = "alert.raised OUTLET|150105-ZT-0031"
    found = any(ours in line for line in subscribers[0].stdout)
    watchdog.cancel()
    assert found, subscribers[0].stderr


def test_it_is_refused_what_is_another_enterprises(
    told: Secured, subscribers: list[subprocess.Popen[str]]
) -> None:
    subscribers.append(start(told, THEIRS))
    out, err = subscribers[0].communicate(timeout=120)
    assert not out
    assert subscribers[0].returncode == 1
    assert "Kafka refuses" in err
    assert "AUTHORIZATION_FAILED" in err
