"""Draws parcels and what happens to them, as columns: one chunk of collection time at once."""

from collections.abc import Sequence
from dataclasses import dataclass, fields
from typing import Final, Self

import numpy as np

from streams.domain.category import BATCH_CATEGORIES, EXEMPT_CATEGORIES, Category
from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from streams.reference.types import Filing, Reference
from streams.simulate.region import Bools, Floats, Ints, Region
from streams.simulate.scenario import Habits, Scenario

EARLY_MS: Final = 14 * MINUTE_MS
"""The most by which a registration is early. Less than a chunk, so a chunk reaches back into one other."""

RESULTS: Final = ("MATCHED", "MISMATCHED", "REFUSED", "UNREADABLE", "NOT_CHECKED")
MATCHED: Final = 0
CHANNELS: Final = ("ENTERPRISE_EDITION", "ANYIDI_PUBLIC", "BACKFILL")
BACKFILL: Final = 2
MODES: Final = ("INDIVIDUAL_ID", "AGREEMENT_BATCH", "TEMP_BATCH_LETTER")

ELSEWHERE: Final = ("110101", "310115", "440305", "330110", "370202", "130102", "610102", "540102")
"""Destinations outside the region."""
INTERNATIONAL: Final = "310115"  # Leaves the country through the exchange office there.

_EXEMPT: Final = np.array([c in EXEMPT_CATEGORIES for c in Category])
_BATCH: Final = np.array([c in BATCH_CATEGORIES for c in Category])
_AGREEMENT_KINDS: Final = {Category.ECOMMERCE: "ECOMMERCE", Category.TEMP_BATCH: "TEMP_LETTER"}
PUBLIC_CHANNEL: Final = 0.2
"""Share of outlets whose registrations come through the public edition."""


class _Columns:
    """Columns of one length."""

    __slots__ = ()

    def take(self, index: Ints | Bools) -> Self:
        """Return the rows at an index or a mask."""
        columns = {f.name: getattr(self, f.name)[index] for f in fields(self)}  # type: ignore[arg-type]  # subclasses are dataclasses
        return type(self)(**columns)

    @classmethod
    def concatenate(cls, parts: Sequence[Self]) -> Self:
        """Return the rows of all parts, in their order."""
        names = [f.name for f in fields(cls)]  # type: ignore[arg-type]  # subclasses are dataclasses
        return cls(**{name: np.concatenate([getattr(p, name) for p in parts]) for name in names})


@dataclass(slots=True)
class Parcels(_Columns):
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

    def __len__(self) -> int:
        """Return the number of parcels."""
        return len(self.number)


@dataclass(slots=True)
class Registrations(_Columns):
    """Records of registrations, as columns.

    Attributes:
        number: The parcel's.
        outlet: Index of the outlet.
        time_ms: When the identity was checked.
        recorded_ms: When the record says that it was uploaded.
        received_ms: When the regulator had it.
        registration: Number of the registration; retries share it.
        result: Index into RESULTS.
        channel: Index into CHANNELS.
        mode: Index into MODES.

    """

    number: Ints
    outlet: Ints
    time_ms: Ints
    recorded_ms: Ints
    received_ms: Ints
    registration: Ints
    result: Ints
    channel: Ints
    mode: Ints

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.number)

    def but(self, **columns: Ints) -> "Registrations":
        """Return the same rows with other columns in place of some."""
        return Registrations(**{f.name: columns.get(f.name, getattr(self, f.name)) for f in fields(self)})


class Destinations:
    """Where parcels go: the outlet's own county (index 0), other cities, elsewhere, the host city (last)."""

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
        index = _pick(self._cumulated, len(outlet), rng)
        return index, np.where(index == 0, self._own_is_host[outlet], self._to_host[index])


