"""Pods with the settings, rights and topics of the manifests, before a Kafka that denies all else."""

import json
import re
import secrets
import signal
import socket
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Documented, not re-exported.
    AdminClient,
    NewTopic,
)

from streams.access.acls import Acl, Operation, Pattern, Resource
from streams.access.cluster import create_acls, set_password
from streams.cli.exits import Exit
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.tokens import hash_of
from tests.deploy.manifests import (
    LISTENING,
    OF_OVERLAYS,
    ROOT,
    container,
    environment_given,
    of_kind,
)

pytestmark = pytest.mark.kafka

PROGRAM = (sys.executable, "-c", "from streams.cli import main; main()")
READY_S = 120.0  # On a machine that does much else.
ENTERPRISE = "911500000000010092"
ONE_RECORD = {
    "type": "shipment.collected",
    "id": "c-1",
    "source": "/enterprise/DB",
    "time": "2017-09-08T10:15:30+08:00",
    "recorded_at": "2017-09-08T10:16:02+08:00",
    "waybill_no": "DB0000000000017",
    "outlet_id": "150102-DB-0001",
    "courier_id": "C-1",
    "parcel_category": "LOOSE",
    "agreement_id": None,
    "destination_code": "150100",
    "route_type": "INTRA_CITY",
}
ANOTHER = {**ONE_RECORD, "id": "c-2", "waybill_no": "DB0000000000025"}


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return int(listener.getsockname()[1])


def acls_of(user: Mapping[str, Any]) -> Iterator[Acl]:
    """Return a KafkaUser's ACLs, as Strimzi's user operator makes them."""
    patterns = {"literal": Pattern.LITERAL, "prefix": Pattern.PREFIXED}
    for acl in user["spec"]["authorization"]["acls"]:
        resource = acl["resource"]
        for operation in acl["operations"]:
            yield Acl(
                user["metadata"]["name"],
                Resource(resource["type"]),
                resource["name"],
                patterns[resource["patternType"]],
                Operation(operation),
                host=acl["host"],
            )


@dataclass(frozen=True)
class Cluster:
    """A broker with the topics, users and ACLs of the manifests, in the place of Strimzi's."""

    broker: EmbeddedBroker
    passwords: Mapping[str, str]
    folder: Path

    @property
    def records(self) -> Path:
        """A file of one record."""
        return self.folder / "records.jsonl"

    def environment(self, workload: str, port: int) -> dict[str, str]:
        """Return what a container is told, with this machine's places in it."""
        # The record is of 2017, and time has to be, too.
        here = {
            "REALNAME_BOOTSTRAP": self.broker.bootstrap,
            "REALNAME_KAFKA__SSL_CA_LOCATION": str(self.broker.security.authority),
            "REALNAME_KAFKA__SASL_PASSWORD": self.passwords[workload.removeprefix("realname-")],
            "REALNAME_SLOT": f"{workload}-0",
            "REALNAME_DATA_DIR": str(self.folder / workload),
            "REALNAME_HTTP_PORT": str(port),
            "REALNAME_NOTIFY__HTTP_PORT": str(port),
            "REALNAME_CLOCK": "data",
            "REALNAME_WAYBILL_HASH_KEY": "of-a-secret-that-is-made-by-hand-" * 2,
        }
        given = environment_given(workload)
        unknown = {name for name, value in given.items() if value is None} - set(here)
        assert not unknown
        return {name: value for name, value in given.items() if value is not None} | here

    def run(self, workload: str, *arguments: str) -> subprocess.CompletedProcess[str]:
        """Run a command as whoever is in the pods of a workload."""
        return subprocess.run(
            [*PROGRAM, *arguments],
            cwd=ROOT,
            env=self.environment(workload, 0),
            capture_output=True,
            text=True,
            check=False,
        )


@pytest.fixture(scope="module")
def cluster(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Cluster]:
    folder = tmp_path_factory.mktemp("cluster")
    broker = EmbeddedBroker(folder / "broker", port=0, secure=True, brief=True)
    broker.start()
    try:
        admin = AdminClient(
            client_config(broker.bootstrap, client_id="tests", extra=broker.client())
        )
        topics = [
            NewTopic(
                topic["metadata"]["name"],
                num_partitions=topic["spec"]["partitions"],
                replication_factor=1,
                config={**topic["spec"]["config"], "min.insync.replicas": "1"},
            )
            for topic in (*of_kind("KafkaTopic"), *of_kind("KafkaTopic", among=OF_OVERLAYS))
        ]
        for made in admin.create_topics(topics).values():
            made.result()
        passwords = {}
        for user in of_kind("KafkaUser"):
            name = user["metadata"]["name"]
            passwords[name] = secrets.token_hex(16)
            set_password(admin, name, passwords[name])
            create_acls(admin, frozenset(acls_of(user)))
        cluster = Cluster(broker, passwords, folder)
        cluster.records.write_text(json.dumps(ANOTHER) + "\n")
        yield cluster
    finally:
        broker.kill()


