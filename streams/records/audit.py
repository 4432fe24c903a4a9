"""Records of `audit`: who did what to personal data, and when. Nothing of the data themselves.

Appended to one partition and never changed, so their order is the order in which things were done.
"""

import re
from typing import Final, Literal, get_args

import msgspec

FORMAT: Final = 1

Action = Literal["dlq.listed", "dlq.shown", "dlq.replayed", "dlq.dropped"]
ACTIONS: Final[tuple[Action, ...]] = get_args(Action)

ACCOUNT: Final = re.compile(r"[A-Za-z0-9._@-]{1,64}")
"""The form of an account's name."""
REASON_CHARS_MAX: Final = 200
PLACES_MAX: Final = 1_000
"""Records that one audit record can name: some 20 KB."""


class AuditRecord(msgspec.Struct, frozen=True):
    """One thing that was done. The time is RFC 3339 in Shanghai time.

    Attributes:
        action: What was done.
        at: When, by the clock of the machine on which it was.
        by: The account that did it; never a person's name.
        topic: To which topic, by its short name.
        topic_id: Kafka's id of that topic: offsets of another topic of the same name are others.
        selection: Which of its records were asked for, as the command line said; masked where that
            looks like personal data.
        reason: Why, as whoever did it says; may be empty.
        count: How many records it was done to.
        places: Each of them as partition@offset; none where records were only counted.

    """

    action: Action
    at: str
    by: str
    topic: str
    topic_id: str
    selection: str
    reason: str
    count: int
    places: list[str]
    schema_version: int = FORMAT


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(AuditRecord).decode
