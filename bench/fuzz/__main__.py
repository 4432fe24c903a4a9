"""`make fuzz`: mutated records through the match stage beside its rule, and mutated state logs.

Every world of records and every log is drawn from a seed of its own, which is printed when one fails.
"""

import argparse
import random
import resource
import secrets
import sys
import time
import warnings
from collections import Counter
from traceback import format_exc
from typing import Final

from bench.fuzz import records
from bench.fuzz.payloads import Readers

RECORDS: Final = 1_000_000
RECORDS_PER_LOG: Final = 100
"""For so many records one state log is read."""
MEMORY_BYTES_MAX: Final = 4 * 2**30
"""A log that asks for more is refused like any other, and does not take the machine with it."""
FAILURES_MAX: Final = 5
SEEDS: Final = 1_000_000_000


def main() -> int:
    """Go on until so many mutated records have been taken; return 1 if anything has failed."""
    parser = argparse.ArgumentParser(prog="python -m bench.fuzz", description=__doc__)
    parser.add_argument("--records", type=int, default=RECORDS, help="mutated ones, at least")
    parser.add_argument("--seed", type=int, help="of the first world; further ones count up")
    told = parser.parse_args()
    seed = secrets.randbelow(SEEDS) if told.seed is None else told.seed
    print(f"seed {seed}", flush=True)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES_MAX, MEMORY_BYTES_MAX))
    begun_s = time.monotonic()
    failures = [
        *fuzz_records(seed, told.records),
        *fuzz_logs(seed, told.records // RECORDS_PER_LOG),
    ]
    for failure in failures:
        print(failure)
    print(f"{'FAILED' if failures else 'passed'} in {time.monotonic() - begun_s:.0f} s")
    return 1 if failures else 0


def fuzz_records(seed: int, wanted: int) -> list[str]:
    """Take worlds with so many mutated records in all; return what went wrong, and print the counts."""
    refused: Counter[str] = Counter()
    failures: list[str] = []
    mutated = used = 0
    while mutated < wanted and len(failures) < FAILURES_MAX:
        world = records.draw(random.Random(seed))
        try:
            outcome = records.judge(world)
        except Exception:  # noqa: BLE001 - any exception is what is looked for
            failures.append(f"records of seed {seed}:\n{format_exc()}")
        else:
            failures += [f"records of seed {seed}: {text}" for text in outcome.differences]
            used += outcome.used
            refused.update({code.value: count for code, count in outcome.refused.items()})
        mutated += world.mutated
        seed += 1
    reasons = ", ".join(f"{count:,} {code}" for code, count in refused.most_common())
    print(
        f"{mutated:,} mutated records among others: {used:,} records used, "
        f"{refused.total():,} refused ({reasons})",
        flush=True,
    )
    return failures


def fuzz_logs(seed: int, wanted: int) -> list[str]:
    """Read so many mutated state logs; return what went wrong, and print the counts."""
    readers = Readers()
    taken: Counter[bool] = Counter()
    failures: list[str] = []
    with warnings.catch_warnings():
        # Numbers that make no sense lead to figures that make none.
        warnings.simplefilter("ignore", RuntimeWarning)
        for each in range(seed, seed + wanted):
            try:
                _, good = readers.read(random.Random(each))
            except Exception:  # noqa: BLE001 - any exception is what is looked for
                failures.append(f"state log of seed {each}:\n{format_exc()}")
                if len(failures) >= FAILURES_MAX:
                    break
            else:
                taken[good] += 1
    print(
        f"{wanted:,} mutated state logs: {taken[True]:,} read, {taken[False]:,} refused", flush=True
    )
    return failures


if __name__ == "__main__":
    sys.exit(main())
