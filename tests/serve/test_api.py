import csv
import io
from functools import cache
from typing import Any

import jsonschema_rs
import orjson
import pytest
from fastapi.testclient import TestClient
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from streams.serve.documents import ALERT_COLUMNS, DAY_COLUMNS, RATE_COLUMNS
from streams.serve.view import View
from tests.serve.conftest import FakeFeed, client_of, filled

API = "/api/v1"
LISTS = ["rates", "days", "alerts"]


def items(client: TestClient, path: str, **params: str | int) -> list[dict[str, Any]]:
    answer = client.get(f"{API}/{path}", params=params)
    assert answer.status_code == 200, answer.text
    found: list[dict[str, Any]] = answer.json()["items"]
    return found


def whole(client: TestClient, path: str) -> list[dict[str, Any]]:
    return items(client, path, limit=20_000, **({"status": "all"} if path == "alerts" else {}))


FILTERS = [
    # list, parameters, what a row must be
    ("rates", {"granularity": "CITY"}, {"granularity": "CITY"}),
    ("rates", {"id": "150403-YUNDA-0003"}, {"scope_id": "150403-YUNDA-0003"}),
    ("rates", {"city": "150400"}, {"city_code": "150400"}),
    ("rates", {"county": "150403"}, {"county_code": "150403"}),
    ("rates", {"enterprise": "911500000000010041"}, {"enterprise_id": "911500000000010041"}),
    ("rates", {"status": "BREACH"}, {"verdict.rate_status": "BREACH"}),
    ("rates", {"date": "2017-09-06"}, {"date": "2017-09-06"}),
    (
        "rates",
        {"granularity": "OUTLET", "city": "150400", "status": "BREACH"},
        {"granularity": "OUTLET", "city_code": "150400", "verdict.rate_status": "BREACH"},
    ),
    ("days", {"date": "2017-09-05"}, {"date": "2017-09-05"}),
    ("days", {"id": "150000"}, {"scope_id": "150000"}),
    (
        "days",
        {"id": "911500000000010041|150400"},
        {"scope_id": "911500000000010041|150400", "granularity": "ENTERPRISE_CITY"},
    ),
    ("days", {"status": "AT_RISK"}, {"rate_status": "AT_RISK"}),
    ("days", {"granularity": "REGION"}, {"granularity": "REGION"}),
    ("alerts", {"severity": "CRITICAL", "status": "all"}, {"severity": "CRITICAL"}),
    ("alerts", {"status": "ended"}, {"state": "ended"}),
    ("alerts", {"status": "firing"}, {"state": "firing"}),
    ("alerts", {"city": "150400", "status": "all"}, {"city_code": "150400"}),
]


@pytest.mark.parametrize(("path", "params", "wanted"), FILTERS)
def test_a_filter_keeps_exactly_the_rows_that_it_names(
    client: TestClient, path: str, params: dict[str, str], wanted: dict[str, str]
) -> None:
    expected = [
        item
        for item in whole(client, path)
        if all(at(item, field) == value for field, value in wanted.items())
    ]
    assert expected
    assert items(client, path, limit=20_000, **params) == expected


def at(item: dict[str, Any], field: str) -> object:
    for name in field.split("."):
        item = item[name]
    return item


def test_alerts_are_the_open_ones_unless_asked_otherwise(client: TestClient) -> None:
    every = whole(client, "alerts")
    assert items(client, "alerts") == [item for item in every if item["state"] != "ended"]
    raised = items(client, "alerts", status="all", date="2017-09-06")
    assert raised == [item for item in every if item["first_at"].startswith("2017-09-06")]


@pytest.mark.parametrize("path", LISTS)
@pytest.mark.parametrize("limit", [1, 7, 100])
def test_pages_hold_every_row_once_and_in_order(client: TestClient, path: str, limit: int) -> None:
    params: dict[str, str | int] = {"limit": limit}
    found: list[dict[str, Any]] = []
    for _ in range(10_000):
        page = client.get(f"{API}/{path}", params=params).json()
        assert len(page["items"]) <= limit
        found += page["items"]
        if page["next_cursor"] is None or len(found) > 60 * limit:
            break
        params["cursor"] = page["next_cursor"]
    expected = items(client, path, limit=20_000)
    assert found == expected[: len(found)]
    assert len(found) >= min(60 * limit, len(expected))


def test_a_page_that_is_exactly_full_is_the_last(client: TestClient) -> None:
    assert client.get(f"{API}/rates?granularity=CITY&limit=12").json()["next_cursor"] is None
    assert client.get(f"{API}/rates?granularity=CITY&limit=11").json()["next_cursor"] is not None


