"""The pure parts of the benchmark: what counts as right, and how runs become a table and a picture."""

from xml.etree import ElementTree as ET

import pytest

from bench.chart import bars, svg
from bench.outcome import Entry, Outcome, parse, ratios, spread
from bench.table import HEADER, markdown, rows
from bench.truth import Figures, Truth, differing, read_truth
from bench.workload import Size, Workload

TRUTH = Truth(6, {"a": Figures(2, 1, 0, 0), "b": Figures(1, 0, 1, 1)})


def outcome(per_s: float, *, cpu_us: float = 5.0, differing: int = 0) -> Outcome:
    return Outcome(
        records=1000,
        differing=differing,
        wall_s=1000 / per_s,
        second_half_per_s=per_s,
        cpu_s=cpu_us * 1000 / 1e6,
        broker_cpu_s=0.0001,
        memory_mb=100.0,
    )


@pytest.mark.parametrize(
    ("found", "wrong", "sentence"),
    [
        (dict(TRUTH.outlets), [], "the truth itself is right"),
        ({"a": Figures(2, 1, 0, 0)}, ["b"], "an outlet that is missing is wrong"),
        ({**TRUTH.outlets, "c": Figures(1, 0, 0, 0)}, ["c"], "an outlet that nobody has is wrong"),
        ({**TRUTH.outlets, "a": Figures(2, 0, 1, 0)}, ["a"], "late instead of on time is wrong"),
        ({**TRUTH.outlets, "b": Figures(1, 0, 1, 0)}, ["b"], "one duplicate too few is wrong"),
    ],
)
def test_differing_names_the_outlets_that_are_wrong(
    found: dict[str, Figures], wrong: list[str], sentence: str
) -> None:
    assert differing(TRUTH, found) == wrong, sentence


def test_truth_is_read_as_it_was_written(tmp_path_factory: pytest.TempPathFactory) -> None:
    file = tmp_path_factory.mktemp("truth") / "truth.json"
    TRUTH.write(file)
    assert read_truth(file) == TRUTH


def test_a_workload_leads_to_its_truth_when_its_records_are_counted_plainly() -> None:
    workload = Workload(Size(parcels=400, outlets=9, seed=3))
    records = list(workload.records())
    kinds = [b"shipment.collected" in record.value for record in records]
    truth = workload.truth()
    assert len(records) == len(workload) == truth.records
    assert sum(kinds) == sum(f.collected for f in truth.outlets.values()) == 400
    covered = sum(f.on_time + f.late + f.duplicates for f in truth.outlets.values())
    assert len(records) - sum(kinds) == covered, "each registration covers a parcel or is too many"


def test_the_same_size_is_the_same_workload_and_another_seed_is_not() -> None:
    first, again = (list(Workload(Size(50, 9, 1)).records()) for _ in range(2))
    other = list(Workload(Size(50, 9, 2)).records())
    assert first == again
    assert first != other


def test_an_outcome_is_found_among_other_lines() -> None:
    assert parse(f"noise\n{outcome(10.0).line()}\nmore") == outcome(10.0)
    assert parse("noise only") is None


def test_spread_is_least_median_greatest() -> None:
    assert spread([3.0, 1.0, 2.0]) == (1.0, 2.0, 3.0)


def test_ratios_are_of_the_same_round_only() -> None:
    entries = [
        Entry("ours", 1, outcome(200.0)),
        Entry("theirs", 1, outcome(100.0)),
        Entry("ours", 2, outcome(300.0)),
        Entry("theirs", 3, outcome(1.0)),
    ]
    assert ratios(entries, "theirs", "ours") == [2.0]


def test_a_wrong_run_is_counted_and_otherwise_left_out() -> None:
    entries = [
        Entry("ours", 1, outcome(200.0)),
        Entry("theirs", 1, outcome(100.0)),
        Entry("theirs", 2, outcome(9_000.0, differing=1)),
        Entry("broken", 1, outcome(1.0, differing=3)),
    ]
    ours, theirs, broken = rows(entries, "ours")
    assert theirs[0] == "theirs"
    assert theirs[2] == "100"
    assert theirs[-1] == "1 of 2 right"
    assert broken == ["broken", *[""] * (len(HEADER) - 2), "0 of 1 right"]
    assert ours[4] == "1.00"


def test_the_table_has_as_many_cells_in_each_line() -> None:
    lines = markdown(rows([Entry("ours", 1, outcome(200.0))], "ours")).splitlines()
    assert {line.count("|") for line in lines} == {len(HEADER) + 1}


def test_the_chart_is_xml_with_two_bars_for_each_right_program_the_fastest_first() -> None:
    entries = [
        Entry("slow & steady", 1, outcome(100.0)),
        Entry("fast", 1, outcome(200.0)),
        Entry("wrong", 1, outcome(900.0, differing=1)),
    ]
    shown = bars(entries)
    assert [bar.name for bar in shown] == ["fast", "slow & steady"]
    tree = ET.fromstring(svg(shown, base_begins="fast", caption="a <caption>"))  # noqa: S314 (ours)
    assert len([e for e in tree.iter() if e.tag.endswith("rect")]) == 4
