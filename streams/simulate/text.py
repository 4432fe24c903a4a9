"""Writes columns as JSON records. Everything that repeats is text already; a record is one `%`."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streams.domain.category import Category
from streams.domain.window import MINUTE_MS, instant_text
from streams.reference.types import Reference
from streams.simulate.columns import Bools, Ints
from streams.simulate.events import Events
from streams.simulate.parcels import INTERNATIONAL, Agreements, Destinations, Parcels
from streams.simulate.region import Region
from streams.simulate.registrations import BACKFILL, CHANNELS, MODES, RESULTS, Registrations

Texts = npt.NDArray[np.object_]

_HEAD: Final = (
    '{"type":"%s","time":"%%s%%s","id":"%s%%d","source":"%%s","recorded_at":"%%s%%s",'
    '"received_at":"%%s%%s","waybill_no":"%%s"'
)
_COLLECTED: Final = (
    _HEAD % ("shipment.collected", "c")
    + ',"outlet_id":"%s","courier_id":"%s-%d","parcel_category":"%s","agreement_id":%s,%s}'
)
_REGISTERED: Final = (
    _HEAD % ("realname.registered", "r")
    + ',"registration_id":"R%d",%s,"subject_token":"s%012x","outlet_id":"%s"}'
)
_REVOKED: Final = (
    _HEAD % ("realname.revoked", "v") + ',"registration_id":"R%d","reason":"incorrect_data"}'
)
_VOIDED: Final = _HEAD % ("waybill.voided", "x") + ',"reason":"did_not_occur"}'
_SCANNED: Final = (
    _HEAD % ("hub.outbound_scanned", "h") + ',"hub_id":"HUB-%s","destination_code":"%s"}'
)


def _texts(items: Iterable[str]) -> Texts:
    """Return texts as a column."""
    listed = list(items)
    column = np.empty(len(listed), np.object_)
    column[:] = listed
    return column


_TAILS: Final = _texts(f"{ms // 1000:02d}.{ms % 1000:03d}+08:00" for ms in range(MINUTE_MS))
"""Second, millisecond and offset of every instant of a minute."""


def _instants(time_ms: Ints) -> tuple[list[str], list[str]]:
    """Return RFC 3339 texts in two halves: to the minute, and the rest."""
    minutes, in_minute_ms = np.divmod(time_ms, MINUTE_MS)
    known, place = np.unique(minutes, return_inverse=True)
    heads = _texts(instant_text(m * MINUTE_MS)[:17] for m in known.tolist())
    return heads[place].tolist(), _TAILS[in_minute_ms].tolist()


@dataclass(frozen=True, slots=True)
class Block:
    """Records, as columns of one length, in no order."""

    keys: Texts
    values: Texts
    received_ms: Ints

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.received_ms)

    def take(self, index: Ints | Bools) -> "Block":
        """Return the records at an index or a mask."""
        return Block(self.keys[index], self.values[index], self.received_ms[index])


def concatenate(blocks: list[Block]) -> Block:
    """Return the records of all blocks, in their order."""
    return Block(
        np.concatenate([b.keys for b in blocks]),
        np.concatenate([b.values for b in blocks]),
        np.concatenate([b.received_ms for b in blocks]),
    )


class Writer:
    """Writes the records of one region.

    Record numbers go on through the feed, so an id is unique; a record that is sent again keeps
    its own.
    """

    def __init__(
        self,
        region: Region,
        reference: Reference,
        destinations: Destinations,
        agreements: Agreements,
    ) -> None:
        """Prepare every text that repeats."""
        outlets = region.outlets
        self._outlet_ids = _texts(json.dumps(o.outlet_id)[1:-1] for o in outlets)
        self._prefixes = _texts(f"{o.brand_code[:2].upper():X<2}" for o in outlets)
        self._cities = _texts(o.county_code[:4] + "00" for o in outlets)
        known = {(s.enterprise_id, s.channel): s.source for s in reference.sources.values()}
        public = next((s for (_, c), s in known.items() if c == "ANYIDI_PUBLIC"), "/anyidi")
        own = [
            known.get((o.enterprise_id, "ENTERPRISE_EDITION"), f"/enterprise/{o.brand_code}")
            for o in outlets
        ]
        self._own_sources = _texts(json.dumps(s)[1:-1] for s in own)
        self._public_source = public
        self._destination_texts = _destination_texts(region, destinations)
        self._destination_codes = _texts(
            [o.county_code for o in outlets] + list(destinations.codes)
        )
        self._agreement_texts = _texts(_agreement_texts(agreements))
        self._categories = _texts(c.name for c in Category)
        self._variants = _texts(_variants())
        self._next_record = 0

    def waybills(self, number: Ints, outlet: Ints) -> list[str]:
        """Return waybill numbers: two letters of the brand, and 13 digits that are unique."""
        scattered = number * 7919 % 10_000_000_000_000
        return list(
            map("%s%013d".__mod__, zip(self._prefixes[outlet], scattered.tolist(), strict=True))
        )

    def collected(
        self,
        parcels: Parcels,
        recorded_ms: Ints,
        received_ms: Ints,
        *,
        keys: list[str] | None = None,
    ) -> Block:
        """Write collections; `keys` are their waybills, if not made of these very parcels."""
        count = len(self._outlet_ids)
        place = np.where(parcels.destination == 0, parcels.outlet, count + parcels.destination)
        keys = keys or self.waybills(parcels.number, parcels.outlet)
        rows = zip(
            *self._head(parcels, recorded_ms, received_ms, keys),
            self._outlet_ids[parcels.outlet].tolist(),
            self._outlet_ids[parcels.outlet].tolist(),
            parcels.courier.tolist(),
            self._categories[parcels.category].tolist(),
            self._agreement_texts[parcels.agreement].tolist(),
            self._destination_texts[place].tolist(),
            strict=True,
        )
        return _block(keys, map(_COLLECTED.__mod__, rows), received_ms)

    def registered(self, registrations: Registrations) -> Block:
        """Write registrations."""
        r = registrations
        keys = self.waybills(r.number, r.outlet)
        doc = r.number % len(_DOCS)
        variant = (r.mode * len(_DOCS) + doc) * len(RESULTS) + r.result
        variant = variant * len(CHANNELS) + r.channel
        head = self._head(r, r.recorded_ms, r.received_ms, keys)
        public = r.channel == CHANNELS.index("ANYIDI_PUBLIC")
        head[3] = np.where(public, self._public_source, self._own_sources[r.outlet]).tolist()
        rows = zip(
            *head,
            r.registration.tolist(),
            self._variants[variant].tolist(),
            (r.number * 2_654_435_761 % (1 << 48)).tolist(),
            self._outlet_ids[r.outlet].tolist(),
            strict=True,
        )
        return _block(keys, map(_REGISTERED.__mod__, rows), r.received_ms)

    def rescanned(self, parcels: Parcels, rescans: Events) -> Block:
        """Write collections at another outlet; `parcels` are the rescanned ones, row by row."""
        keys = self.waybills(parcels.number, parcels.outlet)
        again = parcels.take(np.arange(parcels.count))
        again.outlet, again.time_ms = rescans.outlet, rescans.time_ms
        recorded_ms = np.minimum(rescans.time_ms + 1_000, rescans.received_ms)
        return self.collected(again, recorded_ms, rescans.received_ms, keys=keys)

    def revoked(self, events: Events) -> Block:
        """Write revocations."""
        return self._small(events, _REVOKED, [events.detail.tolist()])

    def voided(self, events: Events) -> Block:
        """Write voids."""
        return self._small(events, _VOIDED, [])

    def scanned(self, events: Events) -> Block:
        """Write hub scans."""
        elsewhere = len(self._outlet_ids) + 1 + events.number % 8
        destinations = self._destination_codes[elsewhere]
        return self._small(
            events, _SCANNED, [self._cities[events.outlet].tolist(), destinations.tolist()]
        )

    def _small(self, events: Events, template: str, more: list[list[Any]]) -> Block:
        keys = self.waybills(events.number, events.outlet)
        recorded_ms = np.minimum(events.time_ms + 1_000, events.received_ms)
        head = self._head(events, recorded_ms, events.received_ms, keys)
        return _block(
            keys, map(template.__mod__, zip(*head, *more, strict=True)), events.received_ms
        )

    def _head(
        self,
        rows: Parcels | Registrations | Events,
        recorded_ms: Ints,
        received_ms: Ints,
        keys: list[str],
    ) -> list[list[Any]]:
        """Return the columns of the fields that every record has, and number the records."""
        first = self._next_record
        self._next_record += rows.count
        columns: list[list[Any]] = [
            *_instants(rows.time_ms),
            list(range(first, self._next_record)),
            self._own_sources[rows.outlet].tolist(),
            *_instants(recorded_ms),
            *_instants(received_ms),
            list(keys),
        ]
        return columns


_RECEIVED: Final = '"received_at":"'
_INSTANT_LENGTH: Final = len("2017-09-08T14:20:00.000+08:00")


def sent_again(block: Block, received_ms: Ints) -> Block:
    """Return the same records with another `received_at`, as a producer sends that got no answer."""
    heads, tails = _instants(received_ms)
    values = []
    for value, head, tail in zip(block.values, heads, tails, strict=True):
        at = value.index(_RECEIVED.encode()) + len(_RECEIVED)
        values.append(value[:at] + head.encode() + tail.encode() + value[at + _INSTANT_LENGTH :])
    return Block(block.keys, _column(values), received_ms)


def _block(keys: list[str], values: Iterable[str], received_ms: Ints) -> Block:
    return Block(
        _column(list(map(str.encode, keys))), _column(list(map(str.encode, values))), received_ms
    )


def _column(items: list[bytes]) -> Texts:
    column = np.empty(len(items), np.object_)
    column[:] = items
    return column


def _destination_texts(region: Region, destinations: Destinations) -> Texts:
    """Return the text of every outlet's own county, then of every destination."""
    own = [_destination(o.county_code, "INTRA_CITY") for o in region.outlets]
    others = [
        _destination(code, "INTERNATIONAL" if code == INTERNATIONAL else "OUTBOUND")
        for code in destinations.codes
    ]
    return _texts(own + others)


