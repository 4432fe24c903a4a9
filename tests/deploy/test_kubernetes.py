"""The manifests of deploy/kubernetes/: by the schemas of who reads them, and one with the code."""

import copy
import json
import shutil
import subprocess
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest
import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines
from typer.main import get_command

from deploy.kubernetes.make import ACCESS, CLUSTER, files
from streams.access.declared import read_access
from streams.agents.http import HealthServer
from streams.agents.worker import STOP_TIMEOUT_S
from streams.cli.app import app
from streams.cli.gateway import ADDRESS_DEFAULT as GATEWAY_ADDRESS_DEFAULT
from streams.cli.serve import ADDRESS_DEFAULT
from streams.kafka.topics import REPLICATION_FACTOR_SAFE
from streams.metrics import Metrics
from streams.records.topics import PREFIX_DEFAULT, catalogue
from streams.settings import Settings, load_settings
from tests.deploy.manifests import (
    ALL,
    BASE,
    COMPONENTS,
    LISTENING,
    OF_OVERLAYS,
    OVERLAYS,
    PAGING,
    PODS,
    ROOT,
    SETTINGS,
    WORKLOADS,
    Manifest,
    container,
    environment_given,
    kustomization,
    labels_of_pods,
    manifests_of,
    of_kind,
    selected,
    title,
)

VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text("utf8"))["project"]["version"]


# --- By the schemas --------------------------------------------------------------------------------


def _schemas() -> Iterator[tuple[str, jsonschema_rs.Validator]]:
    for path in sorted((Path(__file__).parent / "schemas").glob("*.json")):
        schema = json.loads(path.read_text("utf8"))
        for kind, wanted in schema.get("kinds", {}).items():
            yield kind, jsonschema_rs.validator_for({**wanted, "$defs": schema.get("$defs", {})})


SCHEMAS = dict(_schemas())


def mistakes(manifest: Manifest) -> list[str]:
    validator = SCHEMAS[f"{manifest['apiVersion']} {manifest['kind']}"]
    return [f"{error.instance_path}: {error.message}" for error in validator.iter_errors(manifest)]


@pytest.mark.parametrize("manifest", ALL + OF_OVERLAYS, ids=title)
def test_a_manifest_is_as_its_schema_has_it(manifest: Manifest) -> None:
    assert not mistakes(manifest)


# A kind, where in it, and what is wrong there.
WRONG: list[tuple[str, str, object]] = [
    ("StatefulSet", "spec/template/spec/containers/0/securityContext/readonlyRootFilesystem", True),
    ("StatefulSet", "spec/template/spec/containers/0/ports/0/containerPort", "http"),
    ("Deployment", "spec/template/spec/enableServiceLink", False),
    ("Service", "spec/ports/0/port", "eighty"),
    ("NetworkPolicy", "spec/egress/0/to/0/nameSpaceSelector", {}),
    ("PodDisruptionBudget", "spec/maxUnavailable", [1]),
    ("KafkaTopic", "spec/partitions", 0),
    ("KafkaTopic", "spec/retention", 1),
    ("KafkaUser", "spec/authentication/type", "scram-sha-256"),
    ("KafkaUser", "spec/authorization/acls/0/operations/0", "Reed"),
    ("PodMonitor", "spec/podMetricsEndpoints/0/relabelings/0/action", "rename"),
    ("PrometheusRule", "spec/groups/0/rules/0/expr", None),
]


@pytest.mark.parametrize(("kind", "path", "wrong"), WRONG)
def test_a_schema_refuses_what_is_wrong(kind: str, path: str, wrong: object) -> None:
    manifest = copy.deepcopy(of_kind(kind)[0])
    *parents, last = [int(part) if part.isdecimal() else part for part in path.split("/")]
    at: Any = manifest
    for part in parents:
        at = at[part]
    at[last] = wrong
    assert mistakes(manifest)


# --- Made of the code ------------------------------------------------------------------------------


@pytest.mark.parametrize("path", sorted(files()), ids=lambda path: path.name)
def test_what_is_made_of_the_code_is_up_to_date(path: Path) -> None:
    made = files()[path]
    assert path.read_text("utf8") == made, "run: make manifests"


def test_topics_are_those_of_the_catalogue_with_its_settings() -> None:
    """As the catalogue has them, and none besides; three copies, and two of what is acknowledged."""
    topics = {topic.name: topic for topic in catalogue().values()}
    manifests = {one["metadata"]["name"]: one for one in of_kind("KafkaTopic")}
    assert set(manifests) == set(topics)
    for name, manifest in manifests.items():
        spec = manifest["spec"]
        config = dict(spec["config"])
        assert config.pop("min.insync.replicas") == "2"
        assert config == topics[name].config
        assert (spec["partitions"], spec["replicas"]) == (
            topics[name].partitions,
            REPLICATION_FACTOR_SAFE,
        )


