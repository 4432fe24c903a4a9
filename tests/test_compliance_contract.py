"""The contract with subscribers: schemas, what they are made from, what was released, and AsyncAPI."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_type_hints

import jsonschema_rs
import msgspec
import pytest
import yaml  # type: ignore[import-untyped]  # it comes without types
from cloudevents.core.bindings.kafka import KafkaMessage, from_kafka_event

from streams.records import asyncapi
from streams.records.compliance import DATA_OF, SCHEMA_OF, schema_uri
from streams.records.rejects import RejectCode
from streams.records.topics import COMPLIANCE_INPUTS
from streams.resources import schema_dir
from tests.stages.telling import a_stage
from tests.stages.test_compliance_batches import played, take

Json = dict[str, Any]

ROOT = Path(__file__).parent.parent


def read(folder: Path) -> dict[str, Json]:
    return {
        path.name.removesuffix(".schema.json"): json.loads(path.read_text("utf8"))
        for path in sorted(folder.glob("*.schema.json"))
    }


SCHEMAS = read(schema_dir() / "compliance")
RELEASED = read(schema_dir() / "released/compliance")
META = json.loads((schema_dir() / "meta.schema.json").read_text("utf8"))
ASYNCAPI = json.loads((ROOT / "tests/asyncapi/asyncapi-3.1.0.schema.json").read_text("utf8"))
WORDS = {"title", "description", "examples"}
NUMBERS = {"integer", "number"}


def parts(schema: Json, path: str = "") -> Iterator[tuple[str, Json]]:
    """Every schema inside a schema, with its path; itself first."""
    yield path, schema
    for name, inner in schema.get("properties", {}).items():
        yield from parts(inner, f"{path}.{name}")
    for keyword in ("items", "additionalProperties"):
        if isinstance(schema.get(keyword), dict):
            yield from parts(schema[keyword], f"{path}[]")


def types_of(schema: Json) -> set[str]:
    found = schema["type"]
    return {found} if isinstance(found, str) else set(found)


@pytest.mark.parametrize("name", SCHEMAS)
def test_everything_in_a_schema_has_words_a_unit_and_fitting_examples(name: str) -> None:
    jsonschema_rs.meta.validate(SCHEMAS[name])
    assert SCHEMAS[name]["$id"] == schema_uri(name)
    lacking = []
    for path, part in parts(SCHEMAS[name]):
        lacking += [f"{path}: {word}" for word in sorted(WORDS) if not part.get(word)]
        if types_of(part) & NUMBERS and "unit" not in part:
            lacking.append(f"{path}: unit")
        validator = jsonschema_rs.Draft202012Validator(part, validate_formats=True)
        lacking += [
            f"{path}: {e} does not fit" for e in part["examples"] if not validator.is_valid(e)
        ]
    assert not lacking


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_closed_and_requires_all_that_it_names(name: str) -> None:
    for path, part in parts(SCHEMAS[name]):
        if "properties" in part:
            assert part["additionalProperties"] is False, path
            assert part["required"] == list(part["properties"]), path


def fields(kind: type[msgspec.Struct]) -> Json:
    """The fields of a record, those of records in it below them."""
    found: Json = {}
    for name, hint in get_type_hints(kind).items():
        inner = [h for h in (hint, *getattr(hint, "__args__", ())) if is_struct(h)]
        found[name] = fields(inner[0]) if inner else None
    return found


def is_struct(hint: object) -> bool:
    return isinstance(hint, type) and issubclass(hint, msgspec.Struct)


def properties(schema: Json) -> Json | None:
    for inner in (schema, schema.get("items"), schema.get("additionalProperties")):
        if isinstance(inner, dict) and "properties" in inner:
            return {name: properties(part) for name, part in inner["properties"].items()}
    return None


@pytest.mark.parametrize("kind", SCHEMA_OF)
def test_schema_and_record_have_the_same_fields(kind: str) -> None:
    record = DATA_OF[kind]
    assert record is not None
    assert properties(SCHEMAS[SCHEMA_OF[kind]]) == fields(record)


def test_every_schema_is_of_some_event() -> None:
    assert set(SCHEMAS) == set(SCHEMA_OF.values())


def test_the_play_fits_the_schemas_and_the_official_reader_takes_all_of_it() -> None:
    validators = {
        schema["$id"]: jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        for schema in SCHEMAS.values()
    }
    headers_of = {
        kind: jsonschema_rs.Draft202012Validator(message["headers"], validate_formats=True)
        for kind, message in asyncapi.document()["components"]["messages"].items()
    }
    seen = set()
    for topic in COMPLIANCE_INPUTS:
        for output in take(a_stage(topic), played()[topic], 0):
            headers = {name: value or b"" for name, value in output.headers or ()}
            message = KafkaMessage(headers=headers, key=output.key, value=output.value or b"")
            event = from_kafka_event(message)
            assert event.get_extension("partitionkey") == (output.key or b"").decode()
            texts = {name: value.decode() for name, value in headers.items()}
            headers_of[event.get_type()].validate(texts)
            assert set(texts) <= set(
                asyncapi.document()["components"]["messages"][event.get_type()]["headers"][
                    "properties"
                ]
            )
            if output.value is not None:
                validators[str(event.get_dataschema())].validate(event.get_data())
            seen.add(event.get_type())
    assert len(seen) >= 9, sorted(seen)


# --- what may change ---


def breaks(released: Json, now: Json, path: str = "$") -> Iterator[str]:
    """Say what of a change would surprise a reader of the released schema.

    Words may change, and properties may come. Everything else stays for as long as the version lives.
    """
    for keyword in sorted((released.keys() | now.keys()) - WORDS - {"properties", "required"}):
        before, after = released.get(keyword), now.get(keyword)
        if isinstance(before, dict) and isinstance(after, dict):
            yield from breaks(before, after, f"{path}.{keyword}")
        elif before != after:
            yield f"{path}: {keyword} was {before} and is {after}"
    gone = set(released.get("required", ())) - set(now.get("required", ()))
    yield from (f"{path}.{name}: is no longer always there" for name in sorted(gone))
    properties_now = now.get("properties", {})
    for name, before in released.get("properties", {}).items():
        if name in properties_now:
            yield from breaks(before, properties_now[name], f"{path}.{name}")
        else:
            yield f"{path}.{name}: was taken out"


@pytest.mark.parametrize("name", RELEASED)
def test_a_schema_keeps_what_was_released(name: str) -> None:
    assert name in SCHEMAS, "a version stays for as long as SUBSCRIBING.md says"
    assert not list(breaks(RELEASED[name], SCHEMAS[name]))


@pytest.mark.parametrize(
    ("change", "path", "why"),
    [
        ({"title": "Other"}, None, "words may change"),
        ({"properties": {"more": {"type": "string"}}}, None, "a property may come"),
        ({"type": "array"}, "$: type", "a type may not change"),
        ({"additionalProperties": True}, "$: additionalProperties", "a closed model stays closed"),
        ({"properties": {"count": {"minimum": 0}}}, "$.count: minimum", "nor a bound"),
        ({"properties": {"count": {"unit": "bags"}}}, "$.count: unit", "nor a unit"),
        ({"required": []}, "$.", "what was always there stays"),
    ],
)
def test_the_rule_itself(change: Json, path: str | None, why: str) -> None:
    released = RELEASED["rejected.v1"]
    now = json.loads(json.dumps(released))
    for keyword, value in change.items():
        if keyword == "properties":
            for name, inner in value.items():
                now["properties"].setdefault(name, {}).update(inner)
        else:
            now[keyword] = value
    found = list(breaks(released, now))
    assert (not found) if path is None else any(line.startswith(path) for line in found), why


def test_a_property_that_was_taken_out_is_seen() -> None:
    now = json.loads(json.dumps(RELEASED["parcel.v1"]))
    del now["properties"]["outlet_id"]
    assert list(breaks(RELEASED["parcel.v1"], now)) == ["$.outlet_id: was taken out"]


# --- AsyncAPI ---


def test_asyncapi_is_what_the_code_says() -> None:
    committed = yaml.safe_load((schema_dir() / "asyncapi.yaml").read_text("utf8"))
    assert committed == asyncapi.document(), "run `make asyncapi`"


def test_asyncapi_is_a_document_of_its_version() -> None:
    jsonschema_rs.Draft7Validator(ASYNCAPI).validate(asyncapi.document())


def test_a_document_that_is_none_is_seen() -> None:
    wrong = asyncapi.document()
    wrong["operations"]["tell"]["action"] = "shout"
    assert not jsonschema_rs.Draft7Validator(ASYNCAPI).is_valid(wrong)


def test_asyncapi_names_schemas_that_exist() -> None:
    for message in asyncapi.document()["components"]["messages"].values():
        ref = message["payload"].get("$ref")
        assert ref is None or (schema_dir() / ref).is_file()


def test_subscribing_names_every_event_and_every_reject_code() -> None:
    text = (ROOT / "SUBSCRIBING.md").read_text("utf8")
    unnamed = [
        name for name in (*DATA_OF, *(c.value for c in RejectCode)) if f"`{name}`" not in text
    ]
    assert not unnamed
