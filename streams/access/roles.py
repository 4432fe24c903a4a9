"""What each role may do, down to the single topic, group and transactional id.

A stage or service may read and write what the topic catalogue says that it reads and writes, so a new
topic is granted where it is declared. Everything that is not here is refused: Kafka's authorizer
denies by default.
"""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from typing import Final

from streams.access.acls import Acl, Operation, Pattern, Resource
from streams.access.declared import Principal, Role
from streams.records.topics import AUDIT, FOREVER, REFERENCE, SHIPMENTS, Topic, compliance_topic

_STATE: Final = ".state"


def acls_of(principal: Principal, topics: Mapping[str, Topic], prefix: str) -> frozenset[Acl]:
    """Return everything that a principal may do.

    `topics` is the catalogue by short name; `prefix` begins its names, groups and transactional ids.
    Pure.
    """
    match principal.role:
        case Role.ENTERPRISE:
            assert principal.enterprise_id is not None
            grants = _enterprise(principal.enterprise_id, prefix)
        case Role.OPERATOR:
            return frozenset((*_acls(principal, _operator(prefix)), *_kept(principal, topics)))
        case Role.GATEWAY:
            grants = _gateway(topics)
        case Role.WORKER:
            grants = _worker(topics, prefix)
        case Role.SERVE | Role.NOTIFY:
            # A service is called in the catalogue as its role is.
            grants = _service({principal.role}, topics)
    return frozenset(_acls(principal, grants))


Grant = tuple[Resource, str, Pattern, Operation]


def _acls(principal: Principal, grants: Iterable[Grant], *, allow: bool = True) -> Iterator[Acl]:
    return (Acl(principal.name, *grant, allow=allow) for grant in grants)


def _topic(name: str, *operations: Operation) -> Iterator[Grant]:
    yield from ((Resource.TOPIC, name, Pattern.LITERAL, operation) for operation in operations)


def _prefixed(resource: Resource, name: str, *operations: Operation) -> Iterator[Grant]:
    yield from ((resource, name, Pattern.PREFIXED, operation) for operation in operations)


def _enterprise(enterprise_id: str, prefix: str) -> Iterator[Grant]:
    yield from _topic(f"{prefix}{compliance_topic(enterprise_id)}", Operation.READ)
    yield from _prefixed(Resource.GROUP, f"{enterprise_id}.", Operation.READ)


def _operator(prefix: str) -> Iterator[Grant]:
    """Everything under the prefix, and nothing of users, ACLs or other people's topics."""
    yield from _prefixed(Resource.TOPIC, prefix, Operation.ALL)
    yield from _prefixed(Resource.GROUP, prefix, Operation.ALL)
    # Dead letters are replayed in transactions: `realname dlq`.
    yield (Resource.TRANSACTIONAL_ID, f"{prefix}dlq", Pattern.LITERAL, Operation.WRITE)


def _kept(principal: Principal, topics: Mapping[str, Topic]) -> Iterator[Acl]:
    """What an operator may not do all the same: take away what tells what operators did."""
    operations = (Operation.DELETE, Operation.ALTER, Operation.ALTER_CONFIGS)
    return _acls(principal, _topic(topics[AUDIT].name, *operations), allow=False)


def _gateway(topics: Mapping[str, Topic]) -> Iterator[Grant]:
    yield from _topic(topics[SHIPMENTS].name, Operation.WRITE)
    yield from _read(topics[REFERENCE].name)


def _read(topic: str) -> Iterator[Grant]:
    """Reading a topic without being in a group.

    The client must name one all the same, and looks for its coordinator, which takes DESCRIBE. Our
    readers name it after the topic that they read.
    """
    yield from _topic(topic, Operation.READ)
    yield from _prefixed(Resource.GROUP, topic, Operation.DESCRIBE)


def _service(names: AbstractSet[str], topics: Mapping[str, Topic]) -> Iterator[Grant]:
    for topic in topics.values():
        if names & set(topic.consumers):
            yield from _read(topic.name)
        if names & set(topic.producers):
            yield from _topic(topic.name, Operation.WRITE)


def _worker(topics: Mapping[str, Topic], prefix: str) -> Iterator[Grant]:
    stages = [name.removesuffix(_STATE) for name in topics if name.endswith(_STATE)]
    # A worker can tell Alertmanagers, too.
    runs = {*stages, Role.NOTIFY}
    yield from _service(runs, topics)
    for topic in topics.values():
        if runs & {*topic.consumers, *topic.producers}:
            # It compares the topics with the catalogue before it starts.
            yield from _topic(topic.name, Operation.DESCRIBE_CONFIGS)
        if (
            topic.config.get("cleanup.policy") == "delete"
            and topic.config.get("retention.ms") == FOREVER
        ):
            # It deletes what is used up, and Kafka knows no right to delete records alone.
            yield from _topic(topic.name, Operation.DELETE)
    yield from _prefixed(
        *(Resource.TOPIC, f"{prefix}{compliance_topic('')}"),
        Operation.WRITE,
        Operation.DESCRIBE_CONFIGS,
    )
    for stage in stages:
        # A stage's group is called as the stage is, and its transactional ids add the slot.
        yield (Resource.GROUP, f"{prefix}{stage}", Pattern.LITERAL, Operation.READ)
        yield from _prefixed(Resource.TRANSACTIONAL_ID, f"{prefix}{stage}.", Operation.WRITE)
