"""What the OpenAPI document says of the answers: their shapes and examples, from the records themselves."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import orjson
from fastapi import FastAPI
from pydantic import BaseModel, Field

from streams.records.published import AlertRecord, DayRecord, RateRecord
from streams.resources import schema_dir
from streams.serve.answers import columns_of
from streams.serve.periods import PeriodShown
from streams.serve.summary import Summary
from streams.web.problems import PROBLEM_TYPE, Problem

NAME_COLUMNS: Final = ("name_zh", "name_en")
ACK_COLUMNS: Final = ("acked_by", "acked_at", "ack_note")
RATE_COLUMNS: Final = columns_of(RateRecord, NAME_COLUMNS)
DAY_COLUMNS: Final = columns_of(DayRecord, NAME_COLUMNS)
ALERT_COLUMNS: Final = columns_of(AlertRecord, (*NAME_COLUMNS, *ACK_COLUMNS))

DESCRIPTION: Final = """\
Real-name registration rates of courier parcels: a view of the topics `rates`, `days` and `alerts`.

* Counts are of parcels. Rates lie between 0 and 1 and are null for want of parcels.
* Instants are RFC 3339 in Shanghai time; dates are business days, days of collection in Shanghai.
* `name_zh` and `name_en` are added to each record; everything else is as it was published.
* Lists have pages: follow `next_cursor`, in CSV the header `Link`. Filters narrow them, all together.
* Every answer has an `ETag`; send it as `If-None-Match` to get 304 while nothing has changed.
* Errors are `application/problem+json` (RFC 9457).
* A token sees what lies in its city, or is its enterprise's. Another's ids are as if they were not there.
* For a token of an enterprise, figures of one to four parcels are null, and those that would give them away.
"""

Answers = dict[int | str, dict[str, Any]]
"""What a route may answer, by status code, as FastAPI wants it."""


@dataclass(frozen=True)
class NamedRate(RateRecord):
    """A scope's rolling rates now, and its name."""

    name_zh: str
    name_en: str


@dataclass(frozen=True)
class NamedDay(DayRecord):
    """A scope's figures of one business day, and its name."""

    name_zh: str
    name_en: str


@dataclass(frozen=True)
class NamedAlert(AlertRecord):
    """An episode of an alert as of its latest change, its scope's name, and who has taken it on."""

    name_zh: str
    name_en: str
    acked_by: str | None
    acked_at: str | None
    ack_note: str | None


_CURSOR: Final = "Give it as `cursor` to get the next page; null on the last"


class RatesPage(BaseModel):
    """A page of rates, in order of granularity and id."""

    items: list[NamedRate]
    next_cursor: str | None = Field(description=_CURSOR)


class DaysPage(BaseModel):
    """A page of business days, in order of date, granularity and id."""

    items: list[NamedDay]
    next_cursor: str | None = Field(description=_CURSOR)


class AlertsPage(BaseModel):
    """A page of alerts, in order of id and episode."""

    items: list[NamedAlert]
    next_cursor: str | None = Field(description=_CURSOR)


class Outlet(BaseModel):
    """An outlet as it is listed."""

    outlet_id: str
    name_zh: str
    name_en: str
    brand_code: str
    enterprise_id: str
    county_code: str
    city_code: str | None
    duty_group: str


class OutletShown(BaseModel):
    """All that is known of an outlet. `days` are the latest first, `alerts` open and ended."""

    outlet: Outlet | None
    rate: NamedRate | None
    days: list[NamedDay]
    alerts: list[NamedAlert]


class Health(BaseModel):
    """How the server is."""

    ok: bool
    detail: str = Field(examples=["reading the topics"])


_NAMED: Final = {"name_zh": "韵达 新城区中山路营业部", "name_en": "Yunda 新城区中山路营业部"}
EXAMPLES: Final[Mapping[str, tuple[str, Mapping[str, object]]]] = {
    "/rates": ("rate/v1/good/outlet.json", _NAMED),
    "/days": ("day/v1/good/provisional.json", _NAMED),
    "/alerts": ("alert/v1/good/raised.json", {**_NAMED, **dict.fromkeys(ACK_COLUMNS)}),
}
"""An example of each list: a record of those beside its schema, and what is added to it."""

_PROBLEMS: Final[Mapping[int, str]] = {
    401: "No token, or one that is not known",
    403: "The token is for another city or enterprise",
    404: "Nothing there, or nothing for this token",
    422: "A parameter is not known, or has a value that it cannot have",
    503: "The topics are still being read; ask again in a moment",
}


def answers(model: type[BaseModel], *, problems: Sequence[int] = ()) -> Answers:
    """Return what the document says of a route's answers."""
    return {200: {"model": model, "description": "As asked for"}, **_others(problems)}


def answers_of_list(model: type[BaseModel]) -> Answers:
    """Return the same for a list of records."""
    content = {"text/csv": {"schema": {"type": "string"}}}
    found: Answers = {200: {"model": model, "description": "As asked for", "content": content}}
    return {**found, **_others((403,))}


def answers_of(kind: type, *, listed: bool = False) -> Answers:
    """Return the same where the answer is one of the board's own shapes."""
    reference = {"$ref": f"#/components/schemas/{kind.__name__}"}
    schema = {"type": "array", "items": reference} if listed else reference
    content = {"application/json": {"schema": schema}}
    return {200: {"description": "As asked for", "content": content}, **_others(())}


def problems_of(*statuses: int) -> Answers:
    """Return what the document says of answers that are problems."""
    return {
        status: {
            "description": _PROBLEMS[status],
            "content": {PROBLEM_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}},
        }
        for status in statuses
    }


def _others(problems: Sequence[int]) -> Answers:
    unchanged: Answers = {304: {"description": "Not changed since the ETag that was sent"}}
    return problems_of(401, 422, 503, *problems) | unchanged


def install(app: FastAPI, prefix: str) -> None:
    """Let an application's OpenAPI document hold the board's own shapes, too, and examples.

    `prefix` stands before the routes of the lists.
    """
    plain = app.openapi

    def whole() -> dict[str, Any]:
        document = plain()
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        _, ours = msgspec.json.schema_components(
            [Summary, PeriodShown], ref_template="#/components/schemas/{name}"
        )
        for name, schema in ours.items():
            schemas.setdefault(name, schema)
        schemas.setdefault("Problem", Problem.model_json_schema())
        for path, (file, more) in EXAMPLES.items():
            record = orjson.loads((schema_dir() / "examples" / file).read_bytes())
            content = document["paths"][prefix + path]["get"]["responses"]["200"]["content"]
            # FastAPI itself would leave out what is null.
            page = {"items": [{**record, **more}], "next_cursor": None}
            content["application/json"]["example"] = page
        return document

    app.openapi = whole  # type: ignore[method-assign]  # FastAPI's own way to extend the document.
