"""How a refused record goes to `shipments.dlq`: untouched, with the reason in headers.

The headers follow the custom of Kafka Connect and Kafka Streams, a prefix of our own before the same
words. They hold no value of the record: those are personal data.
"""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from confluent_kafka import Message

from streams.records.rejects import Reject

HEADER_PREFIX: Final = "__realname.errors."
CODE: Final = HEADER_PREFIX + "code"
PATH: Final = HEADER_PREFIX + "path"
SOURCE: Final = HEADER_PREFIX + "source"
STAGE: Final = HEADER_PREFIX + "stage"
TOPIC: Final = HEADER_PREFIX + "topic"
PARTITION: Final = HEADER_PREFIX + "partition"
OFFSET: Final = HEADER_PREFIX + "offset"
TIMESTAMP: Final = HEADER_PREFIX + "timestamp"
ATTEMPT: Final = HEADER_PREFIX + "attempt"


_ATTEMPT_DIGITS_MAX: Final = 6


class DeadLetter(NamedTuple):
    """A record as it goes to the dead letters."""

    key: bytes | None
    value: bytes | None
    headers: Sequence[tuple[str, bytes | None]]


def headers_of(message: Message) -> Sequence[tuple[str, str | bytes | None]]:
    """Return a record's headers in their order, repeated names among them."""
    headers = message.headers()
    assert not isinstance(headers, dict), "the client gives a list; it only takes dicts"
    return headers or []


def told_and_kept(
    message: Message,
) -> tuple[Mapping[str, bytes], list[tuple[str, bytes | None]]]:
    """Return our headers of a record by name, and those of others in their order."""
    ours: dict[str, bytes] = {}
    kept: list[tuple[str, bytes | None]] = []
    for name, content in headers_of(message):
        value = content.encode() if isinstance(content, str) else content
        if not name.startswith(HEADER_PREFIX):
            kept.append((name, value))
        elif value is not None:
            ours[name] = value
    return ours, kept


def attempt_of(ours: Mapping[str, bytes]) -> int:
    """Return how often a record has been refused, as our headers say; 0 where they do not.

    Whoever writes records writes their headers, so a number that we would not have written is none.
    """
    found = ours.get(ATTEMPT, b"")
    return int(found) if found.isdigit() and len(found) <= _ATTEMPT_DIGITS_MAX else 0


def dead_letter(message: Message, reject: Reject, stage: str) -> DeadLetter:
    """Return a refused record with the reason added.

    A record that comes from the dead letters, and is refused again, keeps one set of our headers,
    with `attempt` counted up.
    """
    ours, kept = told_and_kept(message)
    attempt = attempt_of(ours) + 1
    _, timestamp_ms = message.timestamp()
    reason = {
        CODE: reject.code.value,
        PATH: reject.path,
        SOURCE: reject.source,
        STAGE: stage,
        TOPIC: message.topic(),
        PARTITION: message.partition(),
        OFFSET: message.offset(),
        TIMESTAMP: timestamp_ms,
        ATTEMPT: attempt,
    }
    kept += [(name, str(value).encode()) for name, value in reason.items()]
    return DeadLetter(message.key(), message.value(), kept)


def replayed(message: Message) -> DeadLetter:
    """Return a dead letter as it goes to `shipments` once more.

    As it came, byte for byte, and of our headers only `attempt`: how often it has been refused.
    """
    ours, kept = told_and_kept(message)
    kept.append((ATTEMPT, str(attempt_of(ours)).encode()))
    return DeadLetter(message.key(), message.value(), kept)
