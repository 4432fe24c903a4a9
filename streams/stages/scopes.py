"""Which scopes a group's parcels count for: its outlet, or its county, city, enterprise and region.

A *unit* is what a cell names: an outlet's number below `rate`, a (county, enterprise) pair above it.
Units and scopes are numbered densely, in the order of ticks in which they were first seen.
"""

from collections import Counter as Tally
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from streams.domain.cell import CATEGORY_MASK, CATEGORY_SHIFT, SCOPE_MASK, UNIT_SHIFT
from streams.domain.period import Granularity, code_matches
from streams.reference.types import ENTERPRISES_MAX, Outlet, Reference
from streams.stages.columns import Bools, Index, Int64s, Ints

COUNTY_MASK: Final = 0xFF
ENTERPRISE_SHIFT: Final = 8

assert 1 << ENTERPRISE_SHIFT == ENTERPRISES_MAX == COUNTY_MASK + 1


@dataclass(frozen=True, slots=True)
class Scope:
    """One scope and where it belongs; None where it spans several.

    `duty_group` of a roll-up is the one that most of its outlets have.
    """

    granularity: Granularity
    scope_id: str
    city_code: str | None
    county_code: str | None
    enterprise_id: str | None
    duty_group: str | None


def city_of(county_code: str) -> str:
    """Return the city of a county: its first four digits, then `00`."""
    return f"{county_code[:4]}00"


def region_of(county_code: str) -> str:
    """Return the region of a county: its first two digits, then `0000`."""
    return f"{county_code[:2]}0000"


def outlet_scope(outlet: Outlet) -> Scope:
    """Return an outlet as a scope."""
    return Scope(
        granularity=Granularity.OUTLET,
        scope_id=outlet.outlet_id,
        city_code=city_of(outlet.county_code),
        county_code=outlet.county_code,
        enterprise_id=outlet.enterprise_id,
        duty_group=outlet.duty_group,
    )


class Scopes(Protocol):
    """How the groups of one partition are put together to scopes."""

    granularities: tuple[Granularity, ...]

    @property
    def count(self) -> int:
        """How many scopes there are, of all granularities."""
        ...

    @property
    def group_categories(self) -> Ints:
        """Category of each group."""
        ...

    @property
    def group_event_scopes(self) -> Int64s:
        """Event scope of each group."""
        ...

    def take(self, reference: Reference) -> None:
        """Use another version of the reference data."""
        ...

    def follow(self, groups: Index) -> bool:
        """Number what is new among the groups; return whether anything is."""
        ...

    def of_groups(self, granularity: Granularity) -> Ints:
        """Return each group's scope of one granularity."""
        ...

    def in_origin(self, codes: tuple[str, ...], day: int) -> Bools:
        """Return, by group, whether its parcels of a business day were collected in an area."""
        ...

    def scope(self, number: int) -> Scope:
        """Return one scope."""
        ...


class _Groups:
    """What both kinds of scopes know of the groups."""

    def __init__(self) -> None:
        self.group_categories: Ints = np.empty(0, np.intp)
        self.group_event_scopes: Int64s = np.empty(0, np.int64)
        self._units = Index()
        self._group_units: Ints = np.empty(0, np.intp)
        self._areas: dict[tuple[str, ...], Bools] = {}  # By codes: which counties lie inside.

    def follow(self, groups: Index) -> bool:
        """Number what is new among the groups; return whether anything is."""
        new = groups.keys[len(self._group_units) :]
        if not len(new):
            return False
        # Numbered in the order in which they first appear, so that following all groups at once, after a
        # restart, gives the same numbers as following them tick by tick.
        known = len(self._units)
        units = self._units.find(new >> UNIT_SHIFT, np.arange(len(new)))
        self._group_units = np.concatenate([self._group_units, units])
        categories = (new >> CATEGORY_SHIFT & CATEGORY_MASK).astype(np.intp)
        self.group_categories = np.concatenate([self.group_categories, categories])
        self.group_event_scopes = np.concatenate([self.group_event_scopes, new & SCOPE_MASK])
        self._add_units(self._units.keys[known:].tolist())
        return True

    def _add_units(self, numbers: Sequence[int]) -> None:
        raise NotImplementedError

    def _inside(self, reference: Reference, codes: tuple[str, ...]) -> Bools:
        """Return, by county, whether it lies in an area."""
        if codes not in self._areas:
            counties = [code_matches(code, codes) for code in reference.counties]
            self._areas[codes] = np.array(counties, np.bool_)
        return self._areas[codes]