def test_each_workload_is_a_principal_with_a_password_of_its_own() -> None:
    users = {one["metadata"]["name"] for one in of_kind("KafkaUser")}
    declared = {principal.name for principal in read_access(ACCESS, PREFIX_DEFAULT)}
    for name in WORKLOADS:
        variables = {one["name"]: one for one in container(name)["env"]}
        user = variables["REALNAME_KAFKA__SASL_USERNAME"]["value"]
        secret = variables["REALNAME_KAFKA__SASL_PASSWORD"]["valueFrom"]["secretKeyRef"]
        assert user == name.removeprefix("realname-")
        assert secret == {"name": user, "key": "password"}
        assert user in users & declared


def test_the_cluster_has_one_name() -> None:
    for manifest in (*of_kind("KafkaTopic", "KafkaUser"), *OF_OVERLAYS):
        if manifest["kind"] in {"KafkaTopic", "KafkaUser", "KafkaNodePool"}:
            assert manifest["metadata"]["labels"]["strimzi.io/cluster"] == CLUSTER
        elif manifest["kind"] == "Kafka":
            assert manifest["metadata"]["name"] == CLUSTER
    assert SETTINGS["REALNAME_BOOTSTRAP"] == f"{CLUSTER}-kafka-bootstrap:9093"
    for pod in PODS.values():
        (ca,) = [volume for volume in pod["volumes"] if volume["name"] == "kafka"]
        assert ca["secret"]["secretName"] == f"{CLUSTER}-cluster-ca-cert"


def test_the_example_cluster_listens_as_clients_call() -> None:
    (kafka,) = [one for one in OF_OVERLAYS if one["kind"] == "Kafka"]
    (listener,) = kafka["spec"]["kafka"]["listeners"]
    assert str(listener["port"]) == SETTINGS["REALNAME_BOOTSTRAP"].split(":")[1]
    assert listener["tls"] is True
    assert SETTINGS["REALNAME_KAFKA__SECURITY_PROTOCOL"] == "SASL_SSL"
    mechanism = SETTINGS["REALNAME_KAFKA__SASL_MECHANISM"].lower()
    assert listener["authentication"] == {"type": mechanism}
    assert kafka["spec"]["kafka"]["authorization"] == {"type": "simple"}


