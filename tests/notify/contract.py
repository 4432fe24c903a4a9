"""What any Alertmanager does, and our client expects. Run against the fake and against a real one."""

import asyncio
from collections.abc import AsyncIterator, Iterable
from datetime import datetime

import aiohttp
import orjson
import pytest

from streams.kafka.clock import now_ms
from streams.notify.alertmanager import (
    Alertmanager,
    Answer,
    Post,
    PostFailedError,
    Trouble,
    postable,
)
from streams.notify.notices import Notice, NoticeKey, labels_of, notices_of, watchdog
from tests.notify.builders import MINUTE_MS, ended, record
from tests.notify.openapi import GETTABLE, POSTABLE

HOUR_MS = 60 * MINUTE_MS


def posts(notices: Iterable[Notice]) -> list[Post]:
    return [Post(notice, notice.starts_ms) for notice in notices]


def firing(scope_id: str, *, age_ms: int = MINUTE_MS, text: str = "first") -> Notice:
    alert = record(scope_id, raised_ms=now_ms() - age_ms)
    (notice,) = notices_of(alert, {"summary": text}, url="http://board/?s=1", ahead_ms=HOUR_MS)
    return notice


def over(notice_of: str, *, raised_ms: int, last_ms: int) -> Notice:
    alert = ended(record(notice_of, raised_ms=raised_ms), last_ms)
    (notice,) = notices_of(alert, {}, url="", ahead_ms=HOUR_MS)
    return notice


def bad(scope_id: str) -> Notice:
    """An alert that every Alertmanager refuses: a label without a name."""
    alert = record(scope_id)
    key = NoticeKey(alert.alert_id, "1", "page")
    labels = labels_of(alert, "page") | {"": "no name"}
    return Notice(key, labels, {}, starts_ms=1, ended_ms=None, url="", ahead_ms=HOUR_MS)


