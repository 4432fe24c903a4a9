"""What the demo's screen knows: rates, alerts and dead letters from their topics, and the lag."""

from collections import Counter, deque
from collections.abc import Mapping
from contextlib import closing
from dataclasses import dataclass, field
from threading import Event, Lock, Thread
from time import monotonic
from typing import Any, Final

import msgspec
import orjson
from confluent_kafka import Consumer, KafkaException, Message, TopicPartition
from confluent_kafka.admin import AdminClient

from streams.domain.period import Granularity
from streams.kafka import dead_letters
from streams.kafka.dead_letters import headers_of
from streams.kafka.errors import ClusterError
from streams.kafka.reading import committed_offsets, end_offsets
from streams.records.topics import ALERTS, RATES, SHIPMENTS, SHIPMENTS_DLQ, Topic

TREND_POINTS: Final = 12
"""Hours of which a city's rate is remembered."""

_BATCH_RECORDS: Final = 2_000
_POLL_S: Final = 0.2
_GAUGE_S: Final = 1.0
_RATE_SPAN_S: Final = 4.0  # Over which records a second are averaged.

_SHOWN: Final = frozenset(
    g.value for g in (Granularity.REGION, Granularity.CITY, Granularity.OUTLET)
)


class Window(msgspec.Struct, frozen=True):
    """Today's figures of a scope."""

    eligible: int
    missing: int
    covered_young: int
    pending: int
    rate: float | None


class Judged(msgspec.Struct, frozen=True):
    """The verdict on a scope, and what decided it."""

    rate_status: str
    target: float | None
    parcel_category: str
    event_period_id: str | None
    n: int
    rate: float | None


class Rate(msgspec.Struct, frozen=True):
    """What is shown of a record of `rates`."""

    granularity: str
    scope_id: str
    date: str
    today: Window
    verdict: Judged
    as_of: str


_decode_rate: Final = msgspec.json.Decoder(Rate).decode
Alert = dict[str, Any]


@dataclass(slots=True)
class Board:
    """Everything that was read, as of one moment.

    Attributes:
        rates: The latest of each scope, by granularity and id.
        trends: A city's rate by the hour, the latest last.
        alerts: Every record, in the order of reading.
        refused: Dead letters by code.
        as_of: The latest tick of any rate, as text; "" before the first.

    """

    rates: dict[tuple[str, str], Rate] = field(default_factory=dict)
    trends: dict[str, deque[tuple[str, float]]] = field(default_factory=dict)
    alerts: list[Alert] = field(default_factory=list)
    refused: Counter[str] = field(default_factory=Counter)
    as_of: str = ""

    def of(self, granularity: Granularity) -> list[Rate]:
        """Return the rates of one granularity."""
        return [r for (g, _), r in self.rates.items() if g == granularity.value]

    def open_alerts(self) -> list[Alert]:
        """Return the latest record of each alert that is open."""
        latest = {(a["alert_id"], a["episode"]): a for a in self.alerts}
        return [a for a in latest.values() if a["state"] != "ended"]

    def take(self, rate: Rate) -> None:
        """Take in a record of `rates`."""
        self.rates[rate.granularity, rate.scope_id] = rate
        self.as_of = max(self.as_of, rate.as_of)
        if rate.granularity != Granularity.OUTLET.value and rate.today.rate is not None:
            hour = rate.as_of[:13]
            trend = self.trends.setdefault(rate.scope_id, deque(maxlen=TREND_POINTS))
            if trend and trend[-1][0] == hour:
                trend.pop()
            trend.append((hour, rate.today.rate))


