"""Every command of the README and of the runbooks, as it is written, against a whole system: broker, worker,
notify, serve and Alertmanager as processes. Only addresses differ, so that nothing of the machine's is met.

What runs until it is told to stop has the mark `waits` and is told to after a while; what leaves its
machine's files behind does so in a folder of the test's.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path

import pytest

from streams.tokens import hash_of
from tests.conftest import FEW_PARTITIONS
from tests.notify.builders import key_value, record
from tests.system.conftest import NewAlertmanager, free_port
from tests.system.hook import configured, listening

pytestmark = pytest.mark.kafka

ROOT = Path(__file__).parents[2]
RUNBOOKS = sorted((ROOT / "deploy/runbooks").glob("*.md"))
PATIENCE_S = 120.0
WHILE_S = 6.0
"""How long a command runs that runs until it is told to stop."""

WRITTEN = {
    "kafka": 9092,
    "alertmanager": 9093,
    "worker": 8321,
    "notify": 8341,
    "serve": 8080,
    "gateway": 8350,
}
"""The ports that texts name."""


def lines_of(path: Path) -> list[str]:
    return re.findall(r"^ {4,}((?:realname|amtool|curl) .+)$", path.read_text("utf8"), re.MULTILINE)


RUNBOOK_LINES = [(path.stem, line) for path in RUNBOOKS for line in lines_of(path)]


@dataclass
class System:
    """Where things are, and how a line of a text is run."""

    folder: Path
    environment: dict[str, str]
    ports: dict[str, int]

    def shell(self, line: str, timeout_s: float = PATIENCE_S) -> subprocess.CompletedProcess[str]:
        """Run a line as written, but for the ports."""
        for name, port in WRITTEN.items():
            line = line.replace(f"127.0.0.1:{port}", f"127.0.0.1:{self.ports[name]}")
        return subprocess.run(
            ["/bin/bash", "-c", f"set -o pipefail; {line}"],
            cwd=self.folder,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def ok(self, line: str) -> str:
        done = self.shell(line)
        assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
        return done.stdout

    def start(self, line: str) -> subprocess.Popen[bytes]:
        """Start what runs until it is told to stop."""
        name = line.split()[1]
        with (self.folder / f"{name}.log").open("ab") as log:
            return subprocess.Popen(
                ["/bin/bash", "-c", f"exec {line}"],
                cwd=self.folder,
                env=self.environment,
                stdout=log,
                stderr=log,
            )

    def until_ok(self, line: str) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while self.shell(line).returncode:
            assert time.monotonic() < deadline, line
            time.sleep(0.5)


def new_place(folder: Path) -> System:
    """Return a folder with the files that texts name, and settings of its own; nothing runs yet."""
    ports = {name: free_port() for name in WRITTEN}
    few = "\n".join(f'"{topic}" = {count}' for topic, count in FEW_PARTITIONS.items())
    (folder / "realname.toml").write_text(
        f'bootstrap = "127.0.0.1:{ports["kafka"]}"\ndata_dir = "{folder / "data"}"\n'
        f"http_port = {ports['worker']}\n"
        f'[notify]\nalertmanagers = ["http://127.0.0.1:{ports["alertmanager"]}"]\n'
        f"http_port = {ports['notify']}\n[partitions]\n{few}\n"
    )
    for name in ("outlets.csv", "periods.toml"):
        shutil.copy(ROOT / "deploy/config" / name, folder)
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REALNAME_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    return System(folder, environment, ports)


@pytest.fixture(scope="module")
def system(
    new_alertmanager: NewAlertmanager, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[System]:
    """Everything, running, with an alert of each kind."""
    place = new_place(tmp_path_factory.mktemp("commands"))
    with ExitStack() as stack:
        hook = stack.enter_context(listening())
        alertmanager = new_alertmanager(configured(place.folder, hook))
        alertmanager.port = place.ports["alertmanager"]
        alertmanager.start()
        place.ok("realname broker start")
        stack.callback(place.shell, "realname broker stop")
        place.ok("realname setup")
        place.ok("realname simulate demo-short --parcels-per-day 8000")  # Garbage is among it.
        for line in (
            "realname worker --clock data",
            "realname notify",
            f"realname serve --http 127.0.0.1:{place.ports['serve']}",
            f"realname gateway --tokens {tokens_of(place)} --http 127.0.0.1:{place.ports['gateway']}",
        ):
            stack.callback(end, place.start(line))
        write_alerts(place)
        for name in ("worker", "notify", "serve", "gateway"):
            place.until_ok(f"curl -fsS http://127.0.0.1:{place.ports[name]}/ready")
        place.until_ok("realname wait --timeout 5")
        yield place


def tokens_of(place: System) -> str:
    """Return a file of two tokens: the reader's of runbooks, who sees the region's, and an enterprise's."""
    token = place.environment["TOKEN"] = "rns_region"
    (place.folder / "of_the_region.toml").write_text(
        f'[[tokens]]\nname = "Operations"\nsha256 = "{hash_of(token)}"\nregion = true\n'
        f'[[tokens]]\nname = "ZTO"\nsha256 = "{hash_of("rns_zto")}"\n'
        'enterprise_id = "911500000000010092"\nmay = ["write"]\n'
    )
    return "of_the_region.toml"


