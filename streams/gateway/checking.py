"""Which records of a batch are an enterprise's own and can be used, and how they go to Kafka.

What is written is what was understood: a record is decoded as a worker decodes it and encoded again. So
fields that no schema names, names that occur twice, and whatever another parser might read otherwise,
do not reach Kafka; nor does a time of receipt that somebody has claimed, nor a sender's pseudonym.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import Enum
from typing import Final, NamedTuple

import msgspec
from msgspec.structs import force_setattr

from streams.domain.personal import holds_identity_number, holds_mobile_number
from streams.domain.window import day_of
from streams.gateway.subjects import SubjectKeys
from streams.records import shipments
from streams.records.instants import INSTANTS
from streams.records.rejects import Refused, RejectCode
from streams.records.shipments import OLDEST_MS, VALUE_BYTES_MAX, why_refused
from streams.reference.types import Outlet, Reference
from streams.tokens import Grant


class GatewayCode(Enum):
    """Why a record that a worker could use is rejected here. Other codes are those of dead letters."""

    NOT_YOURS = "not_yours"  # Source or outlet: unknown, another's, or not of the token's brands.
    PERSONAL_DATA = "personal_data"  # A field holds what looks like a name or a person's number.


class Collected(shipments.Collected, tag="shipment.collected", omit_defaults=True, frozen=True):
    """See the base."""


class Registered(shipments.Registered, tag="realname.registered", omit_defaults=True, frozen=True):
    """See the base."""


class Revoked(shipments.Revoked, tag="realname.revoked", omit_defaults=True, frozen=True):
    """See the base."""


class Voided(shipments.Voided, tag="waybill.voided", omit_defaults=True, frozen=True):
    """See the base."""


class Scanned(shipments.Scanned, tag="hub.outbound_scanned", omit_defaults=True, frozen=True):
    """See the base."""


Record = Collected | Registered | Revoked | Voided | Scanned
"""What may be sent: no heartbeat, which would let time pass for everybody."""

_decode: Final[Callable[[bytes], Record]] = msgspec.json.Decoder(Record).decode
_encode: Final = msgspec.json.Encoder().encode

# By this table a record's digits look alike, so that numbers of a person are sought by their length and
# their breaks, as `streams.domain.personal` has them: searching for them by expression takes ten times
# as long as everything else.
_LIKE: Final = bytes.maketrans(b"123456789 ", b"000000000-")
_LONG: Final = (b"00000000000", b"000-0000-0000", b"000-00000000", b"0000000-0000")
# A waybill may hold a mobile number by chance, but no carrier's is as long as one, or has the check digit
# of an identity number.
_WAYBILL: Final = "waybill_no"
_NUMBER_LENGTHS: Final = frozenset({11, 18})


class Rejected(NamedTuple):
    """A record that was not taken: its place in the batch, from 0, why, and the field's path."""

    record: int
    code: str
    path: str


@dataclass(slots=True)
class Checked:
    """A batch, checked.

    Attributes:
        keys: Kafka keys of the records that can be written, in the order of the batch.
        values: The same for their values.
        rejected: The others.

    """

    keys: list[bytes] = field(default_factory=list)
    values: list[bytes] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)


class Estate:
    """What one token may write for: its enterprise's sources, and the outlets of its brands."""

    def __init__(self, reference: Reference, grant: Grant) -> None:
        """Look it up."""
        enterprise_id, brands = grant.enterprise_id, grant.brands
        self._enterprise_id = enterprise_id
        self.sources = {
            source.source
            for source in reference.sources.values()
            if source.enterprise_id == enterprise_id is not None
        }
        mine = [
            outlet
            for outlet in reference.outlets.values()
            if not brands or outlet.brand_code in brands
        ]
        self.outlets = {
            outlet.outlet_id
            for outlet in mine
            if outlet.enterprise_id == enterprise_id and not outlet.moves
        }
        self._moved = {outlet.outlet_id: outlet for outlet in mine if outlet.moves}

    def had(self, outlet_id: str, time_ms: int) -> bool:
        """Return whether an outlet was the enterprise's on the business day of an instant."""
        moved: Outlet | None = self._moved.get(outlet_id)
        return moved is not None and moved.place_on(day_of(time_ms))[0] == self._enterprise_id