class Watcher(Thread):
    """Reads `rates`, `alerts` and `shipments.dlq` read committed, from their beginning on."""

    def __init__(self, client: Mapping[str, Any], topics: Mapping[str, Topic]) -> None:
        """Remember where to read; nothing is read yet."""
        super().__init__(name="demo-watcher", daemon=True)
        self._client: Final = client
        self._topics: Final = {topics[n].name: n for n in (RATES, ALERTS, SHIPMENTS_DLQ)}
        self._partitions: Final = {
            topics[n].name: topics[n].partitions for n in (RATES, ALERTS, SHIPMENTS_DLQ)
        }
        self._stopping: Final = Event()
        self._lock: Final = Lock()
        self._board: Final = Board()
        self._positions: dict[tuple[str, int], int] = {}
        self.error: Exception | None = None

    def board(self) -> Board:
        """Return what was read so far; the copy stays as it is."""
        with self._lock:
            board = self._board
            trends = {scope: deque(trend) for scope, trend in board.trends.items()}
            rates, refused = dict(board.rates), Counter(board.refused)
            return Board(rates, trends, list(board.alerts), refused, board.as_of)

    def run(self) -> None:
        """Read until `stop`."""
        try:
            with closing(self._consumer()) as consumer:
                while not self._stopping.is_set():
                    self._take(consumer.consume(_BATCH_RECORDS, _POLL_S))
        except Exception as error:  # noqa: BLE001 - raised again by whoever waits for the thread
            self.error = error

    def stop(self) -> None:
        """End reading, and wait for the thread."""
        self._stopping.set()
        if self.is_alive():
            self.join()

    def _consumer(self) -> Consumer:
        consumer = Consumer(
            {
                **self._client,
                "group.id": "demo-watcher",  # Required by the client, and never committed to.
                "enable.auto.commit": False,
                "isolation.level": "read_committed",
                "auto.offset.reset": "earliest",
                "fetch.wait.max.ms": 200,
            }
        )
        consumer.assign(
            [
                TopicPartition(topic, partition, 0)
                for topic, count in self._partitions.items()
                for partition in range(count)
            ]
        )
        return consumer

    def _take(self, messages: list[Message]) -> None:
        # Decoded outside the lock, so that the screen need not wait.
        rates: list[Rate] = []
        alerts: list[Alert] = []
        codes: list[str] = []
        for message in messages:
            if message.error() is not None:
                continue  # The client goes on by itself; the end of the demo checks that all came.
            value, kind = message.value(), self._topics[message.topic() or ""]
            if kind == SHIPMENTS_DLQ:
                codes.append(refusal_code(message))
            elif value is not None and kind == ALERTS:
                alerts.append(orjson.loads(value))
            elif value is not None and _granularity(message) in _SHOWN:
                rates.append(_decode_rate(value))
        with self._lock:
            for rate in rates:
                self._board.take(rate)
            self._board.alerts += alerts
            self._board.refused.update(codes)


def refusal_code(message: Message) -> str:
    """Return a dead letter's reject code."""
    found = dict(headers_of(message)).get(dead_letters.CODE) or b""
    return found.decode() if isinstance(found, bytes) else found


def _granularity(message: Message) -> str:
    return (message.key() or b"").decode().partition("|")[0]


@dataclass(frozen=True, slots=True)
class Flow:
    """How much has gone through `match`: records of `shipments`, heartbeats among them.

    Attributes:
        processed: Committed.
        lag: Written and not yet committed.
        processed_s: Committed per second, of late.

    """

    processed: int = 0
    lag: int = 0
    processed_s: float = 0.0


class Gauge(Thread):
    """Asks the broker each second how far the first stage is."""

    def __init__(self, client: Mapping[str, Any], group: str, shipments: Topic) -> None:
        """Remember whom to ask about what."""
        super().__init__(name="demo-gauge", daemon=True)
        assert shipments.name.endswith(SHIPMENTS)
        self._client: Final = client
        self._admin: Final = AdminClient(dict(client))
        self._group: Final = group
        self._topic: Final = shipments.name
        self._stopping: Final = Event()
        self._points: deque[tuple[float, int]] = deque()
        self.flow = Flow()

    def run(self) -> None:
        """Ask until `stop`. What cannot be answered now is asked again."""
        while not self._stopping.wait(_GAUGE_S):
            try:
                ends = end_offsets(self._admin, self._topic)
                committed = committed_offsets(self._client, self._group, self._topic)
            except (ClusterError, KafkaException):
                continue
            # A coordinator that has just moved knows of nothing; offsets never go back.
            processed = max(self.flow.processed, sum(offset or 0 for offset in committed.values()))
            now_s = monotonic()
            self._points.append((now_s, processed))
            while self._points[0][0] < now_s - _RATE_SPAN_S:
                self._points.popleft()
            then_s, before = self._points[0]
            speed = (processed - before) / (now_s - then_s) if now_s > then_s else 0.0
            self.flow = Flow(processed, sum(ends.values()) - processed, speed)

    def stop(self) -> None:
        """End asking, and wait for the thread."""
        self._stopping.set()
        if self.is_alive():
            self.join()
