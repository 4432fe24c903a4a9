"""The curve of a business day: a scope's rate so far, quarter hour by quarter hour.

`rates` holds only the present, so points are kept as they pass. A view that has just started knows what
is left of the topic and no more; what it says of the time before is nothing, not a guess.
"""

from dataclasses import dataclass, field
from typing import Final

import msgspec

from streams.domain.window import MINUTE_MS, instant_from_text
from streams.serve.rows import RateRow

POINT_MS: Final = 15 * MINUTE_MS
DAYS_KEPT: Final = 2
"""The day that is judged and the one that has begun."""

KEPT: Final = frozenset({"REGION", "CITY", "ENTERPRISE", "ENTERPRISE_CITY"})
"""Scopes that may head a board; for outlets and counties nobody asks."""


class Point(msgspec.Struct, frozen=True):
    """A scope's business day to date: `mature` parcels, of which `covered`, as of `at`."""

    at: str
    rate: float | None
    mature: int
    covered: int


@dataclass(slots=True)
class Curves:
    """The points of all scopes. At most `DAYS_KEPT` days of 96 points each."""

    _points: dict[tuple[str, str], dict[str, dict[int, Point]]] = field(default_factory=dict)

    def take(self, row: RateRow) -> None:
        """Keep what a record says as the latest point of its quarter hour."""
        if row.granularity not in KEPT or row.today.mature == 0:
            return
        days = self._points.setdefault((row.granularity, row.scope_id), {})
        day = days.setdefault(row.date, {})
        slot = -(-instant_from_text(row.as_of) // POINT_MS) * POINT_MS
        known = day.get(slot)
        if known is None or known.at <= row.as_of:
            day[slot] = Point(row.as_of, row.today.rate, row.today.mature, row.today.covered)
        for old in sorted(days)[:-DAYS_KEPT]:
            del days[old]

    def points(self, granularity: str, scope_id: str, date: str) -> list[Point]:
        """Return the points of a business day, in order of time."""
        day = self._points.get((granularity, scope_id), {}).get(date, {})
        return [day[slot] for slot in sorted(day)]
