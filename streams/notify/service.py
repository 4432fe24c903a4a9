"""Runs `notify`: a feed of records in, one sender per Alertmanager out.

Several may run, and any may be killed at any time. What an Alertmanager is told follows from the newest
records alone, so two say the same, and Alertmanager takes the same alert twice as one. One that begins
reads the topic to its end and asks each Alertmanager what it has before it says anything.
"""

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from streams.kafka.clock import now_ms
from streams.kafka.errors import ClusterError
from streams.kafka.reference_feed import KafkaReferenceFeed
from streams.kafka.restore import Stopped
from streams.notify.alertmanager import Alertmanager
from streams.notify.feed import AlertFeed, FeedEvents, Written
from streams.notify.names import Names, ReferenceNames
from streams.notify.notices import ENDED, keys_of, notices_of, watchdog
from streams.notify.outbox import Outbox, OutboxPolicy
from streams.notify.sender import Meter, Sender
from streams.notify.texts import Links, annotations_of, watchdog_annotations
from streams.records import acks
from streams.records.acks import AlertAck
from streams.records.published import AlertRecord, decode
from streams.records.topics import ALERTS, ALERTS_ACKS, REFERENCE
from streams.reference.areas import shipped_areas
from streams.reference.types import ReferenceHistory

LOGGER: Final = logging.getLogger(__name__)

RECORDS: Final = "realname_notify_records_total"
ALERTS_OPEN: Final = "realname_notify_alerts"
HEARD: Final = "realname_notify_kafka_heard_timestamp_seconds"

STOP_S: Final = 3.0


@dataclass(frozen=True, slots=True)
class NotifyConfig:
    """How `notify` runs. Plain values.

    Attributes:
        client: Settings of a Kafka client.
        prefix: Begins every topic.
        alertmanagers: Addresses; each is told everything.
        links: Where annotations lead.
        resend_ms: Between two posts of an alert.
        ahead_ms: How long an Alertmanager that hears no more keeps an alert firing.
        ended_ms: How long an end is posted.
        watchdog_ms: How long without a word from Kafka the watchdog goes on, and how long an
            Alertmanager keeps it.
        group_wait_ms: `group_wait` of the Alertmanagers' routes for pages.
        timeout_s: How long one request may take.

    """

    client: Mapping[str, Any]
    prefix: str
    alertmanagers: Sequence[str]
    links: Links
    resend_ms: int = 60_000
    ahead_ms: int = 3_600_000
    ended_ms: int = 900_000
    watchdog_ms: int = 240_000
    group_wait_ms: int = 120_000
    timeout_s: float = 10.0

    @property
    def outbox(self) -> OutboxPolicy:
        """When to post what."""
        remember_ms = self.ahead_ms + self.ended_ms
        # An eighth for posting some thousand alerts.
        late_ms = self.group_wait_ms * 7 // 8
        return OutboxPolicy(self.resend_ms, self.ended_ms, remember_ms, late_ms)


