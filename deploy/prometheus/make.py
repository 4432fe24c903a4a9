"""Writes METRICS.md, the catalogue of all metrics for people, from the code's.

    .venv/bin/python deploy/prometheus/make.py

It writes the same file each time, beside itself.
"""  # noqa: INP001 (a script beside its data, not a package)

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from streams.gateway.metrics import CATALOGUE as GATEWAY
from streams.metrics import CATALOGUE as WORKER
from streams.metrics import Metric
from streams.serve.metrics import CATALOGUE as SERVE

FILE: Final = Path(__file__).parent / "METRICS.md"
BEGINNING: Final = """\
# Metrics

Names, units and labels are part of the interface. Of each stage's metrics a worker shows those of its own
partitions, so they are added up. All replicas of serve show the same figures, so those are taken once:
`max by` all their labels. Figures of parcels are gauges, since they fall when a parcel is voided or a day
ends. A histogram has `_bucket`, `_sum` and `_count`. Made by make.py.
"""


def made() -> str:
    """Return the file's text."""
    parts = [BEGINNING]
    for title, metrics in (
        ("Workers and notify: port of `--http-port`", WORKER),
        ("serve: port of `--http`", SERVE),
        ("gateway: port of `--http`, with a token for the region", GATEWAY),
    ):
        parts.append(f"\n## {title}\n\n| metric | type | labels | |\n|---|---|---|---|\n")
        parts += _lines(metrics)
    return "".join(parts)


def _lines(metrics: Sequence[Metric]) -> Iterator[str]:
    for metric in metrics:
        labels = ", ".join(f"`{label}`" for label in metric.labels)
        yield f"| `{metric.name}` | {metric.kind} | {labels} | {metric.help} |\n"


if __name__ == "__main__":
    FILE.write_text(made(), "utf8")
