"""Names of cells."""

import pytest

from streams.domain.category import Category
from streams.domain.cell import (
    CATEGORY_MASK,
    CATEGORY_SHIFT,
    COUNTERS,
    PANE_BITS,
    PANE_MASK,
    SCOPE_MASK,
    UNIT_MAX,
    UNIT_SHIFT,
    Counter,
    cell_of,
    group_of,
)


@pytest.mark.parametrize(
    ("unit", "category", "scope", "pane"),
    [
        (0, 0, 0, 0),
        (1, Category.ECOMMERCE, 5, 5_016_000),
        (UNIT_MAX, CATEGORY_MASK, SCOPE_MASK, PANE_MASK),
    ],
)
def test_a_cell_gives_back_what_it_was_made_of(
    unit: int, category: int, scope: int, pane: int
) -> None:
    cell = cell_of(group_of(unit, category, scope), pane)
    assert cell < 1 << 63
    assert cell & PANE_MASK == pane
    group = cell >> PANE_BITS
    assert group >> UNIT_SHIFT == unit
    assert group >> CATEGORY_SHIFT & CATEGORY_MASK == category
    assert group & SCOPE_MASK == scope


def test_every_category_and_counter_fits() -> None:
    assert max(Category) <= CATEGORY_MASK
    assert sorted(Counter) == list(range(COUNTERS))
