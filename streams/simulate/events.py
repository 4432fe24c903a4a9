"""Draws the smaller records: hub scans, voids, rescans, revocations; and when records are received."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from streams.simulate.columns import Columns, Ints, some
from streams.simulate.parcels import Parcels
from streams.simulate.region import Region
from streams.simulate.registrations import MATCHED, Registrations, again_registered
from streams.simulate.scenario import Habits

# Shares, of the events named, that are out of the ordinary.
EARLIER_RESCAN: Final = 0.2
LATE_VOID: Final = 0.25
OVERTAKING_REVOCATION: Final = 0.1
CORRECTED: Final = 0.5
HELD_RESENT: Final = 0.02


@dataclass(slots=True)
class Events(Columns):
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


def draw_scans(parcels: Parcels, habits: Habits, rng: np.random.Generator) -> Events:
    """Draw hub scans, three to nine hours after collection."""
    return _after(parcels, habits.hub_scan, (3 * HOUR_MS, 9 * HOUR_MS), rng)


def draw_voids(parcels: Parcels, habits: Habits, rng: np.random.Generator) -> tuple[Events, Events]:
    """Draw voids within the hour, and (void, scan) pairs in which the scan came first and wins."""
    valid = _after(parcels, habits.voided * (1 - LATE_VOID), (5 * MINUTE_MS, 60 * MINUTE_MS), rng)
    late = _after(parcels, habits.voided * LATE_VOID, (4 * HOUR_MS, 10 * HOUR_MS), rng)
    scan_ms = late.time_ms - rng.integers(10 * MINUTE_MS, 2 * HOUR_MS, late.count)
    scans = Events(
        late.number,
        late.outlet,
        scan_ms,
        scan_ms + rng.integers(300, 3 * HOUR_MS, late.count),
        late.detail,
    )
    return Events.concatenate([valid, late]), scans


def draw_rescans(
    parcels: Parcels, region: Region, habits: Habits, rng: np.random.Generator
) -> Events:
    """Draw collections at a neighbouring outlet; some are the earlier one, but are heard of later."""
    rescans = _after(parcels, habits.rescan, (30 * MINUTE_MS, 4 * HOUR_MS), rng)
    rescans.outlet = region.neighbours[rescans.outlet]
    collected_ms = rescans.detail
    earlier = some(rescans, EARLIER_RESCAN, rng)
    rescans.time_ms = np.where(earlier, collected_ms - 3 * MINUTE_MS, rescans.time_ms)
    return rescans


def draw_revocations(
    registrations: Registrations, habits: Habits, rng: np.random.Generator
) -> tuple[Events, Registrations]:
    """Draw revocations, up to eight hours later, and new registrations after some of them."""
    matched = registrations.take(registrations.result == MATCHED)
    chosen = matched.take(some(matched, habits.revoked, rng))
    time_ms = chosen.recorded_ms + rng.integers(10 * MINUTE_MS, 8 * HOUR_MS, chosen.count)
    # Some revocations overtake the registration that they revoke.
    time_ms = np.where(some(chosen, OVERTAKING_REVOCATION, rng), chosen.time_ms, time_ms)
    received_ms = time_ms + rng.integers(300, 8_000, chosen.count)
    revocations = Events(chosen.number, chosen.outlet, time_ms, received_ms, chosen.registration)
    corrected = chosen.take(some(chosen, CORRECTED, rng))
    return revocations, again_registered(corrected, rng)


def draw_receipt(parcels: Parcels, habits: Habits, rng: np.random.Generator) -> tuple[Ints, Ints]:
    """Return when collections were uploaded and received; a few devices were offline."""
    recorded_ms = parcels.time_ms + rng.integers(200, 5_000, parcels.count)
    offline = rng.random(parcels.count) < habits.collected_late
    delay_ms = rng.exponential(30 * MINUTE_MS, parcels.count).astype(np.int64)
    recorded_ms += np.where(offline, delay_ms, 0)
    return recorded_ms, recorded_ms + rng.integers(100, 6_000, parcels.count)


def draw_delay(count: int, rng: np.random.Generator) -> Ints:
    """Return delays of re-sent records: mostly minutes, a few two days."""
    minutes_ms = rng.exponential(10 * MINUTE_MS, count).astype(np.int64)
    return minutes_ms + np.where(rng.random(count) < HELD_RESENT, 2 * DAY_MS, 1_000)


def _after(
    parcels: Parcels, share: float, span_ms: tuple[int, int], rng: np.random.Generator
) -> Events:
    """Return one event for a share of the parcels; `detail` is the collection time."""
    chosen = parcels.take(some(parcels, share, rng))
    time_ms = chosen.time_ms + rng.integers(*span_ms, chosen.count)
    received_ms = time_ms + rng.integers(300, 30_000, chosen.count)
    return Events(chosen.number, chosen.outlet, time_ms, received_ms, chosen.time_ms)
