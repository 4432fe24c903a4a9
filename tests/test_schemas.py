"""Schemas, examples and decoder say the same: every schema is checked, every example is played."""

import json
import re
import tomllib
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

import jsonschema_rs
import msgspec
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.domain.alert import AlertKind, AlertState, Reason
from streams.domain.category import Category
from streams.domain.period import Granularity
from streams.domain.verdict import RateStatus, Severity
from streams.records import published
from streams.records.acks import AlertAck
from streams.records.audit import ACTIONS, AuditRecord
from streams.records.instants import Instants
from streams.records.missing import MissingParcel
from streams.records.rejects import Refused, RejectCode
from streams.records.shipments import (
    TYPE_OF,
    VALUE_BYTES_MAX,
    Heartbeat,
    decode,
    why_refused,
)
from streams.records.topics import Topic, catalogue
from streams.resources import schema_dir
from streams.stages.days import DayStatus

Json = dict[str, Any]

SCHEMAS = {
    path.name.removesuffix(".schema.json"): json.loads(path.read_text("utf8"))
    for path in sorted(schema_dir().glob("*.v*.schema.json"))
}
META = json.loads((schema_dir() / "meta.schema.json").read_text("utf8"))
VALIDATORS = {
    name: jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
    for name, schema in SCHEMAS.items()
}
TOPICS = {
    path.stem: tomllib.loads(path.read_text("utf8"))
    for path in sorted((schema_dir() / "topics").glob("*.toml"))
}
INPUTS = sorted(f"{name}.v1" for name in TYPE_OF.values())
# What a schema can see. The other codes come before it, or need the stream around the record.
SCHEMA_MATTERS = {RejectCode.SCHEMA, RejectCode.BAD_TIME, RejectCode.UNKNOWN_TYPE}

GOOD = sorted(schema_dir().glob("examples/*/v*/good/*.json"))
BAD = sorted(schema_dir().glob("examples/*/v*/bad/*.json"))


def schema_of(path: Path) -> str:
    return f"{path.parts[-4]}.{path.parts[-3]}"


def label(path: Path) -> str:
    return "/".join(path.parts[-4:])


def refusal(value: bytes) -> RejectCode | None:
    """Decode as a stage does with `clock = data`, where every time is read."""
    if not value or len(value) > VALUE_BYTES_MAX:
        return why_refused(value, None)[0]
    try:
        record = decode(value)
    except (msgspec.MsgspecError, UnicodeDecodeError) as error:
        return why_refused(value, error)[0]
    instants = Instants()
    times = ["received_at"]
    if not isinstance(record, Heartbeat):
        times += ["time", "recorded_at"]
    try:
        for field in times:
            text = getattr(record, field)
            if text is not None:
                instants.parse(text, f"$.{field}")
    except Refused as refused:
        return refused.code
    return None


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_says_only_what_the_meta_schema_knows(name: str) -> None:
    jsonschema_rs.validate(META, SCHEMAS[name])
    jsonschema_rs.meta.validate(SCHEMAS[name])


@pytest.mark.parametrize("name", SCHEMAS)
def test_a_schema_is_named_like_its_file_and_requires_what_it_describes(name: str) -> None:
    record, version = name.rsplit(".v", maxsplit=1)
    assert SCHEMAS[name]["$id"] == f"urn:realname-streams:{record}:v{version}"
    assert set(SCHEMAS[name]["required"]) <= set(SCHEMAS[name]["properties"])


@pytest.mark.parametrize("name", SCHEMAS)
def test_the_examples_of_a_property_fit_it(name: str) -> None:
    for field, schema in SCHEMAS[name]["properties"].items():
        validator = jsonschema_rs.Draft202012Validator(schema, validate_formats=True)
        unfit = [value for value in schema["examples"] if not validator.is_valid(value)]
        assert not unfit, f"{field}: {unfit}"


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"maxlength": 3}, "a misspelt keyword is an error"),
        ({"examples": []}, "a property shows at least one value"),
        ({"title": ""}, "a title says something"),
        ({"type": "text"}, "JSON has no such type"),
        ({"pattern": "[0-9]+"}, "a pattern says where it begins and ends"),
    ],
)
def test_the_meta_schema_refuses(change: Json, why: str) -> None:
    schema = json.loads(json.dumps(SCHEMAS["waybill.voided.v1"]))
    schema["properties"]["id"].update(change)
    assert not jsonschema_rs.is_valid(META, schema), why