# --- Settings and commands -------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(WORKLOADS))
@pytest.mark.parametrize("overlay", [None, *OVERLAYS], ids=lambda o: o.name if o else "base")
def test_the_program_takes_the_settings(
    name: str, overlay: Path | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As load_settings does: it refuses a variable that it does not know, and a value that is wrong."""
    # A pod of a StatefulSet is named by its number.
    from_elsewhere = {"REALNAME_WAYBILL_HASH_KEY": "c2VjcmV0" * 5}
    for variable, value in environment_given(name, overlay).items():
        given = from_elsewhere.get(variable, f"{name}-0") if value is None else value
        monkeypatch.setenv(variable, given)
    settings = load_settings({}).settings
    # A worker pages as well, once it knows an Alertmanager.
    pages = name in {"realname-notify", "realname-operator"}
    assert len(settings.notify.alertmanagers) == (2 if pages else 0)
    assert settings.kafka["sasl.username"] == name.removeprefix("realname-")
    assert (name == "realname-worker") is (settings.slot == "realname-worker-0")
    assert (name == "realname-worker") is bool(settings.waybill_hash_key)


def test_no_settings_but_those_that_are_named_reach_a_pod() -> None:
    """Kubernetes gives REALNAME_SERVE_PORT and more for Services, and unknown settings are refused."""
    assert all(pod["enableServiceLinks"] is False for pod in PODS.values())


@pytest.mark.parametrize("name", sorted(LISTENING))
def test_a_container_runs_a_command_that_exists(name: str) -> None:
    command, *rest = container(name)["args"]
    assert command == name.removeprefix("realname-")
    found = get_command(app).commands[command]  # type: ignore[attr-defined]  # a group of commands
    options = {option for parameter in found.params for option in parameter.opts}
    assert {word for word in rest if word.startswith("--")} <= options


def test_a_slot_outlives_its_pod() -> None:
    assert WORKLOADS["realname-worker"]["kind"] == "StatefulSet"
    variables = {one["name"]: one for one in container("realname-worker")["env"]}
    assert variables["REALNAME_SLOT"]["valueFrom"] == {"fieldRef": {"fieldPath": "metadata.name"}}


@pytest.mark.parametrize("overlay", OVERLAYS, ids=lambda o: o.name)
def test_images_are_of_this_version(overlay: Path) -> None:
    assert {pod["containers"][0]["image"] for pod in PODS.values()} == {"realname-streams"}
    (image,) = kustomization(overlay)["images"]
    assert (image["name"], image["newTag"]) == ("realname-streams", VERSION)


# --- Health and networks ---------------------------------------------------------------------------

PORTS = {
    "realname-worker": Settings().http_port,
    "realname-notify": Settings().notify.http_port,
    "realname-serve": int(ADDRESS_DEFAULT.rsplit(":", 1)[1]),
    "realname-gateway": int(GATEWAY_ADDRESS_DEFAULT.rsplit(":", 1)[1]),
}


@pytest.mark.parametrize("name", sorted(LISTENING))
def test_probes_ask_the_port_and_paths_that_the_program_has(name: str) -> None:
    one = container(name)
    (port,) = one["ports"]
    assert (port["name"], port["containerPort"]) == ("http", PORTS[name])
    paths = {
        probe: one[probe]["httpGet"]["path"]
        for probe in ("startupProbe", "livenessProbe", "readinessProbe")
    }
    assert paths == {"startupProbe": "/live", "livenessProbe": "/live", "readinessProbe": "/ready"}
    routes = HealthServer({}, Metrics())._server.app.router.resources()
    assert set(paths.values()) <= {resource.canonical for resource in routes}
    assert all(one[probe]["httpGet"]["port"] == "http" for probe in paths)


def test_a_worker_has_time_to_leave_in_good_order() -> None:
    assert PODS["realname-worker"]["terminationGracePeriodSeconds"] > STOP_TIMEOUT_S + 2


@pytest.mark.parametrize("name", sorted(WORKLOADS))
def test_a_pod_has_no_rights_that_it_does_not_need(name: str) -> None:
    pod, one = PODS[name], container(name)
    assert pod["automountServiceAccountToken"] is False
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert f"--uid {pod['securityContext']['runAsUser']} " in (ROOT / "Dockerfile").read_text()
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert one["securityContext"] == {
        "allowPrivilegeEscalation": False,
        "readOnlyRootFilesystem": True,
        "capabilities": {"drop": ["ALL"]},
    }
    assert set(one["resources"]) == {"requests", "limits"}
    assert {mount["name"] for mount in one["volumeMounts"]} == {v["name"] for v in pod["volumes"]}
    writable = [m["mountPath"] for m in one["volumeMounts"] if not m.get("readOnly")]
    assert writable == ["/tmp"]  # noqa: S108 (in the container)
    assert SETTINGS["REALNAME_DATA_DIR"].startswith("/tmp/")  # noqa: S108 (the same)


def test_files_that_settings_and_options_name_are_mounted() -> None:
    for name in WORKLOADS:
        mounts = {m["name"]: m["mountPath"] for m in container(name)["volumeMounts"]}
        there = {
            f"{mounts[volume['name']]}/{item['path']}"
            for volume in PODS[name]["volumes"]
            for item in volume.get("secret", {}).get("items", ())
        }
        named = [word for word in container(name).get("args", ()) if word.startswith("/")]
        assert there == {SETTINGS["REALNAME_KAFKA__SSL_CA_LOCATION"], *named}


@pytest.mark.parametrize("manifest", of_kind("Service", "PodDisruptionBudget"), ids=title)
def test_a_selector_means_the_workload_of_its_name(manifest: Manifest) -> None:
    selector = manifest["spec"]["selector"]
    selector = {"matchLabels": selector} if manifest["kind"] == "Service" else selector
    assert selected(selector) == {manifest["metadata"]["name"]}


def test_a_workload_selects_its_own_pods() -> None:
    for name, workload in WORKLOADS.items():
        assert selected(workload["spec"]["selector"]) == {name}
    service = WORKLOADS["realname-worker"]["spec"]["serviceName"]
    assert service in {one["metadata"]["name"] for one in of_kind("Service")}


def test_everything_that_listens_is_scraped_once_under_the_job_that_rules_know() -> None:
    (scraped,) = [
        {job["job_name"] for job in yaml.safe_load(path.read_text("utf8"))["scrape_configs"]}
        for path in [ROOT / "deploy/prometheus/prometheus.yml"]
    ]
    jobs = []
    for monitor in of_kind("PodMonitor"):
        (endpoint,) = monitor["spec"]["podMetricsEndpoints"]
        (relabel,) = endpoint["relabelings"]
        assert (endpoint["port"], relabel["targetLabel"]) == ("http", "job")
        (source,) = relabel["sourceLabels"]
        assert source == "__meta_kubernetes_pod_label_app_kubernetes_io_component"
        for name in selected(monitor["spec"]["selector"]):
            component = labels_of_pods(name)["app.kubernetes.io/component"]
            jobs.append(relabel["replacement"].replace("$1", component))
    assert sorted(jobs) == sorted(LISTENING)
    assert set(scraped) <= set(jobs)


def test_pods_reach_names_and_kafka_and_who_pages_the_alertmanagers_and_nothing_else() -> None:
    kafka = int(SETTINGS["REALNAME_BOOTSTRAP"].split(":")[1])
    paging = {name for name in WORKLOADS if "realname-paging" in str(container(name)["envFrom"])}
    addresses = PAGING["REALNAME_NOTIFY__ALERTMANAGERS"].split(",")
    (namespace,) = {address.split(":")[1].rsplit(".", 1)[1] for address in addresses}
    (port,) = {int(address.rsplit(":", 1)[1]) for address in addresses}
    names: Manifest = {"namespaceSelector": {}}
    brokers = {"podSelector": {"matchLabels": {"strimzi.io/kind": "Kafka"}}}
    monitoring = {"namespaceSelector": {"matchLabels": {"kubernetes.io/metadata.name": namespace}}}
    for name in WORKLOADS:
        rules = [
            rule
            for policy in of_kind("NetworkPolicy")
            if name in selected(policy["spec"]["podSelector"])
            for rule in policy["spec"].get("egress", ())
        ]
        reached = [
            (to, one["port"]) for rule in rules for to in rule["to"] for one in rule["ports"]
        ]
        expected = [(names, 53), (names, 53), (brokers, kafka)]
        assert reached == [*expected, *([(monitoring, port)] if name in paging else [])]
        assert all(rule["to"] for rule in rules), "to nobody is to everybody"


def test_only_what_listens_is_called_and_only_there() -> None:
    for policy in of_kind("NetworkPolicy"):
        for rule in policy["spec"].get("ingress", ()):
            assert rule["ports"] == [{"port": "http"}]


# --- Kustomize -------------------------------------------------------------------------------------


@pytest.mark.parametrize("folder", [BASE, *COMPONENTS, *OVERLAYS], ids=lambda f: f.name)
def test_a_kustomization_names_what_is_there_and_all_of_it(folder: Path) -> None:
    found = kustomization(folder)
    named = [folder / name for name in (*found["resources"], *found.get("components", ()))]
    assert all(path.exists() for path in named)
    files_named = {path.name for path in named if path.suffix == ".yaml"}
    there = {path.name for path in folder.glob("*.yaml")} - {"kustomization.yaml"}
    assert files_named == there
    generators = found.get("configMapGenerator", ())
    settings = [name for generator in generators for name in generator["envs"]]
    assert set(settings) == {path.name for path in folder.glob("*.env")}


def _kustomize() -> list[str] | None:
    if kustomize := shutil.which("kustomize"):
        return [kustomize, "build"]
    return [kubectl, "kustomize"] if (kubectl := shutil.which("kubectl")) else None


@pytest.mark.parametrize("folder", [BASE, *OVERLAYS], ids=lambda f: f.name)
def test_what_kustomize_builds_is_as_the_schemas_have_it(folder: Path) -> None:
    command = _kustomize()
    if command is None:
        pytest.skip("needs kustomize or kubectl")
    done = subprocess.run([*command, str(folder)], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    built = list(yaml.safe_load_all(done.stdout))
    assert not [f"{title(one)}: {said}" for one in built for said in mistakes(one)]
    maps = {one["metadata"]["name"] for one in built if one["kind"] == "ConfigMap"}
    pods = [
        one["spec"]["template"]["spec"]
        for one in built
        if one["kind"] in {"StatefulSet", "Deployment"}
    ]
    read = {one["configMapRef"]["name"] for p in pods for one in p["containers"][0]["envFrom"]}
    assert read == maps
    built_of = {
        title(one)
        for there in (
            BASE,
            *(folder / name for name in kustomization(folder).get("components", ())),
        )
        for path in there.glob("*.yaml")
        for one in manifests_of(path)
        if one["kind"] != "Kustomization" and "metadata" in one
    }
    assert built_of <= {title(one) for one in built}
    assert {pod["containers"][0]["image"].rsplit("/", 1)[-1] for pod in pods} <= {
        "realname-streams",
        f"realname-streams:{VERSION}",
    }
