"""Rates and bounds. The vectors are DOMAIN 4.15's, checked against scipy."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.rate import Figures, pooled, ratio, wilson_lower, wilson_upper

COUNTS = st.integers(0, 10_000)
FIGURES = st.builds(Figures, COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)


@pytest.mark.parametrize(
    ("covered", "mature", "z", "expected"),
    [
        (0, 20, 1.645, 0.1192),
        (14, 20, 1.645, 0.8361),
        (14, 20, 2.326, 0.8731),
        (14, 20, 3.090, 0.9038),
        (17, 20, 1.645, 0.9384),
        (45, 60, 1.645, 0.8298),
        (45, 60, 2.326, 0.8556),
        (45, 60, 3.0902, 0.8798),
        (160, 200, 1.645, 0.8424),
        (160, 200, 2.326, 0.8575),
        (160, 200, 3.090, 0.8728),
        (870, 1000, 1.645, 0.8865),
        (890, 1000, 1.645, 0.9052),
    ],
)
def test_the_upper_bound_is_that_of_the_published_vectors(
    covered: int, mature: int, z: float, expected: float
) -> None:
    assert wilson_upper(covered, mature, z) == pytest.approx(expected, abs=6e-5)


@pytest.mark.parametrize(
    ("covered", "mature", "low", "high"),
    [
        (0, 20, 0.0, 0.1611),
        (14, 20, 0.4810, 0.8545),
        (17, 20, 0.6396, 0.9476),
        (45, 60, 0.6277, 0.8422),
        (160, 200, 0.7391, 0.8495),
        (870, 1000, 0.8477, 0.8894),
        (890, 1000, 0.8691, 0.9079),
    ],
)
def test_the_95_percent_interval_is_that_of_the_published_vectors(
    covered: int, mature: int, low: float, high: float
) -> None:
    assert wilson_lower(covered, mature, 1.959964) == pytest.approx(low, abs=6e-5)
    assert wilson_upper(covered, mature, 1.959964) == pytest.approx(high, abs=6e-5)


def test_no_parcels_bound_nothing() -> None:
    assert (wilson_lower(0, 0, 3.09), wilson_upper(0, 0, 3.09)) == (0.0, 1.0)


@pytest.mark.parametrize(
    ("figures", "rate", "on_time_rate", "low", "high"),
    [
        (Figures(0, 0, 0, 0, 0), None, None, None, None),  # No parcels are no rate, never 0 or 1.
        (Figures(0, 0, 0, 5, 5), None, None, 0.5, 1.0),  # Young parcels alone have no rate yet.
        (Figures(6, 2, 2, 0, 0), 0.8, 0.6, 0.8, 0.8),  # A closed set has one rate, and no room.
        (Figures(6, 2, 2, 5, 5), 0.8, 0.6, 0.65, 0.9),  # Young ones widen the bounds only.
        (Figures(0, 3, 1, 0, 0), 0.75, 0.0, 0.75, 0.75),  # A make-up improves no on-time rate.
    ],
)
def test_rates_are_of_mature_parcels_and_bounds_of_all(
    figures: Figures,
    rate: float | None,
    on_time_rate: float | None,
    low: float | None,
    high: float | None,
) -> None:
    found = (figures.rate, figures.on_time_rate, figures.rate_low, figures.rate_high)
    assert found == (rate, on_time_rate, low, high)


@given(FIGURES)
def test_eligible_is_the_sum_of_its_five_parts(figures: Figures) -> None:
    assert figures.eligible == (
        figures.covered_on_time
        + figures.covered_late
        + figures.missing
        + figures.covered_young
        + figures.pending
    )


@given(FIGURES, st.data())
def test_the_final_rate_of_a_closed_set_lies_between_the_bounds(
    figures: Figures, data: st.DataObject
) -> None:
    registered = data.draw(st.integers(0, figures.pending))
    made_up = 0  # A missing parcel that is made up lifts the rate beyond what was foreseen.
    final = Figures(
        covered_on_time=figures.covered_on_time + figures.covered_young + registered,
        covered_late=figures.covered_late + made_up,
        missing=figures.missing + figures.pending - registered,
        covered_young=0,
        pending=0,
    )
    low, high, rate = figures.rate_low, figures.rate_high, final.rate
    if low is None or high is None or rate is None:
        assert figures.eligible == 0
    else:
        assert low <= rate <= high


@given(st.lists(FIGURES, max_size=5))
def test_pooled_figures_are_sums_and_never_means(parts: list[Figures]) -> None:
    whole = pooled(parts)
    covered = sum(part.covered_on_time + part.covered_late for part in parts)
    assert whole.eligible == sum(part.eligible for part in parts)
    assert whole.rate == ratio(covered, sum(part.mature for part in parts))
