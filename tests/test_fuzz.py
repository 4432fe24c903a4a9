"""`make fuzz` in short: no record and no state log breaks the program, and none is lost on the way.

`make fuzz` takes a million records; what it finds gets its seed below.
"""

import random

import pytest

from bench.fuzz import records
from bench.fuzz.__main__ import fuzz_logs, fuzz_records
from streams.records.rejects import RejectCode

RECORDS = 20_000
LOGS = 2_000

FOUND = [
    ("a year in which ticks do not fit their column", 36),
    ("a parcel that closed ahead of the watermark, and then a crash", 71),
    ("a closed parcel forgotten ahead of the watermark, and then a crash", 335),
]


@pytest.mark.parametrize("seed", [f[1] for f in FOUND], ids=[f[0] for f in FOUND])
def test_what_once_broke_the_match_stage_does_not_again(seed: int) -> None:
    world = records.draw(random.Random(seed))
    outcome = records.judge(world)
    assert outcome.differences == []
    assert outcome.used + outcome.refused.total() == sum(map(len, world.batches))


def test_mutated_records_are_used_or_refused_as_the_rule_says(
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert fuzz_records(20_170_908, RECORDS) == []
    assert "mutated records" in capsys.readouterr().out


def test_mutated_state_logs_are_read_or_refused() -> None:
    assert fuzz_logs(20_170_908, LOGS) == []


def test_mutations_reach_every_reason_to_refuse() -> None:
    codes = set()
    for seed in range(20):
        codes |= set(records.judge(records.draw(random.Random(seed))).refused)
    assert codes == set(RejectCode)