@pytest.mark.parametrize(
    ("path", "columns"), [("rates", RATE_COLUMNS), ("days", DAY_COLUMNS), ("alerts", ALERT_COLUMNS)]
)
@pytest.mark.parametrize("way", ["format", "accept"])
def test_csv_says_the_same_as_json(
    client: TestClient, path: str, columns: list[str], way: str
) -> None:
    asked = (
        client.get(f"{API}/{path}?format=csv&limit=50")
        if way == "format"
        else client.get(f"{API}/{path}?limit=50", headers={"Accept": "text/csv, application/json"})
    )
    assert asked.headers["content-type"] == "text/csv; charset=utf-8"
    rows = list(csv.DictReader(io.StringIO(asked.text)))
    assert list(rows[0]) == list(columns)
    for row, item in zip(rows, items(client, path, limit=50), strict=True):
        for column, text in row.items():
            assert text == cell(item, column), column


def cell(item: object, column: str) -> str:
    for name in column.split("."):
        item = item.get(name) if isinstance(item, dict) else None
    if item is None:
        return ""
    if isinstance(item, bool):
        return str(item).lower()
    return orjson.dumps(item).decode() if isinstance(item, list | dict) else str(item)


def test_csv_names_its_next_page_in_a_header(client: TestClient) -> None:
    first = client.get(f"{API}/rates?format=csv&limit=5&granularity=CITY")
    link = first.headers["link"]
    assert link.endswith('; rel="next"')
    second = client.get(link.partition(";")[0].strip("<>"))
    ids = [row["scope_id"] for row in csv.DictReader(io.StringIO(first.text + second.text))]
    assert ids[:5] == sorted(ids[:5])
    assert ids[6] > ids[4]


@pytest.mark.parametrize("path", [*LISTS, "summary", "periods", "outlets/150403-YUNDA-0003"])
def test_what_has_not_changed_is_not_sent_again(view: View, path: str) -> None:
    first = client_of(view).get(f"{API}/{path}")
    tag = first.headers["etag"]
    # Another replica gives the same tag for the same figures.
    again = client_of(view).get(f"{API}/{path}", headers={"If-None-Match": f'"old", W/{tag}'})
    assert (again.status_code, again.content) == (304, b"")
    assert again.headers["etag"] == tag
    other = client_of(view).get(f"{API}/{path}", headers={"If-None-Match": '"old"'})
    assert (other.status_code, other.content) == (200, first.content)


def test_each_form_has_its_own_tag(client: TestClient) -> None:
    tags = {client.get(f"{API}/rates?format={f}").headers["etag"] for f in ("json", "csv")}
    assert len(tags) == 2


BAD = [
    ("rates?citty=150400", 422, "citty"),
    ("rates?limit=0", 422, "limit"),
    ("rates?limit=20001", 422, "limit"),
    ("rates?limit=many", 422, "limit"),
    ("rates?granularity=PLANET", 422, "granularity"),
    ("rates?status=open", 422, "status"),
    ("rates?date=today", 422, "date"),
    ("rates?cursor=!", 422, "cursor"),
    ("rates?cursor=e30", 422, "cursor"),
    ("rates?cursor=WzFd", 422, "cursor"),
    ("rates?id=", 422, "id"),
    ("rates?format=xml", 422, "format"),
    ("alerts?severity=loud", 422, "severity"),
    ("outlets/nowhere", 404, "no such outlet"),
    ("nowhere", 404, "/api/v1/openapi.json"),
]


@pytest.mark.parametrize(("path", "status", "named"), BAD)
def test_a_wrong_request_is_told_what_is_wrong(
    client: TestClient, path: str, status: int, named: str
) -> None:
    answer = client.get(f"{API}/{path}")
    assert answer.status_code == status
    assert answer.headers["content-type"] == "application/problem+json"
    problem = answer.json()
    assert problem.keys() == {"title", "status", "detail"}
    assert problem["status"] == status
    assert named in problem["detail"]


def test_nothing_can_be_written(client: TestClient) -> None:
    for method in ("POST", "PUT", "PATCH", "DELETE"):
        answer = client.request(method, f"{API}/rates")
        assert answer.status_code == 405
        assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize("path", [*LISTS, "summary", "periods", "outlets/150403-YUNDA-0003"])
def test_before_all_has_been_read_no_figure_is_given(view: View, path: str) -> None:
    client = client_of(view, feed=FakeFeed(ready=False, trouble="no answer from Kafka"))
    answer = client.get(f"{API}/{path}")
    assert answer.status_code == 503
    assert answer.headers["retry-after"] == "5"
    assert client.get("/ready").status_code == 503
    assert client.get("/ready").json()["detail"] == "no answer from Kafka"
    assert client.get("/live").status_code == 200


