"""From `parcels.missing` to `parcel.missing`, and to how a parcel leaves the list.

A parcel that was missing is held until it is taken back, or for seven days: then `parcel.expired` takes its
waybill out of the topic, since nobody may keep it longer. Of each one number is held, some 130 bytes with
its waybill.
"""

from collections.abc import Iterator
from typing import Final

import msgspec

from streams.domain.window import (
    DAY_MS,
    MINUTE_MS,
    day_of,
    day_text,
    instant_from_text,
    instant_text,
)
from streams.records import compliance, missing
from streams.records.compliance import (
    RESTRICTED,
    ParcelData,
    correlation,
    encode,
    event,
    event_id,
    key_of,
)
from streams.records.missing import MissingParcel
from streams.stages.compliance.telling import Entry, Told

KEPT_MS: Final = 7 * DAY_MS
"""Parcel-level data are kept no longer anywhere but in the dead letters."""

# A held parcel: offset, minute since when it is missing, number of its outlet and enterprise.
_PLACE_BITS: Final = 24
_MINUTE_BITS: Final = 32
_PLACES_MAX: Final = 1 << _PLACE_BITS


class ParcelsState(msgspec.Struct, array_like=True):
    """A snapshot. Numbers do not fit into msgpack's integers, so they are bytes."""

    clock_ms: int
    places: list[tuple[str, str]]
    held: list[tuple[bytes, bytes]]


_HELD_BYTES: Final = 16


class ParcelsTeller:
    """One partition of `parcels.missing`."""

    def __init__(self) -> None:
        """Start with no parcel."""
        self._clock_ms = 0
        self._places: list[tuple[str, str]] = []  # Enterprise and outlet by number.
        self._numbers: dict[tuple[str, str], int] = {}
        self._held: dict[bytes, int] = {}  # By waybill, in the order of their coming.

    def take(self, entry: Entry) -> Iterator[Told]:
        """Take in that a parcel is missing, or is no longer."""
        if entry.value is None:
            held = self._held.pop(entry.key, None)
            if held is not None:
                time = instant_text(entry.timestamp_ms)
                yield self._back(compliance.PARCEL_RETRACTED, entry.key, held, time)
            return
        parcel = missing.decode(entry.value)
        since_ms = instant_from_text(parcel.missing_since)
        self._clock_ms = max(self._clock_ms, since_ms)
        yield from self._let_go(self._clock_ms)
        known = self._held.get(entry.key)
        place = self._number(parcel.enterprise_id, parcel.outlet_id)
        if known is not None and known % _PLACES_MAX == place:
            return
        if known is not None:  # It turned out to be another outlet's.
            time = instant_text(entry.timestamp_ms)
            yield self._back(compliance.PARCEL_RETRACTED, entry.key, known, time)
            del self._held[entry.key]
        if since_ms <= self._clock_ms - KEPT_MS:
            return
        minutes = since_ms // MINUTE_MS
        self._held[entry.key] = (
            entry.offset << _MINUTE_BITS + _PLACE_BITS | minutes << _PLACE_BITS | place
        )
        yield _tell(entry, parcel)

    def beat(self, now_ms: int) -> Iterator[Told]:
        """Let go of what has been missing for too long, a day later than a record would."""
        yield from self._let_go(now_ms - DAY_MS)

    def _number(self, enterprise_id: str, outlet_id: str) -> int:
        place = (enterprise_id, outlet_id)
        number = self._numbers.get(place)
        if number is None:
            number = self._numbers[place] = len(self._places)
            assert number < _PLACES_MAX, "more outlets than any region has"
            self._places.append(place)
        return number

    def _let_go(self, now_ms: int) -> Iterator[Told]:
        """Let go of what has been missing for too long, in the order of its coming."""
        while self._held:
            waybill, held = next(iter(self._held.items()))
            until_ms = _since_ms(held) + KEPT_MS
            if until_ms > now_ms:
                return
            del self._held[waybill]
            yield self._back(compliance.PARCEL_EXPIRED, waybill, held, instant_text(until_ms))

    def _back(self, kind: str, waybill: bytes, held: int, time: str) -> Told:
        """Tell that a parcel leaves the list: an event without data, caused by the one that put it there."""
        enterprise_id, outlet_id = self._places[held % _PLACES_MAX]
        offset = held >> _MINUTE_BITS + _PLACE_BITS
        subject = _subject(waybill)
        key = key_of(kind, subject)
        told = event(
            kind,
            key=key,
            subject=subject,
            time=time,
            mark=str(offset),
            data=None,
            extensions={
                **RESTRICTED,
                "causationid": event_id(compliance.PARCEL_MISSING, key, str(offset)),
                "outletid": outlet_id,
            },
        )
        return Told(enterprise_id, told)

    def snapshot(self) -> bytes:
        """Return all that it remembers."""
        held = [(key, number.to_bytes(_HELD_BYTES, "big")) for key, number in self._held.items()]
        return msgspec.msgpack.encode(ParcelsState(self._clock_ms, self._places, held))

    def restore(self, state: bytes) -> None:
        """Take back what `snapshot` returned."""
        found = msgspec.msgpack.decode(state, type=ParcelsState)
        self._clock_ms, self._places = found.clock_ms, found.places
        self._numbers = {place: number for number, place in enumerate(found.places)}
        self._held = {key: int.from_bytes(number, "big") for key, number in found.held}


def _since_ms(held: int) -> int:
    return (held >> _PLACE_BITS) % (1 << _MINUTE_BITS) * MINUTE_MS


def _subject(waybill: bytes) -> str:
    return f"{compliance.PARCEL}|{waybill.decode()}"


def _tell(entry: Entry, parcel: MissingParcel) -> Told:
    kind, subject = compliance.PARCEL_MISSING, _subject(entry.key)
    date = day_text(day_of(instant_from_text(parcel.collected_at)))
    data = ParcelData(
        waybill_no=parcel.waybill_no,
        outlet_id=parcel.outlet_id,
        county_code=parcel.county_code,
        parcel_category=parcel.parcel_category,
        date=date,
        collected_at=parcel.collected_at,
        missing_since=parcel.missing_since,
    )
    told = event(
        kind,
        key=key_of(kind, subject),
        subject=subject,
        time=parcel.missing_since,
        mark=str(entry.offset),
        data=encode(data),
        extensions={**RESTRICTED, "correlationid": correlation("OUTLET", parcel.outlet_id, date)},
    )
    return Told(parcel.enterprise_id, told)
