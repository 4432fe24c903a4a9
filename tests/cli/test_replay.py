"""`realname replay`: the stages over a file. A small region, and what must be found in its lines."""

import json
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

from tests.cli.conftest import Realname

OUTLETS = """outlet_id,name,brand_code,enterprise_id,county_code,duty_group
A,Alpha,ZTO,911500000000010041,150602,
B,Beta,ZTO,911500000000010041,150603,
"""
PERIODS = """
[[periods]]
event_period_id = "EP"
name_zh = "会议"
name_en = "Meeting"
event_level = "L2"
phases = [{ event_phase = "CORE", start = 2017-09-08T00:00:00+08:00, end = 2017-09-10T00:00:00+08:00 }]
targets = [{ granularity = "OUTLET", parcel_category = "*", target_rate = 0.92 }]
"""


def collected(number: int, outlet: str, at: str, **more: object) -> dict[str, Any]:
    return {
        "type": "shipment.collected",
        "id": f"c{number}",
        "source": "/zto",
        "time": at,
        "recorded_at": at,
        "received_at": at,
        "waybill_no": f"ZT{number:011d}",
        "outlet_id": outlet,
        "courier_id": "c-1",
        "parcel_category": "LOOSE",
        "agreement_id": None,
        "destination_code": "110101",
        "route_type": "OUTBOUND",
        **more,
    }


def registered(number: int, outlet: str, at: str) -> dict[str, Any]:
    return {
        "type": "realname.registered",
        "id": f"r{number}",
        "source": "/zto",
        "time": at,
        "recorded_at": at,
        "received_at": at,
        "waybill_no": f"ZT{number:011d}",
        "registration_id": f"g{number}",
        "registration_mode": "INDIVIDUAL_ID",
        "id_doc_type": "RESIDENT_ID",
        "verification_result": "MATCHED",
        "channel": "ANYIDI_PUBLIC",
        "client_role": "COURIER",
        "is_backfill": False,
        "outlet_id": outlet,
    }


def clock(minute: int, day: int = 8) -> str:
    return f"2017-09-{day:02d}T{10 + minute // 60:02d}:{minute % 60:02d}:00+08:00"


def play() -> list[dict[str, Any]]:
    """Forty parcels an outlet in forty minutes; A registers all of them, B every second one."""
    lines = []
    for minute in range(40):
        lines += [collected(minute, "A", clock(minute)), registered(minute, "A", clock(minute))]
        lines.append(collected(100 + minute, "B", clock(minute)))
        if minute % 2:
            lines.append(registered(100 + minute, "B", clock(minute)))
    return lines


@pytest.fixture
def region(tmp_path: Path) -> list[str]:
    (tmp_path / "outlets.csv").write_text(OUTLETS, "utf8")
    (tmp_path / "periods.toml").write_text(PERIODS, "utf8")
    return ["--outlets", "outlets.csv", "--periods", "periods.toml"]


@pytest.fixture
def lines(tmp_path: Path) -> str:
    text = "".join(json.dumps(line) + "\n" for line in play())
    (tmp_path / "parcels.jsonl").write_text(text, "utf8")
    return "parcels.jsonl"


def of_kind(rows: list[dict[str, Any]], kind: str) -> list[dict[str, Any]]:
    return [row for row in rows if row["kind"] == kind]


UNTIL = ("--until", "2017-09-08T13:00:00+08:00")


class TestFindings:
    def test_days_alerts_and_missing_parcels_of_a_small_file(
        self, realname: Realname, region: list[str], lines: str
    ) -> None:
        rows = realname.ok("replay", lines, *region, *UNTIL, "--json").rows
        days = {(d["granularity"], d["scope_id"]): d for d in of_kind(rows, "day")}
        assert {d["date"] for d in days.values()} == {"2017-09-08"}
        for scope_id, eligible, on_time, missing, status in (
            ("A", 40, 40, 0, "OK"),
            ("B", 40, 20, 20, "BREACH"),
        ):
            day = days["OUTLET", scope_id]
            found = (day["eligible"], day["covered_on_time"], day["missing"], day["rate_status"])
            assert found == (eligible, on_time, missing, status)
        assert days["REGION", "150000"]["missing"] == 20

        raised = [a for a in of_kind(rows, "alert") if a["reason"] == "raised"]
        assert [(a["alert_kind"], a["granularity"], a["scope_id"]) for a in raised] == [
            ("RATE_BELOW_TARGET", "OUTLET", "B")
        ]
        # 20 parcels are the least that is judged; the twentieth is mature at 12:20.
        assert raised[0]["first_at"] == "2017-09-08T12:20:00+08:00"

        parcels = of_kind(rows, "missing")
        assert Counter(parcel["outlet_id"] for parcel in parcels) == {"B": 20}
        assert parcels[0]["waybill_no"] == "ZT0******0100"
        assert of_kind(rows, "reject") == []

    def test_time_ends_with_the_last_line_unless_told_otherwise(
        self, realname: Realname, region: list[str], lines: str
    ) -> None:
        rows = realname.ok("replay", lines, *region, "--json").rows
        assert {row["kind"] for row in rows} == {"day"}
        outlet = next(row for row in rows if row["scope_id"] == "B")
        assert (outlet["eligible"], outlet["covered_young"], outlet["pending"]) == (40, 20, 20)

    def test_whole_waybills_only_on_demand(
        self, realname: Realname, region: list[str], lines: str
    ) -> None:
        told = realname.ok("replay", lines, *region, *UNTIL, "--json", "--show-waybills")
        assert "ZT00000000100" in {p["waybill_no"] for p in of_kind(told.rows, "missing")}
        assert "ZT00000000100" not in realname.ok("replay", lines, *region, *UNTIL).out

    def test_granularity_and_date_choose_days(
        self, realname: Realname, region: list[str], lines: str
    ) -> None:
        rows = realname.ok(
            "replay", lines, *region, *UNTIL, "--granularity", "county", "--json"
        ).rows
        assert {d["granularity"] for d in of_kind(rows, "day")} == {"COUNTY"}
        assert of_kind(rows, "alert") == []
        rows = realname.ok("replay", lines, *region, "--date", "2017-09-07", "--json").rows
        assert rows == []

    def test_a_day_that_has_been_forgotten_in_a_gap_was_told_as_final(
        self, realname: Realname, region: list[str], lines: str, tmp_path: Path
    ) -> None:
        late = json.dumps(collected(900, "A", "2017-10-20T10:00:00+08:00"))
        with (tmp_path / lines).open("a") as file:
            file.write(late + "\n")
        rows = realname.ok("replay", lines, *region, "--json").rows
        days = {(d["date"], d["scope_id"]): d for d in of_kind(rows, "day")}
        september, october = days["2017-09-08", "B"], days["2017-10-20", "A"]
        assert (september["day_status"], september["missing"]) == ("FINAL", 20)
        assert (october["day_status"], october["pending"]) == ("OPEN", 1)
        assert len(of_kind(rows, "day")) == len(days), "each scope and day once"
        assert len(of_kind(rows, "missing")) == 20

    def test_standard_input_gives_the_same(
        self, realname: Realname, region: list[str], lines: str, tmp_path: Path
    ) -> None:
        piped = realname.ok("replay", "-", *region, "--json", stdin=(tmp_path / lines).read_bytes())
        assert piped.out == realname.ok("replay", lines, *region, "--json").out

    def test_a_summary_names_scopes_alerts_and_reasons(
        self, realname: Realname, region: list[str], lines: str
    ) -> None:
        told = realname.ok("replay", lines, *region, *UNTIL).out
        for text in (
            "140 lines",
            "Ordos 鄂尔多斯市",
            "ZTO Beta",
            "1 alerts, 0 of them ended",
            "RATE_BELOW_TARGET",
            "raised",
            "20 parcels are missing at 1 outlets",
        ):
            assert text in told


