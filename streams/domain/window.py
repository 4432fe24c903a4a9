"""Event-time arithmetic: ticks, panes and business days.

Instants are UTC epoch milliseconds (`_ms`). A *pane* is a five-minute interval of collection time and
is named by its number since the epoch. A *tick* is a one-minute boundary, at which verdicts are made.
A *business day* is an Asia/Shanghai calendar day and is named by its number since 1970-01-01 there.
China keeps no daylight saving time, so a fixed offset is exact for every date since 1992.
"""

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

MINUTE_MS: Final = 60_000
HOUR_MS: Final = 60 * MINUTE_MS
DAY_MS: Final = 24 * HOUR_MS

TICK_MS: Final = MINUTE_MS
PANE_MS: Final = 5 * MINUTE_MS
PANES_PER_DAY: Final = DAY_MS // PANE_MS
SHANGHAI_OFFSET_MS: Final = 8 * HOUR_MS
SHANGHAI_OFFSET_PANES: Final = SHANGHAI_OFFSET_MS // PANE_MS

assert PANE_MS % TICK_MS == 0
assert SHANGHAI_OFFSET_MS % PANE_MS == 0, "a pane never straddles a business day"

_EPOCH_DATE: Final = date(1970, 1, 1)
_EPOCH: Final = datetime(1970, 1, 1)  # noqa: DTZ001 - of texts that end in the offset


def tick_at_or_after(instant_ms: int) -> int:
    """Return the one-minute boundary at or after `instant_ms`, in milliseconds."""
    return -(-instant_ms // TICK_MS) * TICK_MS


def pane_of(instant_ms: int) -> int:
    """Return the number of the pane that holds `instant_ms`."""
    return instant_ms // PANE_MS


def pane_end_ms(pane: int) -> int:
    """Return the exclusive end of a pane, in milliseconds."""
    return (pane + 1) * PANE_MS


def day_of(instant_ms: int) -> int:
    """Return the business day that holds `instant_ms`."""
    return (instant_ms + SHANGHAI_OFFSET_MS) // DAY_MS


def day_of_pane(pane: int) -> int:
    """Return the business day that a pane belongs to."""
    return (pane + SHANGHAI_OFFSET_PANES) // PANES_PER_DAY


def day_start_ms(day: int) -> int:
    """Return the first instant of a business day (00:00 in Shanghai), in milliseconds."""
    return day * DAY_MS - SHANGHAI_OFFSET_MS


def day_text(day: int) -> str:
    """Return a business day as `YYYY-MM-DD`."""
    return (_EPOCH_DATE + timedelta(days=day)).isoformat()


def day_from_text(text: str) -> int:
    """Return the business day named by `YYYY-MM-DD`; raises ValueError for anything else."""
    return (date.fromisoformat(text) - _EPOCH_DATE).days


def instant_text(instant_ms: int) -> str:
    """Return an instant as RFC 3339 in Shanghai time, for example `2017-09-08T14:20:00+08:00`.

    Milliseconds are written only where they are not zero.
    """
    minute, rest_ms = divmod(instant_ms, MINUTE_MS)
    second, millisecond = divmod(rest_ms, 1000)
    fraction = f".{millisecond:03d}" if millisecond else ""
    return f"{_minute_text(minute)}:{second:02d}{fraction}+08:00"


@lru_cache(maxsize=4096)
def _minute_text(minute: int) -> str:
    moment = _EPOCH + timedelta(milliseconds=minute * MINUTE_MS + SHANGHAI_OFFSET_MS)
    return moment.isoformat(timespec="minutes")


def instant_from_text(text: str) -> int:
    """Return the instant of an RFC 3339 text with an offset, rounded down to milliseconds.

    Raises ValueError when the text is not RFC 3339 or names no offset.
    """
    moment = datetime.fromisoformat(text)
    if moment.tzinfo is None:
        message = f"{text!r} has no offset; write it like 2017-09-08T14:20:00+08:00"
        raise ValueError(message)
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)
