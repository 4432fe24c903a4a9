"""What each role may do: as little as what it runs needs."""

from collections.abc import Iterable

import pytest

from streams.access.acls import Acl, Operation, Pattern, Resource
from streams.access.declared import Principal, Role, read_access
from streams.access.roles import acls_of
from streams.records.topics import catalogue
from streams.resources import access_file
from tests.access.table import table

PREFIX = "realname."
TOPICS = catalogue(PREFIX)
ID = "911500000000010017"


def principal(role: Role) -> Principal:
    enterprise_id = ID if role is Role.ENTERPRISE else None
    return Principal(name="somebody", role=role, enterprise_id=enterprise_id)


def acls(role: Role) -> frozenset[Acl]:
    return acls_of(principal(role), TOPICS, PREFIX)


def may(acls: Iterable[Acl], operation: Operation, topic: str) -> bool:
    """Whether the ACLs allow it, by Kafka's rules for patterns, for All and for denials."""
    found = [
        acl.allow
        for acl in acls
        if acl.resource is Resource.TOPIC
        and acl.operation in (operation, Operation.ALL)
        and (topic.startswith(acl.name) if acl.pattern is Pattern.PREFIXED else topic == acl.name)
    ]
    return bool(found) and all(found)


def allowed(role: Role, operation: Operation) -> set[str]:
    return {short for short, topic in TOPICS.items() if may(acls(role), operation, topic.name)}


LETTERS = {
    "R": Operation.READ,
    "W": Operation.WRITE,
    "D": Operation.DELETE,
    "A": Operation.ALTER_CONFIGS,
    "C": Operation.DESCRIBE_CONFIGS,
}


def test_the_table_has_a_row_for_every_topic() -> None:
    _, rows = table()
    assert set(TOPICS) - set(rows) == set(), "decide who may do what with it: tests/access/table.py"


@pytest.mark.parametrize("principal", read_access(access_file(), PREFIX), ids=lambda p: str(p.name))
def test_the_roles_are_the_table(principal: Principal) -> None:
    principals, rows = table()
    if principal.name not in principals:
        assert principal.role is Role.ENTERPRISE, "decide what it may: tests/access/table.py"
        return
    found = {
        topic: "".join(
            letter
            for letter, operation in LETTERS.items()
            if may(acls_of(principal, TOPICS, PREFIX), operation, PREFIX + topic)
        )
        for topic in rows
    }
    assert found == {topic: cells[principal.name] for topic, cells in rows.items()}


def test_an_enterprise_reads_its_own_topic_with_its_own_groups_and_no_more() -> None:
    assert {str(acl) for acl in acls(Role.ENTERPRISE)} == {
        f"somebody may Read topic realname.compliance.{ID}",
        f"somebody may Read group {ID}.*",
    }


def test_the_gateway_writes_shipments_alone() -> None:
    assert allowed(Role.GATEWAY, Operation.WRITE) == {"shipments"}
    assert allowed(Role.GATEWAY, Operation.READ) == {"reference"}


@pytest.mark.parametrize("role", [Role.SERVE, Role.NOTIFY])
def test_who_shows_and_tells_reads_no_record_and_no_state(role: Role) -> None:
    read = allowed(role, Operation.READ)
    assert "alerts" in read
    assert not {name for name in read if name.endswith(".state")}
    assert not read & {"shipments", "shipments.dlq", "counts", "totals"}


def test_what_is_written_besides_by_workers_is_acknowledgements() -> None:
    assert allowed(Role.SERVE, Operation.WRITE) == {"alerts.acks"}
    assert allowed(Role.NOTIFY, Operation.WRITE) == set()


def test_a_worker_deletes_only_what_it_uses_up() -> None:
    deleted = allowed(Role.WORKER, Operation.DELETE)
    assert {"counts", "totals", "match.state"} <= deleted
    kept = {"shipments", "shipments.dlq", "rates", "days", "alerts", "parcels.missing", "reference"}
    assert not deleted & kept


def test_a_worker_writes_neither_reference_data_nor_acknowledgements() -> None:
    assert not allowed(Role.WORKER, Operation.WRITE) & {"reference", "alerts.acks", "audit"}


def test_an_operator_has_everything_under_the_prefix_and_nothing_of_the_cluster() -> None:
    assert {str(acl) for acl in acls(Role.OPERATOR)} == {
        "somebody may All topic realname.*",
        "somebody may All group realname.*",
        "somebody may Write transactionalId realname.dlq",
        # What tells what operators did is not theirs to take away.
        "somebody may not Delete topic realname.audit",
        "somebody may not Alter topic realname.audit",
        "somebody may not AlterConfigs topic realname.audit",
    }


@pytest.mark.parametrize("role", list(Role))
def test_nobody_has_rights_on_the_cluster_or_outside_the_prefix(role: Role) -> None:
    for acl in acls(role):
        assert acl.resource is not Resource.CLUSTER, acl
        own_groups = acl.resource is Resource.GROUP and acl.name == f"{ID}."
        assert acl.name.startswith(PREFIX) or own_groups, acl
        assert acl.allow or role is Role.OPERATOR
        assert acl.host == "*"


def test_no_enterprises_groups_or_topics_are_anothers() -> None:
    principals = [p for p in read_access(access_file(), PREFIX) if p.role is Role.ENTERPRISE]
    held = [{acl.name for acl in acls_of(p, TOPICS, PREFIX)} for p in principals]
    assert len(set().union(*held)) == 2 * len(principals)
