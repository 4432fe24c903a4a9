"""Reads deploy/kubernetes/ for tests: manifests by kind, pods and what they are told."""

from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "deploy/kubernetes"
BASE = FOLDER / "base"
COMPONENTS = sorted(path.parent for path in FOLDER.glob("components/*/kustomization.yaml"))
OVERLAYS = sorted(path.parent for path in FOLDER.glob("overlays/*/kustomization.yaml"))

Manifest = dict[str, Any]


def manifests_of(path: Path) -> list[Manifest]:
    return [one for one in yaml.safe_load_all(path.read_text("utf8")) if one is not None]


def kustomization(folder: Path) -> Manifest:
    (found,) = manifests_of(folder / "kustomization.yaml")
    return found


def environment_of(path: Path) -> dict[str, str]:
    lines = [line for line in path.read_text("utf8").splitlines() if line and line[0] != "#"]
    return dict(line.split("=", 1) for line in lines)


ALL: list[Manifest] = [
    manifest
    for folder in (BASE, *COMPONENTS)
    for path in sorted(folder.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for manifest in manifests_of(path)
]
OF_OVERLAYS: list[Manifest] = [
    manifest
    for folder in OVERLAYS
    for path in sorted(folder.glob("*.yaml"))
    if path.name != "kustomization.yaml"
    for manifest in manifests_of(path)
]
SETTINGS = environment_of(BASE / "settings.env")
PAGING = environment_of(BASE / "paging.env")


def of_kind(*kinds: str, among: list[Manifest] = ALL) -> list[Manifest]:
    return [manifest for manifest in among if manifest["kind"] in kinds]


WORKLOADS = {one["metadata"]["name"]: one for one in of_kind("StatefulSet", "Deployment")}
PODS = {name: one["spec"]["template"]["spec"] for name, one in WORKLOADS.items()}
LISTENING = {name: pod for name, pod in PODS.items() if "ports" in pod["containers"][0]}


def container(name: str) -> Manifest:
    (found,) = PODS[name]["containers"]
    assert isinstance(found, dict)
    return found


def labels_of_pods(name: str) -> dict[str, str]:
    """What its pods are labelled with, once Kustomize has added what all have."""
    (common,) = kustomization(BASE)["labels"]
    assert common["includeTemplates"] is True
    return {**WORKLOADS[name]["spec"]["template"]["metadata"]["labels"], **common["pairs"]}


def selected(selector: Manifest) -> set[str]:
    """Return the workloads whose pods a selector means."""
    wanted = selector.get("matchLabels", {}).items()
    among = selector.get("matchExpressions", [])
    return {
        name
        for name in WORKLOADS
        if wanted <= labels_of_pods(name).items()
        and all(labels_of_pods(name)[one["key"]] in one["values"] for one in among)
    }


def title(manifest: Manifest) -> str:
    return f"{manifest['kind']} {manifest['metadata']['name']}"


def environment_given(name: str, overlay: Path | None = None) -> dict[str, str | None]:
    """Return the variables of a container; None for those whose value the cluster knows."""
    given: dict[str, str | None] = {}
    maps = [source["configMapRef"]["name"] for source in container(name)["envFrom"]]
    for folder in (BASE, overlay or BASE):
        for generator in kustomization(folder)["configMapGenerator"]:
            for file in generator["envs"] if generator["name"] in maps else ():
                given |= environment_of(folder / file)
    return given | {one["name"]: one.get("value") for one in container(name)["env"]}
