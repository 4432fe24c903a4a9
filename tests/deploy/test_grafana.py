"""The dashboards: made by the code beside them, complete, and of what exists."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

import orjson
import pytest
import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines
from fastapi.testclient import TestClient

from deploy.grafana.source.__main__ import made
from streams.gateway.metrics import CATALOGUE as TAKEN_IN
from streams.metrics import CATALOGUE
from streams.serve.metrics import CATALOGUE as SERVED
from streams.serve.view import View
from tests.serve.conftest import client_of, filled

ROOT = Path(__file__).parents[2]
GRAFANA = ROOT / "deploy/grafana"
Json = dict[str, Any]

DASHBOARDS: Final[Mapping[str, Json]] = {
    path.name: orjson.loads(path.read_bytes())
    for path in sorted((GRAFANA / "dashboards").glob("*.json"))
}
BY_UID: Final = {dashboard["uid"]: dashboard for dashboard in DASHBOARDS.values()}
SOURCES: Final[Mapping[str, Json]] = {
    source["uid"]: source
    for source in yaml.safe_load(
        (GRAFANA / "provisioning/datasources/realname.yml").read_text("utf8")
    )["datasources"]
}
PROVIDER: Final[Json] = yaml.safe_load(
    (GRAFANA / "provisioning/dashboards/realname.yml").read_text("utf8")
)["providers"][0]
COMPOSE: Final[Json] = yaml.safe_load((ROOT / "docker-compose.yml").read_text("utf8"))["services"]
RULES: Final[list[Json]] = [
    rule
    for path in sorted((ROOT / "deploy/prometheus/rules").glob("*.rules.yml"))
    for group in yaml.safe_load(path.read_text("utf8"))["groups"]
    for rule in group["rules"]
]
RECORDED: Final = {rule["record"]: rule["expr"] for rule in RULES if "record" in rule}
METRICS: Final = {metric.name: metric for metric in (*CATALOGUE, *SERVED, *TAKEN_IN)}

# Not ours: what Prometheus itself and its client library make.
THEIRS: Final = {
    "up": {"job", "instance"},
    "ALERTS": {"alertname", "alertstate"},
    "process_resident_memory_bytes": {"job", "instance"},
    "process_cpu_seconds_total": {"job", "instance"},
    "process_start_time_seconds": {"job", "instance"},
}
# Plugins that Grafana's image brings along.
BUNDLED: Final = {"prometheus"}


@dataclass(frozen=True)
class Shown:
    """A panel in its dashboard."""

    dashboard: Json
    panel: Json

    @property
    def targets(self) -> list[Json]:
        found: list[Json] = self.panel["targets"]
        return found

    @property
    def columns(self) -> set[str]:
        return {column["text"] for target in self.targets for column in target.get("columns", ())}


def names(shown: Shown) -> str:
    return f"{shown.dashboard['uid']}: {shown.panel['title']}"


PANELS: Final = [
    Shown(dashboard, panel)
    for dashboard in DASHBOARDS.values()
    for panel in dashboard["panels"]
    if panel["type"] != "row"
]
PROMQL: Final = [shown for shown in PANELS if "expr" in shown.targets[0]]
LISTS: Final = [shown for shown in PANELS if "expr" not in shown.targets[0]]

each_panel = pytest.mark.parametrize("shown", PANELS, ids=names)
each_dashboard = pytest.mark.parametrize("dashboard", DASHBOARDS.values(), ids=lambda d: d["uid"])


def test_the_committed_files_are_what_the_code_makes() -> None:
    committed = {path.name: path.read_bytes() for path in (GRAFANA / "dashboards").iterdir()}
    assert committed == made(), "run `make dashboards`"


def test_every_dashboard_that_is_asked_for_is_there() -> None:
    asked = {"region", "city", "enterprise", "outlet", "pipeline"}
    assert {f"realname-{name}" for name in asked} == set(BY_UID)
    assert len(PANELS) > 70


def test_uids_are_unique_and_name_the_files() -> None:
    assert len(BY_UID) == len(DASHBOARDS)
    assert {f"{uid}.json" for uid in BY_UID} == set(DASHBOARDS)


@each_dashboard
def test_panels_have_ids_of_their_own_and_do_not_overlap(dashboard: Json) -> None:
    ids = [panel["id"] for panel in dashboard["panels"]]
    assert len(ids) == len(set(ids))
    taken: set[tuple[int, int]] = set()
    for panel in dashboard["panels"]:
        at = panel["gridPos"]
        assert at["x"] + at["w"] <= 24
        cells = {
            (x, y)
            for x in range(at["x"], at["x"] + at["w"])
            for y in range(at["y"], at["y"] + at["h"])
        }
        assert not cells & taken, panel["title"]
        taken |= cells


def in_both_languages(text: str) -> bool:
    return bool(re.search(r"[\u4e00-\u9fff]{2}", text) and re.search(r"[A-Za-z]{2}", text))


@each_dashboard
def test_a_dashboard_and_its_variables_are_named_and_described_in_both_languages(
    dashboard: Json,
) -> None:
    for text in (dashboard["title"], dashboard["description"]):
        assert in_both_languages(text)
    for variable in dashboard["templating"]["list"]:
        assert in_both_languages(variable["label"])
        assert in_both_languages(variable["description"])


@each_panel
def test_a_panel_has_title_description_unit_and_data_source(shown: Shown) -> None:
    panel = shown.panel
    assert in_both_languages(panel["title"])
    assert in_both_languages(panel["description"])
    assert panel["fieldConfig"]["defaults"]["unit"]
    assert panel["targets"]
    for datasource in (panel["datasource"], *(target["datasource"] for target in shown.targets)):
        assert datasource["type"] == SOURCES[datasource["uid"]]["type"]


def links_of(shown: Shown) -> list[Json]:
    config = shown.panel["fieldConfig"]
    found: list[Json] = list(config["defaults"].get("links", ()))
    for override in config["overrides"]:
        for each in override["properties"]:
            found += each["value"] if each["id"] == "links" else []
    return found


def variables_of(dashboard: Json) -> set[str]:
    return {variable["name"] for variable in dashboard["templating"]["list"]}


@pytest.mark.parametrize("shown", [shown for shown in PANELS if links_of(shown)], ids=names)
def test_a_link_leads_to_a_dashboard_with_the_variables_that_it_sets(shown: Shown) -> None:
    for link in links_of(shown):
        assert in_both_languages(link["title"])
        uid, _, query = link["url"].removeprefix("/d/").partition("?")
        for name, value in re.findall(r"var-(\w+)=([^&]+)", query):
            assert name in variables_of(BY_UID[uid])
            if field := re.fullmatch(r"\$\{__data\.fields\.(\w+)\}", value):
                assert field[1] in shown.columns
            elif label := re.fullmatch(r"\$\{__field\.labels\.(\w+)\}", value):
                assert label[1] in labels_left(shown.targets[0]["expr"])
            else:
                assert value.removeprefix("$") in variables_of(shown.dashboard)


def test_places_link_to_one_another() -> None:
    linked = {
        (shown.dashboard["uid"], link["url"].removeprefix("/d/").partition("?")[0])
        for shown in PANELS
        for link in links_of(shown)
    }
    assert {
        ("realname-region", "realname-city"),
        ("realname-region", "realname-enterprise"),
        ("realname-city", "realname-outlet"),
        ("realname-enterprise", "realname-outlet"),
        ("realname-outlet", "realname-outlet"),
    } <= linked


def used_variables(value: object) -> Iterator[str]:
    text = orjson.dumps(value).decode()
    for name in re.findall(r"\$\{?(\w+)", text):
        if not name.startswith("__"):
            yield name


@each_dashboard
def test_every_variable_that_is_used_is_defined_and_the_other_way_round(dashboard: Json) -> None:
    shown = {k: v for k, v in dashboard.items() if k not in ("links", "title", "description")}
    assert set(used_variables(shown)) == variables_of(dashboard)


def labels_left(expr: str) -> set[str]:
    """Return the labels that a query's answer can have: those of its `by` and `group_left`."""
    listed = re.findall(r"(?:by|group_left) \(([^)]*)\)", expr)
    found = {label.strip() for labels in listed for label in labels.split(",")} - {""}
    for name in re.findall(r"\w+:\w+:\w+", expr):
        found |= labels_left(RECORDED[name])
    return found


