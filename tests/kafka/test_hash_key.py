"""A worker that is started with another `waybill_hash_key` than its state was written with."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.fencing import EXIT_FENCED
from streams.records.topics import Topic
from tests.conftest import FEW_PARTITIONS
from tests.kafka.counting import committed_offsets, end_offsets, read_all
from tests.kafka.test_runner import wait_for

pytestmark = pytest.mark.kafka

ONE, OTHER = "one" * 11, "other" * 7
RECORDS = "\n".join(f'{{"waybill_no": "ZT{number}"}}' for number in range(20))
"""Refused, all of them, which is enough for a state to be written."""


@dataclass
class Realname:
    """Runs the program as a user does: by its name, told by the environment."""

    folder: Path
    environment: dict[str, str]
    workers: list[subprocess.Popen[bytes]] = field(default_factory=list)

    def ok(self, *arguments: str, stdin: str = "") -> str:
        command = [str(Path(sys.executable).with_name("realname")), *arguments]
        done = subprocess.run(
            command,
            cwd=self.folder,
            env=self.environment,
            input=stdin.encode(),
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, done.stderr.decode()
        return done.stdout.decode()

    def worker(self, key: str) -> subprocess.Popen[bytes]:
        command = [str(Path(sys.executable).with_name("realname")), "worker"]
        own = {"REALNAME_WAYBILL_HASH_KEY": key, "REALNAME_LOG_LEVEL": "debug"}
        with (self.folder / "worker.log").open("wb") as log:
            self.workers.append(
                subprocess.Popen(
                    [*command, "--agents", "match", "--http-port", "0"],
                    cwd=self.folder,
                    env={**self.environment, **own},
                    stderr=log,
                )
            )
        return self.workers[-1]

    def said(self) -> str:
        return (self.folder / "worker.log").read_text("utf8")


@pytest.fixture
def realname(
    broker: EmbeddedBroker, prefix: str, topics: Mapping[str, Topic], tmp_path: Path
) -> Iterator[Realname]:
    del topics  # They are to be there.
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REALNAME_")}
    environment |= {"REALNAME_BOOTSTRAP": broker.bootstrap, "REALNAME_PREFIX": prefix}
    for name, count in FEW_PARTITIONS.items():
        environment[f"REALNAME_PARTITIONS__{name.replace('.', '_').upper()}"] = str(count)
    started = Realname(tmp_path, environment)
    yield started
    for worker in started.workers:
        with suppress(ProcessLookupError):
            worker.kill()
        worker.wait()


CHANGES = [
    ("another key", ONE, OTHER, "with another waybill_hash_key than this worker's"),
    ("no key any more", ONE, "", "with a waybill_hash_key, and this worker has none"),
    ("a key where there was none", "", ONE, "without a waybill_hash_key, and this worker has one"),
]


@pytest.mark.parametrize(
    ("before", "after", "told"), [c[1:] for c in CHANGES], ids=[c[0] for c in CHANGES]
)
def test_it_refuses_to_start_and_goes_on_with_the_former_key(
    before: str,
    after: str,
    told: str,
    *,
    realname: Realname,
    broker: EmbeddedBroker,
    topics: Mapping[str, Topic],
) -> None:
    shipments = topics["shipments"].name
    group = shipments.removesuffix("shipments") + "match"

    def passed() -> bool:
        ends = end_offsets(broker.bootstrap, shipments)
        return committed_offsets(broker.bootstrap, group, shipments) == ends

    realname.ok("setup")
    realname.ok("load", "-", stdin=RECORDS)
    first = realname.worker(before)
    wait_for(passed, 60)
    first.send_signal(signal.SIGTERM)
    assert first.wait(30) == 0, realname.said()

    logged = read_all(broker.bootstrap, topics["match.state"].name)
    refused = realname.worker(after)
    assert refused.wait(60) == EXIT_FENCED, realname.said()
    assert told in realname.said()
    assert "realname state rebuild" in realname.said()
    assert "Traceback" not in realname.said()
    assert read_all(broker.bootstrap, topics["match.state"].name) == logged

    realname.ok("load", "-", stdin=RECORDS)
    again = realname.worker(before)
    wait_for(passed, 60)
    again.send_signal(signal.SIGTERM)
    assert again.wait(30) == 0, realname.said()
