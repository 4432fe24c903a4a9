"""How a parcel lies in the match stage's memory and in its state log: a few bytes of one of six forms.

Nine parcels of ten are collected once, registered once or twice, or covered by an agreement, and scanned at a
hub once. They are packed in the five short forms, which the stage makes and reads without a Python object for
the parcel; everything else is a whole `Parcel` in the general form. `unpack` reads every form, so the short
ones are only ever a faster way to write the same thing, and a property test holds them to that.

    C  collected, uncovered      cell, ms in pane, hub delay, source | id
    A  the same, covered by an agreement from the instant of collection
    R  registered only           time, outlet | recorded_at, upload delay, backdated | registration id
    B  collected and registered  what C has, then what R has after its outlet
    D  the same, registered twice  what C has, then upload, length of the id and id of the first
                                 registration, then upload and id of the second
    P  anything else             msgpack of the `Parcel`

Delays are in milliseconds; the hub's is from the collection, plus one, and 0 where there was no scan.
`source` is the number of the source's name in the partition's own table.
"""

from collections.abc import Callable, Sequence
from struct import Struct
from typing import Final

import msgspec

from streams.domain.category import EXEMPT_CATEGORIES
from streams.domain.cell import (
    CATEGORY_MASK,
    CATEGORY_SHIFT,
    PANE_BITS,
    PANE_MASK,
    SCOPE_MASK,
    UNIT_SHIFT,
)
from streams.domain.parcel import Collection, Parcel, Registration
from streams.domain.window import PANE_MS

COLLECTED: Final = ord("C")
AGREED: Final = ord("A")
BOTH: Final = ord("B")
DUPLICATED: Final = ord("D")
REGISTERED: Final = ord("R")
GENERAL: Final = ord("P")

COLLECTED_LAYOUT: Final = Struct("<BqIIHB")
"""form, cell, ms in pane, hub delay, source, length of the id; the id follows, in B and D the uploads."""
IN_PANE_AT: Final = 9
SOURCE_AT: Final = 17
ID_LENGTH_AT: Final = 19
COLLECTED_END: Final = COLLECTED_LAYOUT.size
"""Where the parts of what has been collected lie, and its id begins."""
PLACE_LAYOUT: Final = Struct("<qI")
"""Cell and ms in pane, from PLACE_AT on, of what has been collected."""
PLACE_AT: Final = 1
HUB_AT: Final = 13
"""Where the hub delay lies in what has been collected: behind form, cell and ms in pane."""

CLAIM_LAYOUT: Final = Struct("<BqH")
"""form, time, outlet: how R begins. What a registration claims matters only until the collection."""
OUTLET_AT: Final = 9
CLAIM_END: Final = CLAIM_LAYOUT.size
UPLOAD_LAYOUT: Final = Struct("<qIB")
"""recorded_at, upload delay, backdated; the registration id follows."""
UPLOAD_END: Final = UPLOAD_LAYOUT.size

DELAY_MAX_MS: Final = 2**32 - 2
ID_BYTES_MAX: Final = 255
SOURCES_MAX: Final = 2**16
_REGISTRATIONS_MAX: Final = 2

_decode_general: Final = msgspec.msgpack.Decoder(Parcel).decode
_encode_general: Final[Callable[[object], bytes]] = msgspec.msgpack.Encoder().encode


def pack(parcel: Parcel, number_of_source: Callable[[str], int | None]) -> bytes:
    """Return a parcel in the shortest form that holds it.

    `number_of_source` gives a source's number in the partition's table, or None when that is full.
    """
    short = None
    if not (parcel.rescans or parcel.revoked or parcel.void_ms is not None):
        short = _pack_short(parcel, number_of_source)
    return b"P" + _encode_general(parcel) if short is None else short


def _pack_short(parcel: Parcel, number_of_source: Callable[[str], int | None]) -> bytes | None:
    owner, registrations = parcel.owner, parcel.registrations
    registered = _packed_uploads(registrations)
    if registered is None:
        return None
    if owner is None:
        if len(registrations) != 1 or parcel.hub_ms is not None:
            return None
        first = registrations[0]
        return CLAIM_LAYOUT.pack(REGISTERED, first.time_ms, first.outlet) + registered

    hub_delay = 0 if parcel.hub_ms is None else parcel.hub_ms - owner.time_ms + 1
    agreed = owner.cover_ms == owner.time_ms and not registrations
    waits = bool(owner.agreement_id) and not agreed
    if (
        owner.category in EXEMPT_CATEGORIES
        or waits
        or (owner.cover_ms is not None and not agreed)
        or not (parcel.hub_ms is None or 0 < hub_delay <= DELAY_MAX_MS)
    ):
        return None
    record_id = owner.id.encode()
    source = number_of_source(owner.source)
    if source is None or len(record_id) > ID_BYTES_MAX:
        return None
    form = (AGREED if agreed else COLLECTED, BOTH, DUPLICATED)[len(registrations)]
    head = COLLECTED_LAYOUT.pack(
        form, owner.cell, owner.time_ms % PANE_MS, hub_delay, source, len(record_id)
    )
    return head + record_id + registered


