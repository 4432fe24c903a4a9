"""Scenario files: what ships can be played, and a mistake is told with its place."""

from pathlib import Path

import pytest

from streams.simulate.region import days_of_volume
from streams.simulate.scenario import (
    CATEGORY_MIX,
    ScenarioError,
    instant_ms,
    load_scenario,
    scenario_names,
)

GOOD = """
name = "x"
text = "a test"
start = 2017-09-05T22:00:00+08:00
end = 2017-09-06T22:00:00+08:00
rates = [[2017-09-05T00:00:00+08:00, 0.9]]
"""
FAULT = "start = 2017-09-06T09:00:00+08:00\nend = 2017-09-06T17:00:00+08:00\n"


def test_the_scenarios_ship_and_are_named_like_their_files() -> None:
    assert scenario_names() == ["day", "demo", "demo-short", "faults", "steady"]
    assert [load_scenario(name).name for name in scenario_names()] == scenario_names()


def test_a_scenario_that_does_not_exist_is_answered_with_those_that_do() -> None:
    with pytest.raises(ScenarioError, match="no scenario dmo; there are day, demo, demo-short, "):
        load_scenario("dmo")


MISTAKES = [
    ("a misspelt key is no default", GOOD + "sead = 1", "sead"),
    ("a rate above 1", GOOD.replace("0.9]", "90]"), "rates"),
    ("an instant without an offset", GOOD.replace("05T22:00:00+08:00", "05T22:00:00"), "start"),
    ("a start between quarters of an hour", GOOD.replace("T22:00:00", "T22:07:00"), "quarter"),
    (
        "an end before the start",
        GOOD.replace("end = 2017-09-06", "end = 2017-09-04"),
        "after start",
    ),
    (
        "rates that go back in time",
        GOOD.replace("0.9]]", "0.9], [2017-09-04T00:00:00+08:00, 0.8]]"),
        "rise",
    ),
    ("a category that does not exist", GOOD + "[category_mix]\nPALLET = 1.0", "PALLET"),
    ("not TOML", "name = ", "Invalid value"),
    ("a fault of no known kind", GOOD + '[[faults]]\nkind = "x"\n' + FAULT, "kind"),
    (
        "a fault outside the scenario",
        GOOD + '[[faults]]\nkind = "low_outlet"\n' + FAULT.replace("06T17", "08T17"),
        "not within",
    ),
    (
        "a fault that ends before it starts",
        GOOD + '[[faults]]\nkind = "low_outlet"\n' + FAULT.replace("T17", "T08"),
        "ends before",
    ),
    ("make-up entries at no time", GOOD + '[[faults]]\nkind = "late_makeup"\n' + FAULT, "makeup"),
    ("items to no host city", GOOD + '[[faults]]\nkind = "host_missing"\n' + FAULT, "host"),
]


@pytest.mark.parametrize(
    ("text", "told"), [case[1:] for case in MISTAKES], ids=[case[0] for case in MISTAKES]
)
def test_a_mistake_is_told_with_its_file_and_place(tmp_path: Path, text: str, told: str) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(text, "utf8")
    with pytest.raises(ScenarioError, match=r"mine\.toml") as caught:
        load_scenario(path)
    assert told in str(caught.value)


def test_a_file_of_ones_own_is_played_to_its_end_unless_it_says_otherwise(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text(GOOD, "utf8")
    scenario = load_scenario(path)
    assert scenario.collect_until_ms == scenario.end_ms
    assert scenario.category_mix == CATEGORY_MIX


def test_every_day_has_one_days_volume_and_half_of_it_by_the_middle_of_the_afternoon() -> None:
    midnight_ms = instant_ms(load_scenario("day").start)
    volume = [days_of_volume(midnight_ms + hour * 3_600_000) for hour in range(25)]
    passed = [at - volume[0] for at in volume]
    assert passed[24] == pytest.approx(1)
    assert passed[6] < 0.02
    assert passed[14] == pytest.approx(0.5, abs=0.04)
    assert passed == sorted(passed)
