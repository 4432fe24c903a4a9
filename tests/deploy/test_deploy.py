"""The files of deploy/ and docker-compose.yml say the same as the code: names, ports, settings, paths."""

import re
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines
from typer.main import get_command

from streams.cli.app import app
from streams.gateway.metrics import CATALOGUE as TAKEN_IN
from streams.metrics import CATALOGUE
from streams.serve.metrics import CATALOGUE as SERVED
from streams.settings import Settings

ROOT = Path(__file__).parents[2]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf8"))
SERVICES: dict[str, Any] = COMPOSE["services"]
OURS = {name: s for name, s in SERVICES.items() if str(s["image"]).startswith("realname-streams")}
PROMETHEUS: dict[str, Any] = yaml.safe_load(
    (ROOT / "deploy/prometheus/prometheus.yml").read_text("utf8")
)
RULES: list[dict[str, Any]] = [
    rule
    for path in sorted((ROOT / "deploy/prometheus/rules").glob("*.rules.yml"))
    for group in yaml.safe_load(path.read_text("utf8"))["groups"]
    for rule in group["rules"]
]
ALERTS = [rule for rule in RULES if "alert" in rule]
METRICS = {metric.name: metric for metric in (*CATALOGUE, *SERVED, *TAKEN_IN)}


def test_there_are_services_and_rules() -> None:
    assert {"worker", "notify", "serve", "setup"} <= set(OURS)
    assert len(ALERTS) > 5


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_runs_a_command_that_exists(name: str) -> None:
    command, *rest = OURS[name]["command"]
    found = get_command(app).commands[command]  # type: ignore[attr-defined]  # a group of commands
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word.split("=")[0] for word in rest if word.startswith("--")} <= options


@pytest.mark.parametrize("name", sorted(OURS))
def test_a_service_sets_only_settings_that_exist(name: str) -> None:
    for variable in OURS[name]["environment"]:
        path = variable.removeprefix("REALNAME_").lower().split("__")
        field = Settings.model_fields[path[0]]
        for part in path[1:]:
            field = field.annotation.model_fields[part]  # type: ignore[union-attr]  # a table


@pytest.mark.parametrize("name", sorted(SERVICES))
def test_a_service_is_hardened_pinned_and_on_the_loopback_address(name: str) -> None:
    service = SERVICES[name]
    assert re.search(r":v?\d+\.\d+\.\d+$", service["image"]), "pin the version"
    assert service["cap_drop"] == ["ALL"]
    assert "no-new-privileges:true" in service["security_opt"]
    assert all(port.startswith("127.0.0.1:") for port in service.get("ports", ()))
    if name != "setup":
        assert service["healthcheck"]["test"]


def test_files_that_services_mount_exist() -> None:
    for service in SERVICES.values():
        for volume in service.get("volumes", ()):
            source = volume.split(":")[0]
            if source.startswith("./"):
                assert (ROOT / source).exists(), source
            else:
                assert source in COMPOSE["volumes"], source


def test_what_services_depend_on_exists() -> None:
    for service in SERVICES.values():
        assert set(service.get("depends_on", ())) <= set(SERVICES)


def test_prometheus_scrapes_services_on_their_ports() -> None:
    targets = [
        target
        for job in PROMETHEUS["scrape_configs"]
        for config in job.get("static_configs", ())
        for target in config["targets"]
    ] + [
        f"{name}:{config['port']}"
        for job in PROMETHEUS["scrape_configs"]
        for config in job.get("dns_sd_configs", ())
        for name in config["names"]
    ]
    assert len(targets) == len(set(OURS) - {"setup"})
    for target in targets:
        name, port = target.split(":")
        words = " ".join(OURS[name]["command"])
        assert re.search(rf"--http(-port)?[ =](\S+:)?{port}\b", words), target
        assert f":{port}/" in str(OURS[name]["healthcheck"]["test"])


def test_what_is_not_always_there_is_looked_up_and_nothing_that_is() -> None:
    """A fixed target that does not run is down, and that is an alert."""
    looked_up = {
        name
        for job in PROMETHEUS["scrape_configs"]
        for config in job.get("dns_sd_configs", ())
        for name in config["names"]
    }
    assert looked_up == {name for name, service in SERVICES.items() if "profiles" in service}


def test_prometheus_and_notify_tell_every_alertmanager() -> None:
    running = {f"{name}:9093" for name in SERVICES if name.startswith("alertmanager")}
    told = PROMETHEUS["alerting"]["alertmanagers"][0]["static_configs"][0]["targets"]
    assert set(told) == running
    posted = OURS["notify"]["environment"]["REALNAME_NOTIFY__ALERTMANAGERS"].split(",")
    assert set(posted) == {f"http://{address}" for address in running}


@pytest.mark.parametrize("rule", RULES, ids=lambda rule: rule.get("alert") or rule.get("record"))
def test_a_rule_asks_for_metrics_and_labels_that_exist(rule: dict[str, Any]) -> None:
    recorded = {r["record"] for r in RULES if "record" in r}
    for name in re.findall(r"\brealname_\w+(?!\w*:)", re.sub(r"\w+:\S+:\w+", "", rule["expr"])):
        plain = re.sub(r"_(bucket|sum|count)$", "", name)
        assert name in METRICS or plain in METRICS, f"{name} is in no catalogue"
    for name in re.findall(r"\w+:realname\w*:\w+", rule["expr"]):
        assert name in recorded
    for labels in re.findall(r"by \(([^)]*)\)", rule["expr"]):
        known = {label for metric in METRICS.values() for label in metric.labels}
        known |= {"instance", "le"}
        assert {label.strip() for label in labels.split(",")} <= known


@pytest.mark.parametrize("rule", ALERTS, ids=lambda rule: rule["alert"])
def test_an_alert_has_a_severity_both_languages_and_a_runbook(rule: dict[str, Any]) -> None:
    assert rule["labels"]["severity"] in {"page", "ticket"}
    assert {"summary", "summary_zh", "runbook_url"} <= set(rule["annotations"])
    runbook = ROOT / rule["annotations"]["runbook_url"]
    assert runbook.name == f"{rule['alert']}.md"
    assert runbook.exists()
