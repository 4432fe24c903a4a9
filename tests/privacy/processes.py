"""The program's commands as operators start them, each with its log, and what they answer over HTTP."""

import http.client
import re
import subprocess
import time
from collections.abc import Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path

from tests.scenarios.worker import COMMAND, ROOT

PATIENCE_S = 120.0
ADDRESS = re.compile(r"http://127\.0\.0\.1:(\d+)")


@dataclass(frozen=True)
class Running:
    """A command that runs. Everything that it says is in `log`."""

    log: Path
    process: subprocess.Popen[bytes]
    told_port: int | None = None

    @property
    def port(self) -> int:
        """Where it listens: as it was told, or as it has said."""
        if self.told_port is not None:
            return self.told_port
        deadline = time.monotonic() + PATIENCE_S
        while not (found := ADDRESS.search(self.said)):
            assert self.process.poll() is None, self.said[-2000:]
            assert time.monotonic() < deadline, self.said[-2000:]
            time.sleep(0.1)
        return int(found.group(1))

    @property
    def said(self) -> str:
        return self.log.read_text("utf8", "replace")

    def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()

    def wait_ready(self) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while True:
            assert self.process.poll() is None, self.said[-2000:]
            assert time.monotonic() < deadline, self.said[-2000:]
            try:
                if self.get("/ready")[0] == 200:
                    return
            except OSError:
                pass
            time.sleep(0.3)


@contextmanager
def running(
    name: str,
    folder: Path,
    *arguments: str,
    environment: Mapping[str, str],
    port: int | None = None,
) -> Iterator[Running]:
    """Run a command until the end of the block, then end it with SIGTERM."""
    path = folder / f"{name}.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, *arguments, "--data-dir", str(folder), "--log-level", "debug"],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
            stdout=log,
            stderr=log,
        )
        try:
            yield Running(path, process, port)
        finally:
            process.terminate()
            process.wait(60)
