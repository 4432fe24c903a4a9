"""From the body of a request to the records in it: unpacked up to a limit, and taken apart."""

import zlib
from collections.abc import Sequence
from typing import Final, Literal

import msgspec

PACKED_BYTES_MAX: Final = 4 * 1024 * 1024
"""Bytes of a body as it is sent."""
BYTES_MAX: Final = 8 * 1024 * 1024
"""Bytes of a body when it is unpacked."""
RECORDS_MAX: Final = 10_000

_GZIP: Final = 16 + zlib.MAX_WBITS  # zlib's mark for a gzip header.

Form = Literal["json", "ndjson"]
FORMS: Final[dict[str, Form]] = {
    "application/json": "json",
    "application/x-ndjson": "ndjson",
    "application/jsonl": "ndjson",
}

_array: Final = msgspec.json.Decoder(list[msgspec.Raw])


class TooLarge(Exception):  # noqa: N818 (what was found)
    """A body is more than is taken. The message says of what, and how much is."""


class NotReadable(Exception):  # noqa: N818 (what was found)
    """A body is not in the form that it says. The message quotes nothing of it."""


class Unpacker:
    """Takes a body in as it comes, and holds no more of it than the limits allow.

    Raises from `take`, at the piece with which a limit is passed:
        TooLarge: More bytes than `PACKED_BYTES_MAX` came, or than `BYTES_MAX` are in them.
        NotReadable: They are no gzip.
    """

    def __init__(self, *, gzip: bool) -> None:
        """Begin. Unless `gzip`, bytes are as they come."""
        self._gzip = zlib.decompressobj(_GZIP) if gzip else None
        self._pieces: list[bytes] = []
        self._packed = 0
        self.size = 0
        """Bytes that are held."""

    def take(self, piece: bytes) -> None:
        """Take in the next piece."""
        self._packed += len(piece)
        if self._packed > PACKED_BYTES_MAX:
            raise TooLarge(f"the body has more than {PACKED_BYTES_MAX:,} bytes")
        if self._gzip is not None and piece:
            # A second member behind the first would be more than what was measured.
            if self._gzip.eof:
                raise NotReadable("the body goes on behind its gzip member; send one")
            try:
                # One byte over the limit tells; what a bomb holds beyond it is never unpacked.
                piece = self._gzip.decompress(piece, BYTES_MAX - self.size + 1)
            except zlib.error as error:
                raise NotReadable("the body is no gzip, though Content-Encoding says so") from error
            if self._gzip.unused_data:
                raise NotReadable("the body goes on behind its gzip member; send one")
        self.size += len(piece)
        if self.size > BYTES_MAX:
            raise TooLarge(f"the body unpacks to more than {BYTES_MAX:,} bytes")
        self._pieces.append(piece)

    def body(self) -> bytes:
        """Return the whole body.

        Raises:
            NotReadable: Its gzip ends in the middle.
        """
        if self._gzip is not None and not self._gzip.eof:
            raise NotReadable("the gzip of the body ends in its middle; send it again")
        return b"".join(self._pieces)


def records_of(body: bytes, form: Form) -> Sequence[bytes]:
    """Return the records of a body, in order, each as it was written; empty lines are none.

    Raises:
        NotReadable: It is no JSON array. (A line that is no JSON is a record that will be rejected.)
        TooLarge: More than `RECORDS_MAX`.
    """
    if form == "ndjson":
        found = [line for line in (part.strip() for part in body.split(b"\n")) if line]
    else:
        try:
            found = [bytes(raw) for raw in _array.decode(body)]
        except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
            raise NotReadable("the body is no JSON array; send [{...}, ...], or NDJSON") from error
    if len(found) > RECORDS_MAX:
        raise TooLarge(f"the body has more than {RECORDS_MAX:,} records")
    return found
