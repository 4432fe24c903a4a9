"""What people call the scopes and event periods that alerts name by id."""

from dataclasses import dataclass
from typing import Final, Protocol

from streams.records.published import AlertRecord
from streams.reference.areas import Areas
from streams.reference.types import ReferenceHistory


@dataclass(frozen=True, slots=True)
class Bilingual:
    """A text in English and in Chinese."""

    en: str
    zh: str


class Names(Protocol):
    """Looks names up. What has none is called by its id."""

    def scope(self, record: AlertRecord) -> Bilingual:
        """Return the name of a record's scope."""
        ...

    def period(self, event_period_id: str) -> Bilingual:
        """Return the name of an event period."""
        ...


class Ids:
    """No names but ids."""

    def scope(self, record: AlertRecord) -> Bilingual:
        """Return the scope's id, with its level."""
        level, level_zh = _LEVELS.get(record.granularity, (record.granularity.lower(), ""))
        return Bilingual(f"{level} {record.scope_id}", f"{level_zh}{record.scope_id}")

    def period(self, event_period_id: str) -> Bilingual:
        """Return the id."""
        return Bilingual(event_period_id, event_period_id)


_LEVELS: Final = {
    "OUTLET": ("outlet", "网点"),
    "COUNTY": ("county", "县区"),
    "CITY": ("city", "盟市"),
    "ENTERPRISE": ("enterprise", "企业"),
    "ENTERPRISE_CITY": ("enterprise in a city", "企业（盟市）"),
    "REGION": ("region", "全区"),
}


class ReferenceNames:
    """Names from the reference data and the list of counties. Knows as much as `history` does."""

    def __init__(self, history: ReferenceHistory, areas: Areas) -> None:
        self._history: Final = history
        self._counties: Final = areas.counties
        self._cities: Final = {
            county.city_code: (county.city_name_en, county.city_name)
            for county in areas.counties.values()
        }
        self._ids: Final = Ids()

    def scope(self, record: AlertRecord) -> Bilingual:
        """Return the scope's name, with its id where the name alone may not be enough."""
        plain, scope_id = self._ids.scope(record), record.scope_id
        city = self._cities.get(record.city_code or "")
        outlet = self._history.latest.outlets.get(scope_id)
        county = self._counties.get(scope_id)
        match record.granularity:
            case "OUTLET" if outlet is not None:
                return Bilingual(f"{plain.en} ({outlet.name})", f"{outlet.name}（{scope_id}）")
            case "COUNTY" if county is not None:
                return Bilingual(
                    f"county {scope_id} ({county.name}, {county.city_name_en})",
                    f"{county.city_name}{county.name}",
                )
            case "CITY" if city is not None:
                return Bilingual(f"city {city[0]}", city[1])
            case "ENTERPRISE_CITY" if city is not None:
                enterprise = record.enterprise_id or scope_id
                return Bilingual(
                    f"enterprise {enterprise} in {city[0]}", f"{city[1]}企业{enterprise}"
                )
        return plain

    def period(self, event_period_id: str) -> Bilingual:
        """Return the period's name, with its id."""
        for period in self._history.latest.periods:
            if period.event_period_id == event_period_id:
                return Bilingual(
                    f"{period.name_en} ({event_period_id})",
                    f"{period.name_zh}（{event_period_id}）",
                )
        return self._ids.period(event_period_id)
