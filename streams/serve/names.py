"""Names in words, Chinese and English, for what records name by code."""

from collections import defaultdict
from collections.abc import Mapping
from typing import Final

import msgspec

from streams.reference.areas import Areas
from streams.reference.types import Outlet, Reference

REGIONS: Final[Mapping[str, tuple[str, str]]] = {"150000": ("内蒙古自治区", "Inner Mongolia")}
"""Names of regions by province code; the shipped areas name none. Another's code is its name."""

BRANDS: Final[Mapping[str, tuple[str, str]]] = {
    "YTO": ("圆通", "YTO"),
    "ZTO": ("中通", "ZTO"),
    "STO": ("申通", "STO"),
    "YUNDA": ("韵达", "Yunda"),
    "SF": ("顺丰", "SF"),
    "JD": ("京东", "JD"),
    "EMS": ("邮政EMS", "EMS"),
    "JT": ("极兔", "J&T"),
    "DB": ("德邦", "Deppon"),
}
"""Names of brands by the code that outlets carry. One that is not here is shown by its code."""

# So long as an enterprise has no more brands than this, their names are its name.
_BRANDS_SHOWN: Final = 3


class Name(msgspec.Struct, frozen=True):
    """A name in both languages."""

    zh: str
    en: str


class Names:
    """Names of every scope, as of one version of the reference data."""

    def __init__(self, areas: Areas, reference: Reference) -> None:
        """Take what names are made of; neither changes."""
        self._areas = areas
        self._cities = {
            county.city_code: Name(county.city_name, county.city_name_en)
            for county in areas.counties.values()
        }
        self._outlets: Mapping[str, Outlet] = {**reference.retired, **reference.outlets}
        brands: dict[str, set[str]] = defaultdict(set)
        for outlet in reference.outlets.values():
            brands[outlet.enterprise_id].add(outlet.brand_code)
        self._fields: dict[tuple[str, str], bytes] = {}
        self._brands = {enterprise: sorted(codes) for enterprise, codes in brands.items()}

    @property
    def cities(self) -> Mapping[str, Name]:
        """The region's cities, by code."""
        return self._cities

    @property
    def counties(self) -> Mapping[str, Name]:
        """The region's counties, by code."""
        return {code: self.county(code) for code in self._areas.counties}

    @property
    def enterprises(self) -> Mapping[str, Name]:
        """The enterprises that have outlets, by id."""
        return {enterprise: self.enterprise(enterprise) for enterprise in self._brands}

    def city_of(self, county_code: str) -> str | None:
        """Return a county's city; None for a county that is not known."""
        county = self._areas.counties.get(county_code)
        return county.city_code if county else None

    def outlet(self, outlet_id: str) -> Outlet | None:
        """Return an outlet that is or was listed."""
        return self._outlets.get(outlet_id)

    def city(self, code: str) -> Name:
        """Return a city's name; for an unknown one the code."""
        return self._cities.get(code) or Name(code, code)

    def county(self, code: str) -> Name:
        """Return a county's name, in English with its city, since only that has an English name."""
        county = self._areas.counties.get(code)
        if county is None:
            return Name(code, code)
        return Name(county.name, f"{county.name}, {county.city_name_en}")

    def enterprise(self, enterprise_id: str) -> Name:
        """Return an enterprise's brands; its id where no outlet tells them."""
        codes = self._brands.get(enterprise_id, [])
        if not codes or len(codes) > _BRANDS_SHOWN:
            return Name(enterprise_id, enterprise_id)
        named = [BRANDS.get(code, (code, code)) for code in codes]
        return Name("、".join(zh for zh, _ in named), ", ".join(en for _, en in named))

    def scope(self, granularity: str, scope_id: str) -> Name:
        """Return the name of a scope; its id where nothing better is known. Never fails."""
        match granularity:
            case "REGION":
                return Name(*REGIONS.get(scope_id, (scope_id, scope_id)))
            case "CITY":
                return self.city(scope_id)
            case "COUNTY":
                return self.county(scope_id)
            case "ENTERPRISE":
                return self.enterprise(scope_id)
            case "ENTERPRISE_CITY":
                enterprise_id, _, city_code = scope_id.partition("|")
                whose, where = self.enterprise(enterprise_id), self.city(city_code)
                return Name(f"{whose.zh} · {where.zh}", f"{whose.en}, {where.en}")
            case _:
                return self._outlet_name(scope_id)

    def fields(self, granularity: str, scope_id: str) -> bytes:
        """Return a scope's name as fields of a JSON object, without its braces.

        Remembered: ask it only for scopes that there are, so that they bound the memory.
        """
        key = granularity, scope_id
        known = self._fields.get(key)
        if known is None:
            name = self.scope(granularity, scope_id)
            known = msgspec.json.encode({"name_zh": name.zh, "name_en": name.en})[1:-1]
            self._fields[key] = known
        return known

    def _outlet_name(self, outlet_id: str) -> Name:
        outlet = self._outlets.get(outlet_id)
        if outlet is None:
            return Name(outlet_id, outlet_id)
        zh, en = BRANDS.get(outlet.brand_code, (outlet.brand_code, outlet.brand_code))
        return Name(f"{zh} {outlet.name}", f"{en} {outlet.name}")
