"""Makes a cluster agree with the topic catalogue, and says where it does not."""

from __future__ import annotations

import time
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from confluent_kafka import KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Documented, not re-exported.
    AlterConfigOpType,
    ConfigEntry,
    ConfigResource,
    NewTopic,
    OffsetSpec,
    ResourceType,
)

from streams.kafka.answers import answer, done, too_late
from streams.kafka.errors import (
    ACCESS_COMMAND,
    CORRECT_COMMAND,
    CREATE_COMMAND,
    ClusterError,
    TopicMissing,
    cluster_error,
)

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from typing import TypeVar

    from confluent_kafka.admin import (  # type: ignore[attr-defined]  # As above.
        AdminClient,
        TopicMetadata,
    )

    from streams.records.topics import Topic

    Answer = TypeVar("Answer")

TIMEOUT_S = 30.0

# What was created or set is seen by those who ask some milliseconds after it is acknowledged.
_POLL_S = 0.05

# With three copies or more, an acknowledged record is on two of them at least. Exactly-once rests
# on acknowledged records staying.
REPLICAS_IN_SYNC_MIN = 2
REPLICATION_FACTOR_SAFE = 3


@dataclass(frozen=True, slots=True)
class CreateReport:
    """What `create_topics` did, by full topic name, in the catalogue's order."""

    created: tuple[str, ...]
    existing: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class TopicDrift:
    """One point in which a topic is not as the catalogue has it.

    `setting` is the topic setting's name, or empty unless `kind` is `config`. `actual` is None for
    what does not exist, and for what is hidden: whether it exists we may not know. `str()` is one
    line for a person, ending in `remedy`.
    """

    topic: str
    kind: Literal["missing", "hidden", "partitions", "config"]
    setting: str
    expected: str
    actual: str | None
    remedy: str

    def __str__(self) -> str:
        if self.kind == "missing":
            return f"topic {self.topic} does not exist; {self.remedy}"
        if self.kind == "hidden":
            return (
                f"topic {self.topic}: authorisation failed, this user may not see it; {self.remedy}"
            )
        what = self.setting or "the number of partitions"
        return f"topic {self.topic}: {what} is {self.actual}, not {self.expected}; {self.remedy}"


def create_topics(
    admin: AdminClient,
    catalogue: Mapping[str, Topic],
    *,
    replication_factor: int,
    timeout_s: float = TIMEOUT_S,
) -> CreateReport:
    """Create the topics that do not exist; when it returns, all can be written and read. Idempotent.

    Topics that exist stay as they are: see `check_topics`. After an error some may have been
    created; a further call creates the rest. Raises KafkaUnavailable after `timeout_s`,
    AuthorizationFailed, and KafkaRefused (a replication factor above the number of brokers).
    """
    deadline = time.monotonic() + timeout_s
    wanted = [
        NewTopic(
            topic.name,
            num_partitions=topic.partitions,
            replication_factor=replication_factor,
            config=_creation_config(topic, replication_factor),
        )
        for topic in catalogue.values()
    ]
    futures = admin.create_topics(
        wanted,
        operation_timeout=timeout_s,
        request_timeout=timeout_s,
    )
    created: list[str] = []
    existing: list[str] = []
    for name, future in futures.items():
        new = done(
            future,
            doing=f"creating topic {name}",
            timeout_s=_left_s(deadline),
            needless=KafkaError.TOPIC_ALREADY_EXISTS,
        )
        (created if new else existing).append(name)
    _await_leaders(admin, catalogue.values(), deadline=deadline)
    return CreateReport(tuple(created), tuple(existing))


