"""A sender against a fake Alertmanager that fails in every way. The clock is a variable."""

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

import aiohttp
import pytest

from streams.kafka.clock import now_ms
from streams.notify import sender as sender_module
from streams.notify.alertmanager import Alertmanager, Trouble, shown_address
from streams.notify.notices import Notice, notices_of
from streams.notify.outbox import Outbox, OutboxPolicy
from streams.notify.sender import FAILURES, HELD_BACK, POSTS, REFUSED, SUCCESS, Sender
from streams.records.published import AlertRecord
from tests.notify.builders import MINUTE_MS, ended, record
from tests.notify.fake_alertmanager import FakeAlertmanager, serving

HOUR_MS = 60 * MINUTE_MS
# Rounds are short, so that what a failure costs is seen in a test's time.
POLICY = OutboxPolicy(resend_ms=200, ended_ms=60_000, remember_ms=HOUR_MS, late_ms=HOUR_MS)


@dataclass
class Figures:
    """A meter that remembers."""

    counts: Counter[tuple[str, ...]] = field(default_factory=Counter)
    gauges: dict[tuple[str, ...], float] = field(default_factory=dict)

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        self.counts[name, *labels] += int(by)

    def set(self, name: str, value: float, *labels: str) -> None:
        self.gauges[name, *labels] = value

    def observe(self, name: str, value: float, *labels: str) -> None:
        assert value >= 0
        self.counts[name, *labels] += 1


def notice(of: AlertRecord) -> Notice:
    (found,) = notices_of(of, {"summary": "x"}, url="", ahead_ms=HOUR_MS)
    return found


def breach(number: int = 1) -> AlertRecord:
    return record(f"150102-S-{number}", raised_ms=now_ms() - 10 * MINUTE_MS)


@dataclass
class Rig:
    fake: FakeAlertmanager
    outbox: Outbox
    sender: Sender
    meter: Figures

    @property
    def name(self) -> str:
        return shown_address(self.fake.url)

    def tell(self, *records: AlertRecord) -> None:
        for of in records:
            self.outbox.take(notice(of), now_ms())
        self.sender.wake()

    def failures(self, trouble: Trouble) -> int:
        return self.meter.counts[FAILURES, self.name, trouble.value]


async def until(true: Callable[[], bool], timeout_s: float = 10) -> None:
    async with asyncio.timeout(timeout_s):
        while not true():  # noqa: ASYNC110 (what is waited for is in another object)
            await asyncio.sleep(0.01)


@asynccontextmanager
async def sending(
    fake: FakeAlertmanager, *records: AlertRecord, timeout_s: float = 2
) -> AsyncIterator[Rig]:
    """Run a sender that has these records to begin with."""
    async with aiohttp.ClientSession() as session:
        meter, outbox = Figures(), Outbox(POLICY)
        client = Alertmanager(session, fake.url, timeout_s=timeout_s)
        rig = Rig(fake, outbox, Sender(client, outbox, meter=meter, now_ms=now_ms), meter)
        rig.tell(*records)
        task = asyncio.create_task(rig.sender.run())
        try:
            yield rig
            assert not task.done(), task.exception()
        finally:
            task.cancel()


@pytest.fixture
async def fake() -> AsyncIterator[FakeAlertmanager]:
    async with serving(FakeAlertmanager()) as fake:
        yield fake


async def test_a_raise_arrives_and_is_posted_again(fake: FakeAlertmanager) -> None:
    async with sending(fake, breach()) as rig:
        await until(lambda: len(fake.posts) >= 3)
        assert len(fake.firing()) == 1
        starts = {post[0]["startsAt"] for post in fake.posts}
        assert len(starts) == 1, "its start is its raise, each time"
        assert rig.meter.gauges[SUCCESS, rig.name] > 0


async def test_an_end_arrives(fake: FakeAlertmanager) -> None:
    alert = breach()
    async with sending(fake, alert) as rig:
        await until(lambda: len(fake.firing()) == 1)
        rig.tell(ended(alert, now_ms() - 1000))
        await until(lambda: not fake.firing())


async def test_what_ended_before_the_start_is_ended_where_it_is_held_and_only_there(
    fake: FakeAlertmanager,
) -> None:
    held, other = breach(1), breach(2)
    async with sending(fake, held):
        await until(lambda: len(fake.firing()) == 1)
    fake.posts.clear()
    at = now_ms()
    async with sending(fake, ended(held, at), ended(other, at)):
        await until(lambda: not fake.firing())
        await asyncio.sleep(0.1)
    posted = {alert["labels"]["alert_id"] for post in fake.posts for alert in post}
    assert posted == {held.alert_id}


# How an Alertmanager fails, and under which reason that is counted.
FAILURES_SEEN: list[tuple[str, int | None, float, Trouble]] = [
    ("it answers 500", 500, 0, Trouble.SERVER_ERROR),
    ("it answers 503", 503, 0, Trouble.SERVER_ERROR),
    ("it answers 429", 429, 0, Trouble.THROTTLED),
    ("it answers 403", 403, 0, Trouble.REFUSED),
    ("it does not answer in time", None, 0.5, Trouble.TIMEOUT),
]