def test_every_input_has_a_schema_with_the_same_common_fields() -> None:
    assert set(INPUTS) <= set(SCHEMAS)
    fields = ["id", "source", "recorded_at", "received_at", "waybill_no"]
    common = [
        {field: SCHEMAS[name]["properties"][field] for field in fields}
        for name in INPUTS
        if name != "stream.heartbeat.v1"
    ]
    assert all(other == common[0] for other in common)


@pytest.mark.parametrize("name", SCHEMAS)
def test_every_schema_has_good_and_bad_examples(name: str) -> None:
    for kind, examples in (("good", GOOD), ("bad", BAD)):
        assert any(schema_of(path) == name for path in examples), f"no {kind} example"


@pytest.mark.parametrize("path", GOOD, ids=label)
def test_a_good_example_validates(path: Path) -> None:
    VALIDATORS[schema_of(path)].validate(json.loads(path.read_bytes()))


@pytest.mark.parametrize("path", [p for p in GOOD if schema_of(p) in INPUTS], ids=label)
def test_a_good_example_decodes_and_keeps_its_values(path: Path) -> None:
    assert refusal(path.read_bytes()) is None
    written = json.loads(path.read_bytes())
    kept = json.loads(msgspec.json.encode(decode(path.read_bytes())))
    named = written.keys() & kept.keys()
    assert written["type"] == kept["type"]
    assert {field: written[field] for field in named} == {field: kept[field] for field in named}
    assert all(kept[field] is None for field in kept.keys() - named)


@pytest.mark.parametrize("path", [p for p in BAD if schema_of(p) in INPUTS], ids=label)
def test_a_bad_example_gets_the_code_in_its_name(path: Path) -> None:
    code = RejectCode(re.sub(r"-\d+$", "", path.stem))
    assert refusal(path.read_bytes()) is code
    if code in SCHEMA_MATTERS:
        validator = VALIDATORS[schema_of(path)]
        assert not validator.is_valid(json.loads(path.read_bytes()))


@pytest.mark.parametrize("path", [p for p in BAD if schema_of(p) not in INPUTS], ids=label)
def test_a_bad_example_of_what_we_publish_breaks_its_schema(path: Path) -> None:
    assert not VALIDATORS[schema_of(path)].is_valid(json.loads(path.read_bytes()))


def test_a_value_is_oversized_from_the_first_byte_over_the_limit() -> None:
    good = (schema_dir() / "examples/waybill.voided/v1/good/without_reason.json").read_bytes()
    at_the_limit = good + b" " * (VALUE_BYTES_MAX - len(good))
    assert refusal(at_the_limit) is None
    assert refusal(at_the_limit + b" ") is RejectCode.OVERSIZED


PUBLISHED: dict[str, type[object]] = {
    "rate.v1": published.RateRecord,
    "day.v1": published.DayRecord,
    "alert.v1": published.AlertRecord,
    "missing_parcel.v1": MissingParcel,
    "alert_ack.v1": AlertAck,
    "audit.v1": AuditRecord,
}


def shape_of(kind: object) -> Json:
    """What a type becomes in JSON: names of JSON types, or fields or items with theirs."""
    if isinstance(kind, UnionType):
        shapes = [shape_of(member) for member in get_args(kind)]
        return {"null": True, **next(shape for shape in shapes if shape != NULL)}
    if get_origin(kind) is Literal:
        kind = str
    if isinstance(kind, type) and kind in SCALARS:
        return {"type": SCALARS[kind]}
    if get_origin(kind) is list:
        return {"type": "array", "items": shape_of(get_args(kind)[0])}
    if get_origin(kind) is dict:
        return {"type": "object", "values": shape_of(get_args(kind)[1])}
    hints = get_type_hints(kind)
    return {"type": "object", "fields": {name: shape_of(hint) for name, hint in hints.items()}}


