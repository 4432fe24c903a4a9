"""Every field of every topic, as the schemas and the code have them: what the inventory is compared with."""

import json
from collections.abc import Iterator, Mapping
from dataclasses import fields as dataclass_fields
from dataclasses import is_dataclass
from types import UnionType
from typing import Any, get_args, get_origin, get_type_hints

import msgspec

from streams.kafka import dead_letters
from streams.kafka.state_log import LogRecord
from streams.records import changes, refusals, verdicts
from streams.records.topics import (
    COMPLIANCE,
    COMPLIANCE_STATE,
    COUNTS,
    MATCH_STATE,
    RATE_STATE,
    REFERENCE,
    ROLLUP_STATE,
    SHIPMENTS_DLQ,
    TOTALS,
)
from streams.reference import codec
from streams.resources import schema_dir
from streams.stages.match import state

Json = Mapping[str, Any]

DEAD_LETTER_HEADERS = [
    value
    for name, value in vars(dead_letters).items()
    if name.isupper() and isinstance(value, str) and name != "HEADER_PREFIX"
]


def in_schema(schema: Json, above: str = "") -> Iterator[tuple[str, bool]]:
    """Leaves of a schema, as dotted paths, and whether they are personal data."""
    for name, inner in schema["properties"].items():
        nested = next(
            (
                found
                for found in (inner, inner.get("items"), inner.get("additionalProperties"))
                if isinstance(found, dict) and "properties" in found
            ),
            None,
        )
        if nested is None:
            yield above + name, bool(inner.get("personal_data"))
        else:
            yield from in_schema(nested, f"{above}{name}.")


def in_type(kind: object, above: str = "") -> Iterator[str]:
    """Leaves of a struct or dataclass, as dotted paths."""
    names = (
        [field.name for field in dataclass_fields(kind)]
        if is_dataclass(kind)
        else list(getattr(kind, "__struct_fields__", ()))
    )
    hints = get_type_hints(kind)
    for name in names:
        nested = next(filter(is_record, parts(hints[name])), None)
        if nested is None:
            yield above + name
        else:
            yield from in_type(nested, f"{above}{name}.")


def parts(hint: object) -> Iterator[object]:
    yield hint
    if isinstance(hint, UnionType) or get_origin(hint) is not None:
        for inner in get_args(hint):
            yield from parts(inner)


def is_record(hint: object) -> bool:
    return isinstance(hint, type) and (is_dataclass(hint) or issubclass(hint, msgspec.Struct))


def of_schemas(names: list[str], folder: str = "") -> dict[str, bool]:
    found: dict[str, bool] = {}
    for name in names:
        path = schema_dir() / folder / f"{name}.schema.json"
        for field, personal in in_schema(json.loads(path.read_bytes())):
            found[field] = found.get(field, False) or personal
    return found


def of_compliance() -> dict[str, bool]:
    names = [
        path.name.removesuffix(".schema.json")
        for path in sorted((schema_dir() / COMPLIANCE).glob("*.schema.json"))
    ]
    return of_schemas(names, COMPLIANCE)


LOG = [field for field in in_type(LogRecord) if field != "payload"]

# Topics whose records are packed, or are others': what the code says that they hold.
PACKED: dict[str, list[str]] = {
    SHIPMENTS_DLQ: ["record", "headers of others", *DEAD_LETTER_HEADERS],
    REFERENCE: list(in_type(codec._Payload)),
    COUNTS: list(in_type(changes._Packed)),
    TOTALS: [*in_type(changes._Packed), *in_type(verdicts.VerdictChange, "extra.")],
    MATCH_STATE: [*LOG, *in_type(state._Packed, "payload.")],
    RATE_STATE: [*LOG, "payload"],
    ROLLUP_STATE: [*LOG, "payload"],
    COMPLIANCE_STATE: [*LOG, "payload", *in_type(refusals.Refusal, "payload.refusal.")],
}
