"""Figures of one to four parcels do not leave to an enterprise, nor what would give them away."""

import json
from collections.abc import Iterator, Mapping
from typing import Any

import orjson
import pytest

from streams.domain.small_cell import is_small
from streams.serve.access import Access
from streams.serve.rows import alert_row, day_row, rate_row
from streams.serve.small_cells import record_for
from tests.serve.conftest import EMS, TOKENS, Client, recorded
from tests.serve.test_access import API, everything

ENTERPRISE = Access("ems", enterprise_id=EMS)
COUNTS = ("eligible", "covered_on_time", "covered_late", "missing")


def groups(value: object, path: str = "$") -> Iterator[tuple[str, Mapping[str, Any]]]:
    """Every object in a record that has counts of parcels."""
    if isinstance(value, dict):
        if {"covered_on_time", "missing"} <= value.keys():
            yield path, value
        for name, inner in value.items():
            yield from groups(inner, f"{path}.{name}")
    elif isinstance(value, list):
        for number, inner in enumerate(value):
            yield from groups(inner, f"{path}[{number}]")


def sizes(group: Mapping[str, Any]) -> tuple[int, int]:
    mature = sum(group[name] or 0 for name in COUNTS[1:])
    return mature, group.get("eligible") or group.get("mature") or 0


def small(record: object) -> list[str]:
    return [path for path, group in groups(record) if any(map(is_small, sizes(group)))]


def figures(eligible: int, on_time: int, missing: int) -> dict[str, Any]:
    return {
        "eligible": eligible,
        "covered_on_time": on_time,
        "covered_late": 0,
        "missing": missing,
        "covered_young": 0,
        "pending": eligible - on_time - missing,
        "rate": 0.5,
        "on_time_rate": 0.5,
    }


DAY: dict[str, Any] = json.loads(
    next(i.value for i in recorded() if i.topic == "days" and i.value) or b""
)


def day(whole: dict[str, Any], **categories: dict[str, Any]) -> bytes:
    more = {"loose": figures(50, 40, 10), "batch": figures(50, 50, 0), "exempt": 0, "voided": 3}
    return orjson.dumps({**DAY, **whole, **more, "by_category": categories})


PARTS = [
    # parts, those that are withheld, why
    ({"LOOSE": (50, 40), "AGREEMENT": (50, 50)}, set(), "none is small"),
    ({"LOOSE": (50, 40), "AGREEMENT": (0, 0)}, set(), "none at all may be told"),
    (
        {"LOOSE": (50, 40), "AGREEMENT": (46, 46), "ECOMMERCE": (4, 4)},
        {"AGREEMENT", "ECOMMERCE"},
        "one alone could be worked out, so the smallest of the others goes with it",
    ),
    (
        {"LOOSE": (50, 40), "AGREEMENT": (3, 3), "ECOMMERCE": (4, 4)},
        {"AGREEMENT", "ECOMMERCE"},
        "two that hide each other",
    ),
    (
        {"LOOSE": (50, 3), "AGREEMENT": (60, 60)},
        {"LOOSE", "AGREEMENT"},
        "few of many are mature",
    ),
]


@pytest.mark.parametrize(("parts", "hidden", "why"), PARTS, ids=[case[2] for case in PARTS])
def test_of_parts_the_small_ones_are_withheld_and_what_would_tell_them(
    parts: dict[str, tuple[int, int]], hidden: set[str], why: str
) -> None:
    made = {name: figures(eligible, mature, 0) for name, (eligible, mature) in parts.items()}
    row = day_row(day(figures(110, 100, 10), **made))
    record = json.loads(record_for(row, ENTERPRISE))
    found = {name for name, part in record["by_category"].items() if part["eligible"] is None}
    assert found == hidden, why
    assert (record["loose"]["rate"] is None) is bool(hidden)
    assert record["voided"] is None
    assert record["eligible"] == 110


@pytest.mark.parametrize(("n", "hidden"), [(0, False), (1, True), (4, True), (5, False)])
def test_a_day_of_few_parcels_keeps_its_name_and_loses_its_figures(n: int, hidden: bool) -> None:
    row = day_row(day(figures(n, n, 0)))
    record = json.loads(record_for(row, ENTERPRISE))
    assert record["scope_id"] == DAY["scope_id"]
    assert (record["eligible"] is None) is (record["rate"] is None) is hidden
    assert record_for(row, TOKENS["region"]) == row.record, "the regulator sees every figure"
    assert record_for(row, TOKENS["chifeng"]) == row.record, "and so do its offices"


def test_an_alert_on_few_parcels_does_not_say_on_how_many() -> None:
    alert = json.loads(
        next(i.value for i in recorded() if i.topic == "alerts" and b'"RATE_' in (i.value or b""))
        or b""
    )
    few = {**alert, "n": 3, "evidence": {**alert["evidence"], "missing": 1, "covered": 2}}
    record = json.loads(record_for(alert_row(orjson.dumps(few)), ENTERPRISE))
    assert (record["n"], record["observed"]) == (None, None)
    assert (record["evidence"]["missing"], record["evidence"]["covered"]) == (None, None)
    outlets = {**few, "alert_kind": "CHANNEL_SILENT"}
    assert json.loads(record_for(alert_row(orjson.dumps(outlets)), ENTERPRISE))["n"] == 3


def test_a_rate_of_few_parcels_is_withheld_window_by_window() -> None:
    value = json.loads(next(i.value for i in recorded() if i.topic == "rates" and i.value) or b"")
    value["today"] |= figures(3, 2, 1)
    value["trailing_7d"] |= figures(100, 90, 10)
    value["verdict"] |= {"n": 2, "covered": 1, "rate": 0.5}
    record = json.loads(record_for(rate_row(orjson.dumps(value)), ENTERPRISE))
    assert record["today"]["missing"] is None
    assert record["trailing_7d"]["missing"] == 10
    assert (record["verdict"]["n"], record["verdict"]["rate"]) == (None, None)


@pytest.mark.parametrize("path", ["rates", "days", "alerts"])
def test_no_small_cell_is_in_any_answer_to_an_enterprise(client_with: Client, path: str) -> None:
    found = [
        (item["scope_id"], where)
        for item in everything(client_with("ems"), path)
        for where in small(item)
    ]
    assert not found


def test_no_small_cell_is_on_the_board_of_an_enterprise(client_with: Client) -> None:
    board = client_with("ems").get(f"{API}/summary").json()
    shown = [
        figures
        for figures in (board["headline"], *(a["figures"] for a in board["areas"]), *board["worst"])
        if figures is not None
    ]
    assert shown
    for one in shown:
        assert not any(is_small(one[name]) for name in ("eligible", "mature"))
        assert not is_small(one["verdict"]["n"])


def test_there_are_small_cells_to_withhold_in_what_was_recorded(client_with: Client) -> None:
    """So that the tests above do not pass for want of any."""
    assert any(small(item) for item in everything(client_with("region"), "days"))
