"""`make chaos`: workers, network and broker fail in every way; the figures must be exact.

Each run is drawn from a seed: a load of simulated records with every fault in its data, a broker of its
own, two worker places, and an injector. What comes out is compared with the stages undisturbed and with
the oracle, to the last count; what enterprises and an Alertmanager were told, with what was published. A
run takes less than 90 seconds. Seeds that have passed are noted with the commit: whoever asks for a hundred
again goes on where the last one stopped.
"""

import argparse
import logging
import secrets
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Final

import platformdirs

from bench.chaos.plan import draw
from bench.chaos.run import Report, run
from bench.chaos.slot import ROOT

RUNS: Final = 3
SEEDS: Final = 1_000_000


def main() -> int:
    """Do the runs; return 1 if one has failed."""
    told = _arguments()
    # The client tells of every connection that a broker which is away refuses.
    logging.getLogger("streams.kafka.client").addHandler(logging.NullHandler())
    first = secrets.randbelow(SEEDS) if told.seed is None else told.seed
    failed = []
    notes, commit = told.data_dir.absolute() / "passed.tsv", _commit()
    before = set() if told.again else passed_before(notes, commit)
    for seed in range(first, first + told.runs):
        if seed in before:
            print(f"seed {seed}: has passed at {commit} before; --again runs it once more")
            continue
        report = run(draw(seed), told.data_dir.absolute() / f"seed-{seed}")
        print(line(report), flush=True)
        if report.failures:
            failed.append(seed)
            print(story(report), flush=True)
        else:
            with notes.open("a", encoding="utf8") as file:
                file.write(f"{seed}\t{commit}\n")
    passed = told.runs - len(failed)
    print(f"{passed} of {told.runs} runs passed, seeds {first} to {first + told.runs - 1}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    default_dir = Path(platformdirs.user_data_path("realname-streams")) / "chaos"
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the first run; further ones count up")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--again", action="store_true", help="also seeds that have passed")
    parser.add_argument("--data-dir", type=Path, default=default_dir)
    return parser.parse_args()


def _commit() -> str:
    """Return what is being tried, as git calls it; empty where it cannot tell."""
    git = shutil.which("git")
    if git is None:
        return ""
    command = [git, "-C", str(ROOT), "describe", "--always", "--dirty"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    return done.stdout.strip()


def passed_before(notes: Path, commit: str) -> set[int]:
    """Return the seeds that are noted as passed at a commit; none for one with changes."""
    if not commit or commit.endswith("-dirty") or not notes.exists():
        return set()
    lines = (each.split("\t") for each in notes.read_text("utf8").splitlines())
    return {int(seed) for seed, at in lines if at == commit}


def line(report: Report) -> str:
    """Return a run's summary."""
    counts = report.journal.counts
    points = sorted(name.removeprefix("at ") for name in counts if name.startswith("at "))
    faults = ", ".join(
        f"{count} {name}" for name, count in sorted(counts.items()) if not name.startswith("at ")
    )
    found = report.figures
    figures = (
        "nothing to compare"
        if found is None
        else (
            f"{len(found.days):,} days, {sum(map(len, found.alerts.values())):,} changes of alerts, "
            f"{len(found.missing):,} missing, {sum(found.dead_letters.values()):,} dead letters, "
            f"{report.events:,} events, {report.told:,} alerts told"
        )
    )
    verdict = f"FAILED ({len(report.failures)})" if report.failures else "passed"
    return (
        f"seed {report.plan.seed}: {verdict} in {report.took_s:.0f} s; {report.records:,} records; "
        f"{faults}; crashed at {', '.join(points) or 'no point'}; {figures}"
    )


def story(report: Report) -> str:
    """Return what a failed run is understood by."""
    return "\n".join(
        [
            *(f"  {text}" for text in report.failures),
            "what happened:",
            *(f"  {text}" for text in report.journal.lines),
            f"its data, and how it went, are in {report.data_dir}",
            f"again: make chaos CHAOS_SEED={report.plan.seed} CHAOS_RUNS=1",
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
