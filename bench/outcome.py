"""What one run came to, and what several runs say together."""

import json
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final, NamedTuple

RESULT: Final = "RESULT "
"""Begins the line by which a program tells what it has measured of itself."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run over a workload.

    Attributes:
        records: Input records.
        differing: Outlets whose figures are not the truth; a run counts only when there are none.
        wall_s: From the first record handled to all of it processed, durable and committed.
        second_half_per_s: Records per second over the second half, up to processed: without most of
            a virtual machine's warming up.
        cpu_s: CPU time of the program in that time.
        broker_cpu_s: CPU time of the broker in that time.
        memory_mb: The most memory that the program had.

    """

    records: int
    differing: int
    wall_s: float
    second_half_per_s: float
    cpu_s: float
    broker_cpu_s: float
    memory_mb: float

    @property
    def per_s(self) -> float:
        """Records per second."""
        return self.records / self.wall_s

    @property
    def cpu_us(self) -> float:
        """CPU microseconds per record."""
        return self.cpu_s * 1e6 / self.records

    @property
    def broker_cpu_us(self) -> float:
        """CPU microseconds per record of the broker."""
        return self.broker_cpu_s * 1e6 / self.records

    def line(self) -> str:
        """Return the line that `parse` finds."""
        return RESULT + json.dumps(asdict(self))


def parse(output: str) -> Outcome | None:
    """Return what a program's output says of its run; None if it does not come to that."""
    lines = [line for line in output.splitlines() if line.startswith(RESULT)]
    return Outcome(**_fields(json.loads(lines[-1].removeprefix(RESULT)))) if lines else None


def _fields(told: Mapping[str, Any]) -> dict[str, Any]:
    return {name: told[name] for name in Outcome.__dataclass_fields__}


class Spread(NamedTuple):
    """The least, the median and the greatest of several values."""

    least: float
    median: float
    greatest: float


def spread(values: Iterable[float]) -> Spread:
    """Return the spread of at least one value."""
    some = sorted(values)
    return Spread(some[0], statistics.median(some), some[-1])


class Entry(NamedTuple):
    """One run in its place: who ran, in which round.

    `calibration_s` is the longer time of the fixed loop before and after it: how quiet the machine was.
    """

    contender: str
    round: int
    outcome: Outcome
    calibration_s: float = 0.0


def ratios(
    entries: Sequence[Entry], contender: str, base: str, *, of: str = "per_s"
) -> list[float]:
    """Return the base's figure as a multiple of a contender's, for each round that has both.

    Of one round only, since a machine that is shared is faster in one minute than in the next.
    """
    by_round = {(e.contender, e.round): getattr(e.outcome, of) for e in entries}
    return [
        value / by_round[contender, turn]
        for (name, turn), value in by_round.items()
        if name == base and (contender, turn) in by_round
    ]
