"""Plays a scenario: the records of `shipments` in the order in which the regulator receives them.

A function of scenario, seed and reference data alone. Draws a quarter of an hour of collections at
once and holds back what is received later, so memory does not grow with the length of the play.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Final, NamedTuple

import msgspec
import numpy as np

from streams.domain.window import MINUTE_MS
from streams.reference.types import Reference
from streams.simulate import events
from streams.simulate.columns import Ints
from streams.simulate.faults import PlantedFault, plant, spoil_parcels, spoil_registrations
from streams.simulate.garbage import draw_garbage
from streams.simulate.parcels import Agreements, Destinations, Drawer, Parcels
from streams.simulate.region import Region, days_of_volume, make_region
from streams.simulate.registrations import Registrar, Registrations, numbered
from streams.simulate.scenario import CHUNK_MS, Scenario, load_scenario
from streams.simulate.text import Block, Writer, concatenate, sent_again

OVERTAKING_MS: Final = 50_000
"""How far records overtake others; within the disorder that a watermark allows for."""
assert OVERTAKING_MS < MINUTE_MS


class SimulatedRecord(NamedTuple):
    """One record to produce to `shipments`.

    Attributes:
        key: Kafka key: the waybill, except in garbage.
        value: JSON, except in garbage; None is a Kafka record without a value.
        received_at_ms: When the regulator has it; the value says the same.

    """

    key: bytes
    value: bytes | None
    received_at_ms: int


def open_scenario(
    name_or_path: str | Path,
    *,
    seed: int,
    reference: Reference,
    parcels_per_day: int | None = None,
) -> "Feed":
    """Return the feed of a built-in scenario or of one in a TOML file; nothing is drawn yet.

    `parcels_per_day` replaces the scenario's: more or fewer outlets at their real size, or in a
    scenario that plays all outlets, more or fewer parcels of each.

    Raises:
        ScenarioError: There is no such scenario, or it does not fit the reference data.
    """
    scenario = load_scenario(name_or_path)
    if parcels_per_day is not None:
        scenario = msgspec.structs.replace(scenario, parcels_per_day=parcels_per_day)
    return Feed(scenario, seed=seed, reference=reference)


class Feed:
    """One scenario with its seed, in one region.

    Attributes:
        scenario: What is played.
        region: The outlets that are played, with their sizes and true rates.
        planted: The faults, in the scenario's order.

    """

    def __init__(self, scenario: Scenario, *, seed: int, reference: Reference) -> None:
        """Choose the outlets and the faults' places; raises ScenarioError if they do not fit."""
        self.scenario = scenario
        self.region: Region = make_region(scenario, reference, np.random.default_rng([seed]))
        self.planted: list[PlantedFault] = plant(scenario, self.region)
        self._seed = seed
        self._reference = reference

    @property
    def start_ms(self) -> int:
        """First instant of collection. Early registrations are received up to 14 minutes before."""
        return self.scenario.start_ms

    @property
    def end_ms(self) -> int | None:
        """Last instant of the play, up to which heartbeats may be written; None without an end."""
        return self.scenario.end_ms

    def records(self) -> Iterator[SimulatedRecord]:
        """Yield the records in order of `received_at`; some overtake others by up to 50 seconds.

        Each call plays the scenario again from its start, with the same records.
        """
        for block in self._in_order():
            columns = (block.keys.tolist(), block.values.tolist(), block.received_ms.tolist())
            yield from map(SimulatedRecord, *columns)

    def _in_order(self) -> Iterator[Block]:
        """Yield all records, a quarter of an hour at a time."""
        chunks = _Chunks(self, self._seed, self._reference)
        held: dict[int, list[tuple[Block, Ints]]] = {}
        chunk = self.start_ms // CHUNK_MS
        while self.end_ms is None or chunk * CHUNK_MS <= self.end_ms:
            block = chunks.draw(chunk)
            _hold(held, block, block.received_ms + chunks.overtaken_ms(chunk, len(block)))
            # The next chunk may still reach back into this one, but not into the one before.
            yield from _release(held, chunk - 1)
            chunk += 1
        yield from _release(held, chunk)

    def draw_parcels(self) -> Iterator[Parcels]:
        """Yield the parcels as they were drawn, by chunk: the truth behind the records."""
        chunks = _Chunks(self, self._seed, self._reference)
        chunk = self.start_ms // CHUNK_MS
        while self.end_ms is None or chunk * CHUNK_MS <= self.end_ms:
            yield chunks.parcels(chunk, chunks.rng(chunk))
            chunk += 1