class Agreements:
    """The agreements of the reference data, and which of them cover what at an instant."""

    def __init__(self, reference: Reference) -> None:
        """List the agreements; index 0 stands for none."""
        self.ids = ("", *sorted(reference.agreements))
        self.customers = ("", *(reference.agreements[i][0].customer_token for i in self.ids[1:]))
        self._filings = [reference.agreements[i] for i in self.ids[1:]]

    def at(self, start_ms: int, end_ms: int) -> tuple[list[Ints], Ints]:
        """Return the agreements that cover each category all through an interval, and those that do not."""
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
    """Draws parcels and registrations of one scenario in one region."""

    scenario: Scenario
    region: Region
    destinations: Destinations
    agreements: Agreements

    def parcels(self, count: int, span_ms: tuple[int, int], rng: np.random.Generator) -> Parcels:
        """Draw `count` parcels of [start, end), numbered from 0; covered as the true rates say."""
        outlet = _pick(np.cumsum(self.region.sizes), count, rng)
        time_ms = rng.integers(*span_ms, count)
        mix = np.array([self.scenario.category_mix.get(c.name, 0.0) for c in Category])
        category = _pick(np.cumsum(mix), count, rng)
        destination, to_host = self.destinations.draw(outlet, rng)
        rate = self.region.rates(outlet, time_ms)
        if self.scenario.host is not None:
            rate = np.where(to_host, self.scenario.host.rate, rate)
        covered = (rng.random(count) < rate) & ~_EXEMPT[category]
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
            mask = batch & ~by_agreement & (rng.random(len(covered)) < 0.4)
            agreement[mask] = rng.choice(lacking, int(mask.sum()))
        return agreement, by_agreement

    def registrations(self, parcels: Parcels, rng: np.random.Generator) -> Registrations:
        """Draw the registrations that ordinary habits lead to, numbered from 0."""
        habits = self.scenario.habits
        single = parcels.covered & ~parcels.by_agreement
        anyway = parcels.by_agreement & (rng.random(len(parcels)) < habits.registered_anyway)
        some = parcels.take(single | anyway)
        first = self._first(some, rng)
        parts = [first, *self._repeats(first, rng), self._orphans(parcels, rng)]
        parts += self._of_uncovered(parcels.take(~parcels.covered & ~_EXEMPT[parcels.category]), rng)
        return Registrations.concatenate(parts)

    def _first(self, parcels: Parcels, rng: np.random.Generator) -> Registrations:
        """Return one matched registration of each parcel; those to the host city within the grace."""
        count, habits, host = len(parcels), self.scenario.habits, self.scenario.host
        early = rng.random(count) < habits.early
        lag_ms = rng.exponential(habits.upload_lag_minutes * MINUTE_MS, count)
        if host is not None:
            quick_ms = np.minimum(rng.exponential(host.upload_lag_minutes, count), 60) * MINUTE_MS
            lag_ms = np.where(parcels.to_host, quick_ms, lag_ms)
        happened_ms = parcels.time_ms + np.minimum(rng.integers(5_000, 120_000, count), lag_ms)
        recorded_ms = parcels.time_ms + lag_ms
        before_ms = parcels.time_ms - rng.integers(20_000, EARLY_MS - 10_000, count)
        happened_ms = np.where(early, before_ms, happened_ms).astype(np.int64)
        recorded_ms = np.where(early, before_ms + 2_000, recorded_ms).astype(np.int64)
        received_ms = recorded_ms + rng.integers(300, 8_000, count)
        backdated = ~parcels.to_host & ~early & (rng.random(count) < habits.backdated)
        held_ms = rng.integers(20 * MINUTE_MS, 5 * HOUR_MS, count)
        return _make(
            parcels,
            time_ms=happened_ms,
            recorded_ms=recorded_ms,
            received_ms=np.where(backdated, recorded_ms + held_ms, received_ms),
            registration=np.arange(count),
        )

    def _repeats(self, first: Registrations, rng: np.random.Generator) -> list[Registrations]:
        """Return what follows or precedes a first registration: failures, retries, second entries."""
        habits = self.scenario.habits
        again = again_registered(first.take(_some(first, habits.duplicate, rng)), rng)
        retried = first.take(_some(first, habits.retry, rng))
        retry_ms = rng.integers(20_000, 90_000, len(retried))
        retried.recorded_ms += retry_ms
        retried.received_ms += retry_ms
        failed = first.take(_some(first, habits.mismatched_first, rng))
        failed_ms = rng.integers(2_000, 10_000, len(failed))
        # Half of the failures are earlier answers of the very registration that matches in the end.
        own = np.where(rng.random(len(failed)) < 0.5, failed.registration, _NEW)
        failed = failed.but(
            recorded_ms=failed.recorded_ms - failed_ms,
            time_ms=failed.time_ms - failed_ms,
            result=rng.integers(1, len(RESULTS), len(failed)),
            registration=own,
        )
        return [again, retried, failed]

    def _of_uncovered(self, parcels: Parcels, rng: np.random.Generator) -> list[Registrations]:
        """Return the entries of uncovered parcels: attempts that failed, make-up, after the close."""
        habits = self.scenario.habits
        failed = self._first(parcels.take(_some(parcels, habits.failed_only, rng)), rng)
        failed.registration[:] = _NEW
        failed.result = rng.integers(1, len(RESULTS), len(failed))
        shares = [habits.backfill, habits.after_close]
        spans_ms = [(3 * HOUR_MS, 60 * HOUR_MS), (73 * HOUR_MS, 110 * HOUR_MS)]
        parts = [failed]
        for share, span_ms in zip(shares, spans_ms, strict=True):
            chosen = parcels.take(~parcels.to_host & _some(parcels, share, rng))
            recorded_ms = chosen.time_ms + rng.integers(*span_ms, len(chosen))
            made_up = _make(
                chosen,
                time_ms=recorded_ms - 1_000,
                recorded_ms=recorded_ms,
                received_ms=recorded_ms + rng.integers(300, 8_000, len(chosen)),
                registration=np.full(len(chosen), _NEW),
            )
            parts.append(made_up.but(channel=np.full(len(chosen), BACKFILL)))
        return parts

    def _orphans(self, parcels: Parcels, rng: np.random.Generator) -> Registrations:
        """Return registrations whose parcel number is negative: a waybill that nobody collects."""
        orphans = self._first(parcels.take(_some(parcels, self.scenario.habits.orphan, rng)), rng)
        orphans.registration[:] = _NEW
        return orphans.but(number=-1 - np.arange(len(orphans)))