def test_a_thread_that_hangs_is_not_alive(view: View) -> None:
    assert client_of(view, feed=FakeFeed(alive=False)).get("/live").status_code == 503


@pytest.mark.parametrize("path", ["/", "/board.js", f"{API}/rates", f"{API}/nowhere", "/live"])
def test_every_answer_forbids_what_a_page_does_not_need(client: TestClient, path: str) -> None:
    headers = client.get(path).headers
    policy = headers["content-security-policy"]
    assert policy.startswith("default-src 'none'; script-src 'self'; style-src 'self'")
    assert "unsafe" not in policy
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["referrer-policy"] == "no-referrer"


def test_the_page_asks_nobody_else_for_anything(client: TestClient) -> None:
    page = client.get("/").text
    assert "//" not in page.replace("<!doctype html>", "")
    for name in ("board.css", "board.js", "words.js"):
        text = client.get(f"/{name}").text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text


# --- The OpenAPI document -------------------------------------------------------------------------

ANSWERED = [
    ("/rates", "rates?limit=1000"),
    ("/days", "days?limit=2000"),
    ("/alerts", "alerts?status=all&limit=500"),
    ("/periods", "periods"),
    ("/summary", "summary"),
    ("/outlets/{outlet_id}", "outlets/150403-YUNDA-0003"),
    ("/outlets/{outlet_id}", "outlets/150102-DB-0001"),
]


@cache
def told_answers() -> dict[str, Any]:
    paths: dict[str, Any] = document_of(client_of(filled()))["paths"]
    return paths


def document_of(client: TestClient) -> dict[str, Any]:
    document: dict[str, Any] = client.get(f"{API}/openapi.json").json()
    return document


@pytest.mark.parametrize(("route", "path"), ANSWERED)
def test_answers_are_as_the_document_says(client: TestClient, route: str, path: str) -> None:
    document = document_of(client)
    told = document["paths"][API + route]["get"]["responses"]["200"]["content"]["application/json"]
    schema = {**told["schema"], "components": document["components"]}
    answer = client.get(f"{API}/{path}")
    jsonschema_rs.validate(schema, answer.json())
    with pytest.raises(jsonschema_rs.ValidationError):
        jsonschema_rs.validate(schema, {"something": "else"})
    if "example" in told:
        jsonschema_rs.validate(schema, told["example"])


def test_everything_in_the_document_is_described(client: TestClient) -> None:
    document = document_of(client)
    for path, methods in document["paths"].items():
        route = methods["get"]
        assert route.get("summary"), path
        assert route.get("description"), path
        for parameter in route.get("parameters", []):
            if parameter["in"] == "query":
                assert parameter.get("description"), (path, parameter["name"])


def test_every_reference_in_the_document_resolves(client: TestClient) -> None:
    document = document_of(client)
    references = set()

    def collect(value: object) -> None:
        if isinstance(value, dict):
            if isinstance(value.get("$ref"), str):
                references.add(value["$ref"])
            for inner in value.values():
                collect(inner)
        elif isinstance(value, list):
            for inner in value:
                collect(inner)

    collect(document)
    assert references
    names = {f"#/components/schemas/{name}" for name in document["components"]["schemas"]}
    assert references <= names


VALUES = st.one_of(
    st.text(max_size=90),
    st.integers().map(str),
    st.sampled_from(["OUTLET", "CITY", "BREACH", "all", "csv", "2017-09-06", "150400", "W10", ""]),
)
NAMES = st.sampled_from(
    [
        *("granularity", "id", "city", "county", "enterprise", "status", "date", "severity"),
        *("limit", "cursor", "format", "other"),
    ]
)


@settings(
    max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(path=st.sampled_from(LISTS), params=st.dictionaries(NAMES, VALUES, max_size=4))
def test_whatever_is_asked_the_answer_is_one_of_those_in_the_document(
    client: TestClient, path: str, params: dict[str, str]
) -> None:
    answer = client.get(f"{API}/{path}", params=params)
    told = told_answers()[f"{API}/{path}"]["get"]["responses"]
    content = told[str(answer.status_code)]["content"]
    assert answer.headers["content-type"].partition(";")[0] in content


@settings(
    max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(
    outlet_id=st.text(min_size=1, max_size=60),
    accept=st.text(max_size=40),
    tag=st.text(max_size=20),
)
def test_any_id_and_header_gives_an_answer(
    client: TestClient, outlet_id: str, accept: str, tag: str
) -> None:
    headers = {b"Accept": accept.encode(), b"If-None-Match": tag.encode()}
    # What a client would escape, escaped; the rest is as wild as it comes.
    path = "".join(f"%{byte:02X}" for byte in outlet_id.encode())
    assert client.get(f"{API}/outlets/{path}", headers=headers).status_code in (200, 304, 404)