def _hold(held: dict[int, list[tuple[Block, Ints]]], block: Block, sent_ms: Ints) -> None:
    """Put records into the bucket in which they are sent."""
    order = np.argsort(sent_ms, kind="stable")
    buckets = sent_ms[order] // CHUNK_MS
    for part in np.split(order, np.flatnonzero(np.diff(buckets)) + 1):
        if len(part):
            bucket = int(sent_ms[part[0]] // CHUNK_MS)
            held.setdefault(bucket, []).append((block.take(part), sent_ms[part]))


def _release(held: dict[int, list[tuple[Block, Ints]]], last: int) -> Iterator[Block]:
    """Take out all buckets up to `last`, each in the order of sending."""
    for bucket in sorted(b for b in held if b <= last):
        parts = held.pop(bucket)
        order = np.argsort(np.concatenate([sent_ms for _, sent_ms in parts]), kind="stable")
        yield concatenate([block for block, _ in parts]).take(order)


class _Chunks:
    """Draws and writes chunks in their order; numbers go on from one to the next."""

    def __init__(self, feed: Feed, seed: int, reference: Reference) -> None:
        self._scenario, self._region, self._faults = feed.scenario, feed.region, feed.planted
        self._seed = seed
        destinations = Destinations(self._scenario, self._region)
        agreements = Agreements(reference)
        self._drawer = Drawer(self._scenario, self._region, destinations, agreements)
        self._registrar = Registrar(self._scenario.habits, self._scenario.host)
        self._writer = Writer(self._region, reference, destinations, agreements)
        self._next_parcel = 0
        self._next_registration = 0

    def rng(self, chunk: int, stream: int = 0) -> np.random.Generator:
        """Return the chunk's own source of chance."""
        return np.random.default_rng([self._seed, 1 + stream, chunk])

    def overtaken_ms(self, chunk: int, count: int) -> Ints:
        """Return how much later than its turn each record is sent, so that others overtake it."""
        rng = self.rng(chunk, stream=1)
        slow = rng.random(count) < self._scenario.habits.out_of_order
        return np.where(slow, rng.integers(0, OVERTAKING_MS, count), 0)

    def parcels(self, chunk: int, rng: np.random.Generator) -> Parcels:
        """Draw the parcels of a chunk, after the faults, and number them."""
        start_ms, end_ms = chunk * CHUNK_MS, (chunk + 1) * CHUNK_MS
        until_ms = self._scenario.collect_until_ms
        if until_ms is not None:
            end_ms = min(end_ms, max(start_ms, until_ms))
        count = self._collected_before(end_ms) - self._collected_before(start_ms)
        parcels = self._drawer.draw(count, (start_ms, max(end_ms, start_ms + 1)), rng)
        spoil_parcels(self._faults, parcels, rng)
        parcels.number += self._next_parcel
        self._next_parcel += count
        return parcels

    def _collected_before(self, time_ms: int) -> int:
        days = days_of_volume(time_ms) - days_of_volume(self._scenario.start_ms)
        return round(self._region.parcels_per_day * days)

    def draw(self, chunk: int) -> Block:
        """Return the records that follow from the parcels of a chunk, and its garbage."""
        rng, habits, write = self.rng(chunk), self._scenario.habits, self._writer
        first_parcel = self._next_parcel
        parcels = self.parcels(chunk, rng)
        registrations, revocations = self._registrations(parcels, rng)
        voids, voided_scans = events.draw_voids(parcels, habits, rng)
        rescans = events.draw_rescans(parcels, self._region, habits, rng)
        blocks = [
            write.collected(parcels, *events.draw_receipt(parcels, habits, rng)),
            write.registered(registrations),
            write.rescanned(parcels.take(rescans.number - first_parcel), rescans),
            write.revoked(revocations),
            write.voided(voids),
            write.scanned(voided_scans),
            write.scanned(events.draw_scans(parcels, habits, rng)),
        ]
        block = concatenate(blocks)
        again = block.take(rng.random(len(block)) < habits.resent)
        again_ms = again.received_ms + events.draw_delay(len(again), rng)
        blocks = [block, sent_again(again, again_ms)]
        span_ms = (chunk * CHUNK_MS, (chunk + 1) * CHUNK_MS)
        blocks += [
            draw_garbage(fault, span_ms, self._region, rng)
            for fault in self._faults
            if fault.kind == "garbage"
        ]
        block = concatenate(blocks)
        end_ms = self._scenario.end_ms
        return block if end_ms is None else block.take(block.received_ms <= end_ms)

    def _registrations(
        self, parcels: Parcels, rng: np.random.Generator
    ) -> tuple[Registrations, events.Events]:
        """Draw registrations and revocations, after the faults, and number them."""
        r = numbered(self._registrar.draw(parcels, rng))
        revocations, corrected = events.draw_revocations(r, self._scenario.habits, rng)
        r = numbered(Registrations.concatenate([r, corrected]))
        r = spoil_registrations(self._faults, r, rng)
        orphans = r.number < 0
        r.number = np.where(orphans, self._next_parcel - 1 - r.number, r.number)
        revocations.number = np.where(
            revocations.number < 0, self._next_parcel - 1 - revocations.number, revocations.number
        )
        self._next_parcel += len(np.unique(r.number[orphans]))
        r.registration += self._next_registration
        revocations.detail += self._next_registration
        self._next_registration = int(r.registration.max(initial=self._next_registration)) + 1
        return r, revocations