class OutletScopes(_Groups):
    """Every unit is an outlet, and every outlet is a scope."""

    granularities: tuple[Granularity, ...] = (Granularity.OUTLET,)

    def __init__(self) -> None:
        super().__init__()
        self._reference = Reference()
        self._by_number: dict[int, Outlet] = {}
        self._counties: dict[str, int] = {}
        self._enterprises: dict[str, int] = {}
        self._pairs: Int64s = np.empty(0, np.int64)
        self._moved: list[tuple[int, int, int]] = []  # Unit, until day, pair.
        self._made: dict[int, Scope] = {}  # Under the present reference data.

    @property
    def count(self) -> int:
        """How many outlets have been seen."""
        return len(self._units)

    def take(self, reference: Reference) -> None:
        """Use another version. An outlet that it leaves out stays where it was."""
        self._reference = reference
        self._areas = {}
        self._by_number |= {outlet.number: outlet for outlet in reference.outlets.values()}
        self._counties = {code: number for number, code in enumerate(reference.counties)}
        self._enterprises = {name: number for number, name in enumerate(reference.enterprises)}
        self._pairs = np.empty(0, np.int64)
        self._moved = []
        self._made = {}
        self._place(0)

    def _add_units(self, numbers: Sequence[int]) -> None:
        self._place(len(self._units) - len(numbers))

    def remember(self, outlets: Sequence[Outlet]) -> None:
        """Know these outlets, even if the reference data has dropped them."""
        self._by_number |= {outlet.number: outlet for outlet in outlets}
        self._made = {}

    def seen(self) -> list[Outlet]:
        """Return all outlets that have been seen."""
        return [self._by_number[number] for number in self._units.keys.tolist()]

    def _place(self, first: int) -> None:
        pairs = []
        for unit, number in enumerate(self._units.keys[first:].tolist(), start=first):
            outlet = self._by_number[number]
            pairs.append(self._pair(outlet.enterprise_id, outlet.county_code))
            self._moved += [
                (unit, move.until_day, self._pair(move.enterprise_id, move.county_code))
                for move in reversed(outlet.moves)  # So that the earliest that holds is set last.
            ]
        self._pairs = np.concatenate([self._pairs, np.array(pairs, np.int64)])

    def _pair(self, enterprise_id: str, county_code: str) -> int:
        return self._enterprises[enterprise_id] << ENTERPRISE_SHIFT | self._counties[county_code]

    def pairs_on(self, day: int) -> Int64s:
        """Return, by unit, the number of its (enterprise, county) pair on a business day."""
        moved = [(unit, pair) for unit, until_day, pair in self._moved if day < until_day]
        if not moved:
            return self._pairs
        pairs = self._pairs.copy()
        for unit, pair in moved:
            pairs[unit] = pair
        return pairs

    @property
    def last_move_day(self) -> int:
        """From this business day on no outlet that has been seen belongs elsewhere than now."""
        return max((until_day for _, until_day, _ in self._moved), default=0)

    @property
    def group_units(self) -> Ints:
        """Unit of each group."""
        return self._group_units

    @property
    def unit_numbers(self) -> Int64s:
        """The outlet's number of each unit."""
        return self._units.keys

    def of_groups(self, granularity: Granularity) -> Ints:
        """Return each group's outlet."""
        assert granularity is Granularity.OUTLET
        return self._group_units

    def in_origin(self, codes: tuple[str, ...], day: int) -> Bools:
        """Return, by group, whether its outlet lay in an area on a business day."""
        inside = self._inside(self._reference, codes)
        counties = self.pairs_on(day) & COUNTY_MASK
        found: Bools = inside[counties][self._group_units]
        return found

    def scope(self, number: int) -> Scope:
        """Return an outlet as a scope, at the place where it belongs now."""
        scope = self._made.get(number)
        if scope is None:
            outlet = self._by_number[int(self._units.keys[number])]
            scope = self._made[number] = outlet_scope(outlet)
        return scope


ROLLUPS: Final = (
    Granularity.COUNTY,
    Granularity.CITY,
    Granularity.ENTERPRISE,
    Granularity.ENTERPRISE_CITY,
    Granularity.REGION,
)