class Notify:
    """Takes records and fills the outboxes. All but the feed is in one event loop."""

    def __init__(self, config: NotifyConfig, meter: Meter, names: Names) -> None:
        self._config: Final = config
        self._meter: Final = meter
        self._names: Final = names
        self._open: dict[bytes, AlertRecord] = {}
        self._acks: dict[bytes, AlertAck] = {}
        self._begun_ms: Final = now_ms()
        self._heard_ms = self._begun_ms
        self.senders: list[Sender] = []

    @property
    def open_alerts(self) -> int:
        """How many alerts are open."""
        return len(self._open)

    @property
    def is_heard(self) -> bool:
        """Whether Kafka has been heard of lately."""
        return now_ms() - self._heard_ms <= self._config.watchdog_ms

    def load(self, records: Sequence[Written]) -> None:
        """Take the newest records as of the topics' ends. Ends that nobody can need are left out."""
        remembered_ms = now_ms() - self._config.outbox.remember_ms
        for record in sorted(records, key=self._is_alert):
            self._take(record, ended_since_ms=remembered_ms)
        # The topic keeps them as long as it keeps alerts; nobody asks for those of ended ones.
        self._acks = {key: ack for key, ack in self._acks.items() if key in self._open}
        self._wake()

    def take(self, records: Sequence[Written]) -> None:
        """Take what came."""
        for record in records:
            self._take(record, ended_since_ms=0)
        self._wake()

    def hear(self) -> None:
        """Take that Kafka is there."""
        self._heard_ms = now_ms()
        self._meter.set(HEARD, self._heard_ms / 1000)

    def watch(self) -> None:
        """Post the watchdog, unless Kafka has been silent for too long."""
        config = self._config
        notice = watchdog(
            watchdog_annotations(config.links),
            starts_ms=self._begun_ms,
            ahead_ms=config.watchdog_ms,
            url=config.links.runbook("Watchdog") if "://" in config.links.runbooks else "",
        )
        for sender in self.senders:
            if not self.is_heard:
                sender.outbox.forget(notice.key)
            elif sender.outbox.newest(notice.key) is None:
                sender.outbox.take(notice, now_ms())
                sender.wake()

    def _is_alert(self, record: Written) -> bool:
        return record.topic == self._config.prefix + ALERTS

    def _take(self, record: Written, *, ended_since_ms: int) -> None:
        try:
            if not self._is_alert(record):
                self._take_ack(record)
            elif record.value is None:
                self._forget(record.key)
            else:
                alert = decode(record.value, AlertRecord)
                if alert.state != ENDED or record.written_ms >= ended_since_ms:
                    self._take_alert(record.key, alert)
                self._meter.count(RECORDS, "read")
        except ValueError as error:
            # One bad record must not keep the others from a pager.
            self._meter.count(RECORDS, "unreadable")
            LOGGER.error("a record of %s is not read: %s", record.topic, error)  # noqa: TRY400

    def _take_alert(self, key: bytes, alert: AlertRecord) -> None:
        self._put(key, alert)
        if alert.state == ENDED:
            # The outboxes remember it for as long as anybody may ask.
            self._open.pop(key, None)
            self._acks.pop(key, None)
        else:
            self._open[key] = alert

    def _take_ack(self, record: Written) -> None:
        """Take who has taken on an alert, which is told with it. It may come before its alert does."""
        if record.value is None:
            self._acks.pop(record.key, None)
        else:
            self._acks[record.key] = acks.decode(record.value)
        alert = self._open.get(record.key)
        if alert is not None:
            self._put(record.key, alert)

    def _put(self, key: bytes, alert: AlertRecord) -> None:
        config = self._config
        notices = notices_of(
            alert,
            annotations_of(alert, self._names, config.links, self._acks.get(key)),
            url=config.links.of(alert),
            ahead_ms=config.ahead_ms,
        )
        for sender in self.senders:
            for notice in notices:
                sender.outbox.take(notice, now_ms())

    def _forget(self, key: bytes) -> None:
        alert = self._open.pop(key, None)
        for sender in self.senders:
            for notice_key in keys_of(alert) if alert is not None else ():
                sender.outbox.forget(notice_key)

    def _wake(self) -> None:
        self._meter.set(ALERTS_OPEN, self.open_alerts)
        for sender in self.senders:
            sender.wake()


