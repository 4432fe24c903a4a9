"""Verdicts on one line and on several, and their severities."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.domain.category import Category
from streams.domain.policy import Policy
from streams.domain.verdict import (
    Line,
    RateStatus,
    Severity,
    judge_line,
    n_needed,
    one_step_up,
    rank_of,
    severity_of,
    status_of_rank,
    worst,
)

POLICY = Policy()
NINETY = Line(0.90, 20)
EVERY = Line(1.0, 20)


@pytest.mark.parametrize(
    ("line", "covered", "n", "status", "ticket"),
    [
        # Nothing is judged for want of parcels.
        (NINETY, 0, 0, RateStatus.INSUFFICIENT, False),
        (NINETY, 0, 19, RateStatus.INSUFFICIENT, False),
        # 14 of 20 open a ticket (0.8731 < 0.9) but do not page (0.9038 > 0.9).
        (NINETY, 14, 20, RateStatus.AT_RISK, True),
        # 45 of 60 page: 0.8798 < 0.9.
        (NINETY, 45, 60, RateStatus.BREACH, False),
        # 17 of 20 are below target, and may be chance.
        (NINETY, 17, 20, RateStatus.AT_RISK, False),
        # On target is on target.
        (NINETY, 18, 20, RateStatus.OK, False),
        # Of a target of every parcel one missing is a breach, without any floor.
        (EVERY, 0, 1, RateStatus.BREACH, False),
        (EVERY, 999, 1000, RateStatus.BREACH, False),
        (EVERY, 1, 1, RateStatus.OK, False),
        (EVERY, 0, 0, RateStatus.INSUFFICIENT, False),
        # A target may set its own floor; a floor of none is one parcel all the same.
        (Line(0.90, 60), 0, 59, RateStatus.INSUFFICIENT, False),
        (Line(0.90, 0), 0, 0, RateStatus.INSUFFICIENT, False),
    ],
)
def test_a_line_is_judged_by_its_bounds(
    line: Line, covered: int, n: int, status: RateStatus, *, ticket: bool
) -> None:
    verdict = judge_line(line, n=n, covered=covered, policy=POLICY)
    assert (verdict.status, verdict.ticket) == (status, ticket)
    assert verdict.bound_z == (POLICY.z_ticket if ticket else POLICY.z_page)


@pytest.mark.parametrize(
    ("shortfall", "l1_core", "severity"),
    [
        (0.05, False, Severity.MINOR),
        (0.90 - 0.80, False, Severity.MAJOR),  # 0.0999… in binary is 0.1 to a person.
        (0.90 - 0.60, False, Severity.CRITICAL),
        (0.2999, False, Severity.MAJOR),
        (0.05, True, Severity.MAJOR),  # One step up in the core phase of an L1 event.
        (0.10, True, Severity.CRITICAL),
        (0.30, True, Severity.CRITICAL),  # There is nothing above critical.
    ],
)
def test_severity_follows_the_shortfall(
    shortfall: float, severity: Severity, *, l1_core: bool
) -> None:
    assert severity_of(shortfall, l1_core=l1_core) is severity


def test_a_ticket_is_minor_and_what_is_well_has_no_severity() -> None:
    core = replace(NINETY, l1_core=True)
    assert judge_line(core, n=20, covered=14, policy=POLICY).severity is Severity.MINOR
    assert judge_line(core, n=20, covered=20, policy=POLICY).severity is None
    assert judge_line(core, n=60, covered=0, policy=POLICY).severity is Severity.CRITICAL


@pytest.mark.parametrize(
    ("line", "covered", "n", "clear"),
    [
        (NINETY, 90, 100, False),  # On target, but not by the margin.
        (NINETY, 91, 100, True),
        (EVERY, 5, 5, True),  # The margin ends at every parcel.
        (EVERY, 4, 5, False),
        (Line(0.995, 20), 199, 200, False),
        (Line(0.995, 20), 200, 200, True),
        (NINETY, 19, 19, False),  # Missing evidence clears nothing.
    ],
)
def test_a_line_is_clear_above_its_margin(line: Line, covered: int, n: int, *, clear: bool) -> None:
    assert judge_line(line, n=n, covered=covered, policy=POLICY).clear is clear


def test_the_worst_line_is_the_verdict() -> None:
    ok = judge_line(NINETY, n=100, covered=99, policy=POLICY)
    loose = Line(0.95, 20, Category.LOOSE, "EP-1")
    breach = judge_line(loose, n=100, covered=50, policy=POLICY)
    assert worst([ok, breach]) == breach
    assert worst([breach, ok]) == breach


def test_a_breach_is_worse_than_a_greater_shortfall_that_may_be_chance() -> None:
    chance = judge_line(Line(0.90, 1), n=2, covered=1, policy=POLICY)
    breach = judge_line(NINETY, n=10_000, covered=8_800, policy=POLICY)
    assert chance.shortfall > breach.shortfall
    assert worst([chance, breach]).status is RateStatus.BREACH


def test_equal_lines_are_told_apart_by_shortfall_then_target_then_order() -> None:
    deep = judge_line(NINETY, n=100, covered=10, policy=POLICY)
    shallow = judge_line(NINETY, n=100, covered=40, policy=POLICY)
    assert worst([shallow, deep]).covered == 10
    few = [judge_line(Line(t, 20), n=1, covered=1, policy=POLICY) for t in (0.9, 0.95)]
    assert worst(few).target == 0.95
    twins = [judge_line(Line(0.9, 20, None, p), n=1, covered=1, policy=POLICY) for p in "AB"]
    assert worst(twins).event_period_id == "A"


def test_all_judged_lines_must_be_clear() -> None:
    clear = judge_line(NINETY, n=100, covered=100, policy=POLICY)
    near = judge_line(NINETY, n=100, covered=90, policy=POLICY)
    few = judge_line(NINETY, n=1, covered=0, policy=POLICY)
    assert worst([clear, few]).clear
    assert not worst([clear, near]).clear
    assert not worst([few]).clear


@given(st.floats(0.01, 1.0), st.integers(0, 3000), st.data())
def test_more_missing_parcels_never_make_a_better_verdict(
    target: float, n: int, data: st.DataObject
) -> None:
    covered = data.draw(st.integers(0, n))
    fewer = data.draw(st.integers(0, covered))
    line = Line(target, 20)
    better = judge_line(line, n=n, covered=covered, policy=POLICY)
    assert judge_line(line, n=n, covered=fewer, policy=POLICY).rank >= better.rank


def test_ranks_and_statuses_name_one_another() -> None:
    for status in RateStatus:
        if status is not RateStatus.UNKNOWN:
            assert status_of_rank(rank_of(status, ticket=False)) is status
    assert status_of_rank(rank_of(RateStatus.AT_RISK, ticket=True)) is RateStatus.AT_RISK
    assert rank_of(RateStatus.AT_RISK, ticket=True) > rank_of(RateStatus.AT_RISK, ticket=False)


def test_a_target_of_every_parcel_needs_one() -> None:
    assert (n_needed(EVERY), n_needed(NINETY)) == (1, 20)
    assert one_step_up(Severity.CRITICAL) is Severity.CRITICAL
