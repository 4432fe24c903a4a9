"""Planted faults: each has its own place, can be seen in the true figures, and knows when it was found."""

from collections import Counter
from typing import Any

import numpy as np
import pytest

from streams.reference.types import Reference
from streams.simulate.columns import Ints
from streams.simulate.faults import Evidence, PlantedFault
from streams.simulate.feed import open_scenario
from streams.simulate.scenario import ScenarioError
from tests import oracle
from tests.simulate.conftest import Played, play

DAY = "2017-09-06"


def the(played: Played, kind: str, number: int = 0) -> PlantedFault:
    return [fault for fault in played.feed.planted if fault.kind == kind][number]


def figures(played: Played, granularity: str, scope_id: str) -> Counter[str]:
    return played.truth.days[granularity, scope_id, DAY]


def test_every_kind_is_planted_and_no_outlet_has_two_that_are_its_own(faults: Played) -> None:
    planted = faults.feed.planted
    assert [fault.kind for fault in planted] == [f.kind for f in faults.feed.scenario.faults]
    own = [f.scope_id for f in planted if f.kind not in ("county_stops", "brand_silent", "garbage")]
    assert len(own) == len(set(own)) == 5
    wide = np.any(
        [f.members for f in planted if f.kind in ("county_stops", "brand_silent")], axis=0
    )
    for fault in planted:
        if fault.scope_id in own:
            assert fault.members.sum() == 1
            assert not (fault.members & wide).any()


def test_a_county_that_stops_registering_loses_what_no_agreement_covers(faults: Played) -> None:
    county = figures(faults, "COUNTY", the(faults, "county_stops").scope_id)
    assert 0.3 < county["missing"] / county["eligible"] < 0.6


def test_a_silent_brand_is_not_heard_of_and_then_its_backlog_comes_too_late(faults: Played) -> None:
    for number, backlog in ((0, True), (1, False)):
        fault = the(faults, "brand_silent", number)
        outlets = {
            o.outlet_id for o in faults.feed.region.outlets if o.enterprise_id == fault.scope_id
        }
        heard = Counter(
            (record.received_at_ms - fault.start_ms) // 900_000
            for record in faults.records
            if record.value
            and b"realname.registered" in record.value
            and any(b'"' + outlet.encode() + b'"' in record.value for outlet in outlets)
            and b'"2017-09-04' not in record.value[20:60]
        )
        quarters = (fault.end_ms - fault.start_ms) // 900_000
        resent = [heard[quarter] for quarter in range(quarters)]
        assert sum(resent) <= 3, "only re-sent records are heard of"
        assert (heard[quarters] > 10 * max(1, heard[-1])) is backlog
        backdated = figures(faults, "ENTERPRISE", fault.scope_id)["backdated"]
        assert (backdated > 20) is backlog


SEEN = [
    ("low_outlet", "missing", 0.3, 0.5),
    # Above 1: retries and second entries are doubled as well, and so are those of voided parcels.
    ("duplicate_outlet", "duplicates", 0.8, 1.25),
    ("late_makeup", "covered_late", 0.15, 0.5),
    ("backdating_outlet", "backdated", 0.5, 1.0),
    ("host_missing", "missing", 0.08, 0.25),
]


@pytest.mark.parametrize(("kind", "figure", "least", "most"), SEEN)
def test_an_outlets_fault_shows_in_its_own_figure(
    faults: Played, kind: str, figure: str, least: float, most: float
) -> None:
    outlet = figures(faults, "OUTLET", the(faults, kind).scope_id)
    assert least < outlet[figure] / outlet["eligible"] < most


def test_items_to_the_host_city_are_what_is_missing_there(faults: Played) -> None:
    outlet_id = the(faults, "host_missing").scope_id
    to_host: Counter[str] = Counter()
    elsewhere: Counter[str] = Counter()
    for (outlet, day, _, scope), counted in faults.truth.cells.items():
        if (outlet, day) == (outlet_id, DAY):
            (to_host if scope else elsewhere).update(counted)
    assert to_host["missing"] / to_host["eligible"] > 0.8
    assert elsewhere["missing"] / elsewhere["eligible"] < 0.2


def test_all_figures_occur_so_that_a_comparison_with_the_oracle_means_something(
    faults: Played,
) -> None:
    whole = Counter[str]()
    for (granularity, _, _), counted in faults.truth.days.items():
        if granularity == "REGION":
            whole.update(counted)
    young = {"covered_young", "pending"}  # Nothing is young at the end.
    assert {name for name in oracle.FIGURES if whole[name] == 0} == young
    assert faults.truth.first != faults.truth.days
    assert len(faults.truth.missing) == whole["missing"]


