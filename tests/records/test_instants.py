"""Texts of instants, remembered by halves."""

import pytest

from streams.domain.window import DAY_MS, instant_from_text
from streams.records.instants import _CACHE_MAX, Instants
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
