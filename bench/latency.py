"""How long from the record that passes a tick to the alert that the tick raises, visible to a reader.

Records come at a steady rate, in data time sixty times as fast as the wall clock, so that a tick passes
each second. Some outlets stop registering, one after the other, and each is found at some tick. A tick has
passed when every partition has a record received later than the tick and the time allowed for disorder;
the clock runs from when the last of these is handed to the producer.
"""

import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from typing import Final, NamedTuple

import msgspec
import numpy as np
import orjson
from confluent_kafka import Consumer, KafkaError, Message, Producer, TopicPartition

from bench.cluster import PARTITIONS, Cluster, Scene
from bench.contenders.ours import worker
from bench.workload import DAY_START_MS, Size, rfc3339, write_files
from streams.domain.policy import Policy
from streams.domain.window import HOUR_MS, MINUTE_MS, instant_from_text
from streams.records import topics

RATE_PER_S: Final = 2_000
SPEED: Final = 60
LIVE_S: Final = 60.0
OUTLETS: Final = 600
FAILING: Final = 200
BEGIN_MS: Final = DAY_START_MS + 8 * HOUR_MS
HISTORY_MS: Final = 4 * HOUR_MS
"""Of records that are there before the clock runs: outlets are judged by parcels two hours old."""
FAILING_FROM_MS: Final = 80 * MINUTE_MS
FAILING_OVER_MS: Final = 80 * MINUTE_MS
REGISTERED_AFTER_MS: Final = MINUTE_MS
FLUSH_MS: Final = 250
BURST_S: Final = 0.005
TAIL_S: Final = 6.0
DISORDER_MS: Final = Policy().disorder_ms


class Timed(NamedTuple):
    """A record and when it is received, in data time."""

    received_ms: int
    key: bytes
    value: bytes


@dataclass(frozen=True, slots=True)
class Latency:
    """Seconds from the record to the alert, in rising order."""

    seconds: Sequence[float]

    def quantile(self, share: float) -> float:
        """Return the latency that a share of the alerts keeps within."""
        return float(np.quantile(self.seconds, share))


def feed(outlets: Sequence[str], until_ms: int) -> Iterator[Timed]:
    """Yield records in the order in which they are received, for ever at the same rate."""
    pairs_per_min = RATE_PER_S * 60 / SPEED / 2
    step_ms = 60_000 / pairs_per_min
    failing_after = _failing_times()
    for number in range(int((until_ms - BEGIN_MS) / step_ms)):
        now_ms = BEGIN_MS + int(number * step_ms)
        yield _record(outlets, number, now_ms, collected=True)
        earlier = number - int(REGISTERED_AFTER_MS / step_ms)
        collected_ms = BEGIN_MS + int(earlier * step_ms)
        if earlier >= 0 and collected_ms < failing_after.get(earlier % OUTLETS, until_ms):
            yield _record(outlets, earlier, now_ms, collected=False)


def _failing_times() -> dict[int, int]:
    """Return from when on each failing outlet registers nothing more.

    Chosen so that they are found while the clock runs: some two and a half hours later.
    """
    return {
        3 * i: BEGIN_MS + FAILING_FROM_MS + i * FAILING_OVER_MS // FAILING for i in range(FAILING)
    }


def _record(outlets: Sequence[str], number: int, now_ms: int, *, collected: bool) -> Timed:
    waybill, outlet = f"YT{number:013d}", outlets[number % OUTLETS]
    common = {
        "id": f"{number}-{collected:d}",
        "source": "/enterprise/bench",
        "recorded_at": rfc3339(now_ms),
        "time": rfc3339(now_ms - 1_000),
        "waybill_no": waybill,
        "outlet_id": outlet,
    }
    value = (
        {"type": "shipment.collected", **common, "courier_id": "c1", "parcel_category": "LOOSE"}
        if collected
        else {
            "type": "realname.registered",
            **common,
            "registration_id": f"r{number}",
            "verification_result": "MATCHED",
            "channel": "ENTERPRISE_EDITION",
        }
    )
    if collected:
        value |= {"destination_code": "110101", "route_type": "OUTBOUND"}
    return Timed(now_ms, waybill.encode(), orjson.dumps(value))


class _Passing:
    """When each partition got its first record later than each tick and the time for disorder."""

    def __init__(self) -> None:
        self._first_s: dict[int, dict[int, float]] = defaultdict(dict)

    def produced(self, partition: int, received_ms: int, at_s: float) -> None:
        """Note a record; called in the order of production."""
        tick = (received_ms - DISORDER_MS - 1) // MINUTE_MS
        self._first_s[tick].setdefault(partition, at_s)

    def passed_s(self, tick: int) -> float | None:
        """Return when the last partition passed a tick, None if one has not, or did before."""
        found = self._first_s.get(tick, {})
        return max(found.values()) if len(found) == PARTITIONS[topics.SHIPMENTS] else None