def check_topics(
    admin: AdminClient,
    catalogue: Mapping[str, Topic],
    *,
    timeout_s: float = TIMEOUT_S,
) -> list[TopicDrift]:
    """Where the cluster's topics differ from the catalogue; empty when all is well.

    Changes nothing. Settings that the catalogue does not name are not looked at. Raises
    KafkaUnavailable after `timeout_s`, and AuthorizationFailed when we may not see a topic's
    settings.
    """
    deadline = time.monotonic() + timeout_s
    actual_counts = _partition_counts(admin, deadline=deadline)
    present = [topic.name for topic in catalogue.values() if topic.name in actual_counts]
    absent = [topic.name for topic in catalogue.values() if topic.name not in actual_counts]
    hidden = _hidden(admin, absent, deadline=deadline)
    configs = _configs(admin, present, deadline=deadline)
    drifts = []
    for topic in catalogue.values():
        if topic.name not in actual_counts:
            drifts.append(_not_seen(topic) if topic.name in hidden else _missing(topic))
            continue
        if actual_counts[topic.name] != topic.partitions:
            drifts.append(_repartitioned(topic, actual_counts[topic.name]))
        drifts += _reconfigured(topic, configs[topic.name])
    return drifts


def correct_topics(
    admin: AdminClient,
    drifts: Iterable[TopicDrift],
    *,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Set the settings named by drifts of kind `config` as the catalogue has them. Idempotent.

    When it returns, `check_topics` finds them so. Other kinds are left alone: missing topics are
    for `create_topics`, and another number of partitions sends keys elsewhere than where their
    state is. Raises as `create_topics` does.
    """
    deadline = time.monotonic() + timeout_s
    wanted: dict[str, dict[str, str]] = {}
    for drift in drifts:
        if drift.kind == "config":
            wanted.setdefault(drift.topic, {})[drift.setting] = drift.expected
    if not wanted:
        return
    futures = admin.incremental_alter_configs(
        [
            ConfigResource(ResourceType.TOPIC, name, incremental_configs=_changes(config))
            for name, config in wanted.items()
        ],
        request_timeout=timeout_s,
    )
    for resource, future in futures.items():
        answer(future, doing=f"setting topic {resource.name}", timeout_s=_left_s(deadline))
    while not _agree(_configs(admin, wanted, deadline=deadline), wanted):
        if time.monotonic() >= deadline:
            raise too_late("setting the topics")
        time.sleep(_POLL_S)


def require_topics(
    admin: AdminClient,
    catalogue: Mapping[str, Topic],
    *,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Raise TopicMissing, naming them all, unless every topic exists. For a worker's start."""
    counts = _partition_counts(admin, deadline=time.monotonic() + timeout_s)
    missing = [topic.name for topic in catalogue.values() if topic.name not in counts]
    if missing:
        raise TopicMissing(
            f"these topics do not exist: {', '.join(missing)}; run `{CREATE_COMMAND}`"
        )


def _creation_config(topic: Topic, replication_factor: int) -> dict[str, str]:
    if replication_factor < REPLICATION_FACTOR_SAFE:
        return dict(topic.config)
    return {"min.insync.replicas": str(REPLICAS_IN_SYNC_MIN), **topic.config}


def _changes(config: Mapping[str, str]) -> list[ConfigEntry]:
    set_ = AlterConfigOpType.SET
    return [ConfigEntry(name, value, incremental_operation=set_) for name, value in config.items()]


def _agree(
    actual: Mapping[str, Mapping[str, str]],
    wanted: Mapping[str, Mapping[str, str]],
) -> bool:
    return all(actual[name].items() >= config.items() for name, config in wanted.items())


def _await_leaders(admin: AdminClient, topics: Iterable[Topic], *, deadline: float) -> None:
    names = {topic.name for topic in topics}
    while True:
        listed = _listed(admin, deadline=deadline)
        led = {
            name
            for name, topic in listed.items()
            if topic.partitions and all(part.leader >= 0 for part in topic.partitions.values())
        }
        if names <= led:
            break
        if time.monotonic() >= deadline:
            raise too_late("electing leaders for the new topics")
        time.sleep(_POLL_S)
    _await_answers(admin, {name: listed[name] for name in names}, deadline=deadline)


def _await_answers(
    admin: AdminClient, topics: Mapping[str, TopicMetadata], *, deadline: float
) -> None:
    """Wait for each partition's leader to lead it: everybody may know of it a moment before itself."""
    places = {TopicPartition(name, p) for name, topic in topics.items() for p in topic.partitions}
    latest = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # Theirs.
    while places:
        asked = admin.list_offsets(dict.fromkeys(places, latest), request_timeout=_left_s(deadline))
        for place, future in asked.items():
            try:
                answer(future, doing=f"looking at {place.topic}", timeout_s=_left_s(deadline))
                places.discard(place)
            except ClusterError as error:
                new = isinstance(error, TopicMissing)
                if not (error.retryable or new) or time.monotonic() >= deadline:
                    raise
        if places:
            time.sleep(_POLL_S)


def _partition_counts(admin: AdminClient, *, deadline: float) -> Mapping[str, int]:
    listed = _listed(admin, deadline=deadline)
    return {name: len(topic.partitions) for name, topic in listed.items()}


def _listed(admin: AdminClient, *, deadline: float) -> Mapping[str, TopicMetadata]:
    """The topics that exist and that we may see."""
    try:
        return admin.list_topics(timeout=_left_s(deadline)).topics
    except KafkaException as error:
        raise cluster_error(error.args[0], doing="listing the topics") from error


def _hidden(admin: AdminClient, names: Collection[str], *, deadline: float) -> Collection[str]:
    """Those that we may not see, of topics that are not in the list: it leaves them out."""
    if not names:
        return ()
    asked = admin.describe_topics(TopicCollection(list(names)), request_timeout=_left_s(deadline))
    hidden = []
    for name, future in asked.items():
        try:
            future.result(timeout=_left_s(deadline))
        except KafkaException as error:
            if error.args[0].code() == KafkaError.TOPIC_AUTHORIZATION_FAILED:
                hidden.append(name)
        except FutureTimeoutError as error:
            raise too_late("asking for topics") from error
    return hidden


def _left_s(deadline: float) -> float:
    # librdkafka takes no zero for "at once"; it is an error there, or for ever.
    return max(0.1, deadline - time.monotonic())


def _configs(
    admin: AdminClient,
    names: Collection[str],
    *,
    deadline: float,
) -> Mapping[str, Mapping[str, str]]:
    """Each topic's settings as the brokers apply them. No names, no request."""
    if not names:
        return {}
    futures = admin.describe_configs(
        [ConfigResource(ResourceType.TOPIC, name) for name in names],
        request_timeout=_left_s(deadline),
    )
    configs = {}
    for resource, future in futures.items():
        doing = f"reading the settings of topic {resource.name}"
        entries = answer(future, doing=doing, timeout_s=_left_s(deadline))
        configs[resource.name] = {name: entry.value for name, entry in entries.items()}
    return configs


def _missing(topic: Topic) -> TopicDrift:
    return TopicDrift(
        topic=topic.name,
        kind="missing",
        setting="",
        expected=f"{topic.partitions} partitions",
        actual=None,
        remedy=f"run `{CREATE_COMMAND}`",
    )


def _not_seen(topic: Topic) -> TopicDrift:
    return TopicDrift(
        topic=topic.name,
        kind="hidden",
        setting="",
        expected=f"{topic.partitions} partitions",
        actual=None,
        remedy=f"log in as one who may, or let an administrator look with `{ACCESS_COMMAND}`",
    )


def _repartitioned(topic: Topic, actual: int) -> TopicDrift:
    return TopicDrift(
        topic=topic.name,
        kind="partitions",
        setting="",
        expected=str(topic.partitions),
        actual=str(actual),
        remedy=(
            f"if {actual} is meant, say so in the settings; otherwise stop all workers and "
            f"writers, delete the topic and its state log, and run `{CREATE_COMMAND}`"
        ),
    )


def _reconfigured(topic: Topic, actual: Mapping[str, str]) -> Iterable[TopicDrift]:
    for setting, expected in topic.config.items():
        value = actual.get(setting)
        if value is None or _as_set(value) != _as_set(expected):
            yield TopicDrift(
                topic=topic.name,
                kind="config",
                setting=setting,
                expected=expected,
                actual=value,
                remedy=f"run `{CORRECT_COMMAND}`",
            )


def _as_set(value: str) -> frozenset[str]:
    # `compact,delete` and `delete,compact` are the same; a single value is a set of one.
    return frozenset(part.strip() for part in value.split(","))
