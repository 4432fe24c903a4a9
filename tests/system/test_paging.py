"""From Kafka through `realname notify` and real Alertmanagers, with the configuration that ships, to a
web hook. Its waiting times are shortened, in proportion; its receivers post to the test.
"""

import asyncio
import sys
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest
from confluent_kafka import Producer

from streams.domain.window import instant_text
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.clock import now_ms
from streams.records.published import AlertRecord
from streams.records.topics import ALERTS, Topic
from tests.notify.builders import ended, key_value, raised_as, record
from tests.system.conftest import NewAlertmanager, RealAlertmanager
from tests.system.hook import Hook, configured, listening

pytestmark = pytest.mark.kafka

QUIET_S = 14.0
"""More than two group intervals: what is to come has come."""

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
    """Two Alertmanagers that know each other."""
    both = [new_alertmanager(config, cluster=True) for _ in range(2)]
    both[0].peers = [both[1].cluster_address]
    for one in both:
        await asyncio.to_thread(one.start)
    yield both
    for one in both:
        one.kill()


class Notify:
    """`realname notify` as a process."""

    def __init__(self, *options: str) -> None:
        self._options = options
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        self._process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-c", "from streams.cli import main; main()", "notify"),
            *("--http-port", "0", *self._options),
            stderr=asyncio.subprocess.DEVNULL,
        )

    async def kill(self) -> None:
        if self._process is not None:
            self._process.kill()
            await self._process.wait()
            self._process = None


@pytest.fixture
async def notify(
    broker: EmbeddedBroker,
    topics: Mapping[str, Topic],
    prefix: str,
    pair: list[RealAlertmanager],
    tmp_path: Path,
) -> AsyncIterator[Notify]:
    settings = tmp_path / "realname.toml"
    settings.write_text('[notify]\nresend_ms = "10s"\ngroup_wait_ms = "8s"\n')
    notify = Notify(
        *("--config", str(settings), "--bootstrap", broker.bootstrap, "--prefix", prefix),
        *(option for one in pair for option in ("--alertmanager", one.url)),
    )
    await notify.start()
    yield notify
    await notify.kill()


@pytest.fixture
def write(broker: EmbeddedBroker, topics: Mapping[str, Topic]) -> Callable[..., None]:
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


async def until(true: Callable[[], bool], timeout_s: float = 40) -> None:
    deadline = time.monotonic() + timeout_s
    while not true():
        assert time.monotonic() < deadline, "it does not come about"
        await asyncio.sleep(0.1)


async def test_five_thousand_outlets_are_one_page_per_city(
    notify: Notify, hook: Hook, write: Callable[..., None]
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
    notify: Notify, hook: Hook, pair: list[RealAlertmanager], write: Callable[..., None]
) -> None:
    alerts = [breach(f"150102-DB-{number}") for number in range(3)]
    receiver = f"duty-{HOHHOT}"
    write(alerts)
    await until(lambda: len(hook.pages(receiver)) == 1)

    await notify.kill()  # And an outage, many times the resend interval.
    await asyncio.sleep(QUIET_S)
    # A change comes while nobody reads: an attribute, so no other alert.
    write([replace(alerts[0], severity="CRITICAL", severity_highest="CRITICAL", reason="changed")])
    await notify.start()
    await asyncio.sleep(3)
    for one in pair:
        one.kill()
        await asyncio.sleep(3)
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
    notify: Notify, hook: Hook, write: Callable[..., None]
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
    notify: Notify, hook: Hook, write: Callable[..., None]
) -> None:
    await notify.kill()
    alert = breach("150102-DB-1")
    write([alert, ended(alert, now_ms()), breach("150102-DB-2")])
    await notify.start()
    await until(lambda: bool(hook.pages(f"duty-{HOHHOT}")))
    await asyncio.sleep(QUIET_S)
    assert hook.told(f"duty-{HOHHOT}") == {"150102-DB-2"}


async def test_a_ticket_that_grows_is_one_ticket_and_one_page(
    notify: Notify, hook: Hook, write: Callable[..., None]
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
    notify: Notify, hook: Hook, pair: list[RealAlertmanager], write: Callable[..., None]
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


async def test_the_watchdog_comes_again_and_again(notify: Notify, hook: Hook) -> None:
    await until(lambda: bool(hook.pages("watchdog")))
