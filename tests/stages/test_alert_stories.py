"""Alerts through both stages, told as stories: minute by minute, what is collected and what is raised."""

from collections.abc import Sequence
from dataclasses import replace

import pytest

from streams.domain.cell import Counter
from streams.domain.period import EventLevel, Granularity
from streams.domain.policy import Policy
from streams.domain.window import TICK_MS, instant_from_text
from streams.records.published import AlertRecord
from streams.reference.types import Reference, ReferenceHistory
from streams.stages.rate import RatePartition
from streams.stages.rollup import RollupPartition
from tests.stages.feeds import (
    MIDNIGHT_TICK,
    SHORT,
    Feed,
    Sender,
    a_cell,
    a_period,
    a_reference,
    a_row,
    alerts,
    an_outlet,
    parcels,
    records,
    totals_of,
)
from tests.stages.plain import Row

OUTLETS = (Granularity.OUTLET,)
EP = a_period("EP", granularities=OUTLETS)
# Grace is 10 minutes: a pane [0, 5) matures at 15.
BAD = parcels(0, at=0, count=100, covered=20)


def story(
    rows: Sequence[Row], *versions: Reference, until: int, policy: Policy = SHORT
) -> tuple[list[AlertRecord], Feed]:
    """Return all alert records, and the rollup, once both stages are `until` minutes after midnight."""
    history = ReferenceHistory(versions)
    rate = Feed(RatePartition(0, policy, history, sources=1))
    rollup = Feed(RollupPartition(policy, history, sources=1))
    last = MIDNIGHT_TICK + until
    rate.apply(Sender().records([row for row in rows if row[0] <= last], until=last))
    rollup.apply(totals_of(rate.stage.drain(publish=False).outputs))
    outputs = rollup.commit(publish=True)
    return alerts(outputs), rollup


def told(found: Sequence[AlertRecord]) -> list[tuple[int, str, str, str]]:
    """Return minute, kind, scope and reason of each record."""
    return [
        (
            instant_from_text(record.last_at) // TICK_MS - MIDNIGHT_TICK,
            record.alert_kind,
            record.scope_id,
            record.reason,
        )
        for record in found
    ]


def test_a_breach_is_raised_when_its_parcels_have_matured_and_cleared_after_five_minutes() -> None:
    rows = [*BAD, a_row(30, a_cell(0, 0), Counter.COVERED_LATE, 80)]
    found, _ = story(rows, a_reference(EP), until=60)
    assert told(found) == [
        (15, "RATE_BELOW_TARGET", "O-000", "raised"),
        (35, "RATE_BELOW_TARGET", "O-000", "recovered"),
    ]
    raised, ended = found
    assert (raised.state, raised.severity, raised.observed, raised.target, raised.n) == (
        "firing",
        "CRITICAL",
        0.2,
        0.9,
        100,
    )
    assert (raised.evidence.covered, raised.evidence.missing) == (20, 80)
    assert (raised.evidence.window, raised.evidence.date) == ("TODAY", "2017-09-08")
    assert (raised.city_code, raised.county_code, raised.duty_group) == (
        "150100",
        "150102",
        "150102-duty",
    )
    assert (ended.state, ended.episode, ended.duration_s, ended.observed) == (
        "ended",
        1,
        1_200,
        1.0,
    )
    assert ended.first_at == raised.first_at


def test_a_recovery_that_falls_back_within_five_minutes_is_none() -> None:
    rows = [
        *BAD,
        a_row(30, a_cell(0, 0), Counter.COVERED_LATE, 80),
        a_row(34, a_cell(0, 0), Counter.COVERED_LATE, -10),  # A revocation: 0.90, on target.
        a_row(36, a_cell(0, 0), Counter.COVERED_LATE, 1),  # 0.91: above the margin again.
    ]
    found, _ = story(rows, a_reference(EP), until=60)
    assert told(found)[1:] == [(41, "RATE_BELOW_TARGET", "O-000", "recovered")]


