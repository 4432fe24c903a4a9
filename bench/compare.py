"""All programs side by side: in rounds, one after the other, each held to the truth before it counts."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from bench.chart import bars, svg
from bench.cluster import Cluster, Scene
from bench.contenders.bare_loop import BareLoop
from bench.contenders.contender import Contender, RunFailed
from bench.contenders.faust_tables import FaustTables
from bench.contenders.jvm import FLINK, KAFKA_STREAMS, OnJvm
from bench.contenders.ours import Ours
from bench.machine import DISTURBED, calibrate, describe, load_1min
from bench.outcome import Entry, Outcome
from bench.table import markdown, rows
from bench.workload import Size

BASE: Final = Ours(2)
FOLDER: Final = Path(__file__).parent
RESULTS: Final = FOLDER / "RESULTS.md"
CHART: Final = FOLDER / "results.svg"
SUBSET_PARCELS: Final = 52_000
"""Of the load of the slowest: about 100,000 records."""

CONTENDERS: Final[Sequence[Contender]] = (
    BASE,
    Ours(1),
    OnJvm("Flink, HashMap, checkpoint 5 s", FLINK, store="memory"),
    OnJvm("Flink, RocksDB, checkpoint 5 s", FLINK, store="rocksdb"),
    OnJvm("Kafka Streams, exactly once, in memory", KAFKA_STREAMS, store="memory"),
    OnJvm("Kafka Streams, exactly once, RocksDB", KAFKA_STREAMS, store="rocksdb"),
    BareLoop(),
)
SLOW: Final[Sequence[Contender]] = (FaustTables(),)
"""They run once, over a part of the load."""

Say = Callable[[str], None]


@dataclass(slots=True)
class Comparison:
    """What was measured, and under which circumstances.

    Attributes:
        entries: The runs, in the order in which they ran.
        skipped: Contenders that did not run, or not to the end, and why.
        calibrations_s: Of the fixed loop, before and after each run.
        loads: The machine's load at the beginning and the end.

    """

    size: Size
    entries: list[Entry] = field(default_factory=list)
    skipped: dict[str, str] = field(default_factory=dict)
    calibrations_s: list[float] = field(default_factory=list)
    loads: list[float] = field(default_factory=list)


def compare(
    cluster: Cluster, size: Size, *, rounds: int, only: Sequence[str] = (), say: Say
) -> Comparison:
    """Run all contenders, or those whose name has one of the words in `only`."""
    made = Comparison(size)
    scene, subset = cluster.scene(size, say), None
    _warm_up(scene, say)
    made.loads.append(load_1min())
    for turn in range(1, rounds + 1):
        for contender in _wanted(CONTENDERS, only, made):
            _run(made, contender, scene, turn, say)
    for contender in _wanted(SLOW, only, made):
        subset = subset or cluster.scene(Size(min(SUBSET_PARCELS, size.parcels)), say)
        _run(made, contender, subset, 1, say)
    made.loads.append(load_1min())
    return made


def _warm_up(scene: Scene, say: Say) -> None:
    """Run once uncounted, since a broker compiles its own hot path while the first program runs."""
    say("warming the broker up")
    Ours(1).run(scene)


def _wanted(
    contenders: Sequence[Contender], only: Sequence[str], made: Comparison
) -> Iterator[Contender]:
    for contender in contenders:
        if only and not any(word in contender.name for word in only):
            continue
        lacks = contender.lacks()
        if lacks is None:
            yield contender
        else:
            made.skipped[contender.name] = lacks


def _run(made: Comparison, contender: Contender, scene: Scene, turn: int, say: Say) -> None:
    made.calibrations_s.append(calibrate())
    try:
        outcome = contender.run(scene)
    except RunFailed as failed:
        made.skipped[contender.name] = f"round {turn}: {failed}"
        say(f"{contender.name}: {failed}")
        return
    made.calibrations_s.append(calibrate())
    entry = Entry(contender.name, turn, outcome, max(made.calibrations_s[-2:]))
    made.entries.append(entry)
    say(f"{turn}  {contender.name}: {_line(outcome)}")


def _line(outcome: Outcome) -> str:
    right = "right" if not outcome.differing else f"WRONG in {outcome.differing} outlets"
    return (
        f"{outcome.per_s:,.0f} records/s, {outcome.cpu_us:.2f} µs, "
        f"broker {outcome.broker_cpu_us:.2f} µs, {outcome.memory_mb:,.0f} MB, {right}"
    )


def report(made: Comparison) -> str:
    """Return the whole report as Markdown."""
    table = markdown(rows(made.entries, BASE.name))
    records = max((entry.outcome.records for entry in made.entries), default=0)
    lines = [
        "# Measured side by side",
        "",
        (
            f"`make bench` on {describe()}. {records:,} records of one day: {made.size.parcels:,} parcels "
            f"of {made.size.outlets:,} outlets, seed {made.size.seed}."
        ),
        "",
        (
            "The work: join collections with registrations by waybill, in either order; count per outlet, "
            "category and 5-minute pane; state durable. This program does the whole of its own work "
            "besides: verdicts, roll-ups, days, missing parcels. The clock runs from the first record to "
            "all of it processed, durable and committed. A run counts only if the figures of every outlet "
            f"are right. Least / median / greatest of the runs; the base of the ratios is {BASE.name}, "
            "round by round."
        ),
        "",
        table,
        "",
        "![records per second and CPU per record](results.svg)",
        "",
        *_circumstances(made),
    ]
    return "\n".join(lines) + "\n"


def _circumstances(made: Comparison) -> list[str]:
    best, worst = min(made.calibrations_s), max(made.calibrations_s)
    lines = [
        (
            f"- A fixed loop took {best:.3f} to {worst:.3f} s around the runs; load {made.loads[0]:.1f} "
            f"before, {made.loads[-1]:.1f} after."
        )
    ]
    disturbed = [
        f"{e.contender} ({e.round})" for e in made.entries if e.calibration_s > DISTURBED * best
    ]
    if disturbed:
        lines.append(
            f"- **Something else used the machine** during or around {', '.join(disturbed)}: the loop "
            f"took more than {DISTURBED:.2f} times its best. Measure again on a quiet machine before "
            "drawing conclusions from these."
        )
    slow = [c.name for c in SLOW if any(e.contender == c.name for e in made.entries)]
    if slow:
        lines.append(f"- Over a part of the load, once: {', '.join(slow)}.")
    lines += [f"- {name}, left out: {why.splitlines()[0]}" for name, why in made.skipped.items()]
    return lines


def write(made: Comparison) -> None:
    """Write RESULTS.md and the chart."""
    RESULTS.write_text(report(made), "utf8")
    caption = f"{made.size.parcels:,} parcels, {describe().cpu}, {describe().cores} cores"
    picture = svg(bars(made.entries), base_begins="this program", caption=caption)
    CHART.write_text(picture, "utf8")
