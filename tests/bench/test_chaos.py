"""The pure parts of `make chaos`: what a seed plans, how a load is disturbed, what counts as a difference."""

import random
from collections import Counter
from collections.abc import Iterator, Sequence
from itertools import pairwise
from typing import Any

import orjson
import pytest

from bench.chaos.figures import Figures, Letter, differences, figures_of, oracle_differences
from bench.chaos.load import OVERTAKING_MS, disturbed
from bench.chaos.plan import SESSION_S, STAGES, Plan, Step, draw
from streams.kafka.crash import CRASH_POINTS
from streams.records.topics import ALERTS, DAYS, PARCELS_MISSING
from streams.simulate.feed import SimulatedRecord
from tests import oracle

PLANS = [draw(seed) for seed in range(60)]


def test_a_seed_always_plans_the_same_and_another_one_something_else() -> None:
    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


@pytest.mark.parametrize("plan", PLANS[:20], ids=lambda plan: str(plan.seed))
def test_each_place_has_a_worker_after_its_last_fault(plan: Plan) -> None:
    for steps in plan.steps.values():
        assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)
        running, paused = False, False
        for step in steps:
            if step.do in ("pause", "resume"):
                paused = step.do == "pause"
            elif step.do in ("kill", "stop"):
                assert not paused, "nobody would answer"
                running = False
            else:
                running = True
        assert running
        assert not paused


def test_within_some_runs_every_crash_point_is_met_in_every_stage() -> None:
    crashes = {(s.crash.stage, s.crash.point) for s in all_steps() if s.crash is not None}
    assert crashes == {(stage, point) for stage in STAGES for point in CRASH_POINTS}


def test_some_pauses_outlast_the_session_and_some_do_not() -> None:
    pauses = [
        after.at_s - step.at_s
        for plan in PLANS
        for steps in plan.steps.values()
        for step, after in pairwise(steps)
        if step.do == "pause"
    ]
    assert min(pauses) < SESSION_S < max(pauses)


def test_every_kind_of_fault_is_drawn() -> None:
    assert {step.do for step in all_steps()} == {
        *("start", "kill", "stop", "pause", "resume", "replace", "disarm")
    }
    assert {outage.how for plan in PLANS for outage in plan.outages} == {
        *("killed", "stopped", "paused")
    }


def test_an_outage_ends_before_the_next_begins() -> None:
    for plan in PLANS:
        for one, next_ in pairwise(plan.outages):
            assert one.at_s + one.for_s < next_.at_s


def all_steps() -> Iterator[Step]:
    for plan in PLANS:
        for steps in plan.steps.values():
            yield from steps


RECORDS = [SimulatedRecord(b"%d" % at, b"v%d" % at, at * 7_000) for at in range(500)]


def test_an_undisturbed_load_is_fed_as_it_was_received() -> None:
    assert disturbed(RECORDS, random.Random(1), slow=0, again=0) == RECORDS


def test_a_disturbed_load_loses_nothing_repeats_some_and_stays_within_the_disorder() -> None:
    records = disturbed(RECORDS, random.Random(1), slow=0.5, again=0.2)
    assert set(records) == set(RECORDS)
    assert 550 < len(records) < 700
    assert records != sorted(records, key=lambda record: record.received_at_ms)
    newest_ms = 0
    for record in records:
        assert newest_ms - record.received_at_ms < OVERTAKING_MS
        newest_ms = max(newest_ms, record.received_at_ms)


# --- what counts as a difference ---

DAY = {"granularity": "CITY", "scope_id": "1501", "date": "2017-09-06", "eligible": 3}
RAISED = {"id": "a", "episode": 1, "reason": "raised"}
CLOSED = {"id": "a", "episode": 1, "reason": "recovered"}


def outcome(
    *,
    days: Sequence[dict[str, Any]] = (DAY,),
    alerts: Sequence[dict[str, Any]] = (RAISED, CLOSED),
    missing: Sequence[tuple[bytes, bytes | None]] = ((b"w1", b"{}"),),
    letters: Sequence[str] = ("empty", "schema"),
) -> Figures:
    records = [
        *((DAYS, b"", orjson.dumps(row)) for row in days),
        *((ALERTS, b"%s|1" % row["id"].encode(), orjson.dumps(row)) for row in alerts),
        *((PARCELS_MISSING, key, value) for key, value in missing),
    ]
    dead_letters: Counter[Letter] = Counter((code, b"k", b"value") for code in letters)
    return figures_of(records)._replace(dead_letters=dead_letters)


@pytest.mark.parametrize(
    ("found", "told", "sentence"),
    [
        ({}, [], "the same is no difference"),
        ({"days": [{**DAY, "eligible": 2}, DAY]}, [], "of a day the latest record counts"),
        (
            {"days": [{**DAY, "eligible": 4}]},
            ["day CITY|1501|2017-09-06: eligible 3 expected, 4 found"],
            "one parcel too many",
        ),
        ({"days": []}, ["day CITY|1501|2017-09-06: is not there"], "a day that is lost"),
        (
            {"alerts": [RAISED]},
            ["alert a|1: 2 records expected, 1 found"],
            "the end of an alert is lost",
        ),
        (
            {"alerts": [RAISED, RAISED, CLOSED]},
            [
                "alert a|1: record 2: reason 'recovered' expected, 'raised' found",
                "alert a: episode 1 was raised 2 times",
            ],
            "an alert is raised twice",
        ),
        (
            {"alerts": [CLOSED, RAISED]},
            ["alert a|1: record 1: reason 'raised' expected, 'recovered' found"],
            "the order within an alert matters",
        ),
        (
            {"missing": [(b"w1", b"{}"), (b"w1", None)]},
            ["missing parcel w1: is not there"],
            "a parcel that was taken back is not missing",
        ),
        (
            {"missing": [(b"w1", b"{}"), (b"w2", b"{}")]},
            ["missing parcel w2: should not be there"],
            "a parcel that is not missing",
        ),
        (
            {"letters": ["empty", "empty", "schema"]},
            ["dead letter empty of b'k', 5 bytes: 1 expected, 2 found"],
            "a dead letter that is there twice",
        ),
    ],
)
def test_differences_tell_what_is_not_as_undisturbed(
    found: dict[str, Any], told: list[str], sentence: str
) -> None:
    assert differences(outcome(), outcome(**found)) == told, sentence


def test_of_many_differences_the_first_are_told_and_the_rest_is_counted() -> None:
    missing = [(b"w%03d" % number, b"{}") for number in range(100)]
    told = differences(outcome(), outcome(missing=[*missing, (b"w1", b"{}")]))
    assert told[0] == "missing parcel w000: should not be there"
    assert told[-1] == "and 95 more"


def test_the_oracle_is_heard_on_missing_parcels_and_on_codes_of_dead_letters() -> None:
    truth = oracle.Truth({}, {}, {}, {}, {"w1", "w2"}, Counter(empty=1, schema=2))
    assert oracle_differences(truth, outcome(days=[])) == [
        "oracle's missing parcel w2: is not there",
        "oracle's dead letters schema: 2 expected, 1 found",
    ]
