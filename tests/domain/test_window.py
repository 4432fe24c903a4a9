"""Ticks, panes, business days and their texts."""

import pytest

from streams.domain.window import (
    DAY_MS,
    day_from_text,
    day_of,
    day_of_pane,
    day_start_ms,
    day_text,
    instant_from_text,
    instant_text,
    pane_end_ms,
    pane_of,
    tick_at_or_after,
)

MIDNIGHT = "2017-09-08T00:00:00+08:00"


@pytest.mark.parametrize(
    ("instant", "tick"),
    [
        ("2017-09-08T14:20:00+08:00", "2017-09-08T14:20:00+08:00"),  # A boundary is its own tick.
        ("2017-09-08T14:20:00.001+08:00", "2017-09-08T14:21:00+08:00"),
        ("2017-09-08T14:20:59.999+08:00", "2017-09-08T14:21:00+08:00"),
    ],
)
def test_a_tick_is_at_or_after_its_instant(instant: str, tick: str) -> None:
    assert tick_at_or_after(instant_from_text(instant)) == instant_from_text(tick)


@pytest.mark.parametrize(
    ("instant", "day"),
    [
        ("2017-09-07T23:59:59.999+08:00", "2017-09-07"),
        (MIDNIGHT, "2017-09-08"),
        ("2017-09-07T16:00:00Z", "2017-09-08"),  # Midnight in Shanghai, said in UTC.
        ("2017-09-08T23:59:59+08:00", "2017-09-08"),
    ],
)
def test_a_business_day_is_a_day_in_shanghai(instant: str, day: str) -> None:
    instant_ms = instant_from_text(instant)
    assert day_text(day_of(instant_ms)) == day
    assert day_of_pane(pane_of(instant_ms)) == day_of(instant_ms)


def test_a_day_begins_and_ends_where_its_panes_do() -> None:
    start_ms = day_start_ms(day_from_text("2017-09-08"))
    assert start_ms == instant_from_text(MIDNIGHT)
    assert pane_end_ms(pane_of(start_ms - 1)) == start_ms
    assert pane_end_ms(pane_of(start_ms + DAY_MS - 1)) == start_ms + DAY_MS


@pytest.mark.parametrize("text", [MIDNIGHT, "2017-09-08T14:20:05.250+08:00"])
def test_an_instant_survives_its_text(text: str) -> None:
    assert instant_text(instant_from_text(text)) == text


@pytest.mark.parametrize("text", ["2017-09-08T14:20:00", "soon", "2017-13-01T00:00:00Z"])
def test_a_text_that_names_no_instant_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"offset|Invalid|month"):
        instant_from_text(text)


@pytest.mark.parametrize("text", ["2017-09-31", "08.09.2017", ""])
def test_a_text_that_names_no_day_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"day|Invalid"):
        day_from_text(text)
