"""`realname alerts ack` and `alerts test`, and `notify`'s own mistakes."""

import asyncio
import threading
from collections.abc import Iterator, Mapping

import pytest
from confluent_kafka import Producer

from streams.kafka.broker import EmbeddedBroker
from streams.records.topics import ALERTS, Topic
from tests.cli.conftest import Realname
from tests.notify.builders import key_value, record
from tests.notify.fake_alertmanager import FakeAlertmanager, serving

ALERT_ID = "RATE_BELOW_TARGET:OUTLET:150105-DB-0001"
CLOSED = "http://127.0.0.1:1"


@pytest.fixture
def fake() -> Iterator[FakeAlertmanager]:
    """A fake Alertmanager in a thread of its own: a command has the main thread's loop."""
    fake, up, loop = FakeAlertmanager(), threading.Event(), asyncio.new_event_loop()
    stop = asyncio.Event()

    async def serve() -> None:
        async with serving(fake):
            up.set()
            await stop.wait()

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),))
    thread.start()
    assert up.wait(10)
    yield fake
    loop.call_soon_threadsafe(stop.set)
    thread.join()
    loop.close()


class TestTest:
    def test_it_says_who_is_told(self, realname: Realname, fake: FakeAlertmanager) -> None:
        to = ("--alertmanager", fake.url, "--scope", "150102", "--severity", "major", "--json")
        (row,) = realname.ok("alerts", "test", *to).rows
        assert (row["state"], row["receivers"], row["held_back_by"]) == (
            "active",
            ["everybody"],
            [],
        )
        (alert,) = fake.firing()
        assert (
            alert.labels.items()
            >= {
                "alertname": "RealNameRateBelowTarget",
                "severity": "page",
                "level": "county",
                "region": "150000",
                "city": "150100",
                "county": "150102",
                "event": "TEST",
            }.items()
        )
        assert "TEST" in alert.annotations["summary"]
        assert "演练" in alert.annotations["description_zh"]

    @pytest.mark.parametrize(
        ("scope", "level"), [("150000", "region"), ("150100", "city"), ("150102", "county")]
    )
    def test_an_area_code_says_its_level(
        self, realname: Realname, fake: FakeAlertmanager, scope: str, level: str
    ) -> None:
        realname.ok("alerts", "test", "--alertmanager", fake.url, "--scope", scope)
        assert [alert.labels["level"] for alert in fake.firing()] == [level]

    def test_one_that_cannot_be_reached_is_exit_code_1_and_named(
        self, realname: Realname, fake: FakeAlertmanager
    ) -> None:
        to = ("--alertmanager", fake.url, "--alertmanager", CLOSED)
        result = realname("alerts", "test", *to, "--scope", "150100", "--json")
        assert result.code == 1
        assert [row["state"] for row in result.rows] == ["active", "failed"]

    def test_nobody_to_tell_is_exit_code_2(self, realname: Realname) -> None:
        result = realname("alerts", "test", "--scope", "150100")
        assert result.code == 2
        assert "[notify]" in result.err


class TestNotify:
    def test_nobody_to_tell_is_exit_code_2(self, realname: Realname) -> None:
        assert "--alertmanager" in realname("notify").err
        assert realname("notify").code == 2

    def test_an_address_that_is_none_is_exit_code_2_and_shows_no_password(
        self, realname: Realname
    ) -> None:
        result = realname("notify", "--alertmanager", "me:pw@host:9093")
        assert result.code == 2
        assert "--alertmanager" in result.err
        assert "pw" not in result.err

    def test_a_worker_of_nothing_but_notify_is_sent_there(self, realname: Realname) -> None:
        result = realname("worker", "--agents", "notify")
        assert result.code == 2
        assert "realname notify" in result.err


@pytest.mark.kafka
class TestAck:
    @pytest.fixture
    def here(self, broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str) -> Realname:
        producer = Producer({"bootstrap.servers": broker.bootstrap})
        for episode in (1, 2):
            key, value = key_value(record(episode=episode))
            producer.produce(topics[ALERTS].name, value, key)
        assert producer.flush(10) == 0
        return Realname("--bootstrap", broker.bootstrap, "--prefix", prefix)

    def test_it_is_shown_with_the_newest_episode(self, here: Realname) -> None:
        here.ok("alerts", "ack", ALERT_ID, "--by", "duty-1", "--note", "calling")
        here.ok("alerts", "ack", ALERT_ID, "--by", "duty-2")
        shown = {row["episode"]: row for row in here.ok("alerts", "--json").rows}
        assert [shown[e]["acked_by"] for e in (1, 2)] == [None, "duty-2"]
        assert shown[2]["ack_note"] == ""

    def test_another_episode_can_be_named(self, here: Realname) -> None:
        (row,) = here.ok(
            *("alerts", "ack", ALERT_ID, "--by", "duty-1", "--episode", "1", "--json")
        ).rows
        assert (row["episode"], row["acked_by"]) == (1, "duty-1")

    @pytest.mark.parametrize(
        ("arguments", "why"),
        [
            (["RATE_BELOW_TARGET:OUTLET:x", "--by", "a"], "there is no alert"),
            ([ALERT_ID, "--by", "a", "--episode", "7"], "it has 1, 2"),
            ([ALERT_ID, "--by", " "], "--by takes"),
            ([ALERT_ID, "--by", "a", "--note", "x" * 501], "--note takes"),
        ],
    )
    def test_what_cannot_be_acknowledged_is_exit_code_2(
        self, here: Realname, arguments: list[str], why: str
    ) -> None:
        result = here("alerts", "ack", *arguments)
        assert result.code == 2
        assert why in result.err
