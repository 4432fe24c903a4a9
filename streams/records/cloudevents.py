"""CloudEvents 1.0 in Kafka's binary mode: the attributes are headers, the data are the value.

An event without data is a tombstone on a compacted topic: it takes back what its key said before.
https://github.com/cloudevents/spec/blob/main/cloudevents/bindings/kafka-protocol-binding.md
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Final

SPEC_VERSION: Final = "1.0"
JSON: Final = "application/json"
HEADER_PREFIX: Final = "ce_"
CONTENT_TYPE: Final = "content-type"
ID_BYTES: Final = 16

Headers = Sequence[tuple[str, bytes]]


@dataclass(frozen=True, slots=True)
class CloudEvent:
    """One event.

    Attributes:
        id: With `source` its name for ever: the same fact has the same one, however often it is told.
        source: Who tells it.
        type: What has happened.
        subject: To what.
        time: When, as RFC 3339; never when it was written.
        key: The Kafka key, as the attribute `partitionkey` too.
        schema: URI of the schema of the data; None where there are none.
        data: JSON; None takes back what the key said before.
        extensions: Further attributes by name: lower-case letters and digits.

    """

    id: str
    source: str
    type: str
    subject: str
    time: str
    key: str
    schema: str | None
    data: bytes | None
    extensions: Mapping[str, str] = field(default_factory=dict)


def headers(event: CloudEvent) -> Headers:
    """Return a record's headers."""
    attributes = {
        "specversion": SPEC_VERSION,
        "id": event.id,
        "source": event.source,
        "type": event.type,
        "subject": event.subject,
        "time": event.time,
        "partitionkey": event.key,
        **event.extensions,
    }
    found = [(HEADER_PREFIX + name, value.encode()) for name, value in attributes.items()]
    if event.data is not None:
        assert event.schema is not None, "data without a schema are no contract"
        found.append((f"{HEADER_PREFIX}dataschema", event.schema.encode()))
        found.append((CONTENT_TYPE, JSON.encode()))
    return found


def id_of(*parts: str | bytes) -> str:
    """Return an id that these parts alone decide: 32 hexadecimal digits."""
    digest = blake2b(digest_size=ID_BYTES)
    for part in parts:
        piece = part if isinstance(part, bytes) else part.encode()
        digest.update(len(piece).to_bytes(4, "big"))
        digest.update(piece)
    return digest.hexdigest()