class Checker:
    """Checks batches. For one thread.

    Args:
        reference: Returns the reference data to check by.
        subjects: Keys of subjects' tokens; without them no subject is written.
        received: Returns the time of receipt in milliseconds; None where data have a time of their own.
        now_ms: Returns the wall time, for which key is in use.
        clock_skew_ms: How far a record's times may lie ahead of its receipt.

    """

    def __init__(
        self,
        reference: Callable[[], Reference],
        *,
        subjects: SubjectKeys | None,
        received: Callable[[], int] | None,
        now_ms: Callable[[], int],
        clock_skew_ms: int,
    ) -> None:
        self._reference = reference
        self._subjects = subjects
        self._received = received
        self._now_ms = now_ms
        self._clock_skew_ms = clock_skew_ms
        self._edition: tuple[int, int] | None = None
        self._estates: dict[str, Estate] = {}

    def check(self, batch: Sequence[bytes], grant: Grant) -> Checked:
        """Return what of a batch can be written, with keys and values, and what cannot, with why."""
        estate = self._estate(grant)
        key = None if self._subjects is None else self._subjects.at(self._now_ms())
        latest_ms = None if self._received is None else self._received() + self._clock_skew_ms
        checked = Checked()
        for index, value in enumerate(batch):
            try:
                record = _decoded(value)
                _check(record, estate, latest_ms)
            except Refused as refused:
                code = refused.code.value
                checked.rejected.append(Rejected(index, code, refused.path))
                continue
            except _NotTakenError as refused:
                checked.rejected.append(Rejected(index, refused.code.value, refused.path))
                continue
            if record.received_at is not None:
                force_setattr(record, "received_at", None)
            if isinstance(record, Registered) and record.subject_token is not None:
                token = None if key is None else key.token(record.subject_token)
                force_setattr(record, "subject_token", token)
            encoded = _encode(record)
            waybill = record.waybill_no.encode()
            if _needs_a_look(encoded, waybill):
                name = _personal_field(record)
                if name is not None:
                    code = GatewayCode.PERSONAL_DATA.value
                    checked.rejected.append(Rejected(index, code, f"$.{name}"))
                    continue
            checked.keys.append(waybill)
            checked.values.append(encoded)
        return checked

    def _estate(self, grant: Grant) -> Estate:
        reference = self._reference()
        if reference.edition != self._edition:
            self._edition = reference.edition
            self._estates.clear()
        estate = self._estates.get(grant.sha256)
        if estate is None:
            estate = self._estates[grant.sha256] = Estate(reference, grant)
        return estate


class _NotTakenError(Exception):
    """As `Refused`, for the reasons that only a gateway has."""

    def __init__(self, code: GatewayCode, path: str) -> None:
        self.code = code
        self.path = path


def _decoded(value: bytes) -> Record:
    if len(value) > VALUE_BYTES_MAX:
        raise Refused(RejectCode.OVERSIZED)
    try:
        return _decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError) as error:
        code, path, _ = why_refused(value, error)
        if path == "$.type":  # A heartbeat is known, but not taken.
            code = RejectCode.UNKNOWN_TYPE
        raise Refused(code, path) from None


def _check(record: Record, estate: Estate, latest_ms: int | None) -> None:
    """Raise _NotTakenError for what is another's, and Refused for what a worker would refuse."""
    if record.source not in estate.sources:
        raise _NotTakenError(GatewayCode.NOT_YOURS, "$.source")
    time_ms = INSTANTS.parse(record.time, "$.time")
    recorded_ms = INSTANTS.parse(record.recorded_at, "$.recorded_at")
    if (
        isinstance(record, Collected | Registered)
        and record.outlet_id not in estate.outlets
        and not estate.had(record.outlet_id, time_ms)
    ):
        raise _NotTakenError(GatewayCode.NOT_YOURS, "$.outlet_id")
    for instant_ms, path in ((time_ms, "$.time"), (recorded_ms, "$.recorded_at")):
        if instant_ms < OLDEST_MS:
            raise Refused(RejectCode.TOO_OLD, path)
        if latest_ms is not None and instant_ms > latest_ms:
            raise Refused(RejectCode.FROM_THE_FUTURE, path)


def _needs_a_look(encoded: bytes, waybill: bytes) -> bool:
    """Return whether a record may hold personal data beside its waybill, which is full of digits."""
    if not encoded.isascii() or b"\\" in encoded:  # An escaped character is none of a code's.
        return True
    if len(waybill) in _NUMBER_LENGTHS or not waybill.isalnum():
        return True
    alike = encoded.translate(_LIKE).replace(waybill.translate(_LIKE), b"", 1)
    return any(long in alike for long in _LONG)


def _personal_field(record: Record) -> str | None:
    """Return the first field that holds what may be personal data, where none should be."""
    for name in record.__struct_fields__:
        text = getattr(record, name)
        if not isinstance(text, str):
            continue
        if not (text.isascii() and text.isprintable()):
            return name
        if name == _WAYBILL and text.isalnum() and len(text) not in _NUMBER_LENGTHS:
            continue
        if holds_identity_number(text) or holds_mobile_number(text):
            return name
    return None
