"""A cell: the counts of one unit, category, event scope and pane of collection time.

Changes of cells add up in any order, which is what makes everything above them simple.
A cell is named by one integer below 2^63, so that columns of cells are plain int64 arrays:

    unit (16 bits) | category (4) | event scope (16) | pane (27)

`unit` is an outlet's number in what the match stage counts, and a (county, enterprise) pair's number
in what the rate stage passes on. `group` is a cell's name without its pane.
"""

from enum import IntEnum
from typing import Final

PANE_BITS: Final = 27  # Five-minute panes since 1970 reach 2^27 in the year 3246.
SCOPE_BITS: Final = 16  # One bit per destination-scoped period that is known at a time.
CATEGORY_BITS: Final = 4
UNIT_BITS: Final = 16

PANE_MASK: Final = (1 << PANE_BITS) - 1
SCOPE_MASK: Final = (1 << SCOPE_BITS) - 1
CATEGORY_MASK: Final = (1 << CATEGORY_BITS) - 1
UNIT_MAX: Final = (1 << UNIT_BITS) - 1

CATEGORY_SHIFT: Final = SCOPE_BITS
UNIT_SHIFT: Final = SCOPE_BITS + CATEGORY_BITS

CELL_BITS: Final = UNIT_SHIFT + UNIT_BITS + PANE_BITS
assert CELL_BITS < 64, "a cell fits a signed 64-bit integer"  # noqa: PLR2004 - the sentence says it


class Counter(IntEnum):
    """What a cell counts. The numbers are part of the formats of `counts` and `totals`."""

    ELIGIBLE = 0
    COVERED_ON_TIME = 1
    COVERED_LATE = 2
    EXEMPT = 3
    VOIDED = 4
    RESCANS = 5
    DUPLICATES = 6
    ATTEMPTS_FAILED = 7
    BACKDATED = 8
    ORPHANS = 9
    AFTER_CLOSE = 10


COUNTERS: Final = len(Counter)


def group_of(unit: int, category: int, scope: int) -> int:
    """Return the group of a unit's number, a category's number and an event scope."""
    return unit << UNIT_SHIFT | category << CATEGORY_SHIFT | scope


def cell_of(group: int, pane: int) -> int:
    """Return the cell of a group and a pane."""
    return group << PANE_BITS | pane
