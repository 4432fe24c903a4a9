"""What a reference file lists, checked in itself but not yet against what is known."""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final, Generic, TypeVar

from streams.domain.period import EventPeriod
from streams.reference.types import Filing, Source

ItemT = TypeVar("ItemT")


class Kind(Enum):
    """Kinds of reference data: one file each, applied one by one."""

    OUTLETS = "outlets"
    AGREEMENTS = "agreements"
    SOURCES = "sources"
    PERIODS = "periods"


@dataclass(frozen=True, slots=True)
class ListedOutlet:
    """An outlet as a file names it, without the number that only the known outlets give."""

    outlet_id: str
    name: str
    brand_code: str
    enterprise_id: str
    county_code: str
    duty_group: str


@dataclass(frozen=True, slots=True)
class Row(Generic[ItemT]):
    """One item and the line where it stands, counted from 1."""

    line: int
    item: ItemT


@dataclass(frozen=True, slots=True)
class Listing(Generic[ItemT]):
    """All rows of one file, in its order, without contradictions among them."""

    file: str
    rows: tuple[Row[ItemT], ...]


class Outlets(Listing[ListedOutlet]):
    """Outlets, no two with one id."""


class Agreements(Listing[Filing]):
    """Filings, no two of one agreement by one filer."""


class Sources(Listing[Source]):
    """Sources, no two with one name."""


class Periods(Listing[EventPeriod]):
    """Periods, no two with one id; none has its scope bit yet."""


AnyListing = Outlets | Agreements | Sources | Periods

KIND_OF: Final[Mapping[type[AnyListing], Kind]] = {
    Outlets: Kind.OUTLETS,
    Agreements: Kind.AGREEMENTS,
    Sources: Kind.SOURCES,
    Periods: Kind.PERIODS,
}
