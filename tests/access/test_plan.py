"""The plan: what is declared and absent is added; what is ours and not declared is a stray."""

from dataclasses import replace

import pytest

from streams.access.acls import Acl, Operation, Pattern, Resource
from streams.access.declared import Principal, Role
from streams.access.plan import Actual, Plan, plan_access, plan_revoking
from streams.access.roles import acls_of
from streams.records.topics import catalogue

PREFIX = "realname."
TOPICS = catalogue(PREFIX)

YTO = Principal(name="yto", role=Role.ENTERPRISE, enterprise_id="9115")
SERVE = Principal(name="serve", role=Role.SERVE)
DECLARED = (YTO, SERVE)

ADMIN = "admin"
AS_DECLARED = Actual(
    users=frozenset({ADMIN, "yto", "serve"}),
    acls=frozenset().union(*(acls_of(p, TOPICS, PREFIX) for p in DECLARED)),
)


def topic(user: str, name: str, operation: Operation = Operation.READ) -> Acl:
    return Acl(user, Resource.TOPIC, name, Pattern.LITERAL, operation)


def plan(actual: Actual) -> Plan:
    return plan_access(DECLARED, actual, TOPICS, PREFIX)


def with_acls(*acls: Acl, users: frozenset[str] = frozenset()) -> Actual:
    return Actual(AS_DECLARED.users | users, AS_DECLARED.acls | set(acls))


def test_what_is_as_declared_needs_nothing() -> None:
    assert plan(AS_DECLARED).is_empty


def test_on_an_empty_cluster_everything_is_to_be_made_and_nothing_removed() -> None:
    found = plan(Actual(frozenset({ADMIN}), frozenset()))
    assert found.new_users == ("serve", "yto")
    assert set(found.new_acls) == AS_DECLARED.acls
    assert (found.stray_users, found.stray_acls) == ((), ())


WRITE = topic("yto", "realname.shipments", Operation.WRITE)
FOREIGN = topic("billing", "invoices")
GUEST = topic("billing", "realname.alerts")
OLD_TOPIC = topic("sto", "realname.compliance.9233")
OLD_GROUP = Acl("sto", Resource.GROUP, "9233.", Pattern.PREFIXED, Operation.READ)
OTHER_GROUP = Acl("sto", Resource.GROUP, "9234.", Pattern.PREFIXED, Operation.READ)


@pytest.mark.parametrize(
    ("sentence", "acls", "stray_acls", "stray_users"),
    [
        ("a declared user's further right is a stray", {WRITE}, {WRITE}, ()),
        ("so is one on somebody else's topic", {replace(FOREIGN, user="yto")},
         {replace(FOREIGN, user="yto")}, ()),
        ("a stranger on his own topics is not ours", {FOREIGN}, set(), ()),
        ("a guest loses what is ours and stays", {FOREIGN, GUEST}, {GUEST}, ()),
        ("a guest who has nothing else goes", {GUEST}, {GUEST}, ("billing",)),
        ("an enterprise that left goes with its groups", {OLD_TOPIC, OLD_GROUP},
         {OLD_TOPIC, OLD_GROUP}, ("sto",)),
        ("groups of another id are not known to be ours", {OLD_TOPIC, OTHER_GROUP},
         {OLD_TOPIC}, ()),
        ("a denial that nobody declared is a stray", {replace(WRITE, allow=False)},
         {replace(WRITE, allow=False)}, ()),
        ("everybody's right on our topic is a stray", {topic("*", "realname.rates")},
         {topic("*", "realname.rates")}, ()),
    ],
)  # fmt: skip
def test_strays(
    sentence: str, acls: set[Acl], stray_acls: set[Acl], stray_users: tuple[str, ...]
) -> None:
    found = plan(with_acls(*acls, users=frozenset({"billing", "sto"})))
    assert (set(found.stray_acls), found.stray_users) == (stray_acls, stray_users), sentence
    assert (found.new_users, found.new_acls) == ((), ())


@pytest.mark.parametrize(
    ("acl", "wider"),
    [
        (topic("spy", "*"), True),
        (Acl("spy", Resource.TOPIC, "real", Pattern.PREFIXED, Operation.READ), True),
        (Acl("spy", Resource.TOPIC, "realms", Pattern.PREFIXED, Operation.READ), False),
        (replace(topic("spy", "*"), allow=False), False),
        (Acl("spy", Resource.CLUSTER, "kafka-cluster", Pattern.LITERAL, Operation.ALTER), False),
    ],
)
def test_what_reaches_beyond_our_topics_is_shown_and_left(acl: Acl, wider: bool) -> None:
    found = plan(with_acls(acl))
    assert found.wider_acls == ((acl,) if wider else ())
    assert found.is_empty


def test_a_plan_is_carried_out_once() -> None:
    before = with_acls(WRITE, OLD_TOPIC, OLD_GROUP, users=frozenset({"sto"}))
    before = replace(before, acls=before.acls - acls_of(SERVE, TOPICS, PREFIX))
    found = plan(before)
    after = Actual(
        (before.users | set(found.new_users)) - set(found.stray_users),
        (before.acls | set(found.new_acls)) - set(found.stray_acls),
    )
    assert after == AS_DECLARED


def test_revoking_takes_everything_declared_or_not_and_from_nobody_else() -> None:
    found = plan_revoking(["yto"], with_acls(WRITE, FOREIGN))
    assert found.stray_users == ("yto",)
    assert set(found.stray_acls) == {WRITE, *acls_of(YTO, TOPICS, PREFIX)}
    assert plan_revoking(["nobody"], AS_DECLARED).is_empty
