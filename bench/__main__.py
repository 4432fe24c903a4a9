"""`python -m bench`: what this program does per second, beside others; and where its time goes.

Without a command: all programs side by side, which takes minutes and writes RESULTS.md and a chart.
"""

import argparse
import os
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Final

import platformdirs

from bench import failover, gateway, latency, serve, state, steps
from bench.cluster import Cluster, running_cluster
from bench.compare import compare, report, write
from bench.workload import Size

PORT: Final = 29_192
PARCELS: Final = 1_000_000
PARCELS_QUICK: Final = 20_000
ROUNDS: Final = 3


def main() -> int:
    """Do what the command line says."""
    told = _arguments()
    parcels = told.parcels or (PARCELS_QUICK if told.quick else PARCELS)
    size = Size(parcels, told.outlets, told.seed)
    data_dir = told.data_dir.absolute()
    with running_cluster(
        data_dir, port=told.port, java_home=os.environ.get("JAVA_HOME")
    ) as cluster:
        COMMANDS[told.command](cluster, size, told)
    return 0


def _arguments() -> argparse.Namespace:
    default_dir = Path(platformdirs.user_data_path("realname-streams")) / "bench"
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("command", nargs="?", default="compare", choices=sorted(COMMANDS))
    parser.add_argument("--quick", action="store_true", help="a small load, one round")
    parser.add_argument("--parcels", type=int, help=f"parcels of the load ({PARCELS:,})")
    parser.add_argument("--outlets", type=int, default=4200)
    parser.add_argument("--seed", type=int, default=7)
    parser.add_argument("--rounds", type=int, help=f"of the comparison ({ROUNDS}), or of tries")
    parser.add_argument("--only", nargs="*", default=(), help="words of the programs' names")
    parser.add_argument("--data-dir", type=Path, default=default_dir)
    parser.add_argument("--port", type=int, default=PORT, help="of the broker")
    return parser.parse_args()


def _compare(cluster: Cluster, size: Size, told: argparse.Namespace) -> None:
    rounds = told.rounds or (1 if told.quick else ROUNDS)
    made = compare(cluster, size, rounds=rounds, only=told.only, say=_say)
    print(report(made))
    if not told.quick and not told.only:
        write(made)


def _steps(cluster: Cluster, size: Size, told: argparse.Namespace) -> None:
    scene = cluster.scene(size, _say)
    scene.reset()
    print(steps.report(steps.measure(scene)))


def _state(cluster: Cluster, size: Size, told: argparse.Namespace) -> None:
    few = state.few_parcels(cluster, size)
    print(state.report(state.measure(cluster.scene(size, _say), few)))


def _latency(cluster: Cluster, size: Size, told: argparse.Namespace) -> None:
    del size, told
    print(latency.report(latency.measure(cluster)))


def _failover(cluster: Cluster, size: Size, told: argparse.Namespace) -> None:
    tries = told.rounds or (1 if told.quick else failover.TRIES)
    print(failover.report(failover.measure(cluster, tries=tries, seed=size.seed, say=_say)))


def _gateway(cluster: Cluster, size: Size, told: argparse.Namespace) -> None:
    del size, told
    print(gateway.report(gateway.measure(cluster)))


def _serve(cluster: Cluster, size: Size, told: argparse.Namespace) -> None:
    del size, told
    print(serve.report(serve.measure(cluster)))


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


Command = Callable[[Cluster, Size, argparse.Namespace], None]
COMMANDS: Final[dict[str, Command]] = {
    "compare": _compare,
    "steps": _steps,
    "latency": _latency,
    "failover": _failover,
    "gateway": _gateway,
    "serve": _serve,
    "restore": _state,
    "memory": _state,
}


if __name__ == "__main__":
    sys.exit(main())