SCALARS = {str: "string", int: "integer", float: "number", bool: "boolean", type(None): "null"}
NULL = {"type": "null"}


def shape_in(schema: Json) -> Json:
    """The same, as a schema has it."""
    types = schema["type"] if isinstance(schema["type"], list) else [schema["type"]]
    (kind,) = [name for name in types if name != "null"]
    shape: Json = {"null": True} if "null" in types else {}
    shape["type"] = kind
    if "items" in schema:
        shape["items"] = shape_in(schema["items"])
    if "properties" in schema:
        assert schema["required"] == list(schema["properties"]), "all are always written"
        shape["fields"] = {name: shape_in(p) for name, p in schema["properties"].items()}
    elif kind == "object":
        shape["values"] = shape_in(schema["additionalProperties"])
    return shape


@pytest.mark.parametrize("name", PUBLISHED)
def test_what_we_publish_has_the_fields_and_types_of_its_schema(name: str) -> None:
    assert shape_in(SCHEMAS[name]) == shape_of(PUBLISHED[name])


def test_vocabularies_of_what_we_publish_are_those_of_the_code() -> None:
    alert, day = SCHEMAS["alert.v1"]["properties"], SCHEMAS["day.v1"]["properties"]
    open_states = {state.value for state in (AlertState.FIRING, AlertState.CLEARING)}
    assert set(alert["alert_kind"]["enum"]) == {kind.value for kind in AlertKind}
    assert set(alert["state"]["enum"]) == open_states | {"ended"}
    assert set(alert["reason"]["enum"]) == {reason.value for reason in Reason}
    assert set(alert["severity"]["enum"]) == set(Severity.__members__)
    for schema in (alert, day, SCHEMAS["rate.v1"]["properties"]["verdict"]["properties"]):
        assert set(schema["parcel_category"]["enum"]) == {"*", *Category.__members__}
    assert set(day["rate_status"]["enum"]) == set(RateStatus.__members__)
    assert set(day["granularity"]["enum"]) == {granularity.value for granularity in Granularity}
    assert set(day["day_status"]["enum"]) == set(DayStatus.__members__)
    assert SCHEMAS["audit.v1"]["properties"]["action"]["enum"] == list(ACTIONS)


@pytest.mark.parametrize("path", [p for p in GOOD if schema_of(p) in PUBLISHED], ids=label)
def test_a_good_example_of_what_we_publish_is_read_and_written_the_same(path: Path) -> None:
    record: object = msgspec.json.decode(path.read_bytes(), type=PUBLISHED[schema_of(path)])
    assert json.loads(msgspec.json.encode(record)) == json.loads(path.read_bytes())


DATES = st.builds(
    "{:04}-{:02}-{:02}".format,
    st.integers(1, 9999),
    st.integers(0, 13),
    st.integers(0, 32),
)
CLOCKS = st.builds(
    "{:02}:{:02}:{:02}".format,
    st.integers(0, 24),
    st.integers(0, 60),
    st.integers(0, 60),
)
FRACTIONS = st.sampled_from(["", "."]) | st.from_regex(r"\A[.,][0-9]{1,10}\Z")
OFFSETS = st.sampled_from(["Z", "z", "", "+08", "+0800", "-00:00", "+24:00", "+08:60"]) | st.builds(
    "{}{:02}:{:02}".format, st.sampled_from("+-"), st.integers(0, 25), st.integers(0, 60)
)
TIMES = st.builds("".join, st.tuples(DATES, st.sampled_from("Tt "), CLOCKS, FRACTIONS, OFFSETS))
LIKELY_TIMES = st.builds(
    "2017-09-{:02}T10:15:{:02}{}+08:00".format,
    st.integers(1, 30),
    st.integers(0, 59),
    st.sampled_from(["", ".5", ".123456789"]),
)
OTHERS: st.SearchStrategy[Any] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**40), 2**40),
    st.floats(allow_nan=False, allow_infinity=False),
    st.text(max_size=3),
    st.integers(30, 130).map("x".__mul__),
    st.lists(st.integers(), max_size=1),
    st.just({}),
    TIMES,
    LIKELY_TIMES,
)