class AlertmanagerContract:
    """Subclasses have a fixture `url`: an Alertmanager that has nothing of these tests yet."""

    @pytest.fixture
    async def session(self) -> AsyncIterator[aiohttp.ClientSession]:
        async with aiohttp.ClientSession() as session:
            yield session

    @pytest.fixture
    def client(self, session: aiohttp.ClientSession, url: str) -> Alertmanager:
        return Alertmanager(session, url, timeout_s=5)

    async def test_what_is_posted_is_held_under_its_key(self, client: Alertmanager) -> None:
        notice = firing("150102-C-1")
        assert await client.post(posts([notice]), now_ms()) is Answer.TAKEN
        assert notice.key in await client.held_keys()

    async def test_posting_again_with_other_figures_is_the_same_alert(
        self, client: Alertmanager, session: aiohttp.ClientSession, url: str
    ) -> None:
        for text in ("first", "second"):
            await client.post(
                posts([firing("150102-C-2", text=text, age_ms=5 * MINUTE_MS)]), now_ms()
            )
        async with session.get(f"{url}/api/v2/alerts") as answer:
            found = [a for a in await answer.json() if a["labels"]["outlet"] == "150102-C-2"]
        assert [alert["annotations"]["summary"] for alert in found] == ["second"]

    async def test_what_has_ended_is_held_no_more(self, client: Alertmanager) -> None:
        at = now_ms()
        notice = firing("150102-C-3", age_ms=5 * MINUTE_MS)
        await client.post(posts([notice]), at)
        last = over("150102-C-3", raised_ms=notice.starts_ms, last_ms=at - MINUTE_MS)
        assert await client.post(posts([last]), at) is Answer.TAKEN
        assert notice.key not in await client.held_keys()

    async def test_an_end_that_comes_twice_or_first_is_taken(self, client: Alertmanager) -> None:
        at = now_ms()
        last = over("150102-C-4", raised_ms=at - HOUR_MS, last_ms=at)
        for _ in range(2):
            assert await client.post(posts([last]), at) is Answer.TAKEN
        assert last.key not in await client.held_keys()

    async def test_a_new_episode_is_not_touched_by_the_end_of_the_last(
        self, client: Alertmanager
    ) -> None:
        at = now_ms()
        again = record("150102-C-5", episode=2, raised_ms=at - MINUTE_MS)
        (second,) = notices_of(again, {}, url="", ahead_ms=HOUR_MS)
        first = over("150102-C-5", raised_ms=at - HOUR_MS, last_ms=at - 2 * MINUTE_MS)
        await client.post(posts([second, first]), at)
        assert second.key in await client.held_keys()

    async def test_of_a_batch_with_bad_ones_the_good_are_stored_and_the_bad_found(
        self, client: Alertmanager
    ) -> None:
        good = [firing(f"150102-C-6-{number}") for number in range(20)]
        wrong = [bad("150102-C-6-x"), bad("150102-C-6-y")]
        batch = [*good[:3], wrong[0], *good[3:], wrong[1]]
        assert await client.post(posts(batch), now_ms()) is Answer.PARTLY
        assert {notice.key for notice in good} <= await client.held_keys()
        found = await client.find_bad(posts(batch), now_ms())
        assert {post.notice for post in found} == set(wrong)

    async def test_one_that_breaks_the_schema_is_found_and_the_others_stored(
        self, client: Alertmanager
    ) -> None:
        good = [firing(f"150102-C-7-{number}") for number in range(5)]
        wrong = bad("150102-C-7-x")
        broken = Notice(wrong.key, {"a": 1}, {}, starts_ms=1, ended_ms=None, url="", ahead_ms=1)  # type: ignore[dict-item]  # what is wrong
        assert await client.post(posts([*good, broken]), now_ms()) is Answer.PARTLY
        found = await client.find_bad(posts([*good, broken]), now_ms())
        assert [post.notice for post in found] == [broken]
        assert {notice.key for notice in good} <= await client.held_keys()

    async def test_data_ahead_of_the_clock_are_taken(self, client: Alertmanager) -> None:
        notice = firing("150102-C-8", age_ms=-3 * HOUR_MS)
        last = over("150102-C-9", raised_ms=now_ms() + HOUR_MS, last_ms=now_ms() + 2 * HOUR_MS)
        assert await client.post(posts([notice, last]), now_ms()) is Answer.TAKEN
        await asyncio.sleep(0.05)  # It ends a millisecond after it was posted.
        held = await client.held_keys()
        assert notice.key in held
        assert last.key not in held

    async def test_of_two_starts_the_earlier_counts(
        self, client: Alertmanager, session: aiohttp.ClientSession, url: str
    ) -> None:
        notice = firing("150102-C-15", age_ms=HOUR_MS)
        await client.post([Post(notice, now_ms())], now_ms())
        await client.post([Post(notice, notice.starts_ms)], now_ms())
        async with session.get(f"{url}/api/v2/alerts") as answer:
            (found,) = [a for a in await answer.json() if a["labels"]["outlet"] == "150102-C-15"]
        started = datetime.fromisoformat(found["startsAt"])
        assert round(started.timestamp() * 1000) == notice.starts_ms

    async def test_one_alert_is_found_with_who_is_told(self, client: Alertmanager) -> None:
        notice = firing("150102-C-10")
        await client.post(posts([notice, firing("150102-C-11")]), now_ms())
        (found,) = await client.held([f'alert_id="{notice.key.alert_id}"'])
        assert found.labels == notice.labels
        assert found.receivers
        assert found.state in {"unprocessed", "active"}

    async def test_another_address_is_refused_and_not_tried_as_if_it_were_down(
        self, session: aiohttp.ClientSession, url: str
    ) -> None:
        elsewhere = Alertmanager(session, f"{url}/elsewhere", timeout_s=5)
        with pytest.raises(PostFailedError) as raised:
            await elsewhere.post(posts([firing("150102-C-12")]), now_ms())
        assert raised.value.trouble is Trouble.REFUSED

    async def test_bodies_are_as_the_api_describes_them(
        self, client: Alertmanager, session: aiohttp.ClientSession, url: str
    ) -> None:
        at = now_ms()
        notices = [
            firing("150102-C-13"),
            over("150102-C-14", raised_ms=at - 2, last_ms=at - 1),
            watchdog({"summary": "x"}, starts_ms=at, ahead_ms=1, url=""),
        ]
        body = [postable(post, at) for post in posts(notices)]
        POSTABLE.validate(orjson.loads(orjson.dumps(body)))
        await client.post(posts(notices), at)
        async with session.get(f"{url}/api/v2/alerts") as answer:
            GETTABLE.validate(await answer.json())
