"""The load of a run, and what it must lead to: by the stages without a disturbance, and by the oracle."""

import random
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from bench.chaos.figures import Figures, figures_of
from bench.chaos.plan import Plan
from streams.domain.policy import Policy
from streams.domain.window import HOUR_MS
from streams.records.topics import SHIPMENTS_DLQ
from streams.reference.areas import shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.history import assemble, plan_all
from streams.reference.types import ReferenceHistory
from streams.resources import config_dir
from streams.simulate.feed import Feed, SimulatedRecord
from streams.simulate.scenario import load_scenario
from streams.stages.pipeline import LogRecord, Pipeline
from tests import oracle

SCENARIO: Final = "faults"
REGION_PARCELS_PER_DAY: Final = 60_000
UNTIL_MS: Final = 3 * HOUR_MS
"""So long after the last record time ends: every parcel has been judged by then."""
POLICY: Final = Policy()
OVERTAKING_MS: Final = 55_000
assert POLICY.disorder_ms > OVERTAKING_MS, "or figures depend on the partitions"

Reference = Sequence[tuple[bytes, bytes | None]]


@dataclass(frozen=True)
class Load:
    """What is fed, in this order, and the figures that are right.

    Attributes:
        reference: Records of the `reference` topic.
        history: What they come to.
        records: Those of `shipments`.
        until_ms: When time ends.
        expected: What the stages give of it when nothing disturbs them.
        truth: What the oracle says.

    """

    reference: Reference
    history: ReferenceHistory
    records: Sequence[SimulatedRecord]
    until_ms: int
    expected: Figures
    truth: oracle.Truth


def make_load(plan: Plan) -> Load:
    """Simulate the load of a run, and work out its figures; takes seconds."""
    listings = read_files({k: config_dir() / n for k, n in FILE_NAMES.items()}, shipped_areas())
    reference = [(a.key, a.value) for a in plan_all({}, listings.values(), now_ms=0)]
    scenario = msgspec.structs.replace(
        load_scenario(SCENARIO),
        region_parcels_per_day=REGION_PARCELS_PER_DAY,
        parcels_per_day=plan.parcels_per_day,
    )
    history = assemble(reference)
    feed = Feed(scenario, seed=plan.seed, reference=history.latest)
    assert feed.end_ms is not None
    until_ms = feed.end_ms + UNTIL_MS
    rng = random.Random(plan.seed)
    records = disturbed(feed.records(), rng, slow=plan.slow, again=plan.again)
    truth = oracle.judge(
        ((record.key, record.value) for record in records),
        oracle.read_reference(config_dir()),
        until_ms=until_ms,
    )
    expected = through_stages(reference, records, until_ms)
    return Load(reference, history, records, until_ms, expected, truth)


def disturbed(
    records: Iterable[SimulatedRecord], rng: random.Random, *, slow: float, again: float
) -> list[SimulatedRecord]:
    """Return records as senders deliver that wait, and repeat what may have got lost.

    A share of `slow` comes up to `OVERTAKING_MS` after its turn, and after each copy another one
    follows with a probability of `again`.
    """
    sent: list[tuple[int, SimulatedRecord]] = []
    for record in records:
        while True:
            delay_ms = rng.randrange(OVERTAKING_MS) if rng.random() < slow else 0
            sent.append((record.received_at_ms + delay_ms, record))
            if rng.random() >= again:
                break
    sent.sort(key=lambda pair: pair[0])
    return [record for _, record in sent]


def through_stages(
    reference: Reference, records: Iterable[SimulatedRecord], until_ms: int
) -> Figures:
    """Return what the stages give of records, in one process and without Kafka."""
    pipeline = Pipeline(POLICY, assemble(reference))
    outputs = pipeline.take((LogRecord(r.key, r.value) for r in records), publish=False)
    outputs += pipeline.pass_time(until_ms)
    figures = figures_of((output.topic, output.key, output.value) for output in outputs)
    letters = Counter(
        (letter.reject.code.value, letter.record.key, letter.record.value)
        for letter in pipeline.dead_letters
    )
    assert SHIPMENTS_DLQ not in {output.topic for output in outputs}, "they are counted once"
    return figures._replace(dead_letters=letters)
