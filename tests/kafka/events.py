"""What enterprises were told, and what they should have been: of the topics as they stand."""

from collections.abc import Iterable, Mapping

from streams.agents.compliance import refusal_of
from streams.domain.policy import Policy
from streams.kafka.reading import read_to_end
from streams.kafka.reference import ReferenceTopic
from streams.records import refusals
from streams.records.topics import COMPLIANCE_INPUTS, REFERENCE, SHIPMENTS_DLQ, Topic
from streams.stages.compliance.partition import CompliancePartition, make_teller
from streams.stages.stage import Batch, Output
from tests.kafka.counting import Record
from tests.stages.telling import Event, event_of


def expected_events(bootstrap: str, topics: Mapping[str, Topic]) -> list[Event]:
    """Return what the stage makes of the input topics as they stand, in one batch each."""
    client = {"bootstrap.servers": bootstrap}
    history = ReferenceTopic(client, topics[REFERENCE].name).history()
    events: list[Event] = []
    for topic in COMPLIANCE_INPUTS:
        logs: dict[int, list[tuple[int, bytes | None, bytes | None, int]]] = {}
        for message in read_to_end(client, topics[topic].name):
            key, value = message.key(), message.value()
            if topic == SHIPMENTS_DLQ:
                key, value = None, refusals.encode(refusal_of(message))
            record = (message.offset() or 0, key, value, message.timestamp()[1])
            logs.setdefault(message.partition() or 0, []).append(record)
        for share, log in logs.items():
            shares = topics[topic].partitions
            teller = make_teller(topic, Policy(), history, share=share, shares=shares)
            stage = CompliancePartition(teller)
            stage.apply(Batch(*zip(*log, strict=True)))
            events += map(event_of, stage.drain(publish=True).outputs)
    return events


def as_event(topic: str, record: Record) -> Event:
    """Return a record of an enterprise's topic as an event."""
    key, value, headers = record
    return event_of(Output(topic, key, value, None, headers))


def in_order(events: Iterable[Event]) -> dict[tuple[str, str], list[Event]]:
    """Return the events of each topic and key, in their order: only that is promised."""
    found: dict[tuple[str, str], list[Event]] = {}
    for event in events:
        found.setdefault((event.topic, event.key), []).append(event)
    return found