class RollupScopes(_Groups):
    """Every unit is an (enterprise, county) pair, and counts for a scope of each granularity."""

    granularities: tuple[Granularity, ...] = ROLLUPS

    def __init__(self) -> None:
        super().__init__()
        self._reference = Reference()
        self._scopes: list[tuple[Granularity, str, str, str]] = []  # And county code, enterprise.
        self._numbers: dict[tuple[Granularity, str], int] = {}
        self._unit_scopes: Ints = np.empty((len(ROLLUPS), 0), np.intp)
        self._duty: dict[tuple[Granularity, str], str] = {}
        self._made: dict[int, Scope] = {}  # Under the present reference data.

    @property
    def count(self) -> int:
        """How many scopes of all granularities have been seen."""
        return len(self._scopes)

    def take(self, reference: Reference) -> None:
        """Use another version."""
        self._reference = reference
        self._areas = {}
        self._made = {}
        outlets = Tally(
            (outlet.enterprise_id, outlet.county_code, outlet.duty_group)
            for outlet in reference.outlets.values()
        )
        tallies: dict[tuple[Granularity, str], Tally[str]] = {}
        for (enterprise_id, county_code, duty_group), count in outlets.items():
            for key in rollup_keys(enterprise_id, county_code):
                tallies.setdefault(key, Tally())[duty_group] += count
        self._duty = {
            key: min(tally.items(), key=lambda of: (-of[1], of[0]))[0]
            for key, tally in tallies.items()
        }

    def _add_units(self, numbers: Sequence[int]) -> None:
        columns = []
        for unit in numbers:
            enterprise_id = self._reference.enterprises[unit >> ENTERPRISE_SHIFT]
            county_code = self._reference.counties[unit & COUNTY_MASK]
            column = []
            for key in rollup_keys(enterprise_id, county_code):
                if key not in self._numbers:
                    self._numbers[key] = len(self._scopes)
                    self._scopes.append((*key, county_code, enterprise_id))
                column.append(self._numbers[key])
            columns.append(column)
        new = np.array(columns, np.intp).reshape(-1, len(ROLLUPS)).T
        self._unit_scopes = np.concatenate([self._unit_scopes, new], axis=1)

    def of_groups(self, granularity: Granularity) -> Ints:
        """Return each group's scope of one granularity."""
        scopes: Ints = self._unit_scopes[ROLLUPS.index(granularity)][self._group_units]
        return scopes

    def in_origin(self, codes: tuple[str, ...], day: int) -> Bools:  # noqa: ARG002 - pairs never move
        """Return, by group, whether its county lies in an area."""
        inside = self._inside(self._reference, codes)
        found: Bools = inside[(self._units.keys & COUNTY_MASK)[self._group_units]]
        return found

    def number_of(self, granularity: Granularity, scope_id: str) -> int | None:
        """Return a scope's number; None while it has not been seen."""
        return self._numbers.get((granularity, scope_id))

    def scope(self, number: int) -> Scope:
        """Return one scope."""
        scope = self._made.get(number)
        if scope is None:
            scope = self._made[number] = self._make(number)
        return scope

    def _make(self, number: int) -> Scope:
        granularity, scope_id, county_code, enterprise_id = self._scopes[number]
        county = granularity is Granularity.COUNTY
        in_city = county or granularity in (Granularity.CITY, Granularity.ENTERPRISE_CITY)
        of_enterprise = granularity in (Granularity.ENTERPRISE, Granularity.ENTERPRISE_CITY)
        return Scope(
            granularity=granularity,
            scope_id=scope_id,
            city_code=city_of(county_code) if in_city else None,
            county_code=county_code if county else None,
            enterprise_id=enterprise_id if of_enterprise else None,
            duty_group=self._duty.get((granularity, scope_id)),
        )


def rollup_keys(enterprise_id: str, county_code: str) -> tuple[tuple[Granularity, str], ...]:
    """Return granularity and scope id of what a pair's parcels count for, in the order of ROLLUPS."""
    city = city_of(county_code)
    return (
        (Granularity.COUNTY, county_code),
        (Granularity.CITY, city),
        (Granularity.ENTERPRISE, enterprise_id),
        (Granularity.ENTERPRISE_CITY, f"{enterprise_id}|{city}"),
        (Granularity.REGION, region_of(county_code)),
    )