def end(process: subprocess.Popen[bytes]) -> None:
    process.terminate()
    try:
        process.wait(PATIENCE_S)
    finally:
        process.kill()


def write_alerts(place: System) -> None:
    from confluent_kafka import Producer

    from streams.records.topics import ALERTS, PREFIX_DEFAULT

    producer = Producer({"bootstrap.servers": f"127.0.0.1:{place.ports['kafka']}"})
    for alert in (
        record("150102-DB-0001"),
        record("150102-DB-0001", kind="RATE_AT_RISK"),
        record("911500000000010092", kind="CHANNEL_SILENT", granularity="ENTERPRISE"),
        record("150400", granularity="CITY"),
    ):
        key, value = key_value(alert)
        producer.produce(f"{PREFIX_DEFAULT}{ALERTS}", value, key)
    assert producer.flush(PATIENCE_S) == 0


def test_runbooks_have_commands() -> None:
    assert {name for name, _ in RUNBOOK_LINES} == {path.stem for path in RUNBOOKS}


@pytest.mark.parametrize(("runbook", "line"), RUNBOOK_LINES)
def test_a_runbooks_command_runs_as_written(runbook: str, line: str, system: System) -> None:
    system.ok(line)


README = (ROOT / "README.md").read_text("utf8")
BLOCKS = [
    [line.split("  #")[0].strip() for line in block.replace("\\\n", " ").splitlines()]
    for block in re.findall(r"```console\n(.*?)```", README, re.DOTALL)
]
STAYS = ("realname worker", "realname notify", "realname serve", "realname gateway")
"""What runs until it is told to stop, or does not, with another option."""
ENDS = "--new-token"
SHORTER = {"--speed 600": "--speed 0"}
"""The simulated day at 600 times real speed takes minutes."""
SECURED = ("realname broker start --secure", "realname access")


def test_the_readmes_commands_run_as_written(
    new_alertmanager: NewAlertmanager, tmp_path: Path
) -> None:
    """In their order, each block in its own terminal; what stays runs beside what follows."""
    place = new_place(tmp_path)
    with ExitStack() as stack:
        hook = stack.enter_context(listening())
        (place.folder / "alertmanager").mkdir()
        alertmanager = new_alertmanager(configured(place.folder / "alertmanager", hook))
        alertmanager.port = place.ports["alertmanager"]
        alertmanager.start()
        place.shell("realname simulate demo-short --parcels-per-day 8000 --to parcels.jsonl")
        whole = [
            line
            for line in (place.folder / "parcels.jsonl").read_bytes().splitlines()
            if is_record(line)
        ]
        (place.folder / "parcels.jsonl").write_bytes(b"\n".join(whole) + b"\n")
        stack.callback(place.shell, "realname broker stop")
        for block in BLOCKS:
            for line in block:
                if not line.startswith(SECURED):
                    run(place, line, stack)


def test_the_readmes_commands_about_access_run_as_written(tmp_path: Path) -> None:
    """On a cluster of their own, as its administrator."""
    port = free_port()
    environment = {k: v for k, v in os.environ.items() if not k.startswith("REALNAME_")}
    environment["PATH"] = f"{Path(sys.executable).parent}:{environment['PATH']}"
    environment["REALNAME_DATA_DIR"] = str(tmp_path)
    secured = System(tmp_path, environment, WRITTEN)
    shutil.copy(ROOT / "deploy/access.toml", tmp_path)
    (start, *lines) = [line for block in BLOCKS for line in block if line.startswith(SECURED)]
    environment["REALNAME_BOOTSTRAP"] = f"127.0.0.1:{port}"
    try:
        secured.ok(start)
        environment["REALNAME_CONFIG"] = str(tmp_path / "broker/secure/users/admin.toml")
        for line in lines:
            # A person is asked.
            secured.ok(f"{line} --yes" if line.startswith("realname access revoke") else line)
    finally:
        secured.ok("realname broker stop")


def is_record(line: bytes) -> bool:
    """Whether `load` takes it: garbage is among them, and it says of each line that it refuses."""
    try:
        return isinstance(json.loads(line)["waybill_no"], str)
    except (ValueError, TypeError, KeyError):
        return False


def run(place: System, line: str, stack: ExitStack) -> None:
    for written, here in SHORTER.items():
        line = line.replace(written, here)
    if "alerts ack" in line:
        write_alerts(place)
    command = line.split()[1]
    if line.endswith("--follow") or (line.startswith(STAYS) and ENDS not in line):
        if command in ("serve", "gateway"):
            line += f" --http 127.0.0.1:{place.ports[command]}"
        process = place.start(line)
        stack.callback(end, process)
        time.sleep(WHILE_S)
        assert process.poll() is None, (place.folder / f"{command}.log").read_text()
        return
    said = place.ok(line)
    if "--new-token" in line:
        give(place, said.strip())


def give(place: System, token: str) -> None:
    """Write the new token's lines into the file, with what the comment says to add."""
    place.environment["TOKEN"] = token
    (place.folder / "tokens.toml").write_text(
        f'[[tokens]]\nname = "ZTO"\nsha256 = "{hash_of(token)}"\n'
        'enterprise_id = "911500000000010092"\nmay = ["write"]\n'
    )
