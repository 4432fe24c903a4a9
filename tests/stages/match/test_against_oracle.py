"""Whole scenarios through the match stage, against an oracle that shares no code with it."""

from collections import Counter as Multiset
from collections.abc import Sequence
from typing import NamedTuple

import pytest
from hypothesis import given, settings

from streams.domain.category import Category
from streams.domain.cell import (
    CATEGORY_MASK,
    CATEGORY_SHIFT,
    PANE_BITS,
    PANE_MASK,
    SCOPE_MASK,
    UNIT_SHIFT,
    Counter,
)
from streams.domain.window import HOUR_MS, day_of_pane, day_text, instant_text
from streams.records.changes import Rows
from streams.reference.areas import shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.history import assemble, plan_all
from streams.reference.types import Reference, ReferenceHistory
from streams.resources import config_dir
from streams.simulate.feed import open_scenario
from tests import oracle
from tests.builders import a_filing, a_history, a_period, a_reference
from tests.stages.match import drawn
from tests.stages.match.drawn import Sent

Figures = dict[tuple[str, str, str, tuple[str, ...], str], int]
"""By outlet, day, category, scope and counter."""


class Outcome(NamedTuple):
    """What both come to."""

    figures: Figures
    missing: set[str]
    dead_letters: dict[str, int]


@pytest.fixture(scope="module")
def shipped() -> ReferenceHistory:
    paths = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
    applies = plan_all({}, read_files(paths, shipped_areas()).values(), now_ms=0)
    return assemble([(apply.key, apply.value) for apply in applies])


SCENARIOS = [("faults", None, HOUR_MS), ("demo", 5_000, 100 * HOUR_MS)]


@pytest.mark.parametrize(("scenario", "parcels_per_day", "after_ms"), SCENARIOS)
def test_the_stage_comes_to_what_the_oracle_comes_to(
    shipped: ReferenceHistory, scenario: str, parcels_per_day: int | None, after_ms: int
) -> None:
    feed = open_scenario(
        scenario, seed=5, reference=shipped.latest, parcels_per_day=parcels_per_day
    )
    records = [Sent(r.received_at_ms, r.key, r.value) for r in feed.records()]
    until_ms = records[-1].received_ms + after_ms
    judged = staged(records, shipped, until_ms=until_ms)
    assert judged == foretold(records, oracle.read_reference(config_dir()), until_ms=until_ms)
    assert judged.missing
    assert {counter for *_, counter in judged.figures} >= {"eligible", "covered_late", "voided"}


def staged(records: Sequence[Sent], history: ReferenceHistory, *, until_ms: int) -> Outcome:
    """Take the records through the stage, with a restart every so often."""
    partition = drawn.a_partition(history, targets=3)
    snapshot: list[bytes] = []
    drains, dead = [], Multiset[str]()
    beat = f'{{"type":"stream.heartbeat","received_at":"{instant_text(until_ms + 60_000)}"}}'
    log = [*records, Sent(0, None, beat.encode())]
    for start in range(0, len(log), 2_000):
        rejects = partition.apply(drawn.batch(log[start : start + 2_000], start))
        dead.update(reject.code.value for reject in rejects)
        drains.append(partition.drain(publish=True))
        partition.committed()
        if start % 6_000 == 0:
            snapshot = list(partition.snapshot())
            partition = drawn.a_partition(history, targets=3)
            partition.restore_snapshot(snapshot)
            partition.restored()
    missing = drawn.missing_of(drawn.outputs_of(drains))
    return Outcome(
        figures_of(drawn.rows_in(drains), history.latest), {key.decode() for key in missing}, dead
    )


def figures_of(rows: Rows, reference: Reference) -> Figures:
    outlets = {outlet.number: outlet.outlet_id for outlet in reference.outlets.values()}
    figures = Multiset[tuple[str, str, str, tuple[str, ...], str]]()
    for (cell, counter), figure in drawn.by_cell(rows).items():
        group = cell >> PANE_BITS
        scope = tuple(
            period.event_period_id
            for period in sorted(reference.periods, key=lambda p: p.event_period_id)
            if period.scope_bit is not None and group & SCOPE_MASK & 1 << period.scope_bit
        )
        category = Category(group >> CATEGORY_SHIFT & CATEGORY_MASK).name
        day = day_text(day_of_pane(cell & PANE_MASK))
        name = Counter(counter).name.lower()
        figures[outlets[group >> UNIT_SHIFT], day, category, scope, name] += figure
    return {key: figure for key, figure in figures.items() if figure}


def foretold(records: Sequence[Sent], reference: oracle.Reference, *, until_ms: int) -> Outcome:
    truth = oracle.judge(
        [(record.key, record.value) for record in records], reference, until_ms=until_ms
    )
    figures: Figures = {}
    for (outlet, day, category, scope), counted in truth.cells.items():
        # The oracle tells young parcels apart; the stage leaves that to those after it.
        counted["covered_on_time"] += counted["covered_young"]
        for name in oracle.COUNTED:
            if counted[name]:
                figures[outlet, day, category, scope, name] = counted[name]
    return Outcome(figures, truth.missing, dict(truth.dead_letters))


# The same over drawn logs. The oracle has one version of the reference data.

FILED = [a_filing("OK"), a_filing("LATE", recorded_at_ms=drawn.START_MS + HOUR_MS)]
PERIOD = a_period("11:00", "+2 00:00")
BY_STAGE = a_history(
    a_reference(*FILED, a_filing("HALF", org_code_present=False), periods=(PERIOD,))
)
BY_ORACLE = oracle.Reference(
    outlets={
        name: {
            "outlet_id": name,
            "county_code": outlet.county_code,
            "enterprise_id": outlet.enterprise_id,
        }
        for name, outlet in BY_STAGE.latest.outlets.items()
    },
    filings={
        f.agreement_id: [(f.valid_from_ms, f.valid_to_ms, f.recorded_at_ms)] for f in FILED
    },
    scoped=[
        {
            "event_period_id": PERIOD.event_period_id,
            "destination_codes": list(PERIOD.destination_codes),
            "start_ms": PERIOD.start_ms,
            "end_ms": PERIOD.end_ms,
        }
    ],
)  # fmt: skip


@settings(max_examples=150, deadline=None)
@given(records=drawn.DISTINCT_STREAMS)
def test_drawn_logs_come_to_what_the_oracle_says(records: list[Sent]) -> None:
    until_ms = max((record.received_ms for record in records), default=drawn.START_MS) + HOUR_MS
    judged = staged(records, BY_STAGE, until_ms=until_ms)
    truth = foretold(records, BY_ORACLE, until_ms=until_ms)
    assert judged.figures == truth.figures
    assert judged.dead_letters == truth.dead_letters