def test_the_next_breach_is_another_episode() -> None:
    rows = [
        *BAD,
        a_row(30, a_cell(0, 0), Counter.COVERED_LATE, 80),
        a_row(50, a_cell(0, 0), Counter.COVERED_LATE, -80),
    ]
    found, _ = story(rows, a_reference(EP), until=60)
    assert [(r.reason, r.episode) for r in found] == [
        ("raised", 1),
        ("recovered", 1),
        ("raised", 2),
    ]


def test_a_ticket_is_superseded_by_the_breach() -> None:
    rows = [
        *parcels(0, at=0, count=20, covered=14),  # A ticket: 0.8731 < 0.9 < 0.9038.
        *parcels(0, at=5, count=40, covered=10),
    ]
    found, _ = story(rows, a_reference(EP), until=60)
    assert told(found) == [
        (15, "RATE_AT_RISK", "O-000", "raised"),
        (20, "RATE_BELOW_TARGET", "O-000", "raised"),
        (20, "RATE_AT_RISK", "O-000", "superseded"),
    ]
    assert (found[0].severity, found[0].evidence.z) == ("MINOR", SHORT.z_ticket)
    assert (found[1].severity, found[1].evidence.z) == ("CRITICAL", SHORT.z_page)


def test_a_worse_shortfall_is_told_as_a_change() -> None:
    rows = [
        *parcels(0, at=0, count=100, covered=70),
        *parcels(0, at=5, count=100, covered=0),
    ]
    found, _ = story(rows, a_reference(EP), until=60)
    assert [(r.reason, r.severity, r.observed) for r in found] == [
        ("raised", "MAJOR", 0.7),
        ("changed", "CRITICAL", 0.35),
    ]


def test_the_core_phase_of_an_l1_event_is_one_step_more_severe() -> None:
    l1 = a_period("EP", granularities=OUTLETS, level=EventLevel.L1)
    found, _ = story(parcels(0, at=0, count=100, covered=70), a_reference(l1), until=20)
    assert found[0].severity == "CRITICAL"


def test_an_open_alert_is_emitted_again_each_day_with_the_last_figures_that_there_were() -> None:
    long = a_period("EP", granularities=OUTLETS, end=6_000)
    rows = [*BAD, a_row(60, a_cell(0, 0), Counter.COVERED_LATE, 10)]
    found, _ = story(rows, a_reference(long), until=15 + 2 * 1_440)
    assert [(at, reason) for at, _, _, reason in told(found)] == [
        (15, "raised"),
        (1_455, "reemitted"),
        (2_895, "reemitted"),
    ]
    # A day without parcels is missing evidence: it clears nothing, and tells nothing new.
    figures = [(r.observed, r.n, r.evidence.covered, r.evidence.date) for r in found]
    assert figures == [(0.2, 100, 20, "2017-09-08"), *[(0.3, 100, 30, "2017-09-08")] * 2]


def test_a_collapse_is_emitted_again_with_the_last_outlets_that_were_judged() -> None:
    long = a_period("EP", granularities=OUTLETS, end=6_000)
    rows = at_each([outlet.number for outlet in YUN], 0, 50)
    found, _ = story(rows, a_reference(long, outlets=YUN), until=1_455, policy=COLLAPSE)
    assert [(r.reason, r.observed, r.n, r.evidence.judged) for r in found] == [
        ("raised", 1.0, 5, 5),
        ("reemitted", 1.0, 5, 5),
    ]


def test_one_period_hands_over_to_the_next_without_paging_again() -> None:
    first = a_period("EP-1", granularities=OUTLETS, end=60, rate=0.9)
    second = a_period("EP-2", granularities=OUTLETS, start=60, end=400, rate=0.95)
    rows = [*BAD, *parcels(0, at=90, count=100, covered=10)]
    found, _ = story(rows, a_reference(first, second), until=130)
    assert [(at, reason) for at, _, _, reason in told(found)] == [(15, "raised"), (71, "changed")]
    assert (found[1].event_period_id, found[1].target, found[1].episode) == ("EP-2", 0.95, 1)


def test_the_end_of_its_period_ends_an_alert_once_its_last_parcels_have_been_judged() -> None:
    short = a_period("EP", granularities=OUTLETS, end=60)
    found, _ = story(BAD, a_reference(short), until=130)
    assert told(found)[1:] == [(71, "RATE_BELOW_TARGET", "O-000", "period_ended")]