def metrics_in(expr: str) -> Iterator[str]:
    """Return every metric that a query names: names that are no function, label or keyword."""
    bare = re.sub(r'"[^"]*"|\{[^}]*\}|\[[^]]*\]', " ", expr)
    bare = re.sub(r"\b(by|on|group_left|without|ignoring) \([^)]*\)", " ", bare)
    for name in re.findall(r"[A-Za-z_][\w:]*(?!\w*\s*\()", bare):
        if name not in {"or", "and", "on", "bool", "time", "e4", "e"}:
            yield name


def known(name: str) -> set[str] | None:
    """Return the labels of a metric; None where there is no such metric."""
    if name in THEIRS:
        return THEIRS[name]
    if name in RECORDED:
        return labels_left(RECORDED[name])
    metric = METRICS.get(name) or METRICS.get(re.sub(r"_(bucket|sum|count)$", "", name))
    return None if metric is None else {*metric.labels, "instance", "job", "le"}


EXPRESSIONS: Final = [
    (names(shown), target["expr"], target["legendFormat"])
    for shown in PROMQL
    for target in shown.targets
] + [
    (
        f"{dashboard['uid']}: {annotation['name']}",
        annotation["target"]["expr"],
        annotation["titleFormat"],
    )
    for dashboard in DASHBOARDS.values()
    for annotation in dashboard["annotations"]["list"]
]