class _Alerts(threading.Thread):
    """Reads `alerts` committed, as `notify` does, and notes when each raise is seen."""

    def __init__(self, scene: Scene) -> None:
        super().__init__(name="alerts", daemon=True)
        topic = scene.topics[topics.ALERTS]
        self._places = [TopicPartition(topic.name, p, 0) for p in range(topic.partitions)]
        self._client = scene.cluster.client
        self._stop_asked = threading.Event()
        self.raised: list[tuple[int, float]] = []

    def run(self) -> None:
        """Read until told to stop."""
        config = {
            **self._client,
            "group.id": "bench-alerts",
            "isolation.level": "read_committed",
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "fetch.wait.max.ms": 10,
        }
        with closing(Consumer(config)) as consumer:
            consumer.assign(self._places)
            while not self._stop_asked.is_set():
                message = consumer.poll(0.2)
                if message is not None and message.error() is None and message.value() is not None:
                    seen_s = time.monotonic()
                    alert = msgspec.json.decode(message.value() or b"", type=_Alert)
                    if alert.reason == "raised":
                        tick = instant_from_text(alert.first_at) // MINUTE_MS
                        self.raised.append((tick, seen_s))

    def stop(self) -> None:
        """Ask it to end, and wait."""
        self._stop_asked.set()
        self.join()


class _Alert(msgspec.Struct):
    reason: str
    first_at: str


class _Feeder:
    """Hands records to Kafka, at once or at their time."""

    def __init__(self, client: Mapping[str, object], topic: str) -> None:
        self._topic = topic
        self.passing = _Passing()
        self._producer = Producer(
            {**client, "partitioner": "murmur2_random", "compression.type": "lz4", "linger.ms": 5}
        )

    def history(self, records: Sequence[Timed]) -> None:
        """Hand over records as fast as they are taken."""
        for record in records:
            while True:
                try:
                    self._producer.produce(self._topic, record.value, record.key)
                except BufferError:
                    self._producer.poll(0.1)
                else:
                    break
        self._producer.flush(60)

    def live(self, records: Sequence[Timed]) -> None:
        """Hand over each record when its time comes; the first one's is now."""
        begun_s = time.monotonic()
        for record in records:
            due_s = begun_s + (record.received_ms - records[0].received_ms) / 1000 / SPEED
            while (wait_s := due_s - time.monotonic()) > 0:
                self._producer.poll(0)
                time.sleep(min(wait_s, BURST_S))
            self._produce_noted(record)
        self._producer.flush(10)

    def _produce_noted(self, record: Timed) -> None:
        at_s = time.monotonic()

        def delivered(error: KafkaError | None, message: Message) -> None:
            partition = message.partition()
            assert error is None, "the broker is there"
            assert partition is not None
            self.passing.produced(partition, record.received_ms, at_s)

        self._producer.produce(self._topic, record.value, record.key, on_delivery=delivered)


def measure(cluster: Cluster) -> Latency:
    """Play the feed to a worker, and time every alert that is raised meanwhile."""
    size = Size(1_000)
    scene = Scene(cluster, size, write_files(size, cluster.data_dir / "workloads"), name="latency")
    scene.begin_empty()
    outlets = scene.files.outlets.read_text("utf8").splitlines()[1 : OUTLETS + 1]
    live_from_ms = BEGIN_MS + HISTORY_MS
    records = list(
        feed(
            [line.partition(",")[0] for line in outlets], live_from_ms + int(LIVE_S * SPEED * 1000)
        )
    )
    before = [record for record in records if record.received_ms < live_from_ms]
    feeder = _Feeder(cluster.client, scene.records_topic)
    feeder.history(before)
    settings = [f"flush_ms = {FLUSH_MS}", "policy = { routine_alerts = true }"]
    with worker(scene, settings=settings) as running:
        running.await_that(lambda: all(scene.left(stage) == 0 for stage in ("match", "rate")))
        alerts = _Alerts(scene)
        alerts.start()
        feeder.live(records[len(before) :])
        time.sleep(TAIL_S)
        alerts.stop()
    timed = [(seen_s, feeder.passing.passed_s(tick)) for tick, seen_s in alerts.raised]
    return Latency(sorted(seen_s - passed_s for seen_s, passed_s in timed if passed_s is not None))


def report(latency: Latency) -> str:
    """Return the figures in words."""
    return (
        f"{len(latency.seconds)} alerts at {RATE_PER_S:,} records/s, flush {FLUSH_MS} ms: visible after "
        f"{latency.quantile(0.5):.2f} s (median), {latency.quantile(0.99):.2f} s (99 %), "
        f"{latency.seconds[-1]:.2f} s (longest)."
    )