def test_a_removed_period_withdraws_its_alerts() -> None:
    without = replace(a_reference(version=2), effective_at_ms=(MIDNIGHT_TICK + 40) * TICK_MS)
    found, _ = story(BAD, a_reference(EP), without, until=130)
    assert told(found)[1:] == [(40, "RATE_BELOW_TARGET", "O-000", "withdrawn")]


def test_a_removed_outlet_withdraws_its_alerts_and_its_parcels_still_count() -> None:
    others = [an_outlet(number) for number in range(1, 8)]
    without = a_reference(
        EP, outlets=others, version=2, effective_at_ms=(MIDNIGHT_TICK + 40) * TICK_MS
    )
    rows = [*BAD, a_row(50, a_cell(0, 0), Counter.COVERED_LATE, 10)]
    found, rollup = story(rows, a_reference(EP), without, until=130)
    assert told(found)[1:] == [(40, "RATE_BELOW_TARGET", "O-000", "withdrawn")]
    rollup.stage.restored()
    region = records(rollup.stage.publish(), "rates")["REGION|150000"]
    assert region["today"]["covered_late"] == 10


def test_outside_periods_there_are_verdicts_and_no_alerts() -> None:
    found, _ = story(BAD, a_reference(), until=60)
    assert found == []
    found, _ = story(BAD, a_reference(), until=60, policy=replace(SHORT, routine_alerts=True))
    assert {(r.granularity, r.event_period_id) for r in found} >= {("OUTLET", None)}


# --- silent channels ---

COLLAPSE = replace(SHORT, collapse_outlets=3)
# Outlets 0, 8, 16, ... are all E-YUN's in county 150102.
YUN = [an_outlet(number, county=0) for number in range(0, 40, 8)]
SILENCE = replace(SHORT, silent_collections=20)


def at_each(outlets: Sequence[int], at: int, count: int, covered: int = 0) -> list[Row]:
    return [
        row for outlet in outlets for row in parcels(outlet, at=at, count=count, covered=covered)
    ]


def test_a_collapse_is_one_alert_and_not_many() -> None:
    numbers = [outlet.number for outlet in YUN]
    rows = at_each(numbers, 0, 50)
    found, rollup = story(rows, a_reference(EP, outlets=YUN), until=30, policy=COLLAPSE)
    assert told(found) == [(15, "CHANNEL_SILENT", "E-YUN|150100", "raised")]
    assert (found[0].observed, found[0].n, found[0].evidence.breaching) == (1.0, 5, 5)
    assert (found[0].granularity, found[0].severity) == ("ENTERPRISE_CITY", "MAJOR")
    rollup.stage.restored()
    rates = records(rollup.stage.publish(), "rates")
    assert rates["ENTERPRISE_CITY|E-YUN|150100"]["verdict"]["rate_status"] == "UNKNOWN"
    assert rates["CITY|150100"]["verdict"]["rate_status"] == "BREACH"
    assert rates["ENTERPRISE|E-YUN"]["verdict"]["rate_status"] == "BREACH"


def test_open_alerts_are_superseded_by_a_collapse_and_raised_anew_after_it() -> None:
    numbers = [outlet.number for outlet in YUN]
    rows = [
        *at_each(numbers[:2], 0, 50),  # Two of two breach: too few for a collapse.
        *at_each(numbers[2:], 5, 50),  # Five of five.
        # Three of them catch up at once.
        *(a_row(60, a_cell(n, 5), Counter.COVERED_LATE, 50) for n in numbers[2:]),
    ]
    found, _ = story(rows, a_reference(EP, outlets=YUN), until=90, policy=COLLAPSE)
    assert told(found) == [
        (15, "RATE_BELOW_TARGET", "O-000", "raised"),
        (15, "RATE_BELOW_TARGET", "O-008", "raised"),
        (20, "CHANNEL_SILENT", "E-YUN|150100", "raised"),
        (20, "RATE_BELOW_TARGET", "O-000", "superseded"),
        (20, "RATE_BELOW_TARGET", "O-008", "superseded"),
        # Below the share at two evaluations five minutes apart; the two bad ones are still bad.
        (65, "CHANNEL_SILENT", "E-YUN|150100", "recovered"),
        (65, "RATE_BELOW_TARGET", "O-000", "raised"),
        (65, "RATE_BELOW_TARGET", "O-008", "raised"),
    ]
    assert [r.episode for r in found if r.scope_id == "O-000"] == [1, 1, 2]


