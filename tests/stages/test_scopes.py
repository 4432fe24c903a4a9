"""Where parcels count: places, moves, and the numbering of scopes."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.cell import PANE_BITS
from streams.domain.period import Granularity
from streams.reference.types import Move
from streams.stages.columns import Index, distinct
from streams.stages.scopes import (
    OutletScopes,
    RollupScopes,
    Scope,
    city_of,
    region_of,
    rollup_keys,
)
from tests.stages.feeds import (
    DAY,
    MIDNIGHT_TICK,
    a_cell,
    a_period,
    a_reference,
    an_outlet,
    parcels,
    records,
    run_both,
)

# Until the day before DAY the outlet was the other enterprise's, in Baotou.
MOVED = an_outlet(0, moves=(Move(until_day=DAY, enterprise_id="E-ZTO", county_code="150202"),))
BOTH_DAYS = [*parcels(0, at=-30, count=10), *parcels(0, at=30, count=7)]


def test_a_moved_outlets_parcels_count_where_it_was_on_their_day() -> None:
    reference = a_reference(outlets=[MOVED])
    _, rollup = run_both(reference, BOTH_DAYS, until=MIDNIGHT_TICK + 60)
    days = records(rollup.commit(publish=True), "days")
    found = {
        key: day["eligible"]
        for key, day in days.items()
        if day["granularity"] in {"COUNTY", "ENTERPRISE"}
    }
    assert found == {
        "COUNTY|150202|2017-09-07": 10,
        "ENTERPRISE|E-ZTO|2017-09-07": 10,
        "COUNTY|150102|2017-09-08": 7,
        "ENTERPRISE|E-YUN|2017-09-08": 7,
    }


@pytest.mark.parametrize(
    ("until", "period"),
    [
        (-10, "EP"),  # On the day before midnight the outlet lay in the period's origin.
        (60, None),  # After it, it does not.
    ],
)
def test_a_period_rules_a_moved_outlet_where_it_was(until: int, period: str | None) -> None:
    reference = a_reference(a_period("EP", origin=("150202",)), outlets=[MOVED])
    rate, _ = run_both(reference, BOTH_DAYS, until=MIDNIGHT_TICK + until)
    verdict = records(rate.commit(publish=True), "rates")["OUTLET|O-000"]["verdict"]
    assert verdict["event_period_id"] == period


def test_of_several_moves_the_earliest_that_still_holds_counts() -> None:
    moves = (
        Move(until_day=DAY - 5, enterprise_id="E-YUN", county_code="150601"),
        Move(until_day=DAY, enterprise_id="E-ZTO", county_code="150202"),
    )
    scopes = OutletScopes()
    scopes.take(a_reference(outlets=[an_outlet(0, moves=moves)]))
    scopes.follow(Index(np.array([a_cell(0, 0) >> PANE_BITS], np.int64)))
    pairs = [int(scopes.pairs_on(day)[0]) for day in (DAY - 6, DAY - 5, DAY - 1, DAY)]
    assert pairs == [3, 1 << 8 | 2, 1 << 8 | 2, 0]
    assert scopes.last_move_day == DAY


def test_a_county_belongs_to_its_city_and_region() -> None:
    assert (city_of("152201"), region_of("152201")) == ("152200", "150000")
    assert city_of("150172") == "150100"  # A development zone, not in GB/T 2260.
    assert rollup_keys("E", "150102") == (
        (Granularity.COUNTY, "150102"),
        (Granularity.CITY, "150100"),
        (Granularity.ENTERPRISE, "E"),
        (Granularity.ENTERPRISE_CITY, "E|150100"),
        (Granularity.REGION, "150000"),
    )


def test_a_scope_names_what_it_lies_in_and_the_duty_group_of_most_of_its_outlets() -> None:
    scopes = RollupScopes()
    scopes.take(a_reference(outlets=[an_outlet(0), an_outlet(1)]))
    scopes.follow(Index(np.array([a_cell(0, 0) >> PANE_BITS], np.int64)))
    found = [scopes.scope(number) for number in range(scopes.count)]
    assert found == [
        Scope(Granularity.COUNTY, "150102", "150100", "150102", None, "150102-duty"),
        Scope(Granularity.CITY, "150100", "150100", None, None, "150102-duty"),
        Scope(Granularity.ENTERPRISE, "E-YUN", None, None, "E-YUN", "150102-duty"),
        Scope(Granularity.ENTERPRISE_CITY, "E-YUN|150100", "150100", None, "E-YUN", "150102-duty"),
        Scope(Granularity.REGION, "150000", None, None, None, "150102-duty"),
    ]
    assert scopes.number_of(Granularity.CITY, "150200") is None


def found(index: Index, *wanted: tuple[int, int]) -> list[int]:
    """Return what keys, each with its time, are found to be."""
    keys, when = zip(*wanted, strict=True) if wanted else ((), ())
    numbers: list[int] = index.find(np.array(keys, np.int64), np.array(when, np.int32)).tolist()
    return numbers


def test_new_keys_are_numbered_in_rising_order_and_keep_their_numbers() -> None:
    index = Index()
    assert found(index, (30, 1), (10, 1), (30, 1)) == [1, 0, 1]
    assert found(index, (20, 2), (10, 2), (5, 2)) == [3, 0, 2]
    assert index.keys.tolist() == [10, 30, 5, 20]
    assert found(index) == []
    assert found(Index(index.keys), (5, 3), (30, 3)) == [2, 1]


def test_keys_of_several_times_are_numbered_as_if_they_had_come_one_time_after_the_other() -> None:
    wanted = [(30, 1), (10, 1), (7, 2), (30, 2), (40, 2), (8, 5), (7, 5)]
    together, apart = Index(), Index()
    numbers = found(together, *wanted)
    for time in (1, 2, 5):
        found(apart, *(each for each in wanted if each[1] == time))
    assert together.keys.tolist() == apart.keys.tolist() == [10, 30, 7, 40, 8]
    assert numbers == [1, 0, 2, 1, 3, 4, 2]


@given(st.lists(st.lists(st.integers(0, 2**36 - 1) | st.integers(0, 40)), max_size=20))
def test_an_index_numbers_as_a_dict_does(columns: list[list[int]]) -> None:
    """Also where a table of few places makes keys collide."""
    index, numbers = Index(), dict[int, int]()
    for time, keys in enumerate(columns):
        for key in sorted(set(keys) - numbers.keys()):
            numbers[key] = len(numbers)
        assert found(index, *((key, time) for key in keys)) == [numbers[key] for key in keys]
    assert index.keys.tolist() == list(numbers)
    every = [(key, 0) for key in numbers]
    assert found(Index(index.keys), *every) == list(numbers.values())


def test_distinct_numbers_come_once_and_in_order() -> None:
    assert distinct(np.array([7, 5, 7, 9], np.intp)) == [5, 7, 9]
    assert distinct(np.empty(0, np.intp)) == []


def test_records_of_two_days_in_one_tick_count_in_two_places() -> None:
    rows = [row for minute in (-3, 3) for row in parcels(0, at=minute, count=4)]
    at_once = [(MIDNIGHT_TICK + 5, *row[1:]) for row in rows]
    reference = a_reference(outlets=[MOVED])
    _, rollup = run_both(reference, at_once, until=MIDNIGHT_TICK + 10)
    days = records(rollup.commit(publish=True), "days")
    assert {key for key in days if key.startswith("COUNTY")} == {
        "COUNTY|150202|2017-09-07",
        "COUNTY|150102|2017-09-08",
    }
