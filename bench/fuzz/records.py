"""Mutated records through the match stage, beside its rule: the same must become of each.

A *world* is one partition from its beginning: some hundred records in batches of any size, half of them
mutated, all of them of few waybills. The stage's partition takes each batch as a worker gives it, is now
and then replaced by one restored from its own state log, and must agree after each batch with the rule
taken one record after the other; so must the fast path with every run however short.
"""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple

from bench.fuzz.mutations import mutated
from streams.domain.cell import PANE_MASK
from streams.domain.policy import Policy
from streams.domain.window import MINUTE_MS, pane_end_ms
from streams.records.rejects import Reject, RejectCode
from streams.stages.match import MatchPartition, fast_path
from streams.stages.match.hash_key import HashKey
from streams.stages.match.waybills import Clock, Waybills
from streams.stages.stage import Batch
from tests.stages.match import drawn
from tests.stages.match.drawn import Fields, Sent

WORLD_RECORDS: Final = 400
MUTATED_SHARE: Final = 0.5
RESTORED_SHARE: Final = 0.3
KEY: Final = HashKey(7, 7)
POLICY: Final = Policy(reject_share_max=1.0)
CALM_MS: Final = [0] * 20 + [200] * 10 + [1_000, 20_000, 3 * MINUTE_MS]
"""Steps between records that leave long runs for the fast path."""


class World(NamedTuple):
    """What one partition is given.

    Attributes:
        clock: Where `received_at` comes from.
        batches: Records, in order.
        restored: Before which batches the partition is restored from its log.
        mutated: How many of the records are mutated.

    """

    clock: Clock
    batches: Sequence[Sequence[Sent]]
    restored: Sequence[bool]
    mutated: int


class Outcome(NamedTuple):
    """What became of one world's records: how many were used, and refused for which reason.

    `differences` says where the stage left its rule; nothing where it did not.
    """

    used: int
    refused: Counter[RejectCode]
    differences: list[str]


def draw(rng: random.Random) -> World:
    """Draw a world."""
    steps_ms = rng.choice((CALM_MS, CALM_MS, CALM_MS, [*drawn.STEPS_MS, *drawn.BACKWARDS_MS]))
    options = drawn.choices(steps_ms, rng.choice((4, 40, 200)))
    fields = (Fields._make(map(rng.choice, options)) for _ in range(WORLD_RECORDS))
    sound = drawn.sent(fields, orderly=rng.random() < 0.5)
    records, count = [], 0
    for record in sound:
        if rng.random() < MUTATED_SHARE:
            records.append(mutated(rng, record, rng.choice(sound)))
            count += 1
        else:
            records.append(record)
    batches = list(_cut(rng, records))
    restored = [rng.random() < RESTORED_SHARE for _ in batches]
    return World(rng.choice(("data", "data", "wall")), batches, restored, count)


def _cut(rng: random.Random, records: Sequence[Sent]) -> Iterator[Sequence[Sent]]:
    largest = rng.choice((10, 100, len(records)))
    at = 0
    while at < len(records):
        size = rng.randint(1, largest)
        yield records[at : at + size]
        at += size


def judge(world: World) -> Outcome:
    """Take a world's records in, all three ways, and compare. Raises what a record made any of them raise."""
    rule, short, worker = _Rule(world.clock), _ShortRuns(world.clock), _Worker(world.clock)
    refused: Counter[RejectCode] = Counter()
    offset = 0
    for number, records in enumerate(world.batches):
        if world.restored[number]:
            worker.restore()
        batch = drawn.batch(records, offset)
        offset += len(records)
        expected = rule.take(batch)
        differences = [
            *_differences("in short runs", expected, short.take(batch)),
            *_differences("as a worker does", expected, worker.take(batch)),
        ]
        if differences:
            where = f"batch {number} of {len(records)} records, clock {world.clock}: "
            return Outcome(0, refused, [where + difference for difference in differences])
        refused.update(reject.code for reject in expected["rejects"])
        for way in (rule, short, worker):
            way.commit()
    return Outcome(offset - refused.total(), refused, [])