def test_four_of_five_are_a_collapse_and_three_of_five_are_not() -> None:
    numbers = [outlet.number for outlet in YUN]
    good = [row for n in numbers[4:] for row in parcels(n, at=0, count=50, covered=50)]
    four, _ = story(
        [*at_each(numbers[:4], 0, 50), *good],
        a_reference(EP, outlets=YUN),
        until=20,
        policy=COLLAPSE,
    )
    assert [r.alert_kind for r in four] == ["CHANNEL_SILENT"]
    good = [row for n in numbers[3:] for row in parcels(n, at=0, count=50, covered=50)]
    three, _ = story(
        [*at_each(numbers[:3], 0, 50), *good],
        a_reference(EP, outlets=YUN),
        until=20,
        policy=COLLAPSE,
    )
    assert {r.alert_kind for r in three} == {"RATE_BELOW_TARGET"}


def every_minute(outlet: int, first: int, end: int, *, covered: int = 0) -> list[Row]:
    return [
        row
        for minute in range(first, end)
        for row in parcels(outlet, at=minute, count=2, covered=covered)
    ]


def test_an_enterprise_that_collects_and_sends_nothing_for_half_an_hour_is_silent() -> None:
    rows = [
        *every_minute(0, 0, 20, covered=2),
        *every_minute(0, 20, 80),
        *every_minute(0, 80, 120, covered=2),
    ]
    found, rollup = story(rows, a_reference(EP), until=79, policy=SILENCE)
    # Sent last with the parcels of minute 19, at tick 20; waiting since tick 21.
    silent = [entry for entry in told(found) if entry[1] == "CHANNEL_SILENT"]
    assert silent == [(51, "CHANNEL_SILENT", "E-YUN", "raised")]
    raised = next(r for r in found if r.alert_kind == "CHANNEL_SILENT")
    assert (raised.granularity, raised.n, raised.evidence.collections) == ("ENTERPRISE", 60, 60)
    rollup.stage.restored()
    rates = records(rollup.stage.publish(), "rates")
    assert rates["ENTERPRISE|E-YUN"]["verdict"]["rate_status"] == "UNKNOWN"
    assert rates["ENTERPRISE_CITY|E-YUN|150100"]["verdict"]["rate_status"] == "UNKNOWN"
    assert rates["COUNTY|150102"]["verdict"]["rate_status"] != "UNKNOWN"

    # It sends again at tick 81, and is believed half an hour later.
    _, rollup = story(rows, a_reference(EP), until=110, policy=SILENCE)
    rollup.stage.restored()
    rates = records(rollup.stage.publish(), "rates")
    assert rates["ENTERPRISE|E-YUN"]["verdict"]["rate_status"] == "UNKNOWN"
    found, rollup = story(rows, a_reference(EP), until=120, policy=SILENCE)
    assert silences(found)[1:] == [(111, "recovered")]
    rollup.stage.restored()
    rates = records(rollup.stage.publish(), "rates")
    assert rates["ENTERPRISE|E-YUN"]["verdict"]["rate_status"] != "UNKNOWN"


def silences(found: Sequence[AlertRecord]) -> list[tuple[int, str]]:
    """Return minute and reason of the records about a silent enterprise."""
    return [
        (at, reason)
        for at, kind, scope_id, reason in told(found)
        if (kind, scope_id) == ("CHANNEL_SILENT", "E-YUN")
    ]


def signs_of_life(*minutes: int) -> list[Row]:
    return [a_row(minute, a_cell(0, 0), Counter.ATTEMPTS_FAILED) for minute in minutes]


