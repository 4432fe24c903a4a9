"""A runner and its counting stage against a real Kafka: whatever happens, each record counts once."""

import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer
from confluent_kafka.admin import AdminClient

from streams.agents.runner import Runner
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.consumer import SESSION_TIMEOUT_MS
from streams.kafka.crash import CRASH_POINTS
from streams.kafka.errors import ClusterError
from streams.kafka.fencing import EXIT_FENCED
from streams.kafka.topics import create_topics
from streams.kafka.transaction import TRANSACTION_TIMEOUT_MS
from streams.records.topics import SHIPMENTS, SHIPMENTS_DLQ, Topic, catalogue
from tests.conftest import FEW_PARTITIONS, NewBroker
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

Spawn = Callable[..., subprocess.Popen[bytes]]

pytestmark = pytest.mark.kafka

KEYS = {f"k{number}": 20 + number % 7 for number in range(50)}


def all_committed(broker: EmbeddedBroker, prefix: str) -> bool:
    try:
        committed = committed_offsets(broker.bootstrap, f"{prefix}match", prefix + SHIPMENTS)
    except ClusterError:
        return False  # What a worker left open when it was killed is waited for.
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
    check_exact(broker, prefix, times(2))


def test_a_worker_goes_on_from_what_one_left_that_found_nothing(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str
) -> None:
    finish(broker, prefix)
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)
    check_exact(broker, prefix, KEYS)


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


@pytest.fixture
def spawn(broker: EmbeddedBroker, prefix: str) -> Iterator[Spawn]:
    """Start worker processes; what is still there at the end is killed."""
    script = Path(__file__).parent / "counting.py"
    root = str(script.parent.parent.parent)
    workers: list[subprocess.Popen[bytes]] = []

    def start(*arguments: str) -> subprocess.Popen[bytes]:
        with (broker.data_dir / f"{prefix}{arguments[0]}.log").open("ab") as log:
            worker = subprocess.Popen(
                [sys.executable, str(script), broker.bootstrap, prefix, *arguments],
                env={"PYTHONPATH": root, "PATH": "/usr/bin:/bin"},
                stderr=log,
            )
        workers.append(worker)
        return worker

    yield start
    for worker in workers:
        worker.kill()
        worker.wait()


@pytest.mark.parametrize("point", CRASH_POINTS)
def test_a_worker_killed_anywhere_and_started_again_counts_exactly(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, spawn: Spawn, point: str
) -> None:
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)  # So that there is something to restore.
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    worker = spawn("0", f"{point}:1", "1")
    if point == "during_revocation":
        wait_for(lambda: all_committed(broker, prefix))
        worker.terminate()
    if point == "during_loss":
        wait_for(lambda: all_committed(broker, prefix))
        worker.send_signal(signal.SIGSTOP)
        time.sleep(SESSION_TIMEOUT_MS / 1000 + 1)
        worker.send_signal(signal.SIGCONT)
    assert worker.wait(30) == -signal.SIGKILL, "the worker was to die at that point"
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    finish(broker, prefix)
    check_exact(broker, prefix, times(3))


def test_a_worker_killed_while_it_gives_partitions_away_and_back_at_once_leaves_none_behind(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, spawn: Spawn
) -> None:
    shipments = topics[SHIPMENTS].name
    produce(broker.bootstrap, shipments, KEYS)
    giving = spawn("0", "during_revocation:1")
    wait_for(lambda: all_committed(broker, prefix))
    spawn("1")
    assert giving.wait(30) == -signal.SIGKILL, "it was to die while the other one joins"
    spawn("0")
    produce(broker.bootstrap, shipments, KEYS)
    wait_for(lambda: all_committed(broker, prefix))
    check_exact(broker, prefix, times(2))


def test_partitions_move_between_workers_and_back_without_a_count_lost_or_doubled(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, spawn: Spawn
) -> None:
    shipments = topics[SHIPMENTS].name
    produce(broker.bootstrap, shipments, KEYS)
    first = spawn("0")
    wait_for(lambda: all_committed(broker, prefix))
    second = spawn("1")
    for _ in range(2):
        produce(broker.bootstrap, shipments, KEYS)
        time.sleep(1.5)
    wait_for(lambda: all_committed(broker, prefix))
    first.terminate()
    assert first.wait(10) == 0
    produce(broker.bootstrap, shipments, KEYS)
    wait_for(lambda: all_committed(broker, prefix))
    second.terminate()
    assert second.wait(10) == 0
    check_exact(broker, prefix, times(4))


def test_a_worker_that_was_paused_while_another_took_over_writes_nothing_of_its_old_state(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, spawn: Spawn
) -> None:
    shipments = topics[SHIPMENTS].name
    produce(broker.bootstrap, shipments, KEYS)
    paused = spawn("0")
    wait_for(lambda: all_committed(broker, prefix))
    spawn("1")
    log = broker.data_dir / f"{prefix}1.log"
    wait_for(lambda: "restored" in log.read_text("utf8"))
    produce(broker.bootstrap, shipments, KEYS)
    paused.send_signal(signal.SIGSTOP)
    wait_for(lambda: all_committed(broker, prefix))
    produce(broker.bootstrap, shipments, KEYS)
    paused.send_signal(signal.SIGCONT)
    wait_for(lambda: all_committed(broker, prefix))
    produce(broker.bootstrap, shipments, KEYS)
    wait_for(lambda: all_committed(broker, prefix))
    # It may also have noticed in time, dropped everything, and joined again.
    assert paused.poll() in (None, EXIT_FENCED)
    check_exact(broker, prefix, times(4))


def test_a_second_worker_of_one_slot_ends_the_first(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str, spawn: Spawn
) -> None:
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    old = spawn("0")
    wait_for(lambda: all_committed(broker, prefix))
    new = spawn("0")
    assert old.wait(30) == EXIT_FENCED
    produce(broker.bootstrap, topics[SHIPMENTS].name, KEYS)
    wait_for(lambda: all_committed(broker, prefix))
    assert new.poll() is None
    check_exact(broker, prefix, times(2))


def times(rounds: int) -> dict[str, int]:
    return {key: rounds * count for key, count in KEYS.items()}


def wait_for(condition: Callable[[], bool], timeout_s: float = 60.0) -> None:
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, "timed out"
        time.sleep(0.1)


def test_a_worker_outlives_a_broker_that_is_killed_and_stays_away_longer_than_a_transaction(
    new_broker: NewBroker, prefix: str
) -> None:
    own = new_broker("outage")
    own.start()
    admin = AdminClient(client_config(own.bootstrap, client_id="tests"))
    create_topics(admin, catalogue(prefix, FEW_PARTITIONS), replication_factor=1)
    runner = Runner(COUNTING, runner_config(own.bootstrap, prefix))
    runner.start()
    produce(own.bootstrap, prefix + SHIPMENTS, KEYS)
    run_until(runner, lambda: all_committed(own, prefix))
    produce(own.bootstrap, prefix + SHIPMENTS, KEYS)
    own.kill()
    away = threading.Timer(TRANSACTION_TIMEOUT_MS / 1_000 + 1, own.start)
    away.start()
    while away.is_alive():
        runner.step(runner.apply)
    run_until(runner, lambda: all_committed(own, prefix), timeout_s=60)
    runner.close()
    check_exact(own, prefix, times(2))
