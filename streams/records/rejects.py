"""Reject codes: why a record went to `shipments.dlq`. A bad record is a value, not an exception."""

from dataclasses import dataclass
from enum import Enum

from streams.domain.personal import is_code


class RejectCode(Enum):
    """Why a record could not be used. The value stands in the dead letter's header and in metrics."""

    EMPTY = "empty"  # No value at all.
    OVERSIZED = "oversized"  # More than 64 KiB.
    NOT_JSON = "not_json"  # Not decodable: not UTF-8, or not one JSON object.
    UNKNOWN_TYPE = "unknown_type"  # `type` is missing or none of the known ones.
    SCHEMA = "schema"  # A field is missing, or not of its type or vocabulary.
    BAD_TIME = "bad_time"  # A time is not RFC 3339 with an offset.
    UNKNOWN_OUTLET = "unknown_outlet"  # Not in the reference data at that tick.
    FROM_THE_FUTURE = (
        "from_the_future"  # `time` or `recorded_at` over 5 minutes after `received_at`.
    )
    TOO_OLD = "too_old"  # A time before the year 2000.
    KEY_MISMATCH = "key_mismatch"  # The Kafka key is not the waybill.
    TOO_LATE = "too_late"  # A collection older than the final close.


@dataclass(frozen=True, slots=True)
class Reject:
    """One refused record of a batch.

    Attributes:
        index: Its place in the batch.
        code: Why.
        path: Which field, as `$.name`; never a value, since values are personal data.
        source: The source that the record names, or "" where it could not be read, or is no code: what
            is refused may hold anything, and this goes into headers, states and metrics.

    """

    index: int
    code: RejectCode
    path: str
    source: str

    def __post_init__(self) -> None:
        """Take a source that is no code for one that could not be read."""
        if self.source and not is_code(self.source):
            object.__setattr__(self, "source", "")


class Refused(Exception):  # noqa: N818 - a value that travels up, not a fault of the program
    """A record that cannot be used. Carries the reject code and the field's path, never a value."""

    def __init__(self, code: RejectCode, path: str = "$") -> None:
        """Name the reason."""
        super().__init__(f"{code.value} at {path}")
        self.code = code
        self.path = path


class TooManyRejects(Exception):  # noqa: N818 (it states what has happened)
    """Most sources send what is refused: better stopped than a topic emptied into the dead letters.

    A stage raises it from `apply`; what it was applied to is not committed. The message says which
    code and where.
    """