# It collects from tick 1 on, until some minute, and registers nothing: raised at 31. It is heard at some
# minutes, and its alert ends at one of them, or does not until the last minute of the story.
HOLDS = [
    ("nothing more is heard", 40, (45,), [], 300),
    ("half an hour is not quite over", 40, (45, 74), [], 300),
    ("half an hour is over", 40, (45, 75), [(75, "recovered")], 300),
    (
        "time alone ends nothing, the next registration does",
        40,
        (45, 200),
        [(200, "recovered")],
        300,
    ),
    # Waiting since tick 46, it is silent again at 76; heard at 80, it is believed at 110.
    ("silent once more, and then heard", 120, (45, *range(80, 120)), [(110, "recovered")], 120),
    ("silent again and again", 200, (45, 80, 115, 150), [], 200),
]


@pytest.mark.parametrize(("case", "collects", "heard", "ends", "until"), HOLDS)
def test_a_silent_channel_is_believed_once_it_has_been_heard_for_half_an_hour(
    case: str, collects: int, heard: tuple[int, ...], ends: list[tuple[int, str]], until: int
) -> None:
    rows = [*every_minute(0, 0, collects), *signs_of_life(*heard)]
    found, _ = story(rows, a_reference(EP), until=until, policy=SILENCE)
    assert silences(found) == [(31, "raised"), *ends], case


def test_without_a_hold_the_first_registration_ends_a_silence() -> None:
    rows = [*every_minute(0, 0, 40), *signs_of_life(45)]
    policy = replace(SILENCE, silent_hold_ms=0)
    found, _ = story(rows, a_reference(EP), until=60, policy=policy)
    assert silences(found) == [(31, "raised"), (45, "recovered")]


