"""`notify` between a real Kafka and fake Alertmanagers."""

import asyncio
import signal
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.clock import now_ms
from streams.metrics import Metrics
from streams.notify.service import NotifyConfig, NotifyService
from streams.notify.texts import Links
from streams.records.acks import AlertAck
from streams.records.acks import encode as encode_ack
from streams.records.published import AlertRecord
from streams.records.topics import ALERTS, ALERTS_ACKS, Topic
from tests.conftest import FEW_PARTITIONS
from tests.notify.builders import MINUTE_MS, ended, key_value, record
from tests.notify.fake_alertmanager import FakeAlertmanager, serving

pytestmark = pytest.mark.kafka

Write = Callable[..., None]


@pytest.fixture
def write(broker: EmbeddedBroker, topics: Mapping[str, Topic]) -> Write:
    """Write alerts as the roll-ups do: in a transaction, which `commit=False` aborts."""

    def write(alerts: Iterable[AlertRecord | bytes], *, commit: bool = True) -> None:
        name = topics[ALERTS].name
        producer = Producer(
            client_config(
                broker.bootstrap, client_id="tests", extra={"transactional.id": f"{name}.writer"}
            )
        )
        producer.init_transactions(10)
        producer.begin_transaction()
        for alert in alerts:
            key, value = (b"x|1", alert) if isinstance(alert, bytes) else key_value(alert)
            producer.produce(name, value, key)
        if commit:
            producer.commit_transaction(10)
        else:
            producer.flush(10)
            producer.abort_transaction(10)

    return write


@pytest.fixture
async def fake() -> AsyncIterator[FakeAlertmanager]:
    async with serving(FakeAlertmanager()) as fake:
        yield fake


@asynccontextmanager
async def running(
    broker: EmbeddedBroker, prefix: str, *urls: str, metrics: Metrics | None = None
) -> AsyncIterator[NotifyService]:
    config = NotifyConfig(
        client=client_config(broker.bootstrap, client_id="notify"),
        prefix=prefix,
        alertmanagers=urls,
        links=Links("runbooks", ""),
        resend_ms=1000,
        timeout_s=2,
    )
    service, stop = NotifyService(config, metrics or Metrics()), asyncio.Event()
    task = asyncio.create_task(service.run(stop))
    try:
        yield service
    finally:
        stop.set()
        await task


async def until(true: Callable[[], bool], timeout_s: float = 20) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 (what is waited for is in another object)
            await asyncio.sleep(0.02)


def breach(number: int = 1) -> AlertRecord:
    return record(f"150102-N-{number}", raised_ms=now_ms() - 10 * MINUTE_MS)


async def test_every_alertmanager_is_told_of_raise_change_and_end(
    broker: EmbeddedBroker, prefix: str, write: Write, fake: FakeAlertmanager
) -> None:
    alert = breach()
    async with (
        serving(FakeAlertmanager()) as other,
        running(broker, prefix, fake.url, "http://127.0.0.1:1", other.url) as service,
    ):
        await until(lambda: service.ready)
        write([alert])
        await until(lambda: all(len(one.firing()) == 1 for one in (fake, other)))
        write([replace(alert, observed=0.5, reason="changed")])
        await until(lambda: fake.firing()[0].annotations["rate"] == "50.00%")
        assert len(fake.firing()) == 1
        write([ended(alert, now_ms())])
        await until(lambda: not fake.firing() and not other.firing())


async def test_who_has_taken_an_alert_on_is_told_with_it_to_its_end(
    broker: EmbeddedBroker,
    prefix: str,
    topics: Mapping[str, Topic],
    write: Write,
    fake: FakeAlertmanager,
) -> None:
    alert, other = breach(1), breach(2)
    write([alert, other])
    producer = Producer(client_config(broker.bootstrap, client_id="tests"))

    def ack(by: str, of: AlertRecord = alert) -> None:
        taken = AlertAck(of.alert_id, of.episode, by, "calling them", "2017-09-08T14:25:00+08:00")
        producer.produce(topics[ALERTS_ACKS].name, encode_ack(taken), taken.key)
        assert producer.flush(10) == 0

    def told(name: str) -> str | None:
        (at_fake,) = (a for a in fake.alerts.values() if a.labels["outlet"] == alert.scope_id)
        return at_fake.annotations.get(name)

    ack("duty-1")
    async with running(broker, prefix, fake.url):
        await until(lambda: len(fake.firing()) == 2)
        assert told("acked_by") == "duty-1", "it was there before"
        ack("duty-2")
        await until(lambda: told("acked_by") == "duty-2")
        assert "Taken on by duty-2, 2017-09-08T14:25:00+08:00: calling them." in str(
            told("description")
        )
        write([ended(alert, now_ms())])
        await until(lambda: len(fake.firing()) == 1)
        assert told("acked_by") == "duty-2", "the end says who had it"
    assert "acked_by" not in fake.firing()[0].annotations, "the other is nobody's"
    assert len(fake.alerts) == 3, "an acknowledgement makes no other alert; one is the watchdog"