REFUSED = [
    ("half a line", '{"type": "shipment.col', "not_json", "$", None),
    ("another outlet's", collected(7, "C", clock(1)), "unknown_outlet", "$.outlet_id", True),
    ("no such type", {**collected(7, "A", clock(1)), "type": "x"}, "unknown_type", "$.type", True),
    (
        "no waybill",
        {**registered(7, "A", clock(1)), "waybill_no": 5},
        "schema",
        "$.waybill_no",
        None,
    ),
    (
        "no offset",
        collected(7, "A", clock(1), time="2017-09-08T10:00:00"),
        "bad_time",
        "$.time",
        True,
    ),
    (
        "no time at all",
        collected(7, "A", clock(1), received_at="soon"),
        "bad_time",
        "$.received_at",
        True,
    ),
]


@pytest.mark.parametrize("case", REFUSED, ids=lambda case: case[0])
def test_a_line_that_cannot_be_used_is_told_with_its_number_and_without_its_content(
    realname: Realname, region: list[str], case: tuple[Any, ...]
) -> None:
    _, line, code, path, sampled = case
    bad = line if isinstance(line, str) else json.dumps(line)
    text = "\n".join([json.dumps(collected(1, "A", clock(0))), "", bad])
    rows = realname.ok("replay", "-", *region, "--json", stdin=text).rows
    (reject,) = of_kind(rows, "reject")
    assert (reject["line"], reject["code"], reject["path"]) == (3, code, path)
    assert reject["sample"] == ("ZT0******0007" if sampled else None)
    assert "1 lines could not be used" in realname.ok("replay", "-", *region, stdin=text).out


class TestMistakes:
    @pytest.mark.parametrize(
        ("arguments", "expected"),
        [
            (["nowhere.jsonl"], "nowhere.jsonl cannot be read"),
            (["."], "is a folder"),
            (["-", "--until", "soon"], "--until 'soon' is not a time with an offset"),
            (["-", "--until", "2017-09-08T10:00:00"], "is not a time with an offset"),
            (["-", "--date", "8 Sep"], "--date '8 Sep' is not a day"),
        ],
    )
    def test_what_cannot_be_asked_is_exit_code_2(
        self, realname: Realname, arguments: list[str], expected: str
    ) -> None:
        result = realname("replay", *arguments, stdin="")
        assert result.code == 2
        assert expected in result.err

    def test_every_mistake_of_every_reference_file_is_told(
        self, realname: Realname, tmp_path: Path
    ) -> None:
        twice = OUTLETS + "A,Alpha,ZTO,911500000000010041,999999,\n"
        (tmp_path / "outlets.csv").write_text(twice, "utf8")
        (tmp_path / "periods.toml").write_text(PERIODS.replace("0.92", "1.92"), "utf8")
        result = realname(
            "replay", "-", "--outlets", "outlets.csv", "--periods", "periods.toml", stdin=""
        )
        assert result.code == 2
        assert result.out == ""
        assert "outlets.csv:4" in result.err
        assert "periods.toml:8" in result.err

    def test_a_file_most_of_which_is_refused_is_exit_code_1(
        self, realname: Realname, region: list[str]
    ) -> None:
        line = json.dumps(collected(1, "nowhere", clock(0))) + "\n"
        result = realname("replay", "-", *region, stdin=line * 1_500)
        assert result.code == 1
        assert "unknown_outlet" in result.err
        assert "policy.reject_share_max" in result.err

    def test_an_empty_file_has_no_figures(self, realname: Realname, region: list[str]) -> None:
        result = realname.ok("replay", "-", *region, stdin="")
        assert "No figures" in result.err
