"""Every principal tries everything with every topic, group and transactional id of a real broker."""

from collections.abc import Iterator

import pytest
from confluent_kafka.admin import NewTopic  # type: ignore[attr-defined]  # Documented.

from streams.access.apply import grant
from streams.access.cluster import read_actual
from streams.access.declared import read_access
from streams.access.plan import Plan, plan_access
from streams.records.topics import catalogue
from streams.resources import access_file
from tests.access import attempts
from tests.access.conftest import Secured
from tests.access.table import FOREIGN, YTO, ZTO, table

pytestmark = pytest.mark.kafka

# Beside the topics that the pipeline's test fills.
PREFIX = "table."
PRINCIPALS, ROWS = table()
TOPICS = {PREFIX + topic: cells for topic, cells in ROWS.items()} | {
    FOREIGN: dict.fromkeys(PRINCIPALS, "")
}
STAGES = ("match", "rate", "rollup")

# What each may use to be a member of a group; nothing that is not here.
OUR_GROUPS = {f"{PREFIX}{stage}" for stage in STAGES} | {f"{PREFIX}others"}
GROUPS = {*OUR_GROUPS, f"{YTO}.a", f"{ZTO}.a", YTO, f"{YTO[:-1]}.a", "others"}
MEMBERS = {
    "worker": {f"{PREFIX}{stage}" for stage in STAGES},
    "operator": OUR_GROUPS,
    "enterprise-yto": {f"{YTO}.a"},
}
IDS = {f"{PREFIX}{stage}.0" for stage in STAGES} | {"match.0", f"{PREFIX}others.0", f"{PREFIX}dlq"}


@pytest.fixture(scope="module")
def topics(secured: Secured) -> Iterator[list[str]]:
    """All of the table's topics, with the ACLs of the declared principals for their prefix."""
    admin = secured.admin()
    made = admin.create_topics([NewTopic(name, 1, 1) for name in TOPICS])
    for future in made.values():
        future.result(30)
    found = plan_access(
        read_access(access_file(), PREFIX), read_actual(admin), catalogue(PREFIX), PREFIX
    )
    wanted = Plan(new_users=found.new_users, new_acls=found.new_acls)
    cluster = secured.broker.security.cluster(secured.broker.bootstrap)
    grant(admin, wanted, folder=secured.users, cluster=cluster)
    yield list(TOPICS)
    admin.delete_topics(list(TOPICS))


def holders(principal: str, letters: str) -> set[str]:
    return {topic for topic, cells in TOPICS.items() if set(cells[principal]) & set(letters)}


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_topics(secured: Secured, topics: list[str], principal: str) -> None:
    admin, client = secured.admin(principal), secured.client(principal)
    found = {
        "see": attempts.seen(admin, topics),
        "read": attempts.read(client, topics),
        "write": attempts.written(client, topics),
        "delete": attempts.deleted(admin, topics),
        "alter settings": attempts.settings_altered(admin, topics),
        "add partitions": attempts.partitions_added(admin, topics),
        "see settings": attempts.settings_seen(admin, topics),
    }
    assert found == {
        "see": holders(principal, "RWDA"),
        "read": holders(principal, "R"),
        "write": holders(principal, "W"),
        "delete": holders(principal, "D"),
        "alter settings": holders(principal, "A"),
        "add partitions": holders(principal, "A"),
        "see settings": holders(principal, "C"),
    }


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_groups_and_transactions(secured: Secured, topics: list[str], principal: str) -> None:
    admin, client = secured.admin(principal), secured.client(principal)
    topic = min(holders(principal, "R"), default=FOREIGN)
    used = attempts.groups_used(admin, GROUPS, topic=topic)
    assert used == MEMBERS.get(principal, set())
    deleted = attempts.groups_deleted(admin, GROUPS)
    assert deleted == (OUR_GROUPS if principal == "operator" else set())
    begun = {name for name in IDS if attempts.transaction_begun(client, name)}
    own = {"worker": {f"{PREFIX}{s}.0" for s in STAGES}, "operator": {f"{PREFIX}dlq"}}
    assert begun == own.get(principal, set())


@pytest.mark.parametrize("principal", PRINCIPALS)
def test_new_topics_and_the_cluster(secured: Secured, topics: list[str], principal: str) -> None:
    admin = secured.admin(principal)
    names = {f"{PREFIX}new", "new", f"{PREFIX}compliance.new"}
    ours = {name for name in names if name.startswith(PREFIX)}
    assert attempts.created(admin, names) == (ours if principal == "operator" else set())
    assert attempts.cluster_rights(admin) == set()


def test_the_administrator_may_do_what_is_refused_to_all_others(
    secured: Secured, topics: list[str]
) -> None:
    """Or else a refusal above could have another cause."""
    admin = secured.admin()
    names = set(topics)
    assert attempts.seen(admin, topics) == names
    assert attempts.read(secured.client("admin"), topics) == names
    assert attempts.written(secured.client("admin"), topics) == names
    assert attempts.deleted(admin, topics) == names
    assert attempts.settings_altered(admin, topics) == names
    assert attempts.partitions_added(admin, topics) == names
    assert attempts.groups_used(admin, GROUPS, topic=FOREIGN) == GROUPS
    assert attempts.created(admin, {"new"}) == {"new"}
    assert attempts.transaction_begun(secured.client("admin"), "others.0")
    assert attempts.cluster_rights(admin) == {"users", "acls", "broker settings"}