def values_of(schema: Json) -> st.SearchStrategy[Any]:
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if schema.get("format") == "date-time":
        return LIKELY_TIMES
    if "boolean" in schema["type"]:
        return st.booleans()
    return st.text(st.characters(codec="utf-8"), min_size=1, max_size=schema["maxLength"])


@st.composite
def records(draw: st.DrawFn) -> tuple[str, Json]:
    """Draw a record of some type that is right, or wrong in up to two places."""
    name = draw(st.sampled_from(INPUTS))
    properties = SCHEMAS[name]["properties"]
    required = set(SCHEMAS[name]["required"])
    fields = required | draw(st.sets(st.sampled_from(sorted(properties))))
    record = {field: draw(values_of(properties[field])) for field in sorted(fields)}
    changeable = sorted(properties.keys() - {"type"})
    for field in draw(st.lists(st.sampled_from(changeable), max_size=2)):
        if draw(st.booleans()):
            record[field] = draw(OTHERS)
        else:
            record.pop(field, None)
    return name, record


@settings(max_examples=500, deadline=None)
@given(drawn=records())
@example(drawn=("stream.heartbeat.v1", {"type": "stream.heartbeat", "time": 7}))
def test_decoder_and_schema_agree(drawn: tuple[str, Json]) -> None:
    name, record = drawn
    code = refusal(json.dumps(record, ensure_ascii=False).encode())
    assert code in {None, RejectCode.SCHEMA, RejectCode.BAD_TIME}
    assert VALIDATORS[name].is_valid(record) is (code is None), (code, record)


@settings(max_examples=500, deadline=None)
@given(text=TIMES | LIKELY_TIMES)
@example(text="2016-12-31T23:59:60Z")
@example(text="2016-02-29T00:00:00Z")
@example(text="2017-02-29T00:00:00Z")
@example(text="2999-12-31T23:59:59Z")
@example(text="3000-01-01T00:00:00Z")
def test_decoder_and_schema_agree_on_times(text: str) -> None:
    record = {"type": "stream.heartbeat", "received_at": text}
    code = refusal(json.dumps(record).encode())
    assert VALIDATORS["stream.heartbeat.v1"].is_valid(record) is (code is None), code


def test_topic_files_and_catalogue_are_the_same() -> None:
    def described(topic: Topic) -> Json:
        retention = {"retention_ms": int(topic.config.get("retention.ms", 0))}
        return {
            "key": topic.key,
            "partitions": topic.partitions,
            "cleanup": topic.config["cleanup.policy"],
            **(retention if "retention.ms" in topic.config else {}),
            "producers": list(topic.producers),
            "consumers": list(topic.consumers),
            "personal_data": topic.personal_data,
        }

    in_files = {
        name: {
            field: value
            for field, value in topic.items()
            if field not in ("description", "schemas")
        }
        for name, topic in TOPICS.items()
    }
    assert in_files == {name: described(topic) for name, topic in catalogue(prefix="").items()}


@pytest.mark.parametrize("name", TOPICS)
def test_a_topic_says_what_it_holds(name: str) -> None:
    assert TOPICS[name]["description"].endswith(".")


def test_every_topic_names_schemas_that_exist() -> None:
    named = {schema for topic in TOPICS.values() for schema in topic["schemas"]}
    assert named <= set(SCHEMAS), f"without a schema: {named - set(SCHEMAS)}"
    assert set(SCHEMAS) <= named, f"on no topic: {set(SCHEMAS) - named}"


def test_a_topic_with_personal_data_in_its_schemas_says_so() -> None:
    for name, topic in TOPICS.items():
        personal = [
            schema
            for schema in topic["schemas"]
            if any("personal_data" in p for p in SCHEMAS[schema]["properties"].values())
        ]
        assert not personal or topic["personal_data"], f"{name}: {personal}"
