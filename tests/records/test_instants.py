"""Texts of instants: one by one, remembered, and a column at once."""

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.window import DAY_MS, instant_from_text
from streams.records.instants import _CACHE_MAX, Instants, column
from streams.records.rejects import Refused, RejectCode

TIMES = [
    "2017-09-08T10:00:00+08:00",
    "2017-09-08T02:00:00Z",
    "2017-09-08T02:00:00.5Z",
    "2017-09-08T02:00:00.123456789Z",
    "2017-09-07T15:30:59.999-11:30",
    "2016-02-29T23:59:59Z",
    "1999-12-31T23:59:59+00:00",
    "2999-12-31T23:59:59.999Z",
]


def test_an_instant_is_the_same_at_first_and_remembered() -> None:
    instants = Instants()
    for text in TIMES * 2:
        expected = instant_from_text(text)
        assert instants.parse(text, "$.time") == expected


def test_what_is_remembered_has_a_limit() -> None:
    instants = Instants()
    instants._heads = dict.fromkeys(map(str, range(_CACHE_MAX)), 0)
    instants._tails = dict.fromkeys(map(str, range(_CACHE_MAX)), 0)
    assert instants.parse("1970-01-02T00:00:00Z", "$.time") == DAY_MS
    assert (len(instants._heads), len(instants._tails)) == (1, 1)


NO_TIMES = ["2017-09-08 10:00:00Z", "2017-09-08T10:00:00", "2017-09-08T10:00:60Z",
            "2017-02-29T10:00:00Z", "2017-09-08T24:00:00Z", "3000-01-01T00:00:00Z", "now", ""]  # fmt: skip


@pytest.mark.parametrize("text", NO_TIMES)
def test_what_is_no_rfc3339_instant_is_refused_with_the_fields_path(text: str) -> None:
    with pytest.raises(Refused) as refused:
        Instants().parse(text, "$.time")
    assert (refused.value.code, refused.value.path) == (RejectCode.BAD_TIME, "$.time")


ZONES = ["Z", "+08:00", "-11:30", "+08:0"]
FRACTIONS = ["", ".5", ".123", ".123456789", ".1234567890"]
DATES = [
    "2017-09-08",
    "2016-02-29",
    "2017-02-29",
    "1999-12-31",
    "0000-01-01",
    "2017-13-01",
    "９017-09-08",
]
CLOCKS = ["00:00:00", "23:59:59", "24:00:00", "10:60:00", "10:00:60", "1a:00:00", "10-00-00"]
DRAWN = st.tuples(*map(st.sampled_from, (DATES[:2], CLOCKS[:2], FRACTIONS[:4], ZONES[:3])))
STRANGE = st.tuples(*map(st.sampled_from, (DATES, CLOCKS, FRACTIONS, ZONES)))


def written(drawn: tuple[str, str, str, str]) -> str:
    date, clock, fraction, zone = drawn
    return f"{date}T{clock}{fraction}{zone}"


@given(st.lists(DRAWN, max_size=5), st.lists(STRANGE, max_size=2), st.randoms())
def test_a_column_is_what_its_texts_are_or_none(
    good: list[tuple[str, str, str, str]], strange: list[tuple[str, str, str, str]], order: Random
) -> None:
    texts = [written(drawn) for drawn in [*good, *strange]]
    order.shuffle(texts)
    found = column(texts)
    if found is not None:
        assert found.tolist() == [Instants().parse(text, "$.time") for text in texts]


ALIKE = [
    ("without a fraction", ["2017-09-08T10:00:00+08:00", "2017-09-09T00:00:01+08:00"]),
    ("with milliseconds", ["2017-09-08T10:00:00.001Z", "2016-02-29T23:59:59.999Z"]),
    ("finer than milliseconds", ["2017-09-08T10:00:00.0019-11:30"] * 3),
    ("with tenths", ["2017-09-08T10:00:00.5Z", "2017-09-08T10:00:00.7Z"]),
    ("none at all", []),
]


@pytest.mark.parametrize(("_case", "texts"), ALIKE)
def test_texts_written_alike_are_a_column(_case: str, texts: list[str]) -> None:
    found = column(texts)
    assert found is not None
    assert found.tolist() == [instant_from_text(text) for text in texts]


HIDDEN = [
    ("a longer one beside a shorter one", ["2017-09-08T10:00:00.55Z", "2017-09-08T10:00:00.5Z",
                                           "2017-09-08T10:00:00.555Z"]),
    ("two zones of one length", ["2017-09-08T10:00:00+08:00", "2017-09-08T10:00:00+07:00"]),
    ("one that is none", ["2017-09-08T10:00:00Z", "2017-09-08T10:00:6?Z"]),
]  # fmt: skip


@pytest.mark.parametrize(("_case", "texts"), HIDDEN)
def test_texts_written_otherwise_are_none(_case: str, texts: list[str]) -> None:
    assert column(texts) is None
