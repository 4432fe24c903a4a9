"""Facts of a dead letter that may leave the dead-letter topic: everything but the record itself."""

from typing import Final

import msgspec


class Refusal(msgspec.Struct, frozen=True):
    """One refused record.

    Attributes:
        record_source: The source that it names, or empty.
        code: Reject code.
        path: Which field; never a value.
        waybill_masked: First three and last four characters of its key; None without one.
        received_ms: When `shipments` had it, in epoch milliseconds.
        place: partition@offset in `shipments`, by which the regulator finds it.

    """

    record_source: str
    code: str
    path: str
    waybill_masked: str | None
    received_ms: int
    place: str


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(Refusal).decode
