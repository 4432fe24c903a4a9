"""Parcel categories and how they enter the rate (DOMAIN: classes in the base, loose and batch)."""

from enum import IntEnum
from typing import Final


class Category(IntEnum):
    """Class of a parcel. The numbers are part of the cell's name and of the state log's format."""

    LOOSE = 0
    AGREEMENT = 1
    ECOMMERCE = 2
    TEMP_BATCH = 3
    OVERSEAS_INBOUND = 4
    OVERSEAS_REFORWARD = 5
    WAREHOUSE_DIRECT = 6
    EXEMPT = 7
    UNCLASSIFIED = 8


EXEMPT_CATEGORIES: Final = frozenset({Category.EXEMPT, Category.OVERSEAS_INBOUND})
"""Never in the base: letters by law, and parcels collected abroad."""

BATCH_CATEGORIES: Final = frozenset(
    {
        Category.AGREEMENT,
        Category.ECOMMERCE,
        Category.TEMP_BATCH,
        Category.OVERSEAS_REFORWARD,
        Category.WAREHOUSE_DIRECT,
    }
)
"""Covered by a valid filed agreement, or else like a loose parcel by its own registration."""

LOOSE_CATEGORIES: Final = frozenset({Category.LOOSE, Category.UNCLASSIFIED})
"""Covered only by a registration of this very waybill."""

assert set(Category) == EXEMPT_CATEGORIES | BATCH_CATEGORIES | LOOSE_CATEGORIES