def started(cluster: Cluster, workload: str, replace: Mapping[str, str]) -> tuple[Any, str]:
    """Start a container's command; return the process, and its address once it is ready."""
    port = free_port()
    arguments = [replace.get(word, word) for word in container(workload)["args"]]
    arguments = [re.sub(r"^0\.0\.0\.0:\d+$", f"127.0.0.1:{port}", word) for word in arguments]
    with (cluster.folder / f"{workload}.log").open("wb") as log:
        process = subprocess.Popen(
            [*PROGRAM, *arguments],
            cwd=ROOT,
            env=cluster.environment(workload, port),
            stdout=log,
            stderr=log,
        )
    return process, f"http://127.0.0.1:{port}"


def until_ready(cluster: Cluster, workload: str, process: Any, address: str) -> None:  # noqa: ANN401
    path = container(workload)["readinessProbe"]["httpGet"]["path"]
    deadline = time.monotonic() + READY_S
    while True:
        try:
            with urllib.request.urlopen(address + path, timeout=5):  # noqa: S310 (ours)
                return
        except OSError:
            log = (cluster.folder / f"{workload}.log").read_text("utf8")
            assert process.poll() is None, log
            assert time.monotonic() < deadline, log
            time.sleep(0.2)


def asked(address: str, token: str, body: object = None) -> Any:  # noqa: ANN401 (JSON)
    """Return the answer to a GET, or to a POST of a body."""
    headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/json"}
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(address, data, headers)  # noqa: S310 (ours)
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (the same)
        return json.load(answer)


def test_the_pods_do_their_work(cluster: Cluster) -> None:
    """Topics are as they should be, the operator applies reference data, and a record becomes figures."""
    tokens = cluster.folder / "tokens.toml"
    tokens.write_text(
        f'[[tokens]]\nname = "t"\nsha256 = "{hash_of("rns_t")}"\nregion = true\n'
        f'[[tokens]]\nname = "w"\nsha256 = "{hash_of("rns_w")}"\nmay = ["write"]\n'
        f'enterprise_id = "{ENTERPRISE}"\n'
    )
    keys = cluster.folder / "keys.toml"
    mounted = {
        "/etc/realname/tokens/tokens.toml": str(tokens),
        "/etc/realname/subject-keys/keys.toml": str(keys),
    }
    for command in (["topics", "check"], ["setup"], ["keys", "rotate", str(keys)]):
        done = cluster.run("realname-operator", *command)
        assert done.returncode == Exit.OK, f"{command}: {done.stdout}{done.stderr}"
    running = {workload: started(cluster, workload, mounted) for workload in LISTENING}
    try:
        for workload, (process, address) in running.items():
            until_ready(cluster, workload, process, address)
        sent = asked(running["realname-gateway"][1] + "/v1/shipments", "rns_w", [ONE_RECORD])
        assert (sent["accepted"], sent["rejected"]) == (1, []), sent
        for command in (
            ["load", str(cluster.records), "--until", "2017-09-09T12:00:00+08:00"],
            ["wait", "--timeout", "120"],
            ["rates", "--granularity", "outlet", "--date", "2017-09-08", "--json"],
        ):
            done = cluster.run("realname-operator", *command)
            assert done.returncode == Exit.OK, f"{command}: {done.stdout}{done.stderr}"
        figures = json.loads(done.stdout)
        assert (figures["scope_id"], figures["eligible"]) == (ONE_RECORD["outlet_id"], 2), figures
        path = f"/api/v1/outlets/{ONE_RECORD['outlet_id']}"
        assert asked(running["realname-serve"][1] + path, "rns_t")
        for process, _ in running.values():
            process.send_signal(signal.SIGTERM)
        assert {process.wait(30) for process, _ in running.values()} == {0}
    finally:
        for process, _ in running.values():
            process.kill()
            process.wait()


# Who, and what is another's work.
DENIED: list[tuple[str, list[str]]] = [
    ("realname-serve", ["load", "RECORDS"]),
    ("realname-notify", ["dlq", "list"]),
    ("realname-worker", ["topics", "create", "--prefix", "other."]),
    ("realname-operator", ["topics", "create", "--prefix", "other."]),
]


@pytest.mark.parametrize(("workload", "command"), DENIED)
def test_nobody_does_anothers_work(cluster: Cluster, workload: str, command: list[str]) -> None:
    words = [str(cluster.records) if word == "RECORDS" else word for word in command]
    done = cluster.run(workload, *words)
    assert done.returncode == Exit.CLUSTER, done.stdout + done.stderr
