"""`make chaos`: workers and broker are killed, paused, stopped, replaced; the figures must be exact.

Each run is drawn from a seed: a load of simulated records with every fault in its data, a broker of its
own, two worker places, and an injector. What comes out is compared with the stages undisturbed and with
the oracle, to the last count. A run takes less than 90 seconds.
"""

import argparse
import logging
import secrets
import sys
from pathlib import Path
from typing import Final

import platformdirs

from bench.chaos.plan import draw
from bench.chaos.run import Report, run

RUNS: Final = 3
SEEDS: Final = 1_000_000


def main() -> int:
    """Do the runs; return 1 if one has failed."""
    told = _arguments()
    # The client tells of every connection that a broker which is away refuses.
    logging.getLogger("streams.kafka.client").addHandler(logging.NullHandler())
    first = secrets.randbelow(SEEDS) if told.seed is None else told.seed
    failed = []
    for seed in range(first, first + told.runs):
        report = run(draw(seed), told.data_dir.absolute() / f"seed-{seed}")
        print(line(report), flush=True)
        if report.failures:
            failed.append(seed)
            print(story(report), flush=True)
    passed = told.runs - len(failed)
    print(f"{passed} of {told.runs} runs passed, seeds {first} to {first + told.runs - 1}")
    return 1 if failed else 0


def _arguments() -> argparse.Namespace:
    default_dir = Path(platformdirs.user_data_path("realname-streams")) / "chaos"
    parser = argparse.ArgumentParser(prog="python -m bench.chaos", description=__doc__)
    parser.add_argument("--seed", type=int, help="of the first run; further ones count up")
    parser.add_argument("--runs", type=int, default=RUNS)
    parser.add_argument("--data-dir", type=Path, default=default_dir)
    return parser.parse_args()


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
            f"{len(found.missing):,} missing, {sum(found.dead_letters.values()):,} dead letters"
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
