"""Machine code: made when it should be, and as careful as the Python that it is made of."""

import os
import subprocess
import sys
from pathlib import Path

SEEN = """
import numba
from streams.stages.match.warm_up import warm_up
from streams.stages.match.native import closed, entries, joining, names, scan
from tests.builders import a_history
from tests.stages.match import drawn

def made():
    functions = (f for module in (closed, entries, joining, names, scan) for f in vars(module).values())
    return sum(len(f.signatures) for f in functions if hasattr(f, "signatures"))

warm_up()
before = made()
assert before > 20, before
import random
rng = random.Random(7)
options = drawn.choices([0] * 9 + [200, 60_000, 7_200_000], 40)
partition = drawn.a_partition(drawn.changing_history())
records = drawn.sent([drawn.Fields._make(map(rng.choice, options)) for _ in range(3_000)], orderly=True)
for start in range(0, len(records), 500):
    partition.apply(drawn.batch(records[start : start + 500], start))
    partition.drain(publish=True)
    partition.committed()
again = drawn.a_partition(drawn.changing_history())
again.restore_snapshot(list(partition.snapshot()))
again.restored()
print(made() - before)
"""


def test_warming_up_makes_all_of_it() -> None:
    root = Path(__file__).parents[3]
    ran = subprocess.run(
        [sys.executable, "-c", SEEN], cwd=root, env={**os.environ, "PYTHONPATH": str(root)},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.stderr == ""
    assert ran.stdout.split() == ["0"], "something was made after warming up"