def test_what_recovers_while_a_channel_is_not_yet_believed_is_never_raised() -> None:
    backlog = [a_row(45 + m // 4, a_cell(0, m), Counter.COVERED_LATE, 2) for m in range(40)]
    rows = [*every_minute(0, 0, 40), *backlog, *signs_of_life(75)]
    found, _ = story(rows, a_reference(EP), until=90, policy=SILENCE)
    assert told(found)[1:] == [
        (31, "CHANNEL_SILENT", "E-YUN", "raised"),
        (31, "RATE_BELOW_TARGET", "O-000", "superseded"),
        (75, "CHANNEL_SILENT", "E-YUN", "recovered"),
    ]
    without = replace(SILENCE, silent_hold_ms=0)
    found, _ = story(rows, a_reference(EP), until=90, policy=without)
    assert (45, "RATE_BELOW_TARGET", "O-000", "raised") in told(found), "else it proves nothing"


def test_few_collections_or_batch_mail_are_no_silence() -> None:
    few = [row for minute in range(0, 100, 10) for row in parcels(0, at=minute, count=2)]
    found, _ = story(few, a_reference(EP), until=100, policy=SILENCE)
    assert "CHANNEL_SILENT" not in {r.alert_kind for r in found}


def test_a_failed_attempt_is_a_sign_of_life() -> None:
    rows = [
        *every_minute(0, 0, 60),
        a_row(25, a_cell(0, 20), Counter.ATTEMPTS_FAILED),
        a_row(50, a_cell(0, 20), Counter.DUPLICATES),
    ]
    found, _ = story(rows, a_reference(EP), until=60, policy=SILENCE)
    assert "CHANNEL_SILENT" not in {r.alert_kind for r in found}


def test_a_silence_ends_with_its_period() -> None:
    short = a_period("EP", granularities=OUTLETS, end=60)
    found, _ = story(every_minute(0, 0, 90), a_reference(short), until=90, policy=SILENCE)
    silent = [entry for entry in told(found) if entry[1] == "CHANNEL_SILENT"]
    assert [(at, reason) for at, _, _, reason in silent] == [(31, "raised"), (60, "period_ended")]
    heard = [*every_minute(0, 0, 50), *signs_of_life(50, 59, 60, 80)]
    found, _ = story(heard, a_reference(short), until=90, policy=SILENCE)
    assert silences(found) == [(31, "raised"), (60, "period_ended")]


def test_silence_goes_on_when_nothing_is_collected_any_more() -> None:
    found, _ = story(every_minute(0, 0, 40), a_reference(EP), until=300, policy=SILENCE)
    silent = [entry for entry in told(found) if entry[1] == "CHANNEL_SILENT"]
    assert [(at, reason) for at, _, _, reason in silent] == [(31, "raised")]


def test_a_collapse_ends_with_its_period_and_with_its_removal() -> None:
    numbers = [outlet.number for outlet in YUN]
    rows = at_each(numbers, 0, 50)
    short = a_period("EP", granularities=OUTLETS, end=60)
    found, _ = story(rows, a_reference(short, outlets=YUN), until=90, policy=COLLAPSE)
    assert [(at, reason) for at, _, _, reason in told(found)] == [
        (15, "raised"),
        (71, "period_ended"),
    ]
    without = a_reference(outlets=YUN, version=2, effective_at_ms=(MIDNIGHT_TICK + 40) * TICK_MS)
    found, _ = story(rows, a_reference(EP, outlets=YUN), without, until=90, policy=COLLAPSE)
    assert [(at, reason) for at, _, _, reason in told(found)] == [
        (15, "raised"),
        (40, "withdrawn"),
    ]


def test_a_collapse_hands_over_to_the_next_period() -> None:
    numbers = [outlet.number for outlet in YUN]
    first = a_period("EP-1", granularities=OUTLETS, end=60)
    second = a_period("EP-2", granularities=OUTLETS, start=60, end=400)
    rows = [*at_each(numbers, 0, 50), *at_each(numbers, 60, 50)]
    found, _ = story(rows, a_reference(first, second, outlets=YUN), until=90, policy=COLLAPSE)
    assert [(r.reason, r.event_period_id) for r in found] == [
        ("raised", "EP-1"),
        ("changed", "EP-2"),
    ]


def test_a_silent_enterprise_hides_its_collapses_which_come_back_when_it_speaks() -> None:
    numbers = [outlet.number for outlet in YUN]
    both = replace(COLLAPSE, silent_collections=20)
    rows = [
        *at_each(numbers, 0, 50),
        *every_minute(0, 5, 40),
        *signs_of_life(50, 80),
    ]
    found, _ = story(rows, a_reference(EP, outlets=YUN), until=85, policy=both)
    assert told(found) == [
        (15, "CHANNEL_SILENT", "E-YUN|150100", "raised"),
        (31, "CHANNEL_SILENT", "E-YUN", "raised"),
        (31, "CHANNEL_SILENT", "E-YUN|150100", "superseded"),
        (80, "CHANNEL_SILENT", "E-YUN", "recovered"),
        (80, "CHANNEL_SILENT", "E-YUN|150100", "raised"),
    ]


def test_open_alerts_of_every_kind_and_level_are_emitted_again() -> None:
    everywhere = a_period("EP", end=6_000)
    numbers = [outlet.number for outlet in YUN]
    rows = at_each(numbers, 0, 50)
    found, _ = story(rows, a_reference(everywhere, outlets=YUN), until=1_455, policy=COLLAPSE)
    again = {(r.alert_kind, r.granularity) for r in found if r.reason == "reemitted"}
    assert again == {
        ("CHANNEL_SILENT", "ENTERPRISE_CITY"),
        ("RATE_BELOW_TARGET", "COUNTY"),
        ("RATE_BELOW_TARGET", "CITY"),
        ("RATE_BELOW_TARGET", "ENTERPRISE"),
        ("RATE_BELOW_TARGET", "REGION"),
    }


def test_a_county_that_stops_registering_is_raised_at_every_level_that_it_pulls_down() -> None:
    everywhere = a_period("EP", rate=0.9)
    rows = [*parcels(0, at=0, count=100), *parcels(1, at=0, count=900, covered=900)]
    found, _ = story(rows, a_reference(everywhere), until=20)
    raised = {r.scope_id: r.severity for r in found if r.alert_kind == "RATE_BELOW_TARGET"}
    # Outlet 1 is good and in the same city and enterprise: 900 of 1,000 are on target.
    assert raised == {"O-000": "CRITICAL", "150102": "CRITICAL"}
