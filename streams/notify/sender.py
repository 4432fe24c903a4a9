"""Keeps one Alertmanager told: asks what it has, posts what is due, waits, backs off. One task each,
so that one that fails delays no other.
"""  # noqa: D205 (one sentence, and its reason)

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final, Protocol

from streams.notify.alertmanager import Alertmanager, Answer, Post, PostFailedError, Trouble
from streams.notify.notices import Notice, NoticeKey
from streams.notify.outbox import Outbox

LOGGER: Final = logging.getLogger(__name__)

BATCH_ALERTS: Final = 500
"""Alerts of one post, a megabyte or so."""
BACKOFF_S_MIN: Final = 0.5
BACKOFF_S_MAX: Final = 30.0
"""Below `resend_ms`, so that an Alertmanager that is back is told at the next round at the latest."""

POSTS: Final = "realname_notify_posts_total"
FAILURES: Final = "realname_notify_failures_total"
REFUSED: Final = "realname_notify_refused_alerts_total"
SUCCESS: Final = "realname_notify_last_success_timestamp_seconds"
HELD_BACK: Final = "realname_notify_alerts_refused"
POST_SECONDS: Final = "realname_notify_post_seconds"


class Meter(Protocol):
    """Where figures go; `streams.metrics.Metrics` is one."""

    def count(self, name: str, *labels: str, by: float = 1) -> None:
        """Add to a counter."""
        ...

    def set(self, name: str, value: float, *labels: str) -> None:
        """Set a gauge."""
        ...

    def observe(self, name: str, value: float, *labels: str) -> None:
        """Add an observation."""
        ...


class Sender:
    """Tells one Alertmanager. `outbox` is filled by somebody else in the same event loop.

    Args:
        alertmanager: Whom.
        outbox: What, and when.
        meter: Where figures go.
        now_ms: The wall clock.

    """

    def __init__(
        self,
        alertmanager: Alertmanager,
        outbox: Outbox,
        *,
        meter: Meter,
        now_ms: Callable[[], int],
    ) -> None:
        self.outbox: Final = outbox
        self._alertmanager: Final = alertmanager
        self._meter: Final = meter
        self._now_ms: Final = now_ms
        self._woken: Final = asyncio.Event()
        self._asked = False
        self._batch = BATCH_ALERTS
        self._refused: dict[NoticeKey, Notice] = {}
        self._failures = 0
        self._last_trouble: Trouble | None = None
        # A series that is there from the start, so that an absence is noticed and not missed.
        meter.set(SUCCESS, 0, alertmanager.name)
        meter.set(HELD_BACK, 0, alertmanager.name)
        meter.count(REFUSED, alertmanager.name, by=0)
        for trouble in Trouble:
            meter.count(FAILURES, alertmanager.name, trouble.value, by=0)

    def wake(self) -> None:
        """Say that the outbox has changed."""
        self._woken.set()

    async def run(self) -> None:
        """Tell the Alertmanager for ever; ends only when it is cancelled."""
        while True:
            self._woken.clear()
            try:
                await self._round()
            except PostFailedError as error:
                await asyncio.sleep(self._after_failure(error))
                continue
            self._after_success()
            await self._wait()

    async def _round(self) -> None:
        if not self._asked:
            await self._ask()
        refused = [key for key, notice in self._refused.items() if not self._is_same(notice)]
        for key in refused:
            del self._refused[key]
        due = self.outbox.due(self._now_ms())
        good = [notice for notice in due if notice.key not in self._refused]
        begin = 0
        while begin < len(good):
            batch = good[begin : begin + self._batch]
            if await self._post(batch):
                begin += len(batch)
        bad = [notice for notice in due if notice.key in self._refused]
        if bad:
            # Together and last: Alertmanager takes what has become good of them.
            answer = await self._alertmanager.post(self._posts(bad), self._now_ms())
            self.outbox.took(bad, self._now_ms())
            if answer is Answer.TAKEN:
                self._refused.clear()
        self._meter.set(HELD_BACK, len(self._refused), self._alertmanager.name)

    async def _ask(self) -> None:
        """Learn what the Alertmanager has, so that it is told of ends that it needs, and no others."""
        try:
            held = await self._alertmanager.held_keys()
        except PostFailedError as error:
            if error.trouble is Trouble.CONNECTION:
                raise
            # It may be allowed to post and not to ask, or have too much to tell.
            LOGGER.warning("%s; going on without knowing what it has", error)
            self.outbox.assume_held(self._now_ms())
        else:
            self.outbox.asked(held, self._now_ms())
        self._asked = True

    async def _post(self, batch: Sequence[Notice]) -> bool:
        """Post a batch; return False if it must be made smaller."""
        loop = asyncio.get_running_loop()
        name, begun_s = self._alertmanager.name, loop.time()
        posts = self._posts(batch)
        answer = await self._alertmanager.post(posts, self._now_ms())
        self._meter.observe(POST_SECONDS, loop.time() - begun_s, name)
        self._meter.count(POSTS, name, answer.value)
        if answer is Answer.TOO_LARGE and len(batch) > 1:
            self._batch = max(1, len(batch) // 2)
            return False
        if answer is not Answer.TAKEN:
            if answer is Answer.PARTLY:
                posts = await self._alertmanager.find_bad(posts, self._now_ms())
            self._report([post.notice for post in posts])
        self.outbox.took(batch, self._now_ms())
        return True

    def _posts(self, notices: Sequence[Notice]) -> Sequence[Post]:
        at_ms = self._now_ms()
        return [Post(notice, self.outbox.starts_ms(notice, at_ms)) for notice in notices]

    def _report(self, bad: Sequence[Notice]) -> None:
        for notice in bad:
            self._refused[notice.key] = notice
            self._meter.count(REFUSED, self._alertmanager.name)
            LOGGER.error(
                "%s refuses the alert %s, episode %s, as %s; it is posted apart from now on. Look at "
                "that Alertmanager's log for why",
                self._alertmanager.name,
                *(notice.key.alert_id, notice.key.episode, notice.key.severity),
            )

    def _is_same(self, notice: Notice) -> bool:
        return self.outbox.newest(notice.key) is notice

    def _after_failure(self, error: PostFailedError) -> float:
        """Take note of a failure; return how many seconds to wait."""
        self._meter.count(FAILURES, self._alertmanager.name, error.trouble.value)
        if error.trouble is not self._last_trouble:  # The same again is in the metric.
            LOGGER.warning("%s; trying again until it does, alerts stay due", error)
        self._last_trouble = error.trouble
        # What it has stored before the failure, or lost in it, is not known.
        self._asked = False
        self._failures += 1
        return float(min(BACKOFF_S_MIN * 2 ** min(self._failures - 1, 10), BACKOFF_S_MAX))

    def _after_success(self) -> None:
        if self._last_trouble is not None:
            LOGGER.info("%s takes alerts again", self._alertmanager.name)
        self._last_trouble, self._failures = None, 0
        self._meter.set(SUCCESS, self._now_ms() / 1000, self._alertmanager.name)

    async def _wait(self) -> None:
        now_ms = self._now_ms()
        wait_s = (self.outbox.next_ms(now_ms) - now_ms) / 1000
        try:
            async with asyncio.timeout(max(wait_s, 0)):
                await self._woken.wait()
        except TimeoutError:
            return
