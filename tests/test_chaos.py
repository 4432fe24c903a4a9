"""`make chaos` in short: workers, a network and a broker fail at bad moments, and the figures are exact.

`make chaos` has longer runs, as many as one likes, each from a seed of its own.
"""

from pathlib import Path

import pytest

from bench.chaos.__main__ import line, story
from bench.chaos.plan import draw
from bench.chaos.run import run

SEEDS = [8]


@pytest.mark.kafka
@pytest.mark.parametrize("seed", SEEDS)
def test_figures_are_exact_whatever_happens_to_workers_and_broker(
    seed: int, tmp_path: Path
) -> None:
    report = run(draw(seed, lasts_s=8, parcels_per_day=4_000), tmp_path / "chaos")
    assert not report.failures, f"{line(report)}\n{story(report)}"
