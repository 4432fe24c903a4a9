"""Administrative areas (GB/T 2260) of the region that is monitored: which codes exist."""

import csv
import io
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from streams.domain.period import area_prefix
from streams.resources import config_dir

COUNTIES_FILE: Final = "counties.csv"
_CODE_DIGITS: Final = (2, 4, 6)


@dataclass(frozen=True, slots=True)
class County:
    """One county-level area. `city_code` has six digits; the city's name is Chinese and English."""

    county_code: str
    name: str
    city_code: str
    city_name: str
    city_name_en: str


@dataclass(frozen=True)
class Areas:
    """The counties of the region, by code. Development zones, which are no divisions of the
    standard, are among them: they count for their city and have a row of their own.
    """  # noqa: D205 (one sentence, and the next belongs to it)

    counties: Mapping[str, County]

    @cached_property
    def _prefixes(self) -> frozenset[str]:
        return frozenset(code[:digits] for code in self.counties for digits in _CODE_DIGITS)

    def contains(self, code: str) -> bool:
        """Return whether a province, city or county code names an area of the region."""
        return is_area_code(code) and area_prefix(code) in self._prefixes

    def touches(self, code: str) -> bool:
        """Return whether a code lies in a province of the region, known or not."""
        return code[:2] in self._prefixes

    def city_code(self, county_code: str) -> str:
        """Return the six-digit code of a known county's city."""
        return self.counties[county_code].city_code


def is_area_code(code: str) -> bool:
    """Return whether a code has the form of an area: 2, 4 or 6 digits, such as 15, 1501, 150100."""
    return len(code) in _CODE_DIGITS and code.isascii() and code.isdigit() and code[0] != "0"


def areas_from_csv(text: str) -> Areas:
    """Return the areas of a CSV file with the columns of `County`.

    The file ships with the program, so a wrong one is a bug (KeyError, TypeError).
    """
    rows = csv.DictReader(io.StringIO(text))
    return Areas({row["county_code"]: County(**row) for row in rows})


def shipped_areas() -> Areas:
    """Return the areas of the region that ships with the program: Inner Mongolia, 108 areas.

    Raises FileNotFoundError when the installation is broken.
    """
    return areas_from_csv((config_dir() / COUNTIES_FILE).read_text("utf-8"))
