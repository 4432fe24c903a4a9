"""A gateway as an operator starts it: the command, in a process of its own."""

import http.client
import json
import re
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.scenarios.worker import COMMAND, ROOT

PATH = "/v1/shipments"


@dataclass(frozen=True)
class Posted:
    status: int
    retry_after: str | None
    body: Any


@dataclass(frozen=True)
class GatewayProcess:
    """Where it listens, and where it logs."""

    port: int
    log: Path

    def post(self, token: str, records: Sequence[bytes], *, path: str = PATH) -> Posted:
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("POST", path, b"\n".join(records), headers)
            answer = connection.getresponse()
            return Posted(answer.status, answer.getheader("retry-after"), json.loads(answer.read()))

    def get(self, path: str, token: str | None = None) -> tuple[int, bytes]:
        headers = {} if token is None else {"Authorization": f"Bearer {token}"}
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request("GET", path, headers=headers)
            answer = connection.getresponse()
            return answer.status, answer.read()


@contextmanager
def running_gateway(folder: Path, *options: str, **environment: str) -> Iterator[GatewayProcess]:
    """Run it on a free port; its log is in the folder."""
    path = folder / "gateway.log"
    with path.open("wb") as log:
        process = subprocess.Popen(
            [*COMMAND, "gateway", "--http", "127.0.0.1:0", "--data-dir", str(folder), *options],
            cwd=folder,
            env={"PATH": "/usr/bin:/bin", "PYTHONPATH": str(ROOT), **environment},
            stdout=log,
            stderr=subprocess.PIPE,
        )
        assert process.stderr is not None
        told = b""
        try:
            while not (found := re.search(rb"http://127\.0\.0\.1:(\d+)/", told)):
                line = process.stderr.readline()
                assert line, f"it ended: {told.decode()}"
                told += line
            log.write(told)
            yield GatewayProcess(int(found.group(1)), path)
        finally:
            process.terminate()
            _, rest = process.communicate(timeout=60)
            log.write(rest)
            assert process.returncode == 0, rest.decode()[-2000:]
