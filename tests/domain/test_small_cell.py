"""Small cells are withheld, and cannot be worked out from the rest."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.small_cell import CELL_MIN, is_small, told, withheld


@pytest.mark.parametrize(
    ("count", "shown", "why"),
    [
        (0, 0, "that there is none says nothing of anybody"),
        (1, None, "one parcel is one person's"),
        (4, None, "four may know of each other"),
        (5, 5, "the least that is told"),
    ],
)
def test_a_count(count: int, shown: int | None, why: str) -> None:
    assert told(count) == shown, why


@pytest.mark.parametrize(
    ("sizes", "hidden", "why"),
    [
        ({"a": 10, "b": 0}, set(), "nothing is small"),
        ({"a": 10, "b": 2}, {"a", "b"}, "b alone would be the whole less a"),
        ({"a": 10, "b": 2, "c": 7}, {"b", "c"}, "the smallest of the others hides it"),
        ({"a": 10, "b": 2, "c": 3}, {"b", "c"}, "together they are five"),
        ({"a": 3}, {"a"}, "there is nothing to hide it behind: the whole is as small"),
    ],
)
def test_parts(sizes: dict[str, int], hidden: set[str], why: str) -> None:
    assert withheld(sizes) == hidden, why


@given(st.dictionaries(st.sampled_from("abcdefg"), st.integers(0, 12)))
def test_what_is_withheld_comes_to_no_small_number(sizes: dict[str, int]) -> None:
    hidden = withheld(sizes)
    assert {name for name, count in sizes.items() if is_small(count)} <= hidden
    whole, rest = sum(sizes.values()), sum(sizes[name] for name in hidden)
    assert not hidden or rest >= CELL_MIN or whole == rest
