"""From Kafka through `realname notify` and real Alertmanagers, with the configuration that ships, to a
web hook. Its waiting times are shortened, in proportion; its receivers post to the test.
"""

import asyncio
import subprocess
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.domain.window import instant_text
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.clock import now_ms
from streams.kafka.topics import create_topics
from streams.records.published import AlertRecord
from streams.records.topics import ALERTS, Topic, catalogue
from tests.conftest import FEW_PARTITIONS
from tests.notify.builders import ended, key_value, raised_as, record
from tests.system.conftest import NewAlertmanager, RealAlertmanager
from tests.system.hook import Hook, configured, listening

pytestmark = pytest.mark.kafka

QUIET_S = 14.0
"""More than two group intervals: what is to come has come."""
OUTAGE_S = 300.0
PATIENCE_S = 60.0

HOHHOT, BAOTOU = "150100", "150200"


@pytest.fixture
def hook() -> Iterator[Hook]:
    with listening() as hook:
        yield hook


@pytest.fixture
def config(tmp_path: Path, hook: Hook) -> Path:
    return configured(tmp_path, hook)


@pytest.fixture
async def pair(
    config: Path, new_alertmanager: NewAlertmanager
) -> AsyncIterator[list[RealAlertmanager]]:
    both = await asyncio.to_thread(started, new_alertmanager, config)
    yield both
    for one in both:
        one.kill()


def started(new_alertmanager: NewAlertmanager, config: Path) -> list[RealAlertmanager]:
    """Start two Alertmanagers that know each other."""
    both = [new_alertmanager(config, cluster=True) for _ in range(2)]
    both[0].peers = [both[1].cluster_address]
    for one in both:
        one.start()
    return both


class Ours:
    """One of our commands as a process, which only `kill` ends, with SIGKILL."""

    def __init__(self, log: Path, *command: str) -> None:
        self._log = log
        self._command = command
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-c", "from streams.cli import main; main()", *self._command],
                stderr=log,
            )

    def kill(self) -> None:
        if self._process is not None:
            assert self._process.poll() is None, self._log.read_text()
            self._process.kill()
            self._process.wait()
            self._process = None


def ours(
    name: str, folder: Path, broker: EmbeddedBroker, prefix: str, pair: list[RealAlertmanager]
) -> Ours:
    """Return `notify`, or a worker that notifies: of one topic prefix, to two Alertmanagers."""
    settings = folder / "realname.toml"
    few = "\n".join(f'"{topic}" = {count}' for topic, count in FEW_PARTITIONS.items())
    told = ", ".join(f'"{one.url}"' for one in pair)
    settings.write_text(
        f'[notify]\nalertmanagers = [{told}]\nresend_ms = "10s"\ngroup_wait_ms = "8s"\n'
        f"[partitions]\n{few}\n"
    )
    agents = ("--agents", "rollup,notify") if name == "worker" else ()
    return Ours(
        folder / f"{name}.log",
        *(name, *agents, "--config", str(settings), "--data-dir", str(folder)),
        *("--bootstrap", broker.bootstrap, "--prefix", prefix, "--http-port", "0"),
    )


@pytest.fixture
def notify(
    broker: EmbeddedBroker,
    topics: Mapping[str, Topic],
    prefix: str,
    pair: list[RealAlertmanager],
    tmp_path: Path,
) -> Iterator[Ours]:
    notify = ours("notify", tmp_path, broker, prefix, pair)
    notify.start()
    yield notify
    notify.kill()


@pytest.fixture
def worker(
    broker: EmbeddedBroker,
    topics: Mapping[str, Topic],
    prefix: str,
    pair: list[RealAlertmanager],
    tmp_path: Path,
) -> Iterator[Ours]:
    """A worker that notifies as well; not started."""
    worker = ours("worker", tmp_path, broker, prefix, pair)
    yield worker
    worker.kill()


