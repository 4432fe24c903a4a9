"""The records of the `reference` topic: one kind's data as of one version, as bytes.

Layout: one byte for the format, then msgpack, compressed with zlib, so that a region's outlets stay
well below the record size that brokers accept by default, whatever the producer's settings.
"""

import zlib
from dataclasses import dataclass, replace
from typing import Final

import msgspec

from streams.domain.period import EventPeriod
from streams.reference.listing import Kind
from streams.reference.types import Filing, Outlet, Reference, Source

FORMAT: Final = 1

FIELDS: Final = {
    Kind.OUTLETS: ("outlets", "retired", "counties", "enterprises"),
    Kind.AGREEMENTS: ("agreements",),
    Kind.SOURCES: ("sources",),
    Kind.PERIODS: ("periods", "retired_scope_bits"),
}
"""Which fields of `Reference` belong to which kind."""


class SnapshotError(Exception):
    """A record of the reference topic cannot be read. The message says what to do about it."""


@dataclass(frozen=True, slots=True)
class Snapshot:
    """One apply.

    Attributes:
        kind: What was applied.
        version: Its number; one count goes over all kinds.
        effective_at_ms: From this tick on it is used.
        applied_at_ms: When it was written, by the wall clock of whoever did.
        reference: Only the fields of this kind are filled.

    """

    kind: Kind
    version: int
    effective_at_ms: int
    applied_at_ms: int
    reference: Reference


class _Payload(msgspec.Struct, array_like=True, frozen=True):
    kind: str
    version: int
    effective_at_ms: int
    applied_at_ms: int
    outlets: list[Outlet] = []
    retired: list[Outlet] = []
    counties: tuple[str, ...] = ()
    enterprises: tuple[str, ...] = ()
    filings: list[Filing] = []
    sources: list[Source] = []
    periods: tuple[EventPeriod, ...] = ()
    retired_scope_bits: dict[int, int] = {}


def kind_data(kind: Kind, reference: Reference) -> Reference:
    """Return only the fields of one kind, without version and effect: equal data compare equal."""
    return overlaid(Reference(), kind, reference)


def overlaid(base: Reference, kind: Kind, reference: Reference) -> Reference:
    """Return `base` with the fields of one kind taken from `reference`."""
    fields = {name: getattr(reference, name) for name in FIELDS[kind]}
    return replace(base, **fields)


def encode(snapshot: Snapshot) -> bytes:
    """Return the record's value. Equal snapshots give equal bytes."""
    reference = snapshot.reference
    payload = _Payload(
        kind=snapshot.kind.value,
        version=snapshot.version,
        effective_at_ms=snapshot.effective_at_ms,
        applied_at_ms=snapshot.applied_at_ms,
        outlets=list(reference.outlets.values()),
        retired=list(reference.retired.values()),
        counties=tuple(reference.counties),
        enterprises=tuple(reference.enterprises),
        filings=[filing for filings in reference.agreements.values() for filing in filings],
        sources=list(reference.sources.values()),
        periods=reference.periods,
        retired_scope_bits=dict(reference.retired_scope_bits),
    )
    return bytes([FORMAT]) + zlib.compress(msgspec.msgpack.encode(payload))


def decode(value: bytes) -> Snapshot:
    """Return the snapshot of a record's value.

    Raises:
        SnapshotError: It is damaged, or was written by a newer program.
    """
    if not value or value[0] != FORMAT:
        raise SnapshotError(
            f"a record of the reference topic has format {value[0] if value else 'nothing'} and "
            f"this program reads {FORMAT}: use the version that applied it, or a later one"
        )
    try:
        payload = _DECODER.decode(zlib.decompress(value[1:]))
        kind = Kind(payload.kind)
    except (zlib.error, msgspec.MsgspecError, ValueError) as error:
        raise SnapshotError(
            f"a record of the reference topic is damaged ({error}): apply that file again"
        ) from error
    agreements: dict[str, tuple[Filing, ...]] = {}
    for filing in payload.filings:
        agreements[filing.agreement_id] = (*agreements.get(filing.agreement_id, ()), filing)
    reference = Reference(
        outlets={outlet.outlet_id: outlet for outlet in payload.outlets},
        retired={outlet.outlet_id: outlet for outlet in payload.retired},
        counties=payload.counties,
        enterprises=payload.enterprises,
        agreements=agreements,
        sources={source.source: source for source in payload.sources},
        periods=payload.periods,
        retired_scope_bits=payload.retired_scope_bits,
    )
    return Snapshot(
        kind=kind,
        version=payload.version,
        effective_at_ms=payload.effective_at_ms,
        applied_at_ms=payload.applied_at_ms,
        reference=reference,
    )


_DECODER: Final = msgspec.msgpack.Decoder(_Payload)
