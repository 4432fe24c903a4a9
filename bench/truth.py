"""What a right program comes to, and how a program's figures are held against it."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple


class Figures(NamedTuple):
    """Parcels of one outlet: collected, covered on time, covered late; registrations too many."""

    collected: int
    on_time: int
    late: int
    duplicates: int


@dataclass(frozen=True, slots=True)
class Truth:
    """The exact figures of every outlet of a workload, and how many records lead to them."""

    records: int
    outlets: Mapping[str, Figures]

    def write(self, file: Path) -> None:
        """Write it as JSON, for programs in other languages too."""
        file.write_text(
            json.dumps({"records": self.records, "outlets": dict(self.outlets)}), "utf8"
        )


def read_truth(file: Path) -> Truth:
    """Return what `Truth.write` has written."""
    stored = json.loads(file.read_text("utf8"))
    return Truth(
        stored["records"],
        {outlet: Figures(*figures) for outlet, figures in stored["outlets"].items()},
    )


def differing(truth: Truth, outlets: Mapping[str, Figures]) -> list[str]:
    """Return the outlets whose figures are not the truth, in order; those that one side lacks, too."""
    return sorted(
        outlet
        for outlet in truth.outlets.keys() | outlets.keys()
        if truth.outlets.get(outlet) != outlets.get(outlet)
    )
