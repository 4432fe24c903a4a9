"""The parcel-level records of `shipments`: typed decode of the hot path, and why a record is refused.

One `msgspec` decoder reads every type; it checks what the JSON Schemas in `schemas/` check, and a test
holds the two together. Only the fields that a stage uses are kept, the others are checked and dropped.
"""

import re
from collections.abc import Callable
from typing import Annotated, Final, Literal

import msgspec

from streams.records.rejects import RejectCode

VALUE_BYTES_MAX: Final = 65_536

_Id = Annotated[str, msgspec.Meta(min_length=1, max_length=64)]
_SourceName = Annotated[str, msgspec.Meta(min_length=1, max_length=128)]
_Waybill = Annotated[str, msgspec.Meta(min_length=1, max_length=32)]
_Time = Annotated[str, msgspec.Meta(min_length=1, max_length=40)]
_Category = Literal[
    "LOOSE",
    "AGREEMENT",
    "ECOMMERCE",
    "TEMP_BATCH",
    "OVERSEAS_INBOUND",
    "OVERSEAS_REFORWARD",
    "WAREHOUSE_DIRECT",
    "EXEMPT",
    "UNCLASSIFIED",
]
_RouteType = Literal["INTRA_CITY", "OUTBOUND", "INTERNATIONAL"]
_Mode = Literal["INDIVIDUAL_ID", "AGREEMENT_BATCH", "TEMP_BATCH_LETTER"]
_DocType = Literal[
    "RESIDENT_ID",
    "TEMP_RESIDENT_ID",
    "PLA_ID",
    "PAP_ID",
    "HMT_RESIDENCE_PERMIT",
    "HM_TRAVEL_PERMIT",
    "TW_TRAVEL_PERMIT",
    "FOREIGN_PASSPORT",
    "ORG_USCC",
    "OTHER",
]
_Result = Literal["MATCHED", "MISMATCHED", "REFUSED", "UNREADABLE", "NOT_CHECKED"]
_Channel = Literal[
    "ENTERPRISE_EDITION",
    "ANYIDI_PUBLIC",
    "REGIONAL_HQ_REPORT",
    "NATIONAL_HQ_REPORT",
    "SUPERVISION_CENTRE",
    "BACKFILL",
]


class _Record(msgspec.Struct, tag_field="type", frozen=True, gc=False):
    """Fields that every parcel-level record has, in the order in which producers write them."""

    time: _Time
    id: _Id
    source: _SourceName
    recorded_at: _Time
    waybill_no: _Waybill


class Collected(_Record, tag="shipment.collected", frozen=True, gc=False):
    """A parcel was taken in at an outlet."""

    outlet_id: _Id
    parcel_category: _Category
    courier_id: _Id | None = None
    agreement_id: _Id | None = None
    customer_token: _Id | None = None
    destination_code: _Id | None = None
    route_type: _RouteType | None = None
    received_at: _Time | None = None


class Registered(_Record, tag="realname.registered", frozen=True, gc=False):
    """A parcel's sender was registered, or the attempt failed."""

    outlet_id: _Id
    registration_id: _Id
    verification_result: _Result
    registration_mode: _Mode | None = None
    id_doc_type: _DocType | None = None
    subject_token: _Id | None = None
    channel: _Channel | None = None
    client_role: _Id | None = None
    is_backfill: bool | None = None
    received_at: _Time | None = None


class Revoked(_Record, tag="realname.revoked", frozen=True, gc=False):
    """A registration is withdrawn."""

    registration_id: _Id
    reason: _Id | None = None
    received_at: _Time | None = None


class Voided(_Record, tag="waybill.voided", frozen=True, gc=False):
    """A waybill is cancelled."""

    reason: _Id | None = None
    received_at: _Time | None = None


class Scanned(_Record, tag="hub.outbound_scanned", frozen=True, gc=False):
    """A parcel left a hub."""

    hub_id: _Id
    destination_code: _Id | None = None
    received_at: _Time | None = None


class Heartbeat(msgspec.Struct, tag_field="type", tag="stream.heartbeat", frozen=True, gc=False):
    """Time has passed in a partition though nothing happened. `received_at` counts with `clock = data`."""

    received_at: _Time | None = None


Record = Collected | Registered | Revoked | Voided | Scanned | Heartbeat
Parcelled = Collected | Registered | Revoked | Voided | Scanned

TYPE_OF: Final[dict[type, str]] = {
    Collected: "shipment.collected",
    Registered: "realname.registered",
    Revoked: "realname.revoked",
    Voided: "waybill.voided",
    Scanned: "hub.outbound_scanned",
    Heartbeat: "stream.heartbeat",
}

decode: Final[Callable[[bytes], Record]] = msgspec.json.Decoder(Record).decode
"""Decode one value. Raises msgspec.MsgspecError (or UnicodeDecodeError), which `why_refused` explains."""


class _Head(msgspec.Struct):
    type: msgspec.Raw = msgspec.Raw(b"")
    source: msgspec.Raw = msgspec.Raw(b"")


_head: Final = msgspec.json.Decoder(_Head)
_PATH: Final = re.compile(r"at `(\$[^`]*)`")
_MISSING: Final = re.compile(r"missing required field `(\w+)`")


def why_refused(value: bytes | None, error: Exception | None) -> tuple[RejectCode, str, str]:
    """Return the reject code, the field's path and the source of a value that `decode` refused.

    The source is "" where it cannot be read. Slow, for the reject path only.
    """
    if not value:
        return RejectCode.EMPTY, "$", ""
    if len(value) > VALUE_BYTES_MAX:
        return RejectCode.OVERSIZED, "$", ""
    try:
        head = _head.decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return RejectCode.NOT_JSON, "$", ""
    source = _text(head.source)
    if _text(head.type) not in TYPE_OF.values():
        return RejectCode.UNKNOWN_TYPE, "$.type", source
    if isinstance(error, msgspec.ValidationError):
        message = str(error)
        path = _PATH.search(message)
        missing = _MISSING.search(message)
        where = path.group(1) if path else "$"
        return RejectCode.SCHEMA, f"{where}.{missing.group(1)}" if missing else where, source
    return RejectCode.NOT_JSON, "$", source


def _text(raw: msgspec.Raw) -> str:
    try:
        return msgspec.json.decode(raw, type=str)[:128]
    except (msgspec.MsgspecError, UnicodeDecodeError):
        return ""


OLDEST_MS: Final = 946_684_800_000
"""Nothing before the year 2000 is believed."""
