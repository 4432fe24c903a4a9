"""A real Prometheus, with the scrape configuration that ships, over a running system: no rule and no panel
asks for what is not there. The morning of `demo-short` is played, with its faults and garbage.
"""

import json
import math
import re
import shutil
import subprocess
import sys
import time
import urllib.parse
import urllib.request
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml  # type: ignore[import-untyped]  # its types would be one more package, for three lines

from streams.kafka.broker import EmbeddedBroker
from streams.tokens import hash_of
from tests.deploy.test_grafana import DASHBOARDS, EXPRESSIONS, RULES, lists, metrics_in
from tests.system.conftest import NewAlertmanager, free_port
from tests.system.test_commands import is_record

pytestmark = pytest.mark.kafka

DEPLOY = Path(__file__).parents[2] / "deploy"
PATIENCE_S = 180.0
SPEED = "900"
"""A morning of nine hours in 36 seconds: time enough for every counter to be seen counting."""

SEES, WRITES = "rns_sees", "rns_writes"
"""Tokens of Prometheus and of an enterprise."""
ENTERPRISE = "911500000000010092"

Json = dict[str, Any]


def get(url: str) -> Any:  # noqa: ANN401 (JSON)
    with urllib.request.urlopen(url, timeout=30) as answer:  # noqa: S310 (ours)
        return json.load(answer)


def until(true: Callable[[], bool], what: str) -> None:
    deadline = time.monotonic() + PATIENCE_S
    while not true():
        assert time.monotonic() < deadline, what
        time.sleep(0.5)


def answers(url: str) -> bool:
    try:
        with urllib.request.urlopen(url, timeout=5) as answer:  # noqa: S310 (ours)
            return bool(answer.status == 200)
    except OSError:
        return False


def promtool() -> str:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.fail("promtool not found; run `make test-system`, which installs it")
    return tool


@dataclass(frozen=True)
class System:
    """Where everything is, metrics by job, and the variables with which no panel is empty."""

    prometheus: str
    serve: str
    targets: Mapping[str, str]
    values: Mapping[str, str]

    def ask(self, expr: str) -> list[float]:
        """Return the values of a query's answer now, those that are numbers."""
        for name, value in self.values.items():
            expr = re.sub(rf"\${name}\b", value, expr)
        # There is no yesterday here.
        expr = expr.replace("$__rate_interval", "5m").replace(" offset 1d", "")
        query = urllib.parse.urlencode({"query": expr})
        data = get(f"{self.prometheus}/api/v1/query?{query}")["data"]
        result = [data] if data["resultType"] in {"scalar", "string"} else data["result"]
        found = [float(each["value"][1]) for each in result]
        return [value for value in found if not math.isnan(value)]


@contextmanager
def running(folder: Path, name: str, *command: str) -> Iterator[subprocess.Popen[bytes]]:
    """Run a process to the end of the block; its log is in the folder."""
    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(command, stdout=log, stderr=log, cwd=folder)
    try:
        yield process
    finally:
        process.terminate()
        try:
            process.wait(20)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def ready_or_gone(url: str, process: subprocess.Popen[bytes]) -> bool:
    return answers(f"{url}/ready") or process.poll() is not None


REALNAME = (sys.executable, "-c", "from streams.cli import main; main()")


def prometheus_config(folder: Path, ports: Mapping[str, int], alertmanager: str) -> Path:
    """Return what ships, with the ports of this run, and everything each second."""
    config: Json = yaml.safe_load((DEPLOY / "prometheus/prometheus.yml").read_text("utf8"))
    config["global"] = {"scrape_interval": "1s", "evaluation_interval": "1s"}
    config["rule_files"] = [str(DEPLOY / "prometheus" / path) for path in config["rule_files"]]
    config["alerting"]["alertmanagers"] = [{"static_configs": [{"targets": [alertmanager]}]}]
    jobs = {job["job_name"]: job for job in config["scrape_configs"]}
    assert set(jobs) == set(ports), "a job of which this test knows nothing"
    for name, port in ports.items():
        jobs[name].pop("dns_sd_configs", None)
        jobs[name]["static_configs"] = [{"targets": [f"127.0.0.1:{port}"]}]
    # The path is looked up beside the configuration.
    token = jobs["realname-gateway"]["authorization"]["credentials_file"]
    (folder / token).write_text(f"{SEES}\n")
    path = folder / "prometheus.yml"
    path.write_text(yaml.safe_dump(config), "utf8")
    return path


def write_tokens(folder: Path) -> Path:
    path = folder / "tokens.toml"
    path.write_text(
        f'[[tokens]]\nname = "Prometheus"\nsha256 = "{hash_of(SEES)}"\nregion = true\n'
        f'[[tokens]]\nname = "an enterprise"\nsha256 = "{hash_of(WRITES)}"\n'
        f'enterprise_id = "{ENTERPRISE}"\nmay = ["write"]\n'
    )
    return path


