"""Heartbeats: when they are written, and what their time stamps tell of the clocks."""

import time
from collections.abc import Mapping

import pytest

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.heartbeat import VALUE, Heartbeats, ahead_ms
from streams.kafka.reading import read_to_end
from streams.records.topics import SHIPMENTS, Topic

PATIENCE_S = 60.0


@pytest.mark.parametrize(
    ("appended_ms", "expected_ms"),
    [
        pytest.param(1_000, 0, id="at the moment of sending nothing is certain"),
        pytest.param(1_040, 0, id="between sending and hearing nothing is certain"),
        pytest.param(1_100, 0, id="at the moment of hearing nothing is certain"),
        pytest.param(31_100, 30_000, id="after we heard of it: Kafka's clock is ahead"),
        pytest.param(-29_000, -30_000, id="before we sent it: Kafka's clock is behind"),
    ],
)
def test_what_is_certain_of_two_clocks(appended_ms: int, expected_ms: int) -> None:
    assert ahead_ms(1_000, appended_ms, 1_100) == expected_ms


@pytest.mark.kafka
def test_a_quiet_partition_gets_one_and_a_busy_one_for_the_clocks_sake(
    broker: EmbeddedBroker, topics: Mapping[str, Topic]
) -> None:
    """The broker is on this machine, so it must be said that no difference is certain."""
    told: list[int] = []
    client = {"bootstrap.servers": broker.bootstrap}
    beats = Heartbeats(
        client,
        topic=topics[SHIPMENTS].name,
        idle_s=30.0,
        clock_s=300.0,
        on_clock=told.append,
    )

    def heard(number: int, at_end: list[int], now_s: float) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while len(told) < number:
            assert time.monotonic() < deadline, "the heartbeat is not acknowledged"
            beats.beat(at_end, now_s)
            time.sleep(0.01)

    beats.beat([0], 0.0)
    heard(1, [0], 30.0)
    # Never at its end for long, so it is not quiet, and does not get any for that.
    for now_s in range(31, 330):
        beats.beat([0] if now_s % 2 else [], float(now_s))
    assert written(broker, topics) == 1
    beats.beat([], 331.0)
    assert written(broker, topics) == 1, "nothing where no partition is at its end"
    heard(2, [0], 332.0)
    assert written(broker, topics) == 2
    assert told == [0, 0]


def written(broker: EmbeddedBroker, topics: Mapping[str, Topic]) -> int:
    """Return how many heartbeats the first partition has."""
    client = {"bootstrap.servers": broker.bootstrap}
    messages = list(read_to_end(client, topics[SHIPMENTS].name, partitions=[0]))
    assert {message.value() for message in messages} <= {VALUE}
    return len(messages)
