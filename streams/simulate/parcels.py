"""Draws parcels: where, when, of which class and where to, and whether they will be covered."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.category import BATCH_CATEGORIES, EXEMPT_CATEGORIES, Category
from streams.reference.types import Filing, Reference
from streams.simulate.columns import Bools, Columns, Ints, pick
from streams.simulate.region import Region
from streams.simulate.scenario import Scenario

ELSEWHERE: Final = ("110101", "310115", "440305", "330110", "370202", "130102", "610102", "540102")
"""Destinations outside the region."""
INTERNATIONAL: Final = "310115"  # Leaves the country through the exchange office there.

EXEMPT: Final = np.array([c in EXEMPT_CATEGORIES for c in Category])
_BATCH: Final = np.array([c in BATCH_CATEGORIES for c in Category])
_AGREEMENT_KINDS: Final = {Category.ECOMMERCE: "ECOMMERCE", Category.TEMP_BATCH: "TEMP_LETTER"}
INVALID_AGREEMENT: Final = 0.4
"""Share, of batch parcels that no agreement covers, that name one all the same."""


@dataclass(slots=True)
class Parcels(Columns):
    """Parcels, as columns.

    Attributes:
        number: Unique in the feed; the waybill is made of it.
        outlet: Index of the outlet in the region.
        courier: Which of the outlet's couriers, 0 to 2.
        time_ms: Collection.
        category: Number of the category.
        destination: Index into `Destinations`; 0 is the outlet's own county.
        to_host: Whether the destination is the host city.
        agreement: Index into `Agreements`; 0 is none.
        covered: Whether an agreement or a registration covers it.
        by_agreement: Whether the agreement does.

    """

    number: Ints
    outlet: Ints
    courier: Ints
    time_ms: Ints
    category: Ints
    destination: Ints
    to_host: Bools
    agreement: Ints
    covered: Bools
    by_agreement: Bools


class Destinations:
    """Where parcels go: the outlet's own county (index 0), other cities, elsewhere, the host."""

    def __init__(self, scenario: Scenario, region: Region) -> None:
        """List the destinations."""
        others = sorted({o.county_code[:4]: o.county_code for o in region.outlets}.values())
        self.host = scenario.host
        self.codes = ("", *others, *ELSEWHERE, *([scenario.host.code] if scenario.host else []))
        host_city = scenario.host.code[:4] if scenario.host else "none"
        self._to_host = np.array([code.startswith(host_city) for code in self.codes])
        self._own_is_host = np.array([o.county_code.startswith(host_city) for o in region.outlets])
        local, inland = 0.13, 0.17  # One parcel of eight stays in its city.
        weights = [local, *[inland / len(others)] * len(others)]
        weights += [(1 - local - inland) / len(ELSEWHERE)] * len(ELSEWHERE)
        if self.host is not None:
            weights = [w * (1 - self.host.share) for w in weights] + [self.host.share]
        self._cumulated = np.cumsum(weights)

    def draw(self, outlet: Ints, rng: np.random.Generator) -> tuple[Ints, Bools]:
        """Return each parcel's destination, and whether it is the host city."""
        index = pick(self._cumulated, len(outlet), rng)
        return index, np.where(index == 0, self._own_is_host[outlet], self._to_host[index])


class Agreements:
    """The agreements of the reference data, and which of them cover what at an instant."""

    def __init__(self, reference: Reference) -> None:
        """List the agreements; index 0 stands for none."""
        self.ids = ("", *sorted(reference.agreements))
        self.customers = ("", *(reference.agreements[i][0].customer_token for i in self.ids[1:]))
        self._filings = [reference.agreements[i] for i in self.ids[1:]]

    def at(self, start_ms: int, end_ms: int) -> tuple[list[Ints], Ints]:
        """Return those that cover each category all through an interval, and those that do not."""
        covering = [any(_covers(f, start_ms, end_ms) for f in filings) for filings in self._filings]
        kinds = [filings[0].agreement_kind for filings in self._filings]
        by_category = []
        for category in Category:
            wanted = _AGREEMENT_KINDS.get(category, "AGREEMENT")
            members = [i + 1 for i, c in enumerate(covering) if c and kinds[i] == wanted]
            by_category.append(np.array(members, np.int64))
        lacking = np.array([i + 1 for i, c in enumerate(covering) if not c], np.int64)
        return by_category, lacking


def _covers(filing: Filing, start_ms: int, end_ms: int) -> bool:
    return (
        filing.org_code_present
        and filing.responsible_id_present
        and filing.valid_from_ms <= start_ms
        and end_ms <= filing.valid_to_ms
        and filing.recorded_at_ms <= start_ms
    )


@dataclass(frozen=True, slots=True)
class Drawer:
    """Draws the parcels of one scenario in one region."""

    scenario: Scenario
    region: Region
    destinations: Destinations
    agreements: Agreements

    def draw(self, count: int, span_ms: tuple[int, int], rng: np.random.Generator) -> Parcels:
        """Draw `count` parcels of [start, end), numbered from 0; covered as the true rates say."""
        outlet = pick(np.cumsum(self.region.sizes), count, rng)
        time_ms = rng.integers(*span_ms, count)
        mix = np.array([self.scenario.category_mix.get(c.name, 0.0) for c in Category])
        category = pick(np.cumsum(mix), count, rng)
        destination, to_host = self.destinations.draw(outlet, rng)
        rate = self.region.rates(outlet, time_ms)
        if self.scenario.host is not None:
            rate = np.where(to_host, self.scenario.host.rate, rate)
        covered = (rng.random(count) < rate) & ~EXEMPT[category]
        agreement, by_agreement = self._agreements(covered, category, span_ms, rng)
        return Parcels(
            number=np.arange(count),
            outlet=outlet,
            courier=rng.integers(0, 3, count),
            time_ms=time_ms,
            category=category,
            destination=destination,
            to_host=to_host,
            agreement=agreement,
            covered=covered,
            by_agreement=by_agreement,
        )

    def _agreements(
        self, covered: Bools, category: Ints, span_ms: tuple[int, int], rng: np.random.Generator
    ) -> tuple[Ints, Bools]:
        by_category, lacking = self.agreements.at(*span_ms)
        batch = _BATCH[category]
        wanted = batch & covered & (rng.random(len(covered)) < self.scenario.habits.agreement_use)
        agreement = np.zeros(len(covered), np.int64)
        for number, members in enumerate(by_category):
            mask = wanted & (category == number)
            if len(members):
                agreement[mask] = rng.choice(members, int(mask.sum()))
        by_agreement = agreement > 0
        if len(lacking):
            mask = batch & ~by_agreement & (rng.random(len(covered)) < INVALID_AGREEMENT)
            agreement[mask] = rng.choice(lacking, int(mask.sum()))
        return agreement, by_agreement
