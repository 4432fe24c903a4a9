"""Makes the manifests that say what code and other files say: topics, users and rules.

    make manifests

It writes the same files each time. All others here are written by hand.
"""  # noqa: INP001 (a script beside its data, not a package)

from collections.abc import Collection, Iterable, Mapping
from pathlib import Path
from typing import Any, Final

import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines

from streams.access.declared import Principal, Role, read_access
from streams.access.strimzi import kafka_users
from streams.kafka.topics import REPLICAS_IN_SYNC_MIN, REPLICATION_FACTOR_SAFE
from streams.records.topics import PREFIX_DEFAULT, Topic, catalogue, compliance_topics

FOLDER: Final = Path(__file__).parent
ACCESS: Final = FOLDER.parent / "access.toml"
RULES: Final = FOLDER.parent / "prometheus/rules"

CLUSTER: Final = "realname"
"""The Kafka cluster's name, by which Strimzi knows whose topics and users these are."""
STRIMZI: Final = "kafka.strimzi.io/v1"
MONITORING: Final = "monitoring.coreos.com/v1"

Manifest = Mapping[str, Any]


def files() -> Mapping[Path, str]:
    """Return each file that is made, with its content. Reads deploy/access.toml and the rules."""
    principals = read_access(ACCESS, PREFIX_DEFAULT)
    ours = [principal for principal in principals if principal.role is not Role.ENTERPRISE]
    enterprises = [principal for principal in principals if principal.role is Role.ENTERPRISE]
    return {
        FOLDER / "base/topics.yaml": _topics(catalogue().values()),
        FOLDER / "base/users.yaml": _users(ours),
        FOLDER / "base/rules.yaml": _rules(),
        # The demonstration's; each region has its own.
        FOLDER / "overlays/example/enterprises.yaml": _enterprises(enterprises),
    }


def _topics(topics: Iterable[Topic]) -> str:
    return _head("streams/records/topics.py") + _dump(map(_topic, topics))


def _enterprises(principals: Collection[Principal]) -> str:
    ids = [one.enterprise_id for one in principals if one.enterprise_id is not None]
    return _topics(compliance_topics(ids).values()) + _users(principals)


def _topic(topic: Topic) -> Manifest:
    """Return a topic as Strimzi makes it: three copies, two of which must have what is acknowledged."""
    return {
        "apiVersion": STRIMZI,
        "kind": "KafkaTopic",
        "metadata": {"name": topic.name, "labels": {"strimzi.io/cluster": CLUSTER}},
        "spec": {
            "partitions": topic.partitions,
            "replicas": REPLICATION_FACTOR_SAFE,
            "config": {**topic.config, "min.insync.replicas": str(REPLICAS_IN_SYNC_MIN)},
        },
    }


def _users(principals: Collection[Principal]) -> str:
    users = kafka_users(principals, catalogue(), prefix=PREFIX_DEFAULT, cluster=CLUSTER)
    return _head("deploy/access.toml and streams/access/roles.py") + users


def _rules() -> str:
    """Return the groups of all rule files as the Prometheus operator takes them."""
    read = [yaml.safe_load(path.read_text("utf8")) for path in sorted(RULES.glob("*.rules.yml"))]
    rule = {
        "apiVersion": MONITORING,
        "kind": "PrometheusRule",
        "metadata": {"name": "realname"},
        "spec": {"groups": [group for file in read for group in file["groups"]]},
    }
    return _head("deploy/prometheus/rules") + _dump([rule])


def _head(source: str) -> str:
    return f"# From {source}, by deploy/kubernetes/make.py.\n"


def _dump(manifests: Iterable[Manifest]) -> str:
    return str(yaml.safe_dump_all(manifests, sort_keys=False, allow_unicode=True, width=110))


def main() -> None:
    """Write them."""
    for path, content in files().items():
        path.write_text(content, "utf8")


if __name__ == "__main__":
    main()
