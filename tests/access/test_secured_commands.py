"""Commands and the whole pipeline on a secured broker, each process with what its role may do."""

import json
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import psutil
import pytest
from confluent_kafka import Consumer, TopicPartition

from streams.access.acls import Acl, Operation, Pattern, Resource
from streams.access.cluster import create_acls, read_actual, set_password
from streams.access.declared import read_access
from streams.resources import access_file
from tests.access.conftest import Secured
from tests.access.table import YTO, ZTO
from tests.conftest import FEW_PARTITIONS

pytestmark = pytest.mark.kafka

MAIN = "from streams.cli import main; main()"
START_TIMEOUT_S = 120
STOP_TIMEOUT_S = 60
PRINCIPALS = read_access(access_file(), "realname.")
READING = (
    *("alerts list --all", "missing", "dlq list", "state list", "state verify"),
    *("outlets list", "agreements list", "periods list", "sources list"),
)
GUEST = Acl("guest", Resource.TOPIC, "realname.rates", Pattern.LITERAL, Operation.READ)


class TestAccess:
    def test_a_secured_broker_starts_with_everybody_declared(self, secured: Secured) -> None:
        result = secured.ok("admin", "access", "plan", "--json")
        assert result.out == ""
        rows = {
            row["principal"]: row for row in secured.ok("admin", "access", "list", "--json").rows
        }
        assert {p.name for p in PRINCIPALS} | {"admin", "broker"} <= rows.keys()
        assert rows["enterprise-yto"]["allowed"] == [
            f"Read topic realname.compliance.{YTO}",
            f"Read group {YTO}.*",
        ] or rows["enterprise-yto"]["allowed"] == [
            f"Read group {YTO}.*",
            f"Read topic realname.compliance.{YTO}",
        ]
        assert all(rows[p.name]["password"] for p in PRINCIPALS)

    def test_starting_it_again_changes_nothing_and_status_says_where_the_users_are(
        self, secured: Secured
    ) -> None:
        before = {path: path.read_bytes() for path in secured.users.iterdir()}
        here = ("--data-dir", str(secured.broker.data_dir.parent))
        secured.ok("admin", "broker", "start", "--secure", *here)
        assert {path: path.read_bytes() for path in secured.users.iterdir()} == before
        (row,) = secured.ok("admin", "broker", "status", "--json", *here).rows
        assert (row["secured"], row["users"]) == (True, str(secured.users))

    def test_what_is_not_declared_stays_until_it_is_pruned(self, secured: Secured) -> None:
        admin = secured.admin()
        set_password(admin, "guest", "guest's password")
        create_acls(admin, [GUEST])
        result = secured.run("admin", "access", "plan", "--json")
        assert result.code == 1
        assert [(row["change"], row["what"]) for row in result.rows] == [
            ("-", "user guest"),
            ("-", "guest may Read topic realname.rates"),
        ]
        assert "which stay without --prune" in secured.ok("admin", "access", "grant", "--yes").err
        assert GUEST in read_actual(admin).acls
        secured.ok("admin", "access", "grant", "--prune", "--yes")
        actual = read_actual(admin)
        assert GUEST not in actual.acls
        assert "guest" not in actual.users
        assert {"admin", "broker"} <= actual.users

    def test_nothing_is_done_where_nobody_can_be_asked(self, secured: Secured) -> None:
        result = secured.run("admin", "access", "revoke", "enterprise-db")
        assert (result.code, "add --yes" in result.err) == (2, True)
        assert "- user enterprise-db" in result.out
        assert secured.run("admin", "access", "plan").code == 0

    @pytest.mark.parametrize(
        ("arguments", "told"),
        [
            (["grant", "somebody", "--yes"], "not declared: somebody"),
            (["grant", "worker", "--prune"], "--prune looks at everybody"),
            (["grant", "--new-password"], "name them"),
            (["revoke", "admin", "--yes"], "admin cannot be revoked"),
            (["plan", "--prefix", ""], "access needs a prefix"),
            (["plan", "--file", "no.toml"], "no.toml: cannot be read"),
        ],
    )
    def test_what_makes_no_sense_is_refused(
        self, secured: Secured, arguments: list[str], told: str
    ) -> None:
        result = secured.run("admin", "access", *arguments)
        assert (result.code, told in result.err) == (2, True), result.err

    def test_a_revoked_user_may_nothing_at_once_and_comes_back_with_a_new_password(
        self, secured: Secured
    ) -> None:
        user = "enterprise-zto"
        topic = f"realname.compliance.{ZTO}"
        before = secured.config(user).read_text()
        consumer = Consumer({**secured.client(user), "group.id": f"{ZTO}.a"})
        consumer.assign([TopicPartition(topic, 0)])
        consumer.poll(1)
        secured.ok("admin", "access", "revoke", user, "--yes")
        assert not secured.config(user).exists()
        assert not {acl for acl in read_actual(secured.admin()).acls if acl.user == user}
        consumer.close()
        assert secured.run("admin", "access", "revoke", user, "--yes").code == 1
        secured.ok("admin", "access", "grant", user, "--yes")
        renewed = secured.config(user).read_text()
        assert renewed != before
        assert "may not see" in secured.run(user, "doctor").out
        secured.ok("admin", "access", "grant", user, "--new-password", "--yes")
        assert secured.config(user).read_text() != renewed
        assert "may not see" in secured.run(user, "doctor").out

    @pytest.mark.parametrize("user", ["operator", "worker", "enterprise-yto"])
    def test_nobody_but_the_administrator_sees_or_grants(self, secured: Secured, user: str) -> None:
        for arguments in (["list"], ["plan"], ["grant", "--yes"], ["revoke", "serve", "--yes"]):
            result = secured.run(user, "access", *arguments)
            assert (result.code, "authorisation failed" in result.err) == (3, True), result.err