def test_an_ordinary_outlets_rate_is_near_its_planted_one(reference: Reference) -> None:
    feed = open_scenario("demo", seed=5, reference=reference, parcels_per_day=12_000)
    played = play(feed)
    spoilt = np.any([fault.members for fault in feed.planted], axis=0)
    checked = 0
    for index, outlet in enumerate(feed.region.outlets):
        counted = played.truth.days.get(("OUTLET", outlet.outlet_id, DAY), Counter[str]())
        if spoilt[index] or counted["eligible"] < 100:
            continue
        at: Ints = np.array([index])
        true = float(feed.region.rates(at, np.array([feed.start_ms]))[0])
        n = counted["eligible"]
        found = 1 - counted["missing"] / n
        # Parcels to the host city are all covered, and make-up entries come on top.
        assert true - 4 * (true * (1 - true) / n) ** 0.5 - 0.01 < found <= 1
        checked += 1
    assert checked > 20


def alert(scope_id: str, **more: str) -> dict[str, Any]:
    return {
        "alert_kind": "RATE_BELOW_TARGET",
        "scope_id": scope_id,
        "first_at": "2017-09-06T10:20:00+08:00",
        **more,
    }


def test_a_fault_is_found_when_all_that_it_should_lead_to_is_there(faults: Played) -> None:
    late = the(faults, "late_makeup")
    raised = alert(late.scope_id, state="FIRING")
    ended = alert(late.scope_id, state="RESOLVED", reason="recovered")
    day = {"granularity": "OUTLET", "scope_id": late.scope_id, "date": DAY, "eligible": 100}
    cases = [
        ("nothing", Evidence(), 2),
        ("another outlet's alert", Evidence(alerts=[alert("elsewhere")]), 2),
        (
            "raised and recovered before the fault began",
            Evidence(alerts=[{**ended, "first_at": "2017-09-06T07:59:00+08:00"}]),
            2,
        ),
        (
            "raised and recovered long after it ended",
            Evidence(alerts=[{**ended, "first_at": "2017-09-06T17:00:00+08:00"}]),
            2,
        ),
        ("raised only", Evidence(alerts=[raised]), 2),
        (
            "ended for another reason",
            Evidence(alerts=[alert(late.scope_id, reason="withdrawn")]),
            2,
        ),
        ("raised and recovered", Evidence(alerts=[raised, ended]), 1),
        ("too few covered late", Evidence([raised, ended], [{**day, "covered_late": 19}]), 1),
        (
            "of another day",
            Evidence([raised, ended], [{**day, "date": "x", "covered_late": 20}]),
            1,
        ),
        ("all of it", Evidence([raised, ended], [{**day, "covered_late": 20}]), 0),
    ]
    for name, evidence, unmet in cases:
        assert len(late.unmet(evidence)) == unmet, name
        assert late.found(evidence) is (unmet == 0), name


def test_a_silent_channel_is_found_by_an_alert_about_the_enterprise_or_a_city_of_it(
    faults: Played,
) -> None:
    silent = the(faults, "brand_silent")
    for scope_id, found in (
        (silent.scope_id, True),
        (f"{silent.scope_id}|150100", True),
        (f"{silent.scope_id}1", False),
    ):
        silence = alert(scope_id, alert_kind="CHANNEL_SILENT", first_at="2017-09-06T11:10:00+08:00")
        evidence = Evidence(alerts=[silence])
        assert silent.found(evidence) is found
    assert silent.unmet(Evidence()) == [f"alert CHANNEL_SILENT of {silent.scope_id}"]


def test_garbage_is_found_when_no_dead_letter_is_wanting(faults: Played) -> None:
    garbage, counted = the(faults, "garbage"), faults.truth.dead_letters
    assert garbage.found(Evidence(dead_letters=counted))
    for code in counted:
        assert not garbage.found(Evidence(dead_letters=counted - Counter([code]))), code


def test_every_figure_that_a_fault_expects_is_in_the_true_figures(faults: Played) -> None:
    days = [
        {"granularity": granularity, "scope_id": scope_id, "date": date, **counted}
        for (granularity, scope_id, date), counted in faults.truth.days.items()
    ]
    evidence = Evidence(days=days, dead_letters=faults.truth.dead_letters)
    unmet = [text for fault in faults.feed.planted for text in fault.unmet(evidence)]
    assert unmet
    assert all(text.startswith("alert ") for text in unmet)


def test_a_fault_that_finds_no_place_is_a_mistake_of_the_scenario(reference: Reference) -> None:
    with pytest.raises(ScenarioError, match="no place left"):
        open_scenario("demo", seed=1, reference=reference, parcels_per_day=200)
