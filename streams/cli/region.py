"""Reference files for commands that need no Kafka, and their scopes in words that a person knows."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams.domain.period import Granularity
from streams.reference.areas import Areas, shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.history import history_of
from streams.reference.listing import Kind
from streams.reference.types import Reference, ReferenceHistory
from streams.resources import config_dir

_REGION: Final = {"en": "the whole region", "zh": "全区"}


def history_from(files: Mapping[Kind, Path | None]) -> ReferenceHistory:
    """Return the history of these files, all of it from the beginning of time.

    Without outlets the region is the demonstration's, and its files stand in for all that are None;
    with outlets, only the files that are named count.

    Raises:
        ReferenceFileError: With the mistakes of all files.
    """
    given = {kind: file for kind, file in files.items() if file is not None}
    if Kind.OUTLETS not in given:
        folder = config_dir()
        given = {kind: given.get(kind, folder / FILE_NAMES[kind]) for kind in Kind}
    return history_of(read_files(given, shipped_areas()).values())


class Names:
    """Says what a scope is called. What nobody has named is called by its id."""

    def __init__(self, reference: Reference, language: str, areas: Areas | None = None) -> None:
        """Take the names from the reference data and the areas that ship with the program."""
        areas = shipped_areas() if areas is None else areas
        self._language: Final = language
        self._counties: Final = areas.counties
        self._cities: Final = {
            county.city_code: (county.city_name, county.city_name_en)
            for county in areas.counties.values()
        }
        self._outlets: Final = {**reference.retired, **reference.outlets}
        self._brands: Final = {
            outlet.enterprise_id: outlet.brand_code for outlet in self._outlets.values()
        }

    def scope(self, granularity: str, scope_id: str) -> str:
        """Return the name of a scope of any granularity."""
        match granularity:
            case Granularity.REGION.value:
                return _REGION[self._language]
            case Granularity.CITY.value:
                return self.city(scope_id)
            case Granularity.COUNTY.value:
                return self._county(scope_id)
            case Granularity.ENTERPRISE.value:
                return self._enterprise(scope_id)
            case Granularity.ENTERPRISE_CITY.value:
                enterprise_id, _, city_code = scope_id.rpartition("|")
                return f"{self._enterprise(enterprise_id)} · {self.city(city_code)}"
            case Granularity.OUTLET.value:
                return self.outlet(scope_id)
            case _:
                return scope_id

    def city(self, city_code: str) -> str:
        """Return a city's name; in English the Chinese one follows."""
        if city_code not in self._cities:
            return city_code
        chinese, english = self._cities[city_code]
        return chinese if self._language == "zh" else f"{english} {chinese}"

    def place(self, code: str) -> str:
        """Return the short name of a city or county code; other codes are their own."""
        if code in self._cities:
            return self._cities[code][0 if self._language == "zh" else 1]
        return self._county(code)

    def outlet(self, outlet_id: str) -> str:
        """Return an outlet's brand and its name, in which the county is by custom."""
        outlet = self._outlets.get(outlet_id)
        return outlet_id if outlet is None else f"{outlet.brand_code} {outlet.name}"

    def _county(self, county_code: str) -> str:
        county = self._counties.get(county_code)
        if county is None:
            return county_code
        if self._language == "zh":
            return f"{county.city_name}{county.name}"
        return f"{county.name}, {county.city_name_en}"

    def _enterprise(self, enterprise_id: str) -> str:
        return self._brands.get(enterprise_id, enterprise_id)
