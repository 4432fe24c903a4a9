"""Makes the schemas beside it from those that each project publishes: only the kinds that we deploy.

    python tests/deploy/schemas/trim.py kubernetes _definitions.json
    python tests/deploy/schemas/trim.py strimzi kafkatopic.yaml kafkauser.yaml kafka.yaml nodepool.yaml
    python tests/deploy/schemas/trim.py prometheus-operator podmonitors.yaml prometheusrules.yaml

README.md says where those come from. Descriptions are left out; what an API server refuses when it is
told to be strict (a field that it does not know) is refused here as well.
"""

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines

FOLDER = Path(__file__).parent
KUBERNETES_KINDS = {
    "io.k8s.api.apps.v1": ("Deployment", "StatefulSet"),
    "io.k8s.api.batch.v1": ("Job",),
    "io.k8s.api.core.v1": ("ConfigMap", "Namespace", "Secret", "Service", "ServiceAccount"),
    "io.k8s.api.networking.v1": ("NetworkPolicy",),
    "io.k8s.api.policy.v1": ("PodDisruptionBudget",),
}
# Said of a schema for people, or rules in a language that no JSON Schema validator speaks.
NOT_CHECKED = ("description", "default", "format", "example", "title")
# How pods of Kafka itself may be shaped, and parts of a cluster beside brokers: we set none of it.
NOT_OURS = frozenset(
    {"template", "cruiseControl", "kafkaExporter", "jmxOptions", "maintenanceTimeWindows"}
    | {"clusterCa", "clientsCa", "logging", "tieredStorage", "metricsConfig"}
)
Schema = dict[str, Any]


def strict(schema: Any) -> Any:  # noqa: ANN401 (JSON)
    """Return a schema without words, that takes no field which it does not name."""
    if isinstance(schema, list):
        return [strict(part) for part in schema]
    if not isinstance(schema, dict):
        return schema
    kept = {
        name: strict(value)
        for name, value in schema.items()
        if not name.startswith("x-") and (name not in NOT_CHECKED or isinstance(value, dict))
    }
    if isinstance(kept.get("type"), list):
        (kept["type"],) = [one for one in kept["type"] if one != "null"]
    closed = "properties" in kept and "x-kubernetes-preserve-unknown-fields" not in schema
    if closed and "additionalProperties" not in kept:
        kept["additionalProperties"] = False
    return kept


def references(schema: Any) -> Iterator[str]:  # noqa: ANN401 (JSON)
    """Return the names of the definitions that a schema refers to."""
    if isinstance(schema, list):
        for part in schema:
            yield from references(part)
    elif isinstance(schema, dict):
        for name, value in schema.items():
            if name == "$ref":
                yield str(value).rsplit("/", 1)[-1]
            else:
                yield from references(value)


def of_kubernetes(source: Path) -> Schema:
    """Return the kinds of KUBERNETES_KINDS, with all that they are made of."""
    definitions = json.loads(source.read_text("utf8"))["$defs"]
    kinds = {}
    wanted = []
    for package, names in KUBERNETES_KINDS.items():
        for name in names:
            (api,) = definitions[f"{package}.{name}"]["properties"]["apiVersion"]["enum"]
            kinds[f"{api} {name}"] = {"$ref": f"#/$defs/{package}.{name}"}
            wanted.append(f"{package}.{name}")
    kept: Schema = {}
    while wanted:
        name = wanted.pop()
        if name not in kept:
            kept[name] = strict(definitions[name])
            wanted.extend(references(kept[name]))
    return {"kinds": kinds, "$defs": dict(sorted(kept.items()))}


def without_others(schema: Any) -> None:  # noqa: ANN401 (JSON)
    """Take the properties of NOT_OURS out of a schema."""
    if isinstance(schema, dict):
        if isinstance(properties := schema.get("properties"), dict):
            for name in NOT_OURS & set(properties):
                del properties[name]
        for value in schema.values():
            without_others(value)


def of_definitions(sources: list[Path]) -> Schema:
    """Return the kinds of custom resource definitions, in the version that is stored."""
    kinds = {}
    for source in sources:
        spec = yaml.safe_load(source.read_text("utf8"))["spec"]
        (version,) = [version for version in spec["versions"] if version["storage"]]
        schema = strict(version["schema"]["openAPIV3Schema"])
        schema["properties"].pop("status", None)
        without_others(schema)
        name = f"{spec['group']}/{version['name']} {spec['names']['kind']}"
        # Kubernetes' own, not the definition's.
        schema["properties"]["metadata"] = {"type": "object"}
        kinds[name] = schema
    return {"kinds": kinds}


def main(project: str, *sources: str) -> None:
    """Write the schema file of a project."""
    paths = [Path(source) for source in sources]
    schema = of_kubernetes(*paths) if project == "kubernetes" else of_definitions(paths)
    text = json.dumps(schema, separators=(",", ":"), sort_keys=False)
    (FOLDER / f"{project}.json").write_text(text.replace('},"', '},\n"') + "\n", "utf8")


if __name__ == "__main__":
    main(*sys.argv[1:])
