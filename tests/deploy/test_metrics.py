"""The catalogue of metrics for people is the code's."""

import runpy
from pathlib import Path

FOLDER = Path(__file__).parents[2] / "deploy/prometheus"


def test_the_documented_metrics_are_those_of_the_code() -> None:
    made = runpy.run_path(str(FOLDER / "make.py"))["made"]()
    assert (FOLDER / "METRICS.md").read_text("utf8") == made, "run deploy/prometheus/make.py"
    assert made.count("\n| `realname_") > 40
