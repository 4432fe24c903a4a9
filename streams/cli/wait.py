"""`realname wait`: until a worker has worked off what was there when it was called."""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Annotated, Final

import typer

from streams.cli.exits import Exit
from streams.cli.inputs import STATES, committed_of, ends_of, is_left_out
from streams.cli.run import Json, Run, command
from streams.cli.show import show

app = typer.Typer()

TIMEOUT_S_DEFAULT: Final = 60.0
_POLL_S: Final = 0.2


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a stage is behind the end offsets that were taken when its turn came.

    Attributes:
        stage: Its name.
        behind: Partitions that are not there yet.
        partitions: How many there are.
        records: Offsets left, over all; marks of transactions count, too.

    """

    stage: str
    behind: int
    partitions: int
    records: int


@command(
    app,
    "wait",
    examples=["realname wait", "realname wait --timeout 600 && realname rates"],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER),
)
def wait(
    run: Run,
    *,
    timeout: Annotated[
        float, typer.Option(min=0, metavar="S", help="Seconds to wait at most.")
    ] = TIMEOUT_S_DEFAULT,
    json: Json = False,
) -> Exit:
    """Wait until everything that is in shipments now is in the published figures.

    Stage by stage, match, rate, rollup: each must have committed the end of its input as of the
    moment when the stage before it was through. So must compliance, where a worker has ever run it:
    then enterprises have been told, too. Exit code 1 when time runs out first, also while
    no worker has ever run; it says then how far each stage is.
    """
    deadline = time.monotonic() + timeout
    last: list[Progress] = []
    with run.err.status("Waiting for the worker ...") as status:
        for progress in stages_passing(run):
            last = [p for p in last if p.stage != progress.stage] + [progress]
            if progress.behind == 0:
                continue
            status.update(f"Waiting: {_told(progress)} ...")
            if time.monotonic() >= deadline:
                break
            time.sleep(min(_POLL_S, max(0.0, deadline - time.monotonic())))
    passed = last[-1].behind == 0
    if json:
        rows = [
            {"stage": p.stage, "behind": p.behind, "partitions": p.partitions, "records": p.records}
            for p in last
        ]
        show(run, rows, json=True, columns=(), empty="")
    if passed:
        run.say("All stages have passed what was there.")
        return Exit.OK
    run.say(
        f"After {timeout:g} s: {_told(last[-1])}. Check that a worker runs (`realname doctor`), "
        "or give it longer with --timeout."
    )
    return Exit.UNMET


def stages_passing(run: Run) -> Iterator[Progress]:
    """Say again and again how far the stage is whose turn it is; end when the last has passed.

    Compliance has its turn only if it had committed anything when that came.

    The end of a stage's input is taken when its turn begins: what the stage before writes is in one
    transaction with the offsets that were waited for, so it is there by then.
    """
    for stage, sources in STATES:
        ends, committed = ends_of(run, sources), committed_of(run, stage, sources)
        if is_left_out(stage, committed):
            continue
        while (progress := _progress(stage, ends, committed)).behind:
            yield progress
            committed = committed_of(run, stage, sources)
        yield progress


def _progress(stage: str, ends: dict[int, int], committed: dict[int, int | None]) -> Progress:
    """Compare. A partition without a commit is behind: nobody has seen that it is empty."""
    reached = {p: committed.get(p) for p in ends}
    behind = [p for p, end in ends.items() if (at := reached[p]) is None or at < end]
    records = sum(ends[p] - (reached[p] or 0) for p in behind)
    return Progress(stage, len(behind), len(ends), records)


def _told(progress: Progress) -> str:
    return (
        f"{progress.stage} is behind in {progress.behind} of {progress.partitions} partitions, "
        f"by {progress.records:,} records"
    )