_Seen = dict[str, Any]


class _Rule:
    """Takes records in by the rule, one after the other."""

    def __init__(self, clock: Clock) -> None:
        history = drawn.changing_history()
        self.waybills = Waybills(0, POLICY, history, clock=clock, hash_seed=KEY.seed)
        self._missing: dict[bytes, bytes | None] = {}

    def take(self, batch: Batch) -> _Seen:
        """Take a batch; return everything by which two states can differ."""
        self.waybills.note_new_reference()
        return self._seen(self._rejects(batch), self.waybills)

    def commit(self) -> None:
        self.waybills.forget_changes()

    def _rejects(self, batch: Batch) -> list[Reject]:
        return drawn.take_plainly(self.waybills, batch)

    def _seen(self, rejects: list[Reject], waybills: Waybills) -> _Seen:
        # What is said twice is one record of a compacted topic.
        self._missing |= {of.key: of.value for of in waybills.outputs if of.key is not None}
        # Who is due to be forgotten is not known any more, whether time has seen to it or not.
        closed = {
            of: cell
            for of, cell in waybills.closed.items()
            if pane_end_ms(cell & PANE_MASK) + POLICY.closed_kept_ms > waybills.watermark_ms
        }
        return {
            "rejects": rejects,
            "counts": drawn.listed(waybills.ledger.rows()),
            "missing parcels": self._missing,
            "received_max_ms": waybills.received_max_ms,
            "watermark_ms": waybills.watermark_ms,
            "reference version": waybills.lookup.version_used,
            "sources": waybills.sources,
            "entries": waybills.entries,
            "closed": closed,
            "late": {of: seen for of, seen in waybills.late.items() if of in closed},
        }


class _ShortRuns(_Rule):
    """Takes records in by the fast path, in runs however short."""

    def _rejects(self, batch: Batch) -> list[Reject]:
        return fast_path.run(self.waybills, batch, run_min=1)


class _Worker(_Rule):
    """Takes records in as a worker does, and can be restored from what it has committed."""

    def __init__(self, clock: Clock) -> None:
        super().__init__(clock)
        self._clock = clock
        self._partition = self._empty()
        self._log: list[bytes] = []

    def take(self, batch: Batch) -> _Seen:
        rejects = self._partition.apply(batch)
        seen = self._seen(rejects, self._partition._waybills)
        # The log does not say who was forgotten; the counts tell whether it matters.
        del seen["late"]
        return seen

    def commit(self) -> None:
        self._log += self._partition.drain(publish=True).state
        self._partition.committed()

    def restore(self) -> None:
        self._partition = self._empty()
        for payload in self._log:
            self._partition.restore_delta(payload)
        self._partition.restored()

    def _empty(self) -> MatchPartition:
        return MatchPartition(
            0, POLICY, drawn.changing_history(), counts_partitions=2, clock=self._clock, key=KEY
        )


def _differences(way: str, expected: _Seen, found: _Seen) -> list[str]:
    return [
        f"{what} {way}: {_shown(expected[what], found[what])}"
        for what in found
        if expected[what] != found[what]
    ]


def _shown(expected: object, found: object) -> str:
    """Return what two values do not share, as far as it is short."""
    if isinstance(expected, dict) and isinstance(found, dict):
        keys = [k for k in expected.keys() | found.keys() if expected.get(k) != found.get(k)][:3]
        return "; ".join(f"{k!r}: {expected.get(k)!r} and {found.get(k)!r}" for k in keys)
    if isinstance(expected, list) and isinstance(found, list):
        one = [each for each in expected if each not in found][:3]
        other = [each for each in found if each not in expected][:3]
        return f"{one!r} and {other!r}"
    return f"{expected!r} and {found!r}"