@pytest.mark.parametrize(("expr", "legend"), [pytest.param(e, g, id=n) for n, e, g in EXPRESSIONS])
def test_a_query_names_metrics_and_labels_that_exist(expr: str, legend: str) -> None:
    used = list(metrics_in(expr))
    assert used
    for name in used:
        assert known(name) is not None, f"{name} is in no catalogue"
    for name, matchers in re.findall(r"([\w:]+)\{([^}]*)\}", expr):
        for label in re.findall(r"(\w+)=", matchers):
            assert label in (known(name) or ()), f"{name} has no label {label}"
    every = {label for name in used for label in known(name) or ()}
    assert labels_left(expr) <= every
    own = every if not labels_left(expr) else labels_left(expr)
    assert set(re.findall(r"\{\{(\w+)\}\}", legend)) <= own


def test_every_metric_of_the_catalogue_is_shown_or_alerted_on() -> None:
    exprs = [expr for _, expr, _ in EXPRESSIONS] + [rule["expr"] for rule in RULES]
    exprs += [
        variable["definition"]
        for dashboard in DASHBOARDS.values()
        for variable in dashboard["templating"]["list"]
    ]
    used = {
        re.sub(r"_(bucket|sum|count)$", "", name) if name not in METRICS else name
        for expr in exprs
        for name in re.findall(r"\brealname_\w+", expr)
    }
    assert set(METRICS) - used == set()


@pytest.mark.parametrize("shown", LISTS, ids=names)
def test_overrides_and_sorting_are_of_columns_that_are_there(shown: Shown) -> None:
    overrides = shown.panel["fieldConfig"]["overrides"]
    assert {override["matcher"]["options"] for override in overrides} == shown.columns
    titles = {
        each["value"]
        for override in overrides
        for each in override["properties"]
        if each["id"] == "displayName"
    }
    assert {by["displayName"] for by in shown.panel["options"].get("sortBy", ())} <= titles
    assert all(in_both_languages(title) for title in titles)


@pytest.mark.parametrize("shown", PROMQL, ids=names)
def test_overrides_are_of_queries_that_are_there(shown: Shown) -> None:
    refs = {target["refId"] for target in shown.targets}
    asked = {o["matcher"]["options"] for o in shown.panel["fieldConfig"]["overrides"]}
    assert asked <= refs


def place_in_trouble(client: TestClient) -> Mapping[str, str]:
    """Return variables with which no list is empty: of an outlet that is in breach, with an alert."""
    alerts = client.get("/api/v1/alerts?granularity=OUTLET&status=open").json()["items"]
    outlet = alerts[0]
    return {
        "city": outlet["city_code"],
        "enterprise": outlet["enterprise_id"],
        "outlet": outlet["scope_id"],
    }