_NEW: Final = -1
"""Registration number of one that gets its own later."""


def numbered(registrations: Registrations) -> Registrations:
    """Return the same rows, with a number for every registration that has none yet."""
    new = registrations.registration == _NEW
    first = int(registrations.registration.max(initial=_NEW)) + 1
    numbers = registrations.registration.copy()
    numbers[new] = first + np.arange(int(new.sum()))
    return registrations.but(registration=numbers)


def again_registered(registrations: Registrations, rng: np.random.Generator) -> Registrations:
    """Return second registrations of the same parcels, some minutes later, mostly the other way."""
    delay_ms = rng.integers(MINUTE_MS, 15 * MINUTE_MS, len(registrations))
    return registrations.but(
        time_ms=registrations.time_ms + delay_ms,
        recorded_ms=registrations.recorded_ms + delay_ms,
        received_ms=registrations.received_ms + delay_ms,
        registration=np.full(len(registrations), _NEW),
        channel=1 - np.minimum(registrations.channel, 1),
    )


def _make(
    parcels: Parcels, *, time_ms: Ints, recorded_ms: Ints, received_ms: Ints, registration: Ints
) -> Registrations:
    batch = np.where(parcels.by_agreement, MODES.index("AGREEMENT_BATCH"), 0)
    letter = ~parcels.by_agreement & (parcels.category == Category.TEMP_BATCH)
    return Registrations(
        number=parcels.number,
        outlet=parcels.outlet,
        time_ms=time_ms,
        recorded_ms=recorded_ms,
        received_ms=received_ms,
        registration=registration,
        result=np.full(len(parcels), MATCHED),
        channel=(parcels.outlet % round(1 / PUBLIC_CHANNEL) == 0).astype(np.int64),
        mode=np.where(letter, MODES.index("TEMP_BATCH_LETTER"), batch),
    )


@dataclass(slots=True)
class Events(_Columns):
    """Records of the smaller kinds, as columns.

    Attributes:
        number: The parcel's.
        outlet: Index of an outlet: the parcel's, or where it is scanned in again.
        time_ms: When it happened.
        received_ms: When the regulator had it.
        detail: Number of a revoked registration; for the other kinds 0.

    """

    number: Ints
    outlet: Ints
    time_ms: Ints
    received_ms: Ints
    detail: Ints

    def __len__(self) -> int:
        """Return the number of records."""
        return len(self.number)


def draw_scans(parcels: Parcels, habits: Habits, rng: np.random.Generator) -> Events:
    """Draw hub scans, three to nine hours after collection."""
    return _after(parcels, habits.hub_scan, (3 * HOUR_MS, 9 * HOUR_MS), rng)