def _destination(code: str, route_type: str) -> str:
    return f'"destination_code":"{code}","route_type":"{route_type}"'


def _agreement_texts(agreements: Agreements) -> list[str]:
    texts = ["null"]
    for agreement_id, customer in zip(agreements.ids[1:], agreements.customers[1:], strict=True):
        texts.append(f'{json.dumps(agreement_id)},"customer_token":{json.dumps(customer)}')
    return texts


_DOCS: Final = (
    *("RESIDENT_ID",) * 8,
    *("TEMP_RESIDENT_ID", "PLA_ID", "PAP_ID", "HMT_RESIDENCE_PERMIT", "HM_TRAVEL_PERMIT"),
    *("TW_TRAVEL_PERMIT", "FOREIGN_PASSPORT", "OTHER"),
)
_ROLES: Final = ("COURIER", "USER", "ADMINISTRATOR")


def _variants() -> Iterable[str]:
    """Yield the fields of registrations that have few values, in every combination."""
    for mode in MODES:
        for number, doc in enumerate(_DOCS):
            for result in RESULTS:
                for channel, name in enumerate(CHANNELS):
                    doc_type = doc if mode == "INDIVIDUAL_ID" else "ORG_USCC"
                    backfill = "true" if channel == BACKFILL else "false"
                    role = "ADMINISTRATOR" if channel == BACKFILL else _ROLES[number % 2]
                    yield (
                        f'"registration_mode":"{mode}","id_doc_type":"{doc_type}",'
                        f'"verification_result":"{result}","channel":"{name}",'
                        f'"client_role":"{role}","is_backfill":{backfill}'
                    )
