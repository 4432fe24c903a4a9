"""Alertmanager's API as its own OpenAPI file describes it: bodies as JSON Schema, addresses, parameters."""

from pathlib import Path
from typing import Any, Final

import jsonschema_rs
import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines

PATH: Final = Path(__file__).parents[1] / "deploy/schemas/alertmanager-openapi.yaml"
DOCUMENT: Final[dict[str, Any]] = yaml.safe_load(PATH.read_text("utf8"))
# What an older one does not say yet, and we do not ask: since 0.28.
NEWER: Final = {"alertStatus": {"mutedBy"}}


def _definitions() -> dict[str, Any]:
    definitions: dict[str, Any] = DOCUMENT["definitions"]
    for name, newer in NEWER.items():
        required = definitions[name]["required"]
        assert newer <= set(required)
        definitions[name]["required"] = [field for field in required if field not in newer]
    return definitions


_DEFINITIONS: Final = _definitions()


def body(name: str) -> jsonschema_rs.Validator:
    """Return what checks a body of that definition; formats (instants, addresses) count."""
    schema = {"allOf": [{"$ref": f"#/definitions/{name}"}], "definitions": _DEFINITIONS}
    return jsonschema_rs.validator_for(schema, validate_formats=True)


POSTABLE: Final = body("postableAlerts")
GETTABLE: Final = body("gettableAlerts")


def fields_of(name: str) -> set[str]:
    """Return the fields that an object of that definition may have."""
    parts = [_DEFINITIONS[name], *_DEFINITIONS[name].get("allOf", ())]
    own = {field for part in parts for field in part.get("properties", ())}
    others = [part["$ref"].rsplit("/", 1)[1] for part in parts if "$ref" in part]
    return own.union(*(fields_of(other) for other in others))
