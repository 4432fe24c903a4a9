"""How long `realname serve` takes to answer over HTTP with the rates and days of 12,000 outlets in its view.

The records are those that the tests of `serve` hold, of one midday, each outlet's under further ids.
"""

import re
import statistics
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from itertools import count
from typing import Final

import orjson
from confluent_kafka import Producer

from bench.cluster import Cluster
from streams.kafka.clock import now_ms
from streams.kafka.topics import create_topics
from streams.records.topics import DAYS, RATES, catalogue
from streams.serve.rows import Incoming
from tests.serve.conftest import recorded, reference_records

OUTLETS: Final = 12_000
TARGET_MS: Final = 100
ROUNDS: Final = 40
READY_S: Final = 120.0
QUESTIONS: Final = (
    "/api/v1/rates?granularity=OUTLET&limit=500",
    "/api/v1/rates?granularity=OUTLET&status=BREACH&limit=500",
    "/api/v1/rates?granularity=OUTLET&city=150100&limit=500&format=csv",
    "/api/v1/days?granularity=OUTLET&date=2017-09-06&limit=500",
    "/api/v1/alerts?limit=500",
    "/api/v1/outlets/150102-EMS-0001",
    "/api/v1/summary",
    "/metrics",
)


@dataclass(frozen=True, slots=True)
class Measured:
    """One question: how long its answers took, in ms, and how large one was, in bytes."""

    question: str
    took_ms: Sequence[float]
    size: int


def measure(cluster: Cluster) -> Sequence[Measured]:
    """Publish, serve, and ask each question again and again, one at a time."""
    prefix = f"serve-{now_ms()}."
    topics = catalogue(prefix)
    create_topics(cluster.admin, topics, replication_factor=1)
    producer = Producer(cluster.client)
    for record in (*reference_records(), *multiplied(recorded(), OUTLETS)):
        producer.produce(topics[record.topic].name, record.value, record.key)
        producer.poll(0)
    producer.flush()
    with _serving(cluster, prefix) as url:
        found = [_ask(url, question) for question in QUESTIONS]
    cluster.admin.delete_topics([topic.name for topic in topics.values()])
    return found


def report(measured: Sequence[Measured]) -> str:
    """Return the figures for people."""
    lines = [f"{OUTLETS:,} outlets; to hold: {TARGET_MS} ms", "  median    max      bytes"]
    for one in measured:
        median, highest = statistics.median(one.took_ms), max(one.took_ms)
        lines.append(f"{median:6.1f} ms {highest:5.1f} ms {one.size:9,}  {one.question}")
    return "\n".join(lines)


def multiplied(records: Sequence[Incoming], outlets: int) -> Iterator[Incoming]:
    """Yield the records, and those of outlets again under other ids, until so many have rates."""
    yield from records
    ours = [r for r in records if r.topic in (RATES, DAYS) and r.key.startswith(b"OUTLET|")]
    have = sum(record.topic == RATES for record in ours)
    for copy in count(1):
        for record in ours:
            if record.topic == RATES:
                have += 1
            if have > outlets:
                return
            yield _renamed(record, copy)


def _renamed(record: Incoming, copy: int) -> Incoming:
    assert record.value is not None, "the recorded topics hold no tombstones of outlets"
    value = orjson.loads(record.value)
    old = str(value["scope_id"])
    value["scope_id"] = f"{old}-{copy}"
    key = record.key.replace(old.encode(), value["scope_id"].encode(), 1)
    return replace(record, key=key, value=orjson.dumps(value))


@contextmanager
def _serving(cluster: Cluster, prefix: str) -> Iterator[str]:
    command = (
        *(sys.executable, "-c", "from streams.cli import main; main()"),
        *("serve", "--http", "127.0.0.1:0", "--prefix", prefix),
        *("--bootstrap", cluster.bootstrap),
    )
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        assert process.stderr is not None
        found = re.search(r"http://[\d.:]+", process.stderr.readline())
        assert found, "it does not start"
        try:
            _wait_ready(found[0])
            yield found[0]
        finally:
            process.terminate()


def _wait_ready(url: str) -> None:
    deadline = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(f"{url}/ready", timeout=5):  # noqa: S310 (ours)
                return
        except OSError:
            assert time.monotonic() < deadline, "it does not become ready"
            time.sleep(0.5)


def _ask(url: str, question: str) -> Measured:
    took_ms, size = [], 0
    for _ in range(ROUNDS):
        began = time.perf_counter()
        with urllib.request.urlopen(url + question, timeout=30) as answer:  # noqa: S310 (ours)
            size = len(answer.read())
        took_ms.append((time.perf_counter() - began) * 1000)
    return Measured(question, took_ms, size)
