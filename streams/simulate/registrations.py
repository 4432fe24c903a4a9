"""Draws registrations: who is registered when, how often, and what goes wrong in an ordinary way."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.domain.category import Category
from streams.domain.window import HOUR_MS, MINUTE_MS
from streams.simulate.columns import Columns, Ints, some
from streams.simulate.parcels import EXEMPT, Parcels
from streams.simulate.scenario import CHUNK_MS, Habits, Host

EARLY_MS: Final = 14 * MINUTE_MS
"""The most by which a registration is early; less than a chunk."""
assert EARLY_MS < CHUNK_MS


RESULTS: Final = ("MATCHED", "MISMATCHED", "REFUSED", "UNREADABLE", "NOT_CHECKED")
MATCHED: Final = 0
CHANNELS: Final = ("ENTERPRISE_EDITION", "ANYIDI_PUBLIC", "BACKFILL")
BACKFILL: Final = 2
MODES: Final = ("INDIVIDUAL_ID", "AGREEMENT_BATCH", "TEMP_BATCH_LETTER")

PUBLIC_CHANNEL: Final = 0.2
"""Share of outlets whose registrations come through the public edition."""
OWN_FAILURE: Final = 0.5
"""Failed attempts that have the id of the registration that follows."""


@dataclass(slots=True)
class Registrations(Columns):
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


@dataclass(frozen=True, slots=True)
class Registrar:
    """Draws registrations of one scenario."""

    habits: Habits
    host: Host | None

    def draw(self, parcels: Parcels, rng: np.random.Generator) -> Registrations:
        """Draw the registrations that ordinary habits lead to, numbered from 0."""
        habits = self.habits
        single = parcels.covered & ~parcels.by_agreement
        anyway = parcels.by_agreement & (rng.random(parcels.count) < habits.registered_anyway)
        first = self._first(parcels.take(single | anyway), rng)
        parts = [first, *self._repeats(first, rng), self._orphans(parcels, rng)]
        parts += self._of_uncovered(parcels.take(~parcels.covered & ~EXEMPT[parcels.category]), rng)
        return Registrations.concatenate(parts)

    def _first(self, parcels: Parcels, rng: np.random.Generator) -> Registrations:
        """Return one matched registration of each; of those to the host city in time."""
        count, habits, host = parcels.count, self.habits, self.host
        early = rng.random(count) < habits.early
        lag_ms = rng.exponential(habits.upload_lag_minutes * MINUTE_MS, count)
        if host is not None:
            quick_ms = np.minimum(rng.exponential(host.upload_lag_minutes, count), 60) * MINUTE_MS
            lag_ms = np.where(parcels.to_host, quick_ms, lag_ms)
        soon_ms = parcels.time_ms + np.minimum(rng.integers(5_000, 120_000, count), lag_ms)
        late_ms = parcels.time_ms + lag_ms
        before_ms = parcels.time_ms - rng.integers(20_000, EARLY_MS - 10_000, count)
        happened_ms = np.where(early, before_ms, soon_ms).astype(np.int64)
        recorded_ms = np.where(early, before_ms + 2_000, late_ms).astype(np.int64)
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
        """Return what goes with a first registration: failures, retries, second entries."""
        habits = self.habits
        again = again_registered(first.take(some(first, habits.duplicate, rng)), rng)
        retried = first.take(some(first, habits.retry, rng))
        retry_ms = rng.integers(20_000, 90_000, retried.count)
        retried.recorded_ms += retry_ms
        retried.received_ms += retry_ms
        failed = first.take(some(first, habits.mismatched_first, rng))
        failed_ms = rng.integers(2_000, 10_000, failed.count)
        # Some failures are earlier answers of the very registration that matches in the end.
        own = np.where(some(failed, OWN_FAILURE, rng), failed.registration, _NEW)
        failed = failed.but(
            recorded_ms=failed.recorded_ms - failed_ms,
            time_ms=failed.time_ms - failed_ms,
            result=rng.integers(1, len(RESULTS), failed.count),
            registration=own,
        )
        return [again, retried, failed]

    def _of_uncovered(self, parcels: Parcels, rng: np.random.Generator) -> list[Registrations]:
        """Return the entries of uncovered parcels: failures, make-up, after the close."""
        habits = self.habits
        failed = self._first(parcels.take(some(parcels, habits.failed_only, rng)), rng)
        failed.registration[:] = _NEW
        failed.result = rng.integers(1, len(RESULTS), failed.count)
        shares = [habits.backfill, habits.after_close]
        spans_ms = [(3 * HOUR_MS, 60 * HOUR_MS), (73 * HOUR_MS, 110 * HOUR_MS)]
        parts = [failed]
        for share, span_ms in zip(shares, spans_ms, strict=True):
            chosen = parcels.take(~parcels.to_host & some(parcels, share, rng))
            recorded_ms = chosen.time_ms + rng.integers(*span_ms, chosen.count)
            made_up = _make(
                chosen,
                time_ms=recorded_ms - 1_000,
                recorded_ms=recorded_ms,
                received_ms=recorded_ms + rng.integers(300, 8_000, chosen.count),
                registration=np.full(chosen.count, _NEW),
            )
            parts.append(made_up.but(channel=np.full(chosen.count, BACKFILL)))
        return parts

    def _orphans(self, parcels: Parcels, rng: np.random.Generator) -> Registrations:
        """Return registrations whose parcel number is negative: a waybill that nobody collects."""
        orphans = self._first(parcels.take(some(parcels, self.habits.orphan, rng)), rng)
        orphans.registration[:] = _NEW
        return orphans.but(number=-1 - np.arange(orphans.count))


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
    delay_ms = rng.integers(MINUTE_MS, 15 * MINUTE_MS, registrations.count)
    return registrations.but(
        time_ms=registrations.time_ms + delay_ms,
        recorded_ms=registrations.recorded_ms + delay_ms,
        received_ms=registrations.received_ms + delay_ms,
        registration=np.full(registrations.count, _NEW),
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
        result=np.full(parcels.count, MATCHED),
        channel=(parcels.outlet % round(1 / PUBLIC_CHANNEL) == 0).astype(np.int64),
        mode=np.where(letter, MODES.index("TEMP_BATCH_LETTER"), batch),
    )
