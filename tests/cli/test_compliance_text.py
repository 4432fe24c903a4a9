"""Each event is one line that a person understands, in both languages."""

import json
from typing import Any

import pytest

from streams.cli.compliance_text import line
from streams.records.compliance import DATA_OF, SCHEMA_OF
from streams.resources import schema_dir

OUTLET = "OUTLET|150105-ZT-0031"
TIME = "2017-09-08T14:20:00+08:00"


def event(kind: str, subject: str = OUTLET) -> dict[str, Any]:
    """An event with the data that its schema shows."""
    found: dict[str, Any] = {"type": kind, "subject": subject, "time": TIME}
    if kind in SCHEMA_OF:
        path = schema_dir() / f"compliance/{SCHEMA_OF[kind]}.schema.json"
        (found["data"],) = json.loads(path.read_text("utf8"))["examples"]
    return found


@pytest.mark.parametrize(
    ("kind", "subject", "english", "chinese"),
    [
        (
            "rate.updated",
            OUTLET,
            "75.00% of 60, target 90.00%: BREACH",
            "75.00%（60 件），目标 90.00%：未达标",
        ),
        ("day.closed", OUTLET, "75.00% of 82, 15 missing, issue 1, PROVISIONAL", "第 1 版，初步"),
        ("alert.raised", OUTLET, "MAJOR, 75.00% of 60, target 90.00%: raised", "严重，75.00%"),
        (
            "period.declared",
            "PERIOD|EP1",
            "UNCCD COP13, 2017-09-06 00:00 to",
            "缔约方大会，2017-09-06 00:00 至",
        ),
        ("parcel.missing", "PARCEL|ZT1", "PARCEL ZT1  outlet 150105-ZT-0031", "邮件 ZT1  网点"),
        ("parcel.retracted", "PARCEL|ZT1", "parcel.retracted  PARCEL ZT1", "漏录撤销"),
        (
            "records.rejected",
            "SOURCE|zto-app",
            "37 records on 2017-09-08: schema",
            "共 37 条：schema",
        ),
    ],
)
def test_a_line(kind: str, subject: str, english: str, chinese: str) -> None:
    assert english in line(event(kind, subject), "en")
    assert chinese in line(event(kind, subject), "zh")
    assert line(event(kind, subject), "zh").startswith("2017-09-08 14:20  ")


@pytest.mark.parametrize("kind", DATA_OF)
def test_every_type_has_a_chinese_word(kind: str) -> None:
    assert kind not in line(event(kind), "zh")


def test_what_is_withheld_is_said_so() -> None:
    told = event("rate.updated")
    told["data"]["verdict"] |= {"withheld": True, "n": None, "rate": None}
    assert "too few parcels" in line(told, "en")
    assert "件数过少" in line(told, "zh")


def test_an_event_of_a_type_that_is_not_known_yet_is_shown_all_the_same() -> None:
    assert "rate.updated.v2" in line(
        {"type": "rate.updated.v2", "subject": OUTLET, "data": None}, "en"
    )