def lists() -> Iterator[tuple[str, Json]]:
    for shown in LISTS:
        yield from ((names(shown), target) for target in shown.targets)
    for dashboard in DASHBOARDS.values():
        for variable in dashboard["templating"]["list"]:
            if "infinityQuery" in variable["query"]:
                yield f"{dashboard['uid']}: ${variable['name']}", variable["query"]["infinityQuery"]


@pytest.mark.parametrize("target", [pytest.param(target, id=name) for name, target in lists()])
def test_a_list_asks_the_api_for_what_it_gives(target: Json) -> None:
    client = client_of(filled_once())
    values = place_in_trouble(client)
    params = {
        each["key"]: re.sub(r"\$(\w+)", lambda found: values[found[1]], each["value"])
        for each in target["url_options"]["params"]
    }
    answer = client.get(target["url"], params=params)
    assert answer.status_code == 200, answer.text
    rows = answer.json()[target["root_selector"]]
    assert rows
    for column in target["columns"]:
        for row in rows:
            value = row
            for part in column["selector"].split("."):
                value = value[part]
            right = (int, float) if column["type"] == "number" else str
            assert value is None or isinstance(value, right), column["selector"]


@cache
def filled_once() -> View:
    return filled()


def test_variables_of_places_are_read_off_what_prometheus_gives() -> None:
    found = 0
    for dashboard in DASHBOARDS.values():
        for variable in dashboard["templating"]["list"]:
            if not (pattern := variable["regex"]):
                continue
            name = variable["name"]
            given = f'{{{name}="15", name_en="Hohhot", name_zh="呼和浩特市"}} 1 1504672800000'
            matched = re.search(pattern.strip("/").replace("(?<", "(?P<"), given)
            assert matched is not None
            assert matched.groupdict() == {"value": "15", "text": "呼和浩特市"}
            found += 1
    assert found == 3


def test_grafana_finds_its_files_its_data_sources_and_its_plugins() -> None:
    service = COMPOSE["grafana"]
    environment = service["environment"]
    mounted = {}
    for volume in service["volumes"]:
        source, target, *_ = volume.split(":")
        mounted[target] = source
    assert mounted["/etc/grafana/provisioning"] == "./deploy/grafana/provisioning"
    folder = ROOT / mounted[PROVIDER["options"]["path"]]
    home = Path(environment["GF_DASHBOARDS_DEFAULT_HOME_DASHBOARD_PATH"])
    assert home.parent == Path(PROVIDER["options"]["path"])
    assert (folder / home.name).exists()
    installed = {
        plugin.partition("@")[0] for plugin in environment["GF_PLUGINS_PREINSTALL"].split(",")
    }
    assert {source["type"] for source in SOURCES.values()} == BUNDLED | installed
    assert all("@" in plugin for plugin in environment["GF_PLUGINS_PREINSTALL"].split(","))
    # With updates on, Grafana ends a bundled plugin before it finds that it cannot write to its image.
    assert service["read_only"]
    assert environment["GF_PLUGINS_PREINSTALL_AUTO_UPDATE"] == "false"


@pytest.mark.parametrize("source", SOURCES.values(), ids=lambda source: source["uid"])
def test_a_data_source_is_a_service_on_its_port(source: Json) -> None:
    environment = COMPOSE["grafana"]["environment"]
    for variable in re.findall(r"\$\{(\w+)\}", orjson.dumps(source).decode()):
        assert environment[variable], "an empty token is refused by the plugin"
    address = environment[source["url"].strip("${}")]
    name, port = address.removeprefix("http://").split(":")
    assert f":{port}/" in str(COMPOSE[name]["healthcheck"]["test"])
    assert name in COMPOSE["grafana"]["depends_on"]


def test_the_interval_of_the_data_source_is_that_of_the_scrapes() -> None:
    scrapes = yaml.safe_load((ROOT / "deploy/prometheus/prometheus.yml").read_text("utf8"))
    told = SOURCES["realname-prometheus"]["jsonData"]["timeInterval"]
    assert told == scrapes["global"]["scrape_interval"]
