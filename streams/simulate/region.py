"""The region that is played: which outlets, their sizes, their rates and their neighbours."""

import zlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.window import DAY_MS, HOUR_MS, SHANGHAI_OFFSET_MS
from streams.reference.types import Outlet, Reference
from streams.simulate.columns import Floats, Ints
from streams.simulate.scenario import HOUR_WEIGHTS, Scenario, ScenarioError, instant_ms

CITY_SHARES: Final = {
    "1501": 0.45,
    "1502": 0.13,
    "1503": 0.02,
    "1504": 0.09,
    "1505": 0.06,
    "1506": 0.08,
    "1507": 0.06,
    "1508": 0.03,
    "1509": 0.03,
    "1522": 0.02,
    "1525": 0.02,
    "1529": 0.01,
}
"""Volume by city: one of twelve has nearly half. Other areas share in like the smallest."""
assert round(sum(CITY_SHARES.values()), 6) == 1

ZIPF_EXPONENT: Final = 0.6
ZIPF_OFFSET: Final = 5.0  # Keeps a city's busiest outlet at a few times its tenth.
RATE_LEAST: Final = 0.02
RATE_MOST: Final = 0.999

_HOURS_BEFORE: Final = np.concatenate([[0.0], np.cumsum(HOUR_WEIGHTS)]) / sum(HOUR_WEIGHTS)


@dataclass(frozen=True, slots=True)
class Region:
    """Outlets that are played, as columns of one length.

    Attributes:
        outlets: In order of their number.
        sizes: Parcels a day.
        deviations: How far each outlet's own rate is from the scenario's.
        neighbours: Another outlet of the same city, of the same enterprise if there is one; itself
            if there is none.
        rate_instants_ms: Instants of the scenario's rates.
        rate_values: The rates at those instants.

    """

    outlets: tuple[Outlet, ...]
    sizes: Floats
    deviations: Floats
    neighbours: Ints
    rate_instants_ms: Floats
    rate_values: Floats

    @property
    def parcels_per_day(self) -> float:
        """Parcels of all played outlets on one day."""
        return float(self.sizes.sum())

    def rates(self, outlet: Ints, time_ms: Ints) -> Floats:
        """Return the true rate at each (outlet index, instant): the share that is ever covered."""
        base = np.interp(time_ms, self.rate_instants_ms, self.rate_values)
        return np.clip(base + self.deviations[outlet], RATE_LEAST, RATE_MOST)


def make_region(scenario: Scenario, reference: Reference, rng: np.random.Generator) -> Region:
    """Choose the outlets and draw their rates; sizes depend on the reference data, not on `rng`.

    Raises:
        ScenarioError: There are no outlets.
    """
    everyone = sorted(reference.outlets.values(), key=lambda o: o.number)
    if not everyone:
        raise ScenarioError("no outlets in the reference data: apply an outlets file first")
    sizes = _shares(everyone) * scenario.region_parcels_per_day
    if scenario.outlets == "busiest":
        share = min(1.0, scenario.parcels_per_day / scenario.region_parcels_per_day)
        played = _busiest(everyone, sizes, share)
    else:
        played = np.arange(len(everyone))
    outlets = tuple(everyone[i] for i in played)
    chosen = sizes[played]
    if scenario.outlets == "all" or scenario.parcels_per_day > scenario.region_parcels_per_day:
        chosen = chosen * (scenario.parcels_per_day / chosen.sum())
    return Region(
        outlets=outlets,
        sizes=chosen,
        deviations=rng.normal(0.0, scenario.rate_spread, len(outlets)),
        neighbours=_neighbours(outlets),
        rate_instants_ms=np.array([instant_ms(at) for at, _ in scenario.rates], np.float64),
        rate_values=np.array([rate for _, rate in scenario.rates]),
    )


def days_of_volume(time_ms: int) -> float:
    """Return how many days' volume is collected from 1970 to an instant, by the hours' weights."""
    day, in_day_ms = divmod(time_ms + SHANGHAI_OFFSET_MS, DAY_MS)
    hour, in_hour_ms = divmod(in_day_ms, HOUR_MS)
    before, after = _HOURS_BEFORE[hour], _HOURS_BEFORE[hour + 1]
    return float(day + before + (after - before) * in_hour_ms / HOUR_MS)


def _shares(outlets: Sequence[Outlet]) -> Floats:
    """Return each outlet's share of the region's volume: its city's, by Zipf's law within it."""
    by_city: dict[str, list[int]] = {}
    for index, outlet in enumerate(outlets):
        by_city.setdefault(outlet.county_code[:4], []).append(index)
    shares = np.zeros(len(outlets))
    for city, members in by_city.items():
        # Ordered by a checksum, so that size goes neither by county nor by brand.
        members.sort(key=lambda i: (zlib.crc32(outlets[i].outlet_id.encode()), i))
        weights = (np.arange(len(members)) + 1 + ZIPF_OFFSET) ** -ZIPF_EXPONENT
        city_share = CITY_SHARES.get(city, min(CITY_SHARES.values()))
        shares[members] = weights / weights.sum() * city_share
    whole: float = shares.sum()
    return shares / whole


def _busiest(outlets: Sequence[Outlet], sizes: Floats, share: float) -> Ints:
    """Return the outlets that make up `share` of each city's volume, the busiest first."""
    by_city: dict[str, list[int]] = {}
    for index in np.argsort(-sizes, kind="stable").tolist():
        by_city.setdefault(outlets[index].county_code[:4], []).append(index)
    chosen: list[int] = []
    for members in by_city.values():
        before = np.cumsum(sizes[members]) - sizes[members]
        chosen += [
            m for m, b in zip(members, before, strict=True) if b < share * sizes[members].sum()
        ]
    return np.array(sorted(chosen), np.int64)


def _neighbours(outlets: Sequence[Outlet]) -> Ints:
    """Return another outlet for each, where a parcel may be scanned in again."""
    neighbours = np.arange(len(outlets))
    for place in (
        [o.county_code[:4] for o in outlets],
        [f"{o.county_code[:4]}|{o.enterprise_id}" for o in outlets],
    ):
        for members in _grouped(place):
            if len(members) > 1:
                neighbours[members] = members[1:] + members[:1]
    return neighbours


def _grouped(places: Iterable[str]) -> Iterable[list[int]]:
    groups: dict[str, list[int]] = {}
    for index, place in enumerate(places):
        groups.setdefault(place, []).append(index)
    return groups.values()