def _packed_uploads(registrations: Sequence[Registration]) -> bytes | None:
    """Return what the short forms hold of the registrations of a parcel; None if they cannot."""
    packed = [_packed_upload(registration) for registration in registrations[:_REGISTRATIONS_MAX]]
    if len(registrations) > _REGISTRATIONS_MAX or None in packed:
        return None
    if len(registrations) < _REGISTRATIONS_MAX:
        return b"".join(filter(None, packed))
    first, second = filter(None, packed)
    length = len(first) - UPLOAD_END
    if length > ID_BYTES_MAX:
        return None
    return first[:UPLOAD_END] + bytes([length]) + first[UPLOAD_END:] + second


def _packed_upload(registration: Registration) -> bytes | None:
    """Return upload and id of a registration that the short forms can hold, else None."""
    if not registration.matched or registration.upload_ms is None:
        return None
    delay_ms = registration.upload_ms - registration.decided_ms
    if not 0 <= delay_ms <= DELAY_MAX_MS:
        return None
    upload = UPLOAD_LAYOUT.pack(registration.decided_ms, delay_ms, int(registration.backdated))
    return upload + registration.registration_id.encode()


def unpack(entry: bytes, sources: Sequence[str]) -> Parcel:
    """Return the parcel that an entry of any form holds. `sources` is the partition's table."""
    form = entry[0]
    if form == GENERAL:
        return _decode_general(entry[1:])
    if form == REGISTERED:
        _, time_ms, outlet = CLAIM_LAYOUT.unpack_from(entry)
        registration = _registration(entry[CLAIM_END:], time_ms, outlet)
        return Parcel(first_ms=time_ms, registrations=[registration])
    _, cell, in_pane_ms, hub_delay, source, id_length = COLLECTED_LAYOUT.unpack_from(entry)
    id_end = COLLECTED_LAYOUT.size + id_length
    record_id = entry[COLLECTED_LAYOUT.size : id_end].decode()
    owner = _owner(cell, in_pane_ms, sources[source], record_id)
    if form == AGREED:
        owner.cover_ms = owner.time_ms
    parcel = _collected(owner, hub_delay)
    # What a registration claimed matters only while nothing has been collected, so the forms have no
    # room for it.
    if form == BOTH:
        parcel.registrations.append(_registration(entry[id_end:], owner.time_ms, 0))
    elif form == DUPLICATED:
        length_at = id_end + UPLOAD_END
        second_at = length_at + 1 + entry[length_at]
        first = entry[id_end:length_at] + entry[length_at + 1 : second_at]
        for upload in (first, entry[second_at:]):
            parcel.registrations.append(_registration(upload, owner.time_ms, 0))
    return parcel


def _registration(upload: bytes, time_ms: int, outlet: int) -> Registration:
    decided_ms, delay_ms, backdated = UPLOAD_LAYOUT.unpack_from(upload)
    return Registration(
        upload[UPLOAD_LAYOUT.size :].decode(),
        time_ms,
        outlet,
        decided_ms,
        matched=True,
        upload_ms=decided_ms + delay_ms,
        backdated=bool(backdated),
    )


def _collected(owner: Collection, hub_delay: int) -> Parcel:
    hub_ms = owner.time_ms + hub_delay - 1 if hub_delay else None
    return Parcel(first_ms=owner.time_ms, owner=owner, hub_ms=hub_ms)


def _owner(cell: int, in_pane_ms: int, source: str, record_id: str) -> Collection:
    group = cell >> PANE_BITS
    return Collection(
        time_ms=(cell & PANE_MASK) * PANE_MS + in_pane_ms,
        source=source,
        id=record_id,
        outlet=group >> UNIT_SHIFT,
        category=group >> CATEGORY_SHIFT & CATEGORY_MASK,
        scope=group & SCOPE_MASK,
        agreement_id="",
        cover_ms=None,
    )
