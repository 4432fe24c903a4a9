"""How a refused record is shown: enough to find the mistake, and nothing of a person."""

from collections.abc import Mapping
from functools import cache
from typing import Final

import orjson

from streams.domain.personal import code_or_mask, masked
from streams.resources import schema_dir

_WAYBILL: Final = "waybill_no"


def masked_record(value: bytes) -> Mapping[str, object] | str:
    """Return a record's fields with what may be shown of each; of no JSON object only its size.

    Shown whole are the codes, figures and truth values of fields that the schemas name and that are
    not personal data. Of fields that no schema names not even the names are shown, but how many.
    """
    try:
        record = orjson.loads(value)
    except ValueError:
        return f"<{len(value)} bytes that are no JSON>"
    if not isinstance(record, dict):
        return f"<{len(value)} bytes that are no JSON object>"
    known = _known_fields()
    shown: dict[str, object] = {
        name: _shown(name, found, personal=known[name])
        for name, found in record.items()
        if name in known
    }
    others = len(record) - len(shown)
    if others:
        shown["further_fields"] = others
    return shown


def _shown(name: str, value: object, *, personal: bool) -> object:
    if name == _WAYBILL and isinstance(value, str):
        return masked(value)
    if value is None or isinstance(value, bool):
        return value
    if isinstance(value, str):
        return f"<{len(value)} characters>" if personal else code_or_mask(value)
    if isinstance(value, int | float):
        return code_or_mask(str(value))
    return f"<{'a list' if isinstance(value, list) else 'an object'}>"


@cache
def _known_fields() -> Mapping[str, bool]:
    """Return the fields of all records of shipments, and whether they are personal data."""
    known: dict[str, bool] = {}
    for path in schema_dir().glob("*.v*.schema.json"):
        properties = orjson.loads(path.read_bytes())["properties"]
        if "type" in properties and "const" in properties["type"]:
            for name, schema in properties.items():
                known[name] = known.get(name, False) or schema.get("personal_data", False)
    assert _WAYBILL in known
    return known
