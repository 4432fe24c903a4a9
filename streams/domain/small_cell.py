"""Small cells: a figure of so few parcels that somebody could tell whose they are is not given away.

Only what cannot be traced to a person is anonymous (Personal Information Protection Law, 73), so what
leaves to third parties shows nothing of a group of one to four parcels. Nor may it be worked out: of
parts that add up to a whole that is shown, never is one alone withheld.
"""

from collections.abc import Mapping
from typing import Final

CELL_MIN: Final = 5
"""The least number of parcels that is told."""


def is_small(count: int) -> bool:
    """Return whether a group of so many parcels is to be withheld. None at all may be told."""
    return 0 < count < CELL_MIN


def told(count: int) -> int | None:
    """Return a count of parcels, or None where it is to be withheld."""
    return None if is_small(count) else count


def withheld(sizes: Mapping[str, int]) -> frozenset[str]:
    """Return which parts of a whole are to be withheld, by the number of parcels in each.

    The small ones; and where these come to fewer than `CELL_MIN` parcels together, the smallest of the
    others as well, since whole and others would give them away.
    """
    small = [name for name, count in sizes.items() if is_small(count)]
    if not small or sum(sizes[name] for name in small) >= CELL_MIN:
        return frozenset(small)
    others = sorted((count, name) for name, count in sizes.items() if count >= CELL_MIN)
    return frozenset([*small, *(name for _, name in others[:1])])