@pytest.mark.parametrize(
    ("status", "hang_s", "trouble"),
    [case[1:] for case in FAILURES_SEEN],
    ids=[case[0] for case in FAILURES_SEEN],
)
async def test_a_failing_alertmanager_is_told_as_soon_as_it_works(
    fake: FakeAlertmanager, status: int | None, hang_s: float, trouble: Trouble
) -> None:
    fake.status, fake.hang_s = status, hang_s
    async with sending(fake, breach(), timeout_s=0.2) as rig:
        await until(lambda: rig.failures(trouble) >= 1)
        fake.status, fake.hang_s = None, 0
        await until(lambda: len(fake.firing()) == 1)
        assert sum(rig.failures(other) for other in Trouble) == rig.failures(trouble)


async def test_an_alertmanager_that_is_not_there_is_told_when_it_comes() -> None:
    fake = FakeAlertmanager()
    async with serving(fake):
        port = int(fake.url.rsplit(":", 1)[1])
    async with sending(fake, breach()) as rig:
        await until(lambda: rig.failures(Trouble.CONNECTION) >= 2)
        async with serving(fake, port):
            await until(lambda: len(fake.firing()) == 1)


async def test_a_raise_that_was_stored_without_an_answer_is_ended(fake: FakeAlertmanager) -> None:
    fake.status, fake.stores = 500, True
    alert = breach()
    async with sending(fake, alert) as rig:
        await until(lambda: len(fake.firing()) == 1)
        rig.tell(ended(alert, now_ms() - 1000))
        fake.status = None
        await until(lambda: not fake.firing())


async def test_an_alertmanager_that_has_forgotten_is_told_again(fake: FakeAlertmanager) -> None:
    async with sending(fake, breach()):
        await until(lambda: len(fake.firing()) == 1)
        fake.alerts.clear()
        await until(lambda: len(fake.firing()) == 1)


async def test_a_failing_one_delays_no_other(fake: FakeAlertmanager) -> None:
    async with serving(FakeAlertmanager(hang_s=60)) as stuck:
        alert = breach()
        async with sending(stuck, alert, timeout_s=30), sending(fake, alert):
            await until(lambda: len(fake.firing()) == 1, timeout_s=2)


async def test_of_a_thousand_the_bad_ones_are_named_and_the_others_arrive(
    fake: FakeAlertmanager, caplog: pytest.LogCaptureFixture
) -> None:
    alerts = [breach(number) for number in range(1000)]
    wrong = {alerts[17].alert_id, alerts[900].alert_id}
    fake.refuses = lambda labels: labels["alert_id"] in wrong
    async with sending(fake, *alerts) as rig:
        await until(lambda: rig.meter.gauges[HELD_BACK, rig.name] == 2)
        assert len(fake.firing()) == 998
        assert rig.meter.counts[REFUSED, rig.name] == 2
        named = {alert_id for alert_id in wrong if alert_id in caplog.text}
        assert named == wrong
        posts = len(fake.posts)
        await until(lambda: len(fake.posts) > posts + 6)
        assert rig.meter.counts[REFUSED, rig.name] == 2, "they are reported once"
        fake.refuses = lambda labels: False
        await until(lambda: len(fake.firing()) == 1000)
        await until(lambda: rig.meter.gauges[HELD_BACK, rig.name] == 0)


async def test_a_search_for_bad_ones_has_a_limit(fake: FakeAlertmanager) -> None:
    fake.refuses = lambda labels: True
    async with sending(fake, *(breach(number) for number in range(300))) as rig:
        await until(lambda: rig.meter.gauges[HELD_BACK, rig.name] == 300)
        assert len(fake.posts) < 100


async def test_posts_get_smaller_where_they_are_too_large(fake: FakeAlertmanager) -> None:
    fake.alerts_max = 60
    async with sending(fake, *(breach(number) for number in range(200))) as rig:
        await until(lambda: len(fake.firing()) == 200)
        refused = rig.meter.counts[POSTS, rig.name, "too_large"]
        await asyncio.sleep(0.5)
        assert rig.meter.counts[POSTS, rig.name, "too_large"] == refused, "it has learnt"
        assert rig.meter.counts[REFUSED, rig.name] == 0


async def test_two_at_once_do_no_harm(fake: FakeAlertmanager) -> None:
    alert = breach()
    async with sending(fake, alert) as first, sending(fake, alert) as second:
        await until(lambda: len(fake.firing()) == 1)
        first.tell(ended(alert, now_ms() - 1000))
        # The other learns of it later, and posts the raise once more.
        await until(lambda: not fake.firing())
        second.tell(ended(alert, now_ms() - 1000))
        await until(lambda: not fake.firing())
        await asyncio.sleep(0.5)
        assert not fake.firing()


async def test_a_user_and_password_are_used_and_not_shown(fake: FakeAlertmanager) -> None:
    async with aiohttp.ClientSession() as session:
        client = Alertmanager(session, fake.url.replace("//", "//me:secret@"), timeout_s=1)
        assert client.name == shown_address(fake.url)
        await client.held()
    assert fake.logins == {"Basic bWU6c2VjcmV0"}


def test_a_back_off_ends_before_an_alertmanager_would_end_an_alert() -> None:
    assert sender_module.BACKOFF_S_MAX * 1000 < MINUTE_MS
