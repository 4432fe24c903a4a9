"""The data inventory says of every field of every topic what it is for, and a broker keeps its retention."""

import tomllib
from collections import Counter
from collections.abc import Iterator, Mapping
from typing import Any

import pytest
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Documented, not re-exported.
    AdminClient,
    ConfigResource,
    ResourceType,
)

from streams.kafka.topics import create_topics
from streams.records.topics import COMPLIANCE, DAY_MS, Topic, catalogue, compliance_topics
from streams.resources import schema_dir
from tests.privacy.fields import PACKED, of_compliance, of_schemas

INVENTORY = tomllib.loads((schema_dir() / "inventory.toml").read_text("utf8"))
TOPICS: dict[str, dict[str, Any]] = INVENTORY["topics"]
GROUPS: dict[str, list[str]] = INVENTORY["groups"]
SCHEMAS = {
    path.stem: tomllib.loads(path.read_text("utf8"))["schemas"]
    for path in (schema_dir() / "topics").glob("*.toml")
}
CATALOGUE: Mapping[str, Topic] = {
    **catalogue(prefix=""),
    COMPLIANCE: next(iter(compliance_topics(["E"], prefix="").values())),
}
FOREVER_MS = -1
PERSONAL_DAYS_MAX = 180
"""Personal data are kept no longer than this anywhere: half a year, as alerts and their history."""


def inventoried(topic: str) -> Iterator[str]:
    for fields in TOPICS[topic]["fields"].values():
        for field in fields:
            above, brace, group = field.partition("{")
            if brace:
                yield from (f"{above}{name}" for name in GROUPS[group.removesuffix("}")])
            else:
                yield field


def written(topic: str) -> dict[str, bool | None]:
    """Fields of a topic, and whether they are personal data; None where no schema says."""
    if topic == COMPLIANCE:
        return {**of_compliance()}
    if SCHEMAS[topic]:
        return {**of_schemas(SCHEMAS[topic])}
    return dict.fromkeys(PACKED[topic])


def test_the_inventory_is_of_the_topics_that_there_are() -> None:
    assert list(TOPICS) == list(CATALOGUE)


@pytest.mark.parametrize("topic", CATALOGUE)
def test_every_field_that_is_written_is_in_the_inventory_and_no_other(topic: str) -> None:
    found = Counter(inventoried(topic))
    assert set(found) == set(written(topic))
    twice = [field for field, count in found.items() if count > 1]
    assert not twice, "a field has one purpose"


@pytest.mark.parametrize("topic", CATALOGUE)
def test_every_purpose_is_said(topic: str) -> None:
    assert set(TOPICS[topic]["fields"]) <= set(INVENTORY["purposes"])
    assert TOPICS[topic]["purpose"].endswith(".")


@pytest.mark.parametrize("topic", CATALOGUE)
def test_what_is_personal_is_so_in_inventory_schemas_and_catalogue(topic: str) -> None:
    personal = set(TOPICS[topic]["personal"])
    assert personal <= set(inventoried(topic))
    flagged = {field: flag for field, flag in written(topic).items() if flag is not None}
    assert {field for field in flagged if flagged[field]} == personal & set(flagged)
    assert bool(personal) is CATALOGUE[topic].personal_data


def retention_ms(topic: str) -> int | None:
    """Milliseconds, FOREVER_MS where the program deletes, None where a key keeps its latest."""
    told = TOPICS[topic]["retention"]
    if told in ("by key", "used up"):
        return None if told == "by key" else FOREVER_MS
    days, unit = told.split()
    assert unit == "d"
    return int(days) * DAY_MS


def agrees(topic: str, config: Mapping[str, str]) -> bool:
    wanted = retention_ms(topic)
    policy = set(config["cleanup.policy"].split(","))
    if wanted is None:
        return policy == {"compact"}
    if wanted == FOREVER_MS:
        return policy == {"delete"} and config["retention.ms"] == config["retention.bytes"] == "-1"
    return "delete" in policy and config["retention.ms"] == str(wanted)


@pytest.mark.parametrize("topic", CATALOGUE)
def test_the_catalogue_keeps_what_the_inventory_says(topic: str) -> None:
    assert agrees(topic, {"retention.ms": "", "retention.bytes": "", **CATALOGUE[topic].config})


@pytest.mark.parametrize("topic", [name for name in TOPICS if TOPICS[name]["personal"]])
def test_personal_data_have_an_end(topic: str) -> None:
    kept_ms = retention_ms(topic)
    assert kept_ms is not None, "a key that nobody writes again would keep them for ever"
    assert kept_ms <= PERSONAL_DAYS_MAX * DAY_MS
    if kept_ms != FOREVER_MS:
        config = CATALOGUE[topic].config
        # Kafka deletes whole closed segments, so these decide how late.
        assert int(config["segment.ms"]) <= DAY_MS


@pytest.mark.kafka
def test_a_broker_has_the_retention_that_the_inventory_says(
    admin: AdminClient, prefix: str, topics: Mapping[str, Topic]
) -> None:
    more = {COMPLIANCE: next(iter(compliance_topics(["E"], prefix).values()))}
    create_topics(admin, more, replication_factor=1)
    names = {short: topic.name for short, topic in {**topics, **more}.items()}
    asked = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names.values()]
    )
    configs = {
        resource.name: {name: entry.value for name, entry in future.result().items()}
        for resource, future in asked.items()
    }
    assert set(names) == set(TOPICS)
    wrong = [short for short, name in names.items() if not agrees(short, configs[name])]
    assert not wrong
    admin.delete_topics([more[COMPLIANCE].name])
