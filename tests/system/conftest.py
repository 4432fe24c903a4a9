"""Fixtures for tests that need Debian packages or minutes of waiting: `make test-system`."""

import itertools
import shutil
import socket
import subprocess
import time
import urllib.request
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

import pytest

ALERTMANAGER = "prometheus-alertmanager"
START_S = 20.0


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


@dataclass
class RealAlertmanager:
    """A process of Alertmanager. Its port and data stay through `kill` and `start`."""

    config: Path
    data: Path
    peers: Sequence[str] = ()
    port: int = field(default_factory=free_port)
    cluster_port: int = field(default_factory=free_port)
    process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    @property
    def cluster_address(self) -> str:
        return f"127.0.0.1:{self.cluster_port}"

    def start(self) -> None:
        self.data.mkdir(parents=True, exist_ok=True)
        cluster = self.cluster_address if self.peers else ""
        with (self.data / "log").open("ab") as log:
            self.process = subprocess.Popen(
                [
                    ALERTMANAGER,
                    f"--config.file={self.config}",
                    f"--storage.path={self.data}",
                    f"--web.listen-address=127.0.0.1:{self.port}",
                    f"--cluster.listen-address={cluster}",
                    # The second of two waits this long for the first to have told.
                    "--cluster.peer-timeout=2s",
                    "--cluster.gossip-interval=50ms",
                    "--cluster.pushpull-interval=1s",
                    "--cluster.settle-timeout=2s",
                    *(f"--cluster.peer={peer}" for peer in self.peers),
                ],
                stdout=log,
                stderr=log,
            )
        deadline = time.monotonic() + START_S
        while not self.is_ready():
            assert self.process.poll() is None, (self.data / "log").read_text()
            assert time.monotonic() < deadline, "Alertmanager does not become ready"
            time.sleep(0.05)

    def is_ready(self) -> bool:
        try:
            with urllib.request.urlopen(f"{self.url}/-/ready", timeout=1) as answer:  # noqa: S310 (ours)
                return bool(answer.status == 200)
        except OSError:
            return False

    def kill(self) -> None:
        if self.process is not None:
            self.process.kill()
            self.process.wait()
            self.process = None


NewAlertmanager = Callable[..., RealAlertmanager]


@pytest.fixture(scope="session")
def alertmanager_package() -> None:
    missing = [name for name in (ALERTMANAGER, "amtool") if shutil.which(name) is None]
    if missing:
        pytest.fail(f"{', '.join(missing)} not found; run `make test-system`, which installs it")


@pytest.fixture(scope="module")
def new_alertmanager(
    alertmanager_package: None, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[NewAlertmanager]:
    """Make Alertmanagers, with a configuration each; they end with the module."""
    made: list[RealAlertmanager] = []
    numbers = itertools.count()

    def make(config: Path, *, cluster: bool = False) -> RealAlertmanager:
        data = tmp_path_factory.mktemp("alertmanager") / str(next(numbers))
        one = RealAlertmanager(config, data)
        if cluster:
            others = [other for other in made if other.config == config]
            one.peers = [other.cluster_address for other in others] or [one.cluster_address]
        made.append(one)
        return one

    yield make
    for one in made:
        one.kill()