async def test_only_what_is_committed_and_open_is_posted_after_the_topic_has_been_read(
    broker: EmbeddedBroker, prefix: str, write: Write, fake: FakeAlertmanager
) -> None:
    over = breach(2)
    write([breach(1), over])
    write([ended(over, now_ms())])
    write([breach(3)], commit=False)
    write([b"not an alert", breach(4)])
    metrics = Metrics()
    async with running(broker, prefix, fake.url, metrics=metrics):
        await until(lambda: len(fake.firing()) == 2)
        await asyncio.sleep(1.5)
    posted = {alert["labels"]["outlet"] for post in fake.posts for alert in post}
    assert posted == {"150102-N-1", "150102-N-4", "all"}, "the last is the watchdog"
    assert b'realname_notify_records_total{result="unreadable"} 1.0' in metrics.expose()


async def test_the_watchdog_fires_and_names_no_alert(
    broker: EmbeddedBroker, prefix: str, topics: Mapping[str, Topic], fake: FakeAlertmanager
) -> None:
    async with running(broker, prefix, fake.url):
        await until(lambda: len(fake.posts) >= 2)
    names = {alert["labels"]["alertname"] for post in fake.posts for alert in post}
    assert names == {"Watchdog"}


async def test_a_missing_topic_ends_it_with_what_to_do(
    broker: EmbeddedBroker, fake: FakeAlertmanager
) -> None:
    with pytest.raises(Exception, match="realname topics create"):
        async with running(broker, "no-such.", fake.url) as service:
            await until(lambda: service.ready, timeout_s=5)


async def test_a_killed_notify_begins_anew_without_a_false_end_or_a_second_name(
    broker: EmbeddedBroker, prefix: str, write: Write, fake: FakeAlertmanager
) -> None:
    first, second = breach(1), breach(2)
    write([first])

    async def start() -> asyncio.subprocess.Process:
        return await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from streams.cli import main; main()", "notify"),
            *("--bootstrap", broker.bootstrap, "--prefix", prefix),
            *("--alertmanager", fake.url, "--http-port", "0"),
        )

    process = await start()
    try:
        await until(lambda: len(fake.firing()) == 1)
        process.kill()
        await process.wait()
        assert len(fake.firing()) == 1, "nobody ended it"
        write([ended(first, now_ms()), second])
        process = await start()
        await until(lambda: [a.labels["outlet"] for a in fake.firing()] == ["150102-N-2"])
        assert len([a for a in fake.alerts.values() if a.labels["outlet"] != "all"]) == 2
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 10) == 0
        assert len(fake.firing()) == 1, "a stop ends no alert"
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def test_a_worker_tells_them_too_and_stops_in_good_order(
    broker: EmbeddedBroker, prefix: str, write: Write, fake: FakeAlertmanager, tmp_path: Path
) -> None:
    write([breach()])
    config = tmp_path / "realname.toml"
    few = "\n".join(f'"{name}" = {count}' for name, count in FEW_PARTITIONS.items())
    config.write_text(f'[notify]\nalertmanagers = ["{fake.url}"]\n[partitions]\n{few}\n')
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", "from streams.cli import main; main()", "worker"),
        *("--agents", "rollup,notify", "--config", str(config), "--data-dir", str(tmp_path)),
        *("--bootstrap", broker.bootstrap, "--prefix", prefix, "--http-port", "0"),
    )
    try:
        await until(lambda: len(fake.firing()) == 1, timeout_s=40)
        process.send_signal(signal.SIGTERM)
        assert await asyncio.wait_for(process.wait(), 15) == 0
        assert len(fake.firing()) == 1
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()
