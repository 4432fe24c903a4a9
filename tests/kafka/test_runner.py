"""A runner and its counting stage against a real Kafka: whatever happens, each record counts once."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.agents.runner import Runner
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.crash import CRASH_POINTS
from streams.records.topics import SHIPMENTS, SHIPMENTS_DLQ, Topic
from tests.kafka.counting import (
    COUNTING,
    committed_offsets,
    end_offsets,
    last_rates,
    produce,
    read_all,
    run_until,
    runner_config,
    summed_counts,
)

pytestmark = pytest.mark.kafka

KEYS = {f"k{number}": 20 + number % 7 for number in range(50)}


def all_committed(broker: EmbeddedBroker, prefix: str) -> bool:
    committed = committed_offsets(broker.bootstrap, f"{prefix}match", prefix + SHIPMENTS)
    return committed == end_offsets(broker.bootstrap, prefix + SHIPMENTS)


def finish(broker: EmbeddedBroker, prefix: str, slot: str = "0") -> None:
    """Run a worker until everything is committed."""
    runner = Runner(COUNTING, runner_config(broker.bootstrap, prefix, slot))
    runner.start()
    run_until(runner, lambda: all_committed(broker, prefix))
    runner.close()


def check_exact(broker: EmbeddedBroker, prefix: str, expected: Mapping[str, int]) -> None:
    assert summed_counts(broker.bootstrap, prefix) == expected
    assert last_rates(broker.bootstrap, prefix) == expected


def test_every_record_counts_once_and_what_is_committed_is_published(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str
) -> None:
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)
    check_exact(broker, prefix, KEYS)


def test_a_second_worker_goes_on_where_the_first_left(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str
) -> None:
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)
    check_exact(broker, prefix, {key: 2 * count for key, count in KEYS.items()})


def test_a_refused_record_goes_to_the_dead_letters_untouched(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str
) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    headers: list[tuple[str, str | bytes | None]] = [("trace", b"\xff\x00")]
    producer.produce(topics[SHIPMENTS].name, b"bad", b"key", 1, headers=headers)
    producer.flush(10)
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)
    check_exact(broker, prefix, KEYS)
    ((key, value, found),) = read_all(broker.bootstrap, topics[SHIPMENTS_DLQ].name)
    assert (key, value) == (b"key", b"bad")
    told = dict(found)
    assert told.pop("__realname.errors.timestamp").isdigit()
    assert told == {
        "trace": b"\xff\x00",
        "__realname.errors.code": b"not_json",
        "__realname.errors.path": b"$",
        "__realname.errors.source": b"",
        "__realname.errors.stage": b"match",
        "__realname.errors.topic": topics[SHIPMENTS].name.encode(),
        "__realname.errors.partition": b"1",
        "__realname.errors.offset": b"0",
        "__realname.errors.attempt": b"1",
    }


def spawn(broker: EmbeddedBroker, prefix: str, *arguments: str) -> subprocess.Popen[bytes]:
    """Start a worker process; `arguments` are the slot and whatever follows it."""
    script = Path(__file__).parent / "counting.py"
    root = str(script.parent.parent.parent)
    return subprocess.Popen(
        [sys.executable, str(script), broker.bootstrap, prefix, *arguments],
        env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin"},
        stderr=subprocess.DEVNULL,
    )


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_worker_killed_anywhere_and_started_again_counts_exactly(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, point: str
) -> None:
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)  # So that there is something to restore.
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    worker = spawn(broker, prefix, "0", f"{point}:1", "1")
    try:
        if point == "during_revocation":
            wait_for(lambda: all_committed(broker, prefix))
            worker.terminate()
        assert worker.wait(30) == -9, "the worker was to die at that point"
    finally:
        worker.kill()
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)
    check_exact(broker, prefix, {key: 3 * count for key, count in KEYS.items()})


def wait_for(condition: Callable[[], bool], timeout_s: float = 30.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)
