"""A producer whose place was taken says so, whatever it was about to do."""

from collections.abc import Mapping, Sequence
from typing import NoReturn

import pytest
from confluent_kafka import KafkaError, KafkaException

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.fencing import is_fenced
from streams.kafka.transaction import (
    ProducerLost,
    TransactionalProducer,
    _error_in,
    producer_config,
)
from streams.records.topics import COUNTS, RATES, Topic

pytestmark = pytest.mark.kafka


def end_process(reason: str) -> NoReturn:
    raise AssertionError(reason)


def producer(broker: EmbeddedBroker, prefix: str) -> TransactionalProducer:
    client = client_config(broker.bootstrap, client_id="tests")
    config = producer_config(client, transactional_id=f"{prefix}match.0")
    made = TransactionalProducer(config, end_process=end_process)
    made.init()
    return made


def _produce_and_deliver(old: TransactionalProducer, names: Sequence[str]) -> None:
    for name in names:
        old.produce(name, b"value", partition=0)
    old.deliver()


def test_a_producer_that_is_fenced_with_records_of_several_topics_on_their_way_is_lost(
    broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str
) -> None:
    old = producer(broker, prefix)
    old.begin()
    new = producer(broker, prefix)
    # The broker's answer may come while there is still something to produce.
    with pytest.raises(ProducerLost) as lost:
        _produce_and_deliver(old, [topics[COUNTS].name, topics[RATES].name] * 1_000)
    assert lost.value.fenced
    old.close()
    new.close()


def caused_by(cause: BaseException | None) -> SystemError:
    raised = SystemError("returned NULL without setting an exception")
    raised.__cause__ = cause
    return raised


FATAL = KafkaError(KafkaError._FATAL)
TOLD = [
    ("the error itself", KafkaException(FATAL)),
    ("one that a callback came after", caused_by(KafkaException(FATAL))),
    ("one that a callback has lost", caused_by(None)),
]


@pytest.mark.parametrize(("_case", "raised"), TOLD)
def test_what_ended_a_call_is_a_fatal_error(
    _case: str, raised: KafkaException | SystemError
) -> None:
    assert is_fenced(_error_in(raised))


def test_an_exception_of_a_callback_is_no_error_of_kafka() -> None:
    with pytest.raises(SystemError):
        _error_in(caused_by(ValueError()))
