"""RFC 3339 texts to epoch milliseconds: one by one with a memory, or a whole column at once."""

import re
from collections.abc import Sequence
from datetime import date
from functools import lru_cache
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.domain.window import DAY_MS, instant_from_text
from streams.records.rejects import Refused, RejectCode

_HEAD: Final = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d", re.ASCII)
_TAIL: Final = re.compile(r"(?:\.(\d{1,9}))?(Z|[+-](?:[01]\d|2[0-3]):[0-5]\d)", re.ASCII)
_HEAD_LENGTH: Final = 19
_CACHE_MAX: Final = 500_000
_SECOND_MAX: Final = 59
_HOUR_MAX: Final = 23
_YEAR_MAX: Final = 2999
"""A later one is no instant: ticks and panes of a clock so wrong would not fit their columns."""
_Y2000_MS: Final = 946_684_800_000
_EPOCH_ORDINAL: Final = date(1970, 1, 1).toordinal()


class Instants:
    """Texts to instants, remembered by halves.

    A day has 86,400 seconds and a millisecond fraction 1,000 values, so nearly every text of a busy
    stream is the sum of two numbers that are known already: 0.2 µs instead of 1 µs.
    """

    def __init__(self) -> None:
        """Start with nothing remembered."""
        self._heads: dict[str, int] = {}
        self._tails: dict[str, int] = {}
        self._minutes: dict[str, int] = {}

    def parse(self, text: str, path: str) -> int:
        """Return the instant, rounded down to milliseconds; raises Refused(BAD_TIME) naming `path`.

        Years after 2999 are refused: the agenda of all stages would be at its end with that one record.
        """
        head, tail = text[:_HEAD_LENGTH], text[_HEAD_LENGTH:]
        try:
            return self._heads[head] + self._tails[tail]
        except KeyError:
            return self._learn(head, tail, path)

    def _learn(self, head: str, tail: str, path: str) -> int:
        if not (_HEAD.fullmatch(head) and _TAIL.fullmatch(tail)):
            raise Refused(RejectCode.BAD_TIME, path)
        minute = head[:16]
        try:
            minute_ms = self._minutes.get(minute)
            if minute_ms is None:
                minute_ms = self._minutes[minute] = instant_from_text(f"{minute}:00Z")
            second = int(head[17:])
            if second > _SECOND_MAX or int(head[:4]) > _YEAR_MAX:
                raise Refused(RejectCode.BAD_TIME, path)
            head_ms = minute_ms + 1000 * second
            tail_ms = self._tails.get(tail)
            if tail_ms is None:
                tail_ms = _after_y2000_ms(tail)
        except ValueError:
            raise Refused(RejectCode.BAD_TIME, path) from None
        if len(self._heads) >= _CACHE_MAX:
            self._heads.clear()
            self._minutes.clear()
        if len(self._tails) >= _CACHE_MAX:
            self._tails.clear()
        self._heads[head] = head_ms
        self._tails[tail] = tail_ms
        return head_ms + tail_ms


def _after_y2000_ms(tail: str) -> int:
    return instant_from_text(f"2000-01-01T00:00:00{tail}") - _Y2000_MS


INSTANTS: Final = Instants()
"""One memory for all partitions of a process: what it remembers is true everywhere."""


def column(texts: Sequence[str]) -> npt.NDArray[np.int64] | None:
    """Return what `Instants.parse` gives for each of the texts, or None where this way is no way.

    That is where they are not all written alike, with as many digits and in one zone, or where one of
    them is no instant. One producer writes all its instants alike, so a batch mostly is a column:
    0.06 µs a text.
    """
    if not texts:
        return np.empty(0, np.int64)
    pattern = texts[0]
    tail = _TAIL.fullmatch(pattern[_HEAD_LENGTH:])
    joined = "".join(texts)
    size, length = len(texts), len(pattern)
    if not (tail and _HEAD.fullmatch(pattern[:_HEAD_LENGTH])):
        return None
    # A text of another length cannot hide between others: its zone begins where this one has a digit,
    # or it has a digit where this one's begins.
    if len(joined) != size * length or not joined.isascii():
        return None
    letters = np.frombuffer(joined.encode(), np.uint8).reshape(size, length)
    letters = np.ascontiguousarray(letters.T)
    zone = tail[2]
    digits_at, fixed_at = _places_of(length, len(zone))
    if (letters[fixed_at] != letters[fixed_at, :1]).any():
        return None
    digits = letters[digits_at] - ord("0")
    seconds = _seconds(digits[:14]) if digits.max() <= 9 else None  # noqa: PLR2004 - a digit
    if seconds is None:
        return None
    found: npt.NDArray[np.int64] = seconds * 1000
    for digit, worth in zip(digits[14:], (100, 10, 1), strict=False):
        found += digit * np.int64(worth)
    found += _zone_ms(zone)
    return found


@lru_cache(maxsize=64)
def _places_of(length: int, zone_length: int) -> tuple[Sequence[int], Sequence[int]]:
    """Return where the digits of head and fraction stand, and where what all texts must share."""
    pattern = "0000-00-00T00:00:00.".ljust(length - zone_length, "0")[: length - zone_length]
    digits = [at for at, letter in enumerate(pattern) if letter == "0"]
    return digits, [at for at in range(length) if at not in digits]


@lru_cache(maxsize=64)
def _zone_ms(zone: str) -> int:
    return _after_y2000_ms(zone)


def _seconds(digits: npt.NDArray[np.uint8]) -> npt.NDArray[np.int64] | None:
    """Return the seconds since the epoch of year, month, day, hour, minute and second; None if none."""
    hours, minutes, seconds = (digits[at] * 10 + digits[at + 1] for at in (8, 10, 12))
    if hours.max() > _HOUR_MAX or max(minutes.max(), seconds.max()) > _SECOND_MAX:
        return None
    found: npt.NDArray[np.int64] = hours * np.int64(3600)
    found += minutes * np.int64(60)
    found += seconds
    dates = digits[:8]
    try:
        if (dates == dates[:, :1]).all():
            found += _midnight_s(dates[:, 0].tolist())
        else:
            some, places = np.unique(dates, axis=1, return_inverse=True)
            found += np.array([_midnight_s(of) for of in some.T.tolist()], np.int64)[places.ravel()]
    except ValueError:
        return None
    return found


def _midnight_s(digits: Sequence[int]) -> int:
    a, b, c, d, e, f, g, h = digits
    year = a * 1000 + b * 100 + c * 10 + d
    if year > _YEAR_MAX:
        raise ValueError("no year in which anything is sent")
    day = date(year, e * 10 + f, g * 10 + h)
    return (day.toordinal() - _EPOCH_ORDINAL) * (DAY_MS // 1000)