class NotifyService:
    """`notify` as something that is started and stopped, alone or in a worker.

    Args:
        config: How it runs.
        meter: Where figures go.

    """

    def __init__(self, config: NotifyConfig, meter: Meter) -> None:
        assert config.alertmanagers, "somebody must be told"
        self._config: Final = config
        self._meter: Final = meter
        self._history: Final = ReferenceHistory()
        self._reference = KafkaReferenceFeed(
            config.client, topic=config.prefix + REFERENCE, history=self._history
        )
        self._named = False
        self._notify: Notify | None = None
        self.ready = False
        """Whether alerts are being posted."""

    @property
    def alive(self) -> bool:
        """Whether Kafka was heard of lately, or has not been yet. A stuck reader is not alive."""
        if self._notify is None or not self.ready:
            return True
        return self._notify.is_heard

    async def run(self, stop: asyncio.Event) -> None:
        """Run until `stop` is set.

        Raises:
            ClusterError: A topic is missing, or Kafka refuses us. A Kafka or an Alertmanager that is
                not there is waited for.

        """
        loop = asyncio.get_running_loop()
        ended: asyncio.Future[Exception | None] = loop.create_future()
        async with aiohttp.ClientSession() as session:
            notify = Notify(
                self._config, self._meter, ReferenceNames(self._history, shipped_areas())
            )
            self._notify = notify
            notify.senders = [self._sender(session, url) for url in self._config.alertmanagers]
            loaded = asyncio.Event()
            feed = self._feed(loop, notify, loaded, ended)
            feed.start()
            tasks = [loop.create_task(self._post(notify, loaded))]
            try:
                await self._until(stop, ended, tasks)
            finally:
                feed.stop()
                for task in tasks:
                    task.cancel()
                await asyncio.gather(*tasks, return_exceptions=True)
                await asyncio.to_thread(feed.join, STOP_S)

    async def _post(self, notify: Notify, loaded: asyncio.Event) -> None:
        """Post for ever, once the topic has been read to its end."""
        await loaded.wait()
        self.ready = True
        LOGGER.info(
            "%d alerts are open; telling %d Alertmanagers", notify.open_alerts, len(notify.senders)
        )
        async with asyncio.TaskGroup() as group:
            for sender in notify.senders:
                group.create_task(sender.run())
            group.create_task(self._watch(notify))

    async def _watch(self, notify: Notify) -> None:
        while True:
            notify.watch()
            await asyncio.sleep(self._config.resend_ms / 1000)

    async def _until(
        self,
        stop: asyncio.Event,
        ended: "asyncio.Future[Exception | None]",
        tasks: Sequence["asyncio.Task[None]"],
    ) -> None:
        """Wait until told to stop; raise what ended the feed or a sender."""
        stopped = asyncio.ensure_future(stop.wait())
        waited: set[asyncio.Future[Any]] = {stopped, ended, *tasks}
        try:
            await asyncio.wait(waited, return_when=asyncio.FIRST_COMPLETED)
        finally:
            stopped.cancel()
        if ended.done() and (raised := ended.result()) is not None:
            raise raised
        for task in tasks:
            if task.done():
                task.result()  # Only a bug ends it.

    def _sender(self, session: aiohttp.ClientSession, url: str) -> Sender:
        client = Alertmanager(session, url, timeout_s=self._config.timeout_s)
        return Sender(client, Outbox(self._config.outbox), meter=self._meter, now_ms=now_ms)

    def _feed(
        self,
        loop: asyncio.AbstractEventLoop,
        notify: Notify,
        loaded: asyncio.Event,
        ended: "asyncio.Future[Exception | None]",
    ) -> AlertFeed:
        def load(records: Sequence[Written]) -> None:
            # The names are there before the first page, if they are to be had at all.
            self._load_names(lambda: feed.stopping)
            loop.call_soon_threadsafe(notify.load, records)
            loop.call_soon_threadsafe(loaded.set)

        def end(raised: Exception | None) -> None:
            loop.call_soon_threadsafe(_settle, ended, raised)

        events = FeedEvents(
            loaded=load,
            changed=lambda records: loop.call_soon_threadsafe(notify.take, records),
            heard=lambda: loop.call_soon_threadsafe(notify.hear),
            ended=end,
        )
        topic = self._config.prefix + ALERTS
        feed = AlertFeed(
            self._config.client,
            topic,
            events,
            acks=self._config.prefix + ALERTS_ACKS,
            between=self._poll_names,
        )
        return feed

    def _load_names(self, stopping: Callable[[], bool]) -> None:
        try:
            self._reference.load(stopping)
            self._named = True
        except (ClusterError, Stopped) as error:
            self._unname(error)

    def _poll_names(self) -> None:
        if not self._named:
            return
        try:
            self._reference.poll()
        except ClusterError as error:
            self._unname(error)

    def _unname(self, error: Exception) -> None:
        # A page with ids is better than none.
        LOGGER.warning("names of scopes and periods are not read: %s", error)
        self._named = False
        self._reference.close()


def _settle(ended: "asyncio.Future[Exception | None]", raised: Exception | None) -> None:
    if not ended.done():
        ended.set_result(raised)