def take_in(folder: Path, gateway: str) -> None:
    """Send a batch of which most is another enterprise's, and so rejected."""
    lines = (folder / "parcels.jsonl").read_bytes().splitlines()
    parcels = [line for line in lines if is_record(line)]
    headers = {"Authorization": f"Bearer {WRITES}", "Content-Type": "application/x-ndjson"}
    request = urllib.request.Request(  # noqa: S310 (ours)
        f"{gateway}/v1/shipments", b"\n".join(parcels[:500]), headers
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (ours)
        counts = json.load(answer)
    assert counts["accepted"], counts
    assert counts["rejected"], counts


@pytest.fixture(scope="module")
def system(
    broker: EmbeddedBroker,
    new_alertmanager: NewAlertmanager,
    tmp_path_factory: pytest.TempPathFactory,
) -> Iterator[System]:
    """A worker, notify, serve and Prometheus, once the morning is in the figures."""
    program = shutil.which("prometheus")
    if program is None:
        pytest.fail("prometheus not found; run `make test-system`, which installs it")
    folder = tmp_path_factory.mktemp("monitoring")
    names = ("realname-worker", "realname-notify", "realname-gateway", "realname-serve")
    ports = {name: free_port() for name in names}
    alertmanager = new_alertmanager(DEPLOY / "alertmanager/alertmanager.yml")
    alertmanager.start()
    settings = folder / "realname.toml"
    settings.write_text(
        f'bootstrap = "{broker.bootstrap}"\nprefix = "monitoring."\nclock = "data"\n'
        f'data_dir = "{folder}"\nagents = ["match", "rate", "rollup"]\n'
        # Both partitions of shipments: the watermark is that of the slowest.
        'partitions = { shipments = 2, counts = 2, "shipments.dlq" = 1, rates = 1, days = 1 }\n'
        '[notify]\nresend_ms = "2s"\n'
        # One is there and one is not, so that failures are seen as well.
        f'alertmanagers = ["{alertmanager.url}", "http://127.0.0.1:{free_port()}"]\n'
    )
    told = ("--config", str(settings))

    def once(*command: str) -> None:
        done = subprocess.run(
            [*REALNAME, *command, *told], cwd=folder, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    once("setup")
    once("simulate", "demo-short", "--parcels-per-day", "8000", "--to", "parcels.jsonl")
    tokens = str(write_tokens(folder))
    with ExitStack() as stack:
        for name, command in {
            "realname-worker": ("worker", "--http-port", str(ports["realname-worker"])),
            "realname-notify": ("notify", "--http-port", str(ports["realname-notify"])),
            "realname-gateway": (
                *("gateway", "--http", f"127.0.0.1:{ports['realname-gateway']}"),
                *("--tokens", tokens),
            ),
            "realname-serve": ("serve", "--http", f"127.0.0.1:{ports['realname-serve']}"),
        }.items():
            process = stack.enter_context(running(folder, name, *REALNAME, *command, *told))
            url = f"http://127.0.0.1:{ports[name]}"
            until(partial(ready_or_gone, url, process), f"{name} does not become ready")
            assert process.poll() is None, (folder / f"{name}.log").read_text()
        port = free_port()
        config = prometheus_config(folder, ports, alertmanager.url.removeprefix("http://"))
        stack.enter_context(
            running(
                folder,
                "prometheus",
                program,
                f"--config.file={config}",
                f"--storage.tsdb.path={folder / 'prometheus'}",
                f"--web.listen-address=127.0.0.1:{port}",
            )
        )
        prometheus, serve = f"http://127.0.0.1:{port}", url
        until(lambda: answers(f"{prometheus}/-/ready"), "Prometheus does not become ready")
        once("simulate", "demo-short", "--speed", SPEED)
        once("wait", "--timeout", str(int(PATIENCE_S)))
        opened = f"{serve}/api/v1/alerts?granularity=OUTLET&status=open&limit=1"
        until(lambda: bool(get(opened)["items"]), "no outlet has an alert")
        outlet = get(opened)["items"][0]
        values = {
            "city": outlet["city_code"],
            "enterprise": outlet["enterprise_id"],
            "outlet": outlet["scope_id"],
        }
        targets = {name: f"http://127.0.0.1:{port}/metrics" for name, port in ports.items()}
        system = System(prometheus, serve, targets, values)

        def counting() -> bool:
            take_in(folder, f"http://127.0.0.1:{ports['realname-gateway']}")
            return bool(system.ask("sum(rate(realname_gateway_records_total[5m])) > 0"))

        # The last of what was published has been scraped, and the rules have seen it.
        until(
            lambda: bool(system.ask('realname_outlet_breaching{outlet="$outlet"}')),
            "the breach of the outlet is not in Prometheus",
        )
        until(counting, "what the gateway takes in is not in Prometheus")
        yield system


def test_every_process_is_scraped(system: System) -> None:
    targets = get(f"{system.prometheus}/api/v1/targets")["data"]["activeTargets"]
    assert {(target["labels"]["job"], target["health"]) for target in targets} == {
        ("realname-worker", "up"),
        ("realname-notify", "up"),
        ("realname-serve", "up"),
        ("realname-gateway", "up"),
    }


@pytest.mark.parametrize(
    "job", ["realname-worker", "realname-notify", "realname-serve", "realname-gateway"]
)
def test_promtool_has_nothing_to_say_of_what_is_exposed(system: System, job: str) -> None:
    request = urllib.request.Request(  # noqa: S310 (ours)
        system.targets[job], headers={"Authorization": f"Bearer {SEES}"}
    )
    with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310 (ours)
        exposed = answer.read()
    assert exposed.count(b"# HELP realname_") > 5
    ours = b"".join(
        line for line in exposed.splitlines(keepends=True) if b"realname_" in line.split(b"{")[0]
    )
    done = subprocess.run(
        [promtool(), "check", "metrics"], input=ours, capture_output=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, b"", b"")


def test_every_rule_is_evaluated_without_an_error(system: System) -> None:
    groups = get(f"{system.prometheus}/api/v1/rules")["data"]["groups"]
    rules = [rule for group in groups for rule in group["rules"]]
    assert len(rules) == len(RULES)
    assert [(rule["name"], rule.get("lastError")) for rule in rules if rule["health"] != "ok"] == []


@pytest.mark.parametrize("rule", [r for r in RULES if "record" in r], ids=lambda r: r["record"])
def test_a_recording_rule_records_something(system: System, rule: Json) -> None:
    assert system.ask(rule["expr"])
    assert system.ask(rule["record"])


def sides(expr: str) -> list[str]:
    """Split an alert's condition at its comparisons and set operators, outside brackets."""
    found, depth, word = [""], 0, ""
    for word in re.split(r"(\s+)", expr):
        if depth == 0 and word in {">", "<", ">=", "<=", "==", "!=", "and", "or", "unless"}:
            found.append("")
            continue
        found[-1] += word
        bare = re.sub(r'"[^"]*"', "", word)
        depth += sum(map(bare.count, "([{")) - sum(map(bare.count, ")]}"))
    return [side.strip() for side in found]


CONDITIONS = [
    pytest.param(side, id=f"{rule['alert']}: {side}")
    for rule in RULES
    if "alert" in rule
    for side in sides(rule["expr"])
    # What is absent in good order gives nothing, as it should.
    if list(metrics_in(side)) and not side.startswith("absent(")
]


def test_a_condition_is_split_at_its_comparisons() -> None:
    assert sides('max by (a) (x{b="c > d"}) > 3 or absent(y)') == [
        'max by (a) (x{b="c > d"})',
        "3",
        "absent(y)",
    ]


@pytest.mark.parametrize("side", CONDITIONS)
def test_an_alert_compares_something(system: System, side: str) -> None:
    assert system.ask(side)


@pytest.mark.parametrize("expr", [pytest.param(expr, id=name) for name, expr, _ in EXPRESSIONS])
def test_a_panel_shows_something(system: System, expr: str) -> None:
    assert system.ask(expr)


@pytest.mark.parametrize("target", [pytest.param(target, id=name) for name, target in lists()])
def test_a_list_shows_something(system: System, target: Json) -> None:
    params = {
        each["key"]: re.sub(r"\$(\w+)", lambda found: system.values[found[1]], each["value"])
        for each in target["url_options"]["params"]
    }
    query = urllib.parse.urlencode(params)
    assert get(f"{system.serve}{target['url']}?{query}")[target["root_selector"]]


PLACES = [
    pytest.param(variable, id=f"{dashboard['uid']}: ${variable['name']}")
    for dashboard in DASHBOARDS.values()
    for variable in dashboard["templating"]["list"]
    if variable["regex"]
]


@pytest.mark.parametrize("variable", PLACES)
def test_a_variable_offers_the_place_in_trouble(system: System, variable: Json) -> None:
    inner = re.fullmatch(r"query_result\((.*)\)", variable["definition"])
    assert inner is not None
    query = urllib.parse.urlencode({"query": inner[1]})
    result = get(f"{system.prometheus}/api/v1/query?{query}")["data"]["result"]
    # As Grafana writes a series before it applies the pattern.
    lines = [
        "{" + ", ".join(f'{k}="{v}"' for k, v in each["metric"].items()) + "} 1 0"
        for each in result
    ]
    pattern = variable["regex"].strip("/").replace("(?<", "(?P<")
    offered = {found["value"] for line in lines if (found := re.search(pattern, line))}
    assert len(offered) == len(lines)
    assert system.values[variable["name"]] in offered


def test_promtool_parses_every_query(tmp_path: Path) -> None:
    rules = [
        {"record": f"panel:{number}:query", "expr": re.sub(r"\$__rate_interval", "1m", expr)}
        for number, (_, expr, _) in enumerate(EXPRESSIONS)
    ]
    path = tmp_path / "panels.rules.yml"
    path.write_text(yaml.safe_dump({"groups": [{"name": "panels", "rules": rules}]}), "utf8")
    done = subprocess.run(
        [promtool(), "check", "rules", str(path)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
