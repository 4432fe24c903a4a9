"""Whether those were told what they should be to whom figures go out: enterprises, and an Alertmanager."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Final

import msgspec

from bench.chaos.figures import Row, first
from streams.notify.notices import ENDED, WATCHDOG, labels_of, severities_of
from streams.records.published import AlertRecord
from streams.records.topics import Topic, compliance_topic
from tests.kafka.counting import read_all
from tests.kafka.events import as_event, expected_events, in_order
from tests.stages.telling import Event

Labels = frozenset[tuple[str, str]]
WATCHDOG_LABEL: Final = ("alertname", WATCHDOG)


def enterprise_differences(
    bootstrap: str, prefix: str, topics: Mapping[str, Topic], enterprises: Iterable[str]
) -> tuple[int, list[str]]:
    """Return how many events enterprises have, and a line for each key whose events are not right.

    Right is what the stage gives of the topics that it reads, as they stand, in one batch: each event once.
    """
    events: list[Event] = []
    for enterprise in enterprises:
        topic = compliance_topic(enterprise)
        events += [as_event(topic, record) for record in read_all(bootstrap, prefix + topic)]
    found, expected = in_order(events), in_order(expected_events(bootstrap, topics))
    return len(events), first("event", event_differences(expected, found))


def event_differences(
    expected: Mapping[tuple[str, str], Sequence[Event]],
    found: Mapping[tuple[str, str], Sequence[Event]],
) -> Iterator[str]:
    """Yield a line for each topic and key whose events differ."""
    for name in sorted(expected.keys() | found.keys()):
        right, is_ = expected.get(name, ()), found.get(name, ())
        if right != is_:
            types = [[event.type for event in events] for events in (right, is_)]
            yield f"{' '.join(name)}: {types[0]} expected, {types[1]} found"


def posted(posts: Iterable[Sequence[Mapping[str, Any]]]) -> set[Labels]:
    """Return the alerts that an Alertmanager was told, by their labels, without the watchdog."""
    labels = {frozenset(alert["labels"].items()) for post in posts for alert in post}
    return {of for of in labels if WATCHDOG_LABEL not in of}


def never_committed(told: set[Labels], alerts: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return a line for each alert that was told, and of which no record was ever committed."""
    known = {
        of for history in alerts.values() for record in _records(history) for of in _of(record)
    }
    return first("notify", (f"{sorted(of)} was never committed" for of in told - known))


def untold(told: set[Labels], alerts: Mapping[str, Sequence[Row]]) -> list[str]:
    """Return a line for each alert that is open now, and that nobody was told."""
    open_ = {
        of
        for history in alerts.values()
        for record in _records(history[-1:])
        if record.state != ENDED
        for of in _of(record)
    }
    return first("notify", (f"{sorted(of)} was not told" for of in open_ - told))


def _records(rows: Iterable[Row]) -> Iterator[AlertRecord]:
    for row in rows:
        yield msgspec.convert(row, AlertRecord)


def _of(record: AlertRecord) -> Iterator[Labels]:
    for severity in severities_of(record):
        yield frozenset(labels_of(record, severity).items())