class TestDoctor:
    def test_a_wrong_password_is_told_as_such(self, secured: Secured) -> None:
        result = secured.run("operator", "doctor", "--json", "--kafka", "sasl.password=wrong")
        assert (result.code, result.rows[-1]["check"]) == (3, "access")
        assert "authentication failed" in result.rows[-1]["detail"]

    def test_who_may_not_see_a_topic_is_told_so_and_not_to_create_it(
        self, secured: Secured
    ) -> None:
        result = secured.run("enterprise-yto", "doctor", "--json")
        assert (result.code, result.rows[-1]["check"]) == (3, "access")
        assert "authorisation failed: this user may not see" in result.rows[-1]["detail"]
        assert "--config FILE" in result.rows[-1]["remedy"]
        assert "this user may not see it" in secured.run("enterprise-yto", "rates").err


@pytest.fixture
def processes(
    secured: Secured, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Iterator["Processes"]:
    for name, count in FEW_PARTITIONS.items():
        monkeypatch.setenv(f"REALNAME_PARTITIONS__{name.replace('.', '_').upper()}", str(count))
    started = Processes(secured, tmp_path)
    yield started
    started.stop()


class Processes:
    """Commands that run until they are told to stop, each as a user of Kafka, with its log."""

    def __init__(self, secured: Secured, folder: Path) -> None:
        self.secured = secured
        self.folder = folder
        self.running: dict[str, subprocess.Popen[bytes]] = {}

    def start(self, name: str, *arguments: str) -> None:
        command = [sys.executable, "-c", MAIN, name, *arguments]
        command += ["--config", str(self.secured.config(name)), "--log-level", "info"]
        with self.log(name).open("ab") as log:
            self.running[name] = subprocess.Popen(command, stdout=log, stderr=log)

    def log(self, name: str) -> Path:
        return self.folder / f"{name}.log"

    def await_log(self, name: str, text: str, times: int = 1) -> None:
        deadline = time.monotonic() + START_TIMEOUT_S
        while self.log(name).read_text().count(text) < times:
            assert self.running[name].poll() is None, self.log(name).read_text()
            assert time.monotonic() < deadline, self.log(name).read_text()
            time.sleep(0.2)

    def stop(self) -> dict[str, int]:
        for process in self.running.values():
            process.terminate()
        codes = {name: p.wait(STOP_TIMEOUT_S) for name, p in self.running.items()}
        self.secured.said.extend(self.log(name).read_text() for name in self.running)
        self.running.clear()
        return codes


def test_the_whole_pipeline_works_with_what_each_role_may_do(
    secured: Secured, processes: Processes
) -> None:
    secured.ok("operator", "setup")
    secured.ok("operator", "topics", "check")
    worker = ("worker", "--clock", "data", "--http-port", "0")
    processes.start(*worker)
    processes.start("serve", "--http", "127.0.0.1:0")
    processes.start("notify", "--alertmanager", "http://127.0.0.1:1", "--http-port", "0")
    secured.ok("operator", "simulate", "day", "--parcels-per-day", "2000")
    secured.ok("operator", "wait", "--timeout", str(START_TIMEOUT_S))
    rates = secured.ok("operator", "rates", "--granularity", "city", "--json").rows
    assert len(rates) == 12
    processes.await_log("notify", "alerts are open")
    for command in READING:
        secured.ok("operator", *command.split())

    # Killed, a worker restores from its logs, which takes rights of its own.
    processes.running["worker"].kill()
    processes.running["worker"].wait()
    processes.start(*worker)
    processes.await_log("worker", "rollup: restored partitions", times=2)
    processes.await_log("worker", "match: restored partitions", times=2)
    assert secured.ok("operator", "rates", "--granularity", "city", "--json").rows == rates
    secured.ok("operator", "doctor")
    assert processes.stop() == {"worker": 0, "serve": 0, "notify": 0}
    for name in ("worker", "serve", "notify"):
        told = processes.log(name).read_text()
        assert "authori" not in told, told


def test_no_password_is_in_any_log_output_or_command_line(secured: Secured) -> None:
    """Comes last, so that there is something to search."""
    assert secured.said
    logs = [path.read_text("utf-8") for path in (secured.broker.data_dir / "logs").iterdir()]
    assert any("SECURED" in log for log in logs)
    pid = secured.broker.status().pid
    assert pid is not None
    command_line = json.dumps(psutil.Process(pid).cmdline())
    for user, password in secured.passwords().items():
        assert len(password) >= 32, user
        for text in (*secured.said, *logs, command_line):
            assert password not in text, user
    assert not (secured.broker.data_dir / "format.arguments").exists()
