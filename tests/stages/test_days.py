"""Business days: open, issued at the bulletin, issued anew, and closed."""

from typing import Any

import pytest
from hypothesis import given, settings

from streams.domain.cell import Counter
from tests.stages.feeds import (
    MIDNIGHT_TICK,
    SHORT,
    Feed,
    Sender,
    a_cell,
    a_rate,
    a_reference,
    a_row,
    parcels,
    records,
    run_both,
    streams_of_rows,
)
from tests.stages.plain import Row

# DAY ends 1,440 minutes after its midnight. By SHORT its bulletin is 30 minutes later, and the final
# close 3 hours later.
END = 1_440
BULLETIN, CLOSE = END + 30, END + 180
KEY = "OUTLET|O-000|2017-09-08"
NOON = parcels(0, at=720, count=100, covered=90)


def made_up(minute: int, count: int) -> list[Row]:
    return [a_row(minute, a_cell(0, 720), Counter.COVERED_LATE, count)]


def day_at(minute: int, rows: list[Row]) -> dict[str, Any]:
    feed = Feed(a_rate(a_reference()))
    feed.apply(
        Sender().records(
            [r for r in rows if r[0] <= MIDNIGHT_TICK + minute], until=MIDNIGHT_TICK + minute
        )
    )
    found: dict[str, Any] = records(feed.commit(publish=True), "days")[KEY]
    return found


@pytest.mark.parametrize(
    ("minute", "status", "revision"),
    [
        (721, "OPEN", 0),
        (BULLETIN - 1, "OPEN", 0),
        (BULLETIN, "PROVISIONAL", 1),  # As of the bulletin's own tick.
        (CLOSE - 1, "PROVISIONAL", 1),
        (CLOSE, "FINAL", 1),  # Its rate has not moved, so it is not issued again.
    ],
)
def test_a_day_is_issued_at_its_bulletin_and_closed_for_good(
    minute: int, status: str, revision: int
) -> None:
    day = day_at(minute, NOON)
    assert (day["day_status"], day["revision"]) == (status, revision)
    assert (day["first_issue"] is None) == (revision == 0)


@pytest.mark.parametrize(
    ("case", "rows", "minute", "revision"),
    [
        ("half a point or more", made_up(BULLETIN + 5, 1), END + 60, 2),
        ("not before the whole hour", made_up(BULLETIN + 5, 1), END + 59, 1),
        ("each hour by itself", made_up(BULLETIN + 5, 1) + made_up(END + 70, 1), END + 120, 3),
        ("at the final close", made_up(END + 121, 1), CLOSE, 2),
        ("what came before the bulletin is in it", made_up(BULLETIN - 1, 5), CLOSE, 1),
    ],
)
def test_a_day_is_issued_anew_when_its_rate_has_moved(
    case: str, rows: list[Row], minute: int, revision: int
) -> None:
    assert day_at(minute, NOON + rows)["revision"] == revision, case


def test_a_rate_that_has_moved_by_less_is_not_issued_anew() -> None:
    many = parcels(0, at=720, count=1_000, covered=900)
    day = day_at(CLOSE, many + made_up(BULLETIN + 5, 4))
    assert (day["rate"], day["revision"]) == (0.904, 1)
    assert day_at(CLOSE, many + made_up(BULLETIN + 5, 5))["revision"] == 2


def test_the_first_issue_stays_and_a_make_up_improves_the_rate_only() -> None:
    day = day_at(CLOSE, NOON + made_up(BULLETIN + 5, 6))
    assert (day["rate"], day["on_time_rate"]) == (0.96, 0.9)
    assert day["first_issue"] == {
        "eligible": 100,
        "covered_on_time": 90,
        "covered_late": 0,
        "missing": 10,
        "covered_young": 0,
        "pending": 0,
        "rate": 0.9,
        "on_time_rate": 0.9,
        "as_of": "2017-09-09T00:30:00+08:00",
    }


def test_a_scope_that_is_heard_of_after_the_bulletin_has_its_first_issue_at_the_next_hour() -> None:
    late = [
        a_row(BULLETIN + 2, a_cell(0, 720), Counter.ELIGIBLE, 10),
        a_row(BULLETIN + 2, a_cell(0, 720), Counter.COVERED_ON_TIME, 10),
        *parcels(1, at=720, count=5),
    ]
    assert day_at(END + 59, late)["revision"] == 0
    day = day_at(END + 60, late)
    assert (day["revision"], day["first_issue"]["as_of"]) == (1, "2017-09-09T01:00:00+08:00")


def test_a_day_that_is_first_heard_of_after_its_close_is_final_at_once() -> None:
    rows = [a_row(CLOSE + 60, a_cell(0, 720), Counter.ORPHANS)]
    day = day_at(CLOSE + 60, rows)
    assert (day["day_status"], day["orphans"], day["rate"]) == ("FINAL", 1, None)


@given(rows=streams_of_rows())
@settings(max_examples=25, deadline=None)
def test_the_books_balance_at_every_level(rows: list[Row]) -> None:
    rate, rollup = run_both(a_reference(), rows, until=MIDNIGHT_TICK + 240)
    days = records(rate.commit(publish=True), "days") | records(rollup.commit(publish=True), "days")
    for day in days.values():
        parts = list(day["by_category"].values())
        for part in (day, day["loose"], day["batch"], *parts):
            assert part["eligible"] == sum(part[name] for name in FIVE)
        for name in ("eligible", *FIVE):
            assert day[name] == day["loose"][name] + day["batch"][name]
            assert day[name] == sum(part[name] for part in parts)
        if day["rate_low"] is not None:
            assert day["rate_low"] <= day["rate_high"]
        else:
            assert day["eligible"] == 0
    # The children of a scope add up to it.
    for name in ("eligible", *FIVE, "voided", "orphans", "duplicates", "exempt"):
        for date in {day["date"] for day in days.values()}:
            of_date = [day for day in days.values() if day["date"] == date]
            totals = {
                granularity: sum(d[name] for d in of_date if d["granularity"] == granularity)
                for granularity in LEVELS
            }
            assert len(set(totals.values())) == 1, (name, totals)


FIVE = ("covered_on_time", "covered_late", "missing", "covered_young", "pending")
LEVELS = ("OUTLET", "COUNTY", "CITY", "ENTERPRISE", "ENTERPRISE_CITY", "REGION")
assert SHORT.bulletin_ms == 30 * 60_000
