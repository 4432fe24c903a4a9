"""Filters, order and pages: what a list answers with, and where the next page begins."""

import base64
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from operator import attrgetter
from typing import Annotated, Final, Generic, Literal, TypeVar

import orjson
from pydantic import BaseModel, ConfigDict, Field

from streams.serve.access import Access
from streams.serve.rows import AlertRow, DayRow, RateRow, Row
from streams.web.problems import ProblemError, forbidden

LIMIT_DEFAULT: Final = 100
LIMIT_MAX: Final = 20_000
"""A table of all outlets in one answer: 12,000 of them take some 25 MB."""

Granularity = Literal["OUTLET", "COUNTY", "CITY", "ENTERPRISE", "ENTERPRISE_CITY", "REGION"]
RateStatus = Literal["OK", "AT_RISK", "BREACH", "INSUFFICIENT", "UNKNOWN"]
Severity = Literal["CRITICAL", "MAJOR", "MINOR", "INFO"]
Format = Literal["json", "csv"]

Text = Annotated[str, Field(min_length=1, max_length=80)]
RowT = TypeVar("RowT", RateRow, DayRow, AlertRow)
Place = tuple[str, ...]
"""Where a row stands in its list: compared part by part."""


class Listing(BaseModel):
    """Filters of every list. One that is not known is refused: a misspelt one would show all."""

    model_config = ConfigDict(extra="forbid")

    granularity: Granularity | None = Field(None, description="Only scopes of this kind")
    id: Text | None = Field(
        None,
        description="Only the scope with this id, whatever its kind",
        examples=["150102-YTO-0001"],
    )
    city: Text | None = Field(
        None, description="Only what lies in this city, by its code", examples=["150100"]
    )
    county: Text | None = Field(
        None, description="Only what lies in this county, by its code", examples=["150102"]
    )
    enterprise: Text | None = Field(
        None,
        description="Only what is this enterprise's, by its id",
        examples=["911500000000010041"],
    )
    limit: int = Field(LIMIT_DEFAULT, ge=1, le=LIMIT_MAX, description="Rows of a page at most")
    cursor: Annotated[str, Field(max_length=500)] | None = Field(
        None, description="Where the page begins: `next_cursor` of the page before"
    )
    format: Format | None = Field(
        None, description="Form of the answer; otherwise as the header Accept asks, or JSON"
    )

    def check(self, access: Access) -> None:
        """Refuse filters that ask for what somebody may not see; raises ProblemError."""
        if access.forbids(
            city_code=self.city, county_code=self.county, enterprise_id=self.enterprise
        ):
            raise forbidden("your token is for another city or enterprise; leave that filter out")

    def wanted(self) -> list[tuple[str, object]]:
        """Return what a row's attributes must be; only of the filters that were given."""
        pairs = (
            ("granularity", self.granularity),
            ("scope_id", self.id),
            ("city_code", self.city),
            ("county_code", self.county),
            ("enterprise_id", self.enterprise),
        )
        return [(name, value) for name, value in pairs if value is not None]

    def keeps(self, row: Row) -> bool:
        """Return whether a row passes what `wanted` cannot say."""
        del row
        return True


class RatesListing(Listing):
    """Filters of rates."""

    status: RateStatus | None = Field(None, description="Only scopes with this verdict")
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = Field(
        None, description="Only figures of this business day", examples=["2017-09-06"]
    )

    def wanted(self) -> list[tuple[str, object]]:
        """Return what a row's attributes must be; only of the filters that were given."""
        pairs = (("status", self.status), ("date", self.date))
        return super().wanted() + [(name, value) for name, value in pairs if value is not None]


class AlertsListing(Listing):
    """Filters of alerts."""

    status: Literal["open", "firing", "clearing", "ended", "all"] = Field(
        "open", description="Only alerts in this state; open is firing or clearing"
    )
    severity: Severity | None = Field(None, description="Only alerts that are this severe now")
    date: Annotated[str, Field(pattern=r"^\d{4}-\d{2}-\d{2}$")] | None = Field(
        None, description="Only alerts raised on this day", examples=["2017-09-06"]
    )

    def keeps(self, row: Row) -> bool:
        """Return whether a row passes."""
        assert isinstance(row, AlertRow)
        in_state = self.status == "all" or (
            row.is_open if self.status == "open" else row.state == self.status
        )
        return (
            in_state
            and (self.severity is None or row.severity == self.severity)
            and (self.date is None or row.first_at.startswith(self.date))
        )


@dataclass(frozen=True, slots=True)
class Page(Generic[RowT]):
    """One page; `next_cursor` is None on the last."""

    rows: Sequence[RowT]
    next_cursor: str | None


def page_of(
    parts: Iterable[Iterable[RowT]],
    listing: Listing,
    access: Access,
    place: Callable[[RowT], Place],
) -> Page[RowT]:
    """Return the page of rows that somebody may see and asks for, in the order of `place`.

    All places of one part must come before those of the next, which is not looked at if the page is
    full. A row that comes or goes between two pages moves no other onto a page twice, or off both.

    Raises:
        ProblemError: A filter is not for this reader, or the cursor is not one of ours.
    """
    listing.check(access)
    after = _place_of(listing.cursor) if listing.cursor is not None else ()
    wanted = listing.wanted()
    found: list[tuple[Place, RowT]] = []
    for part in parts:
        rows = part if access.everything else filter(access.sees, part)
        for name, value in wanted:
            # One filter after the other, each a loop without a call of ours: 12,000 rows are many.
            get = attrgetter(name)
            rows = [row for row in rows if get(row) == value]
        placed = [(place(row), row) for row in rows if listing.keeps(row)]
        found += sorted((item for item in placed if item[0] > after), key=lambda item: item[0])
        if len(found) > listing.limit:
            break
    shown = found[: listing.limit]
    more = len(found) > len(shown)
    return Page([row for _, row in shown], _cursor_of(shown[-1][0]) if more else None)


def _cursor_of(place: Place) -> str:
    return base64.urlsafe_b64encode(orjson.dumps(place)).decode().rstrip("=")


def _place_of(cursor: str) -> Place:
    try:
        found = orjson.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    except ValueError:
        found = None
    if not isinstance(found, list) or not all(isinstance(part, str) for part in found):
        raise ProblemError(
            422, "Invalid parameters", "cursor: is none of ours; take next_cursor of a page"
        )
    return tuple(found)
