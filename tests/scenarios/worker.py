"""A worker as an operator starts it: the command `realname worker`, in a process of its own."""

import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from confluent_kafka.admin import AdminClient

from streams.kafka.client import client_config
from streams.kafka.reading import committed_offsets, end_offsets
from streams.records.topics import Topic

COMMAND: Final = [sys.executable, "-c", "from streams.cli import main; main()"]
ROOT: Final = Path(__file__).parent.parent.parent
PATIENCE_S: Final = 120.0


@dataclass(frozen=True)
class Cluster:
    """Where a test's topics are: they exist, empty, under its prefix."""

    bootstrap: str
    prefix: str
    topics: Mapping[str, Topic]
    partitions: Mapping[str, int]

    @property
    def client(self) -> dict[str, Any]:
        return client_config(self.bootstrap, client_id="tests")


class WorkerProcess:
    """One worker place, with at most one process in it at a time. Its clock is the data's."""

    def __init__(self, cluster: Cluster, log_dir: Path) -> None:
        self._cluster = cluster
        self._log = log_dir / f"{cluster.prefix}worker.log"
        self._data_dir = log_dir
        self._admin = AdminClient(cluster.client)
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        assert self._process is None
        counts = {
            f"REALNAME_PARTITIONS__{name.replace('.', '_').upper()}": str(count)
            for name, count in self._cluster.partitions.items()
        }
        options = [
            *("worker", "--clock", "data", "--http-port", "0", "--agents", "match,rate,rollup"),
            *("--bootstrap", self._cluster.bootstrap, "--prefix", self._cluster.prefix),
            *("--data-dir", str(self._data_dir)),
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(
                [*COMMAND, *options],
                cwd=self._data_dir,
                env={
                    "PATH": "/usr/bin:/bin",
                    "PYTHONPATH": str(ROOT),
                    "REALNAME_FLUSH_MS": "100",
                    **counts,
                },
                stdout=log,
                stderr=log,
            )

    def kill(self) -> None:
        """Kill it with SIGKILL, if it runs."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def stop(self) -> int:
        """End it with SIGTERM; return its exit code."""
        assert self._process is not None
        self._process.terminate()
        code = self._process.wait(30)
        self._process = None
        return code

    def progress(self, stage: str, topic: str) -> int:
        """Return how many offsets of its input a stage has committed."""
        group = f"{self._cluster.prefix}{stage}"
        committed = committed_offsets(self._cluster.client, group, self._cluster.topics[topic].name)
        return sum(offset or 0 for offset in committed.values())

    def wait_until(self, stage: str, topic: str, *, committed: int) -> None:
        """Wait until a stage has committed so many offsets, over all partitions."""
        self._wait(lambda: self.progress(stage, topic) >= committed, f"{stage} at {committed}")

    def wait_until_all_is_committed(self, inputs: Sequence[tuple[str, str]]) -> None:
        """Wait for each stage in turn to commit what its input holds when its turn comes."""
        for stage, topic in inputs:
            ends = end_offsets(self._admin, self._cluster.topics[topic].name)
            group, name = f"{self._cluster.prefix}{stage}", self._cluster.topics[topic].name

            def done(group: str = group, name: str = name, ends: Mapping[int, int] = ends) -> bool:
                committed = committed_offsets(self._cluster.client, group, name)
                return all((committed.get(p) or -1) >= end for p, end in ends.items() if end)

            self._wait(done, stage)

    def _wait(self, done: Callable[[], bool], what: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not done():
            assert self._process is not None
            code = self._process.poll()
            assert code is None, f"the worker ended with {code}: {self.log()}"
            assert time.monotonic() < deadline, f"{what} does not come on: {self.log()}"
            time.sleep(0.05)

    def log(self) -> str:
        """The end of what it has logged."""
        return self._log.read_text("utf8", "replace")[-2000:]