def draw_voids(parcels: Parcels, habits: Habits, rng: np.random.Generator) -> tuple[Events, Events]:
    """Draw voids within the hour, and (void, scan) pairs in which the scan came first and wins."""
    valid = _after(parcels, habits.voided * 0.75, (5 * MINUTE_MS, 60 * MINUTE_MS), rng)
    late = _after(parcels, habits.voided * 0.25, (4 * HOUR_MS, 10 * HOUR_MS), rng)
    scan_ms = late.time_ms - rng.integers(10 * MINUTE_MS, 2 * HOUR_MS, len(late))
    scans = Events(
        late.number, late.outlet, scan_ms, scan_ms + rng.integers(300, 3 * HOUR_MS, len(late)), late.detail
    )
    return Events.concatenate([valid, late]), scans


def draw_rescans(
    parcels: Parcels, region: Region, habits: Habits, rng: np.random.Generator
) -> Events:
    """Draw collections at a neighbouring outlet; every fifth is the earlier one, but is heard of later."""
    rescans = _after(parcels, habits.rescan, (30 * MINUTE_MS, 4 * HOUR_MS), rng)
    rescans.outlet = region.neighbours[rescans.outlet]
    collected_ms = rescans.detail
    earlier = rng.random(len(rescans)) < 0.2
    rescans.time_ms = np.where(earlier, collected_ms - 3 * MINUTE_MS, rescans.time_ms)
    return rescans


def draw_revocations(
    registrations: Registrations, habits: Habits, rng: np.random.Generator
) -> tuple[Events, Registrations]:
    """Draw revocations, up to eight hours later, and the new registrations after every second one."""
    matched = registrations.take(registrations.result == MATCHED)
    chosen = matched.take(_some(matched, habits.revoked, rng))
    time_ms = chosen.recorded_ms + rng.integers(10 * MINUTE_MS, 8 * HOUR_MS, len(chosen))
    # Some revocations overtake the registration that they revoke.
    time_ms = np.where(rng.random(len(chosen)) < 0.1, chosen.time_ms, time_ms)
    received_ms = time_ms + rng.integers(300, 8_000, len(chosen))
    revocations = Events(chosen.number, chosen.outlet, time_ms, received_ms, chosen.registration)
    corrected = chosen.take(rng.random(len(chosen)) < 0.5)
    return revocations, again_registered(corrected, rng)


def draw_receipt(parcels: Parcels, habits: Habits, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return when collections were uploaded and received; a few devices were offline for a while."""
    recorded_ms = parcels.time_ms + rng.integers(200, 5_000, len(parcels))
    offline = rng.random(len(parcels)) < habits.collected_late
    delay_ms = rng.exponential(30 * MINUTE_MS, len(parcels)).astype(np.int64)
    recorded_ms = np.where(offline, recorded_ms + delay_ms, recorded_ms)
    return recorded_ms, recorded_ms + rng.integers(100, 6_000, len(parcels))


def draw_delay(count: int, rng: np.random.Generator) -> Ints:
    """Return delays of re-sent records: mostly minutes, a few two days."""
    minutes_ms = rng.exponential(10 * MINUTE_MS, count).astype(np.int64)
    return minutes_ms + np.where(rng.random(count) < 0.02, 2 * DAY_MS, 1_000)


def _after(
    parcels: Parcels, share: float, span_ms: tuple[int, int], rng: np.random.Generator
) -> Events:
    """Return one event for a share of the parcels; `detail` is the collection time."""
    chosen = parcels.take(_some(parcels, share, rng))
    time_ms = chosen.time_ms + rng.integers(*span_ms, len(chosen))
    received_ms = time_ms + rng.integers(300, 30_000, len(chosen))
    return Events(chosen.number, chosen.outlet, time_ms, received_ms, chosen.time_ms)


def _some(rows: Parcels | Registrations, share: float, rng: np.random.Generator) -> Bools:
    return rng.random(len(rows)) < share


def _pick(cumulated: Floats, count: int, rng: np.random.Generator) -> Ints:
    """Draw indexes by cumulated weights."""
    index = np.searchsorted(cumulated, rng.random(count) * cumulated[-1], side="right")
    return np.minimum(index, len(cumulated) - 1).astype(np.int64)
