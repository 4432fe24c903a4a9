"""Which categories are in the base."""

import pytest

from streams.domain.category import (
    BATCH_CATEGORIES,
    EXEMPT_CATEGORIES,
    LOOSE_CATEGORIES,
    Category,
)


@pytest.mark.parametrize(
    ("category", "kind"),
    [
        (Category.LOOSE, LOOSE_CATEGORIES),
        (Category.UNCLASSIFIED, LOOSE_CATEGORIES),  # What is not classed counts as loose.
        (Category.AGREEMENT, BATCH_CATEGORIES),
        (Category.ECOMMERCE, BATCH_CATEGORIES),
        (Category.TEMP_BATCH, BATCH_CATEGORIES),
        (Category.OVERSEAS_REFORWARD, BATCH_CATEGORIES),  # A new domestic waybill begins here.
        (Category.WAREHOUSE_DIRECT, BATCH_CATEGORIES),
        (Category.OVERSEAS_INBOUND, EXEMPT_CATEGORIES),  # Collected abroad.
        (Category.EXEMPT, EXEMPT_CATEGORIES),  # The law exempts letters.
    ],
)
def test_a_category_is_of_one_kind(category: Category, kind: frozenset[Category]) -> None:
    kinds = [LOOSE_CATEGORIES, BATCH_CATEGORIES, EXEMPT_CATEGORIES]
    assert [k for k in kinds if category in k] == [kind]