@pytest.fixture
def write(broker: EmbeddedBroker, topics: Mapping[str, Topic]) -> Callable[..., None]:
    return writer(broker, topics)


def writer(broker: EmbeddedBroker, topics: Mapping[str, Topic]) -> Callable[..., None]:
    def write(alerts: Iterable[AlertRecord]) -> None:
        producer = Producer(client_config(broker.bootstrap, client_id="tests"))
        for alert in alerts:
            key, value = key_value(alert)
            producer.produce(topics[ALERTS].name, value, key)
        assert producer.flush(20) == 0

    return write


def breach(
    scope_id: str, granularity: str = "OUTLET", *, age_s: int = 0, **changes: str | None
) -> AlertRecord:
    """An alert of an L2 event, raised this second or `age_s` ago."""
    city = f"{scope_id[:4]}00"
    places: dict[str, str | None] = {
        "city_code": city,
        "county_code": scope_id[:6] if granularity in ("OUTLET", "COUNTY") else None,
        "enterprise_id": "E1" if granularity == "OUTLET" else None,
    }
    raised = raised_as(**places | changes)
    raised_ms = (now_ms() // 1000 - age_s) * 1000
    return record(scope_id, granularity=granularity, raised_ms=raised_ms, raised=raised)


async def until(true: Callable[[], bool], timeout_s: float = PATIENCE_S) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it does not come about"
        await asyncio.sleep(0.1)


@dataclass
class Outage:
    """Five minutes without `notify`, and without one of two Alertmanagers, while an alert is open."""

    hook: Hook
    pair: list[RealAlertmanager]
    notify: Ours
    write: Callable[..., None]
    alert: AlertRecord
    over_s: float


@pytest.fixture(scope="module")
def outage(
    broker: EmbeddedBroker,
    admin: AdminClient,
    new_alertmanager: NewAlertmanager,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[Outage]:
    """Begin it, and go on: the other tests of this module are the waiting."""
    folder, prefix = tmp_path_factory.mktemp("outage"), "outage."
    topics = catalogue(prefix, FEW_PARTITIONS)
    create_topics(admin, topics, replication_factor=1)
    with listening() as hook:
        pair = started(new_alertmanager, configured(folder, hook))
        notify = ours("notify", folder, broker, prefix, pair)
        alert, write = breach("150102-DB-1"), writer(broker, topics)
        notify.start()
        write([alert])
        deadline = time.monotonic() + PATIENCE_S
        while not hook.pages(f"duty-{HOHHOT}"):
            assert time.monotonic() < deadline, "no page"
            time.sleep(0.1)
        time.sleep(QUIET_S)
        notify.kill()
        pair[1].kill()
        yield Outage(hook, pair, notify, write, alert, time.monotonic() + OUTAGE_S)
        notify.kill()


def test_an_outage_begins(outage: Outage) -> None:
    """The last test of this module looks at what comes of it."""
    assert len(outage.hook.pages(f"duty-{HOHHOT}")) == 1


async def test_five_thousand_outlets_are_one_page_per_city(
    notify: Ours, hook: Hook, write: Callable[..., None]
) -> None:
    """They come an hour late, as after an outage, when Alertmanager would not wait for all of them."""
    outlets = [
        f"{city[:4]}02-DB-{number:04}" for number in range(2500) for city in (HOHHOT, BAOTOU)
    ]
    write(breach(outlet, age_s=3600) for outlet in outlets)
    await until(lambda: bool(hook.pages(f"duty-{HOHHOT}")) and bool(hook.pages(f"duty-{BAOTOU}")))
    await asyncio.sleep(QUIET_S)
    pages = Counter(name for name, _ in hook.came if name != "watchdog")
    sizes = [(name, len(body["alerts"])) for name, body in hook.came if name != "watchdog"]
    assert pages == {f"duty-{HOHHOT}": 1, f"duty-{BAOTOU}": 1}, sizes
    for city in (HOHHOT, BAOTOU):
        (page,) = hook.pages(f"duty-{city}")
        assert len(page["alerts"]) + page["truncatedAlerts"] == 2500
        assert page["groupLabels"] == {"event": "EP2017-COP13", "city": city}


async def test_no_second_page_and_no_false_end_through_kills_and_an_outage(
    notify: Ours,
    worker: Ours,
    hook: Hook,
    pair: list[RealAlertmanager],
    write: Callable[..., None],
) -> None:
    notify.kill()
    worker.start()
    await until(lambda: bool(hook.pages("watchdog")))
    alerts = [breach(f"150102-DB-{number}") for number in range(3)]
    receiver = f"duty-{HOHHOT}"
    write(alerts)
    await until(lambda: len(hook.pages(receiver)) == 1)

    worker.kill()  # And an outage, longer than the resend interval.
    await asyncio.sleep(QUIET_S)
    # A change comes while nobody reads: an attribute, so no other alert.
    write([replace(alerts[0], severity="CRITICAL", severity_highest="CRITICAL", reason="changed")])
    notify.start()  # In the worker's place.
    await asyncio.sleep(3)
    for one in pair:
        one.kill()
        notify.kill()
        await asyncio.sleep(3)
        notify.start()
        await asyncio.to_thread(one.start)
        await asyncio.sleep(QUIET_S)

    assert len(hook.pages(receiver)) == 1, "no second page"
    assert not hook.pages(receiver, "resolved"), "no false end"
    write([ended(alert, now_ms()) for alert in alerts])
    await until(lambda: len(hook.pages(receiver, "resolved")) == 1)
    await asyncio.sleep(QUIET_S)
    # A pair of Alertmanagers that flush at different moments, as after these kills, may still tell an end
    # twice, and a raise between the two: the second has looked at its alerts before the first has told.
    last = [body for name, body in hook.came if name == receiver][-1]
    assert last["status"] == "resolved", "the end is the last word"
    told = [alert for name, body in hook.came if name == receiver for alert in body["alerts"]]
    assert len({alert["fingerprint"] for alert in told}) == 3, "one identity per raise"
    assert {alert["startsAt"][:19] for alert in told} == {starts_at(alert) for alert in alerts}


async def test_a_raise_and_its_end_are_told_once_each(
    notify: Ours, hook: Hook, write: Callable[..., None]
) -> None:
    alert, receiver = breach("150102-DB-1"), f"duty-{HOHHOT}"
    write([alert])
    await until(lambda: bool(hook.pages(receiver)))
    write([ended(alert, now_ms())])
    await until(lambda: bool(hook.pages(receiver, "resolved")))
    await asyncio.sleep(QUIET_S)
    assert (len(hook.pages(receiver)), len(hook.pages(receiver, "resolved"))) == (1, 1)
    (raised,), (over,) = (
        hook.pages(receiver, status)[0]["alerts"] for status in ("firing", "resolved")
    )
    assert raised["fingerprint"] == over["fingerprint"]
    assert raised["startsAt"][:19] == over["startsAt"][:19] == starts_at(alert)
    assert (raised["annotations"]["rate"], over["annotations"]["rate"]) == ("84.99%", "97.00%")
    assert over["annotations"]["end_reason_zh"] == "已恢复"


def starts_at(alert: AlertRecord) -> str:
    from streams.domain.window import SHANGHAI_OFFSET_MS, instant_from_text

    return instant_text(instant_from_text(alert.first_at) - SHANGHAI_OFFSET_MS)[:19]


async def test_an_alert_that_ended_while_nobody_ran_is_never_a_page(
    notify: Ours, hook: Hook, write: Callable[..., None]
) -> None:
    notify.kill()
    alert = breach("150102-DB-1")
    write([alert, ended(alert, now_ms()), breach("150102-DB-2")])
    notify.start()
    await until(lambda: bool(hook.pages(f"duty-{HOHHOT}")))
    await asyncio.sleep(QUIET_S)
    assert hook.told(f"duty-{HOHHOT}") == {"150102-DB-2"}


async def test_a_ticket_that_grows_is_one_ticket_and_one_page(
    notify: Ours, hook: Hook, write: Callable[..., None]
) -> None:
    ticket = breach("150102-DB-1", severity="MINOR")
    write([ticket])
    await asyncio.sleep(2)
    assert not hook.pages(f"duty-{HOHHOT}")
    grown = replace(ticket, severity="MAJOR", severity_highest="MAJOR", reason="changed")
    write([grown])
    await until(lambda: bool(hook.pages(f"duty-{HOHHOT}")))
    write([replace(grown, severity="MINOR")])
    await asyncio.sleep(QUIET_S)
    assert len(hook.pages(f"duty-{HOHHOT}")) == 1
    assert not hook.pages(f"duty-{HOHHOT}", "resolved"), "milder is not over"


async def test_silences_and_inhibition_are_honoured(
    notify: Ours, hook: Hook, pair: list[RealAlertmanager], write: Callable[..., None]
) -> None:
    silent_id = "RATE_BELOW_TARGET:OUTLET:150104-DB-1"
    silence = {
        "matchers": [{"name": "alert_id", "value": silent_id, "isRegex": False, "isEqual": True}],
        "startsAt": "2017-01-01T00:00:00Z",
        "endsAt": "2100-01-01T00:00:00Z",
        "createdBy": "tests",
        "comment": "known",
    }
    async with aiohttp.ClientSession() as session:
        # One is told; the other learns it from it.
        answer = await session.post(f"{pair[0].url}/api/v2/silences", json=silence)
        assert answer.status == 200, await answer.text()
    await asyncio.sleep(2)
    channel = record(
        "E9|150100",
        kind="CHANNEL_SILENT",
        granularity="ENTERPRISE_CITY",
        raised_ms=now_ms() // 1000 * 1000,
        raised=raised_as(county_code=None, enterprise_id="E9"),
        target=None,
    )
    write(
        [
            breach("150102", "COUNTY"),
            breach("150102-DB-1"),  # Of a county that breaches itself.
            breach("150103-DB-1"),
            breach("150104-DB-1"),  # Silenced.
            channel,
            breach("150105-ZT-1", enterprise_id="E9"),  # Of the silent channel.
        ]
    )
    receiver = f"duty-{HOHHOT}"
    await until(lambda: bool(hook.pages(receiver)))
    await asyncio.sleep(QUIET_S)
    assert hook.told(receiver) == {"150102", "150103-DB-1", "E9|150100"}

    write([breach("150100", "CITY")])
    write([breach("150103-DB-2")])  # Comes with its city's breach, and is not told.
    await until(lambda: "150100" in hook.told(receiver))
    await asyncio.sleep(QUIET_S)
    assert hook.told(receiver) == {"150102", "150103-DB-1", "E9|150100", "150100"}


async def test_the_watchdog_comes_again_and_again(notify: Ours, hook: Hook) -> None:
    await until(lambda: bool(hook.pages("watchdog")))


async def test_after_five_minutes_of_outage_there_is_no_second_page_and_no_false_end(
    outage: Outage,
) -> None:
    receiver, hook = f"duty-{HOHHOT}", outage.hook
    await asyncio.sleep(max(outage.over_s - time.monotonic(), 0))
    outage.notify.start()
    await asyncio.to_thread(outage.pair[1].start)
    await asyncio.sleep(2 * QUIET_S)
    assert (len(hook.pages(receiver)), hook.pages(receiver, "resolved")) == (1, [])
    outage.write([ended(outage.alert, now_ms())])
    await until(lambda: bool(hook.pages(receiver, "resolved")))
    told = [alert for name, body in hook.came if name == receiver for alert in body["alerts"]]
    assert len({alert["fingerprint"] for alert in told}) == 1, "one identity"
    assert told[-1]["status"] == "resolved"
