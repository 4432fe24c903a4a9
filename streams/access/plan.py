"""What is to be done so that Kafka agrees with the declared principals. Pure."""

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass

from streams.access.acls import ANY_NAME, Acl, Pattern, Resource
from streams.access.declared import Principal
from streams.access.roles import acls_of
from streams.records.topics import Topic, compliance_topic


@dataclass(frozen=True, slots=True)
class Actual:
    """What Kafka knows.

    Attributes:
        users: Who has a password (SCRAM-SHA-512).
        acls: All ACLs of the kinds of resources that we know.

    """

    users: frozenset[str]
    acls: frozenset[Acl]


@dataclass(frozen=True, slots=True)
class Plan:
    """What differs, each part in order.

    Attributes:
        new_users: Declared, and not there.
        new_acls: Declared, and not there.
        stray_users: There and of ours, and not declared.
        stray_acls: The same of ACLs.
        wider_acls: Not ours alone, but they reach what is ours: for a person to look at.

    """

    new_users: tuple[str, ...] = ()
    new_acls: tuple[Acl, ...] = ()
    stray_users: tuple[str, ...] = ()
    stray_acls: tuple[Acl, ...] = ()
    wider_acls: tuple[Acl, ...] = ()

    @property
    def is_empty(self) -> bool:
        """Whether everything of ours is as declared."""
        return not (self.new_users or self.new_acls or self.stray_users or self.stray_acls)


def plan_access(
    principals: Collection[Principal],
    actual: Actual,
    topics: Mapping[str, Topic],
    prefix: str,
) -> Plan:
    """Compare the declared principals with what Kafka knows.

    Ours, and stray when not declared, is: every ACL of a declared principal; every ACL, whoever's,
    on topics, groups and transactional ids under the prefix; the ACL on the groups of an enterprise
    that its holder has beside that enterprise's topic; and the users who would hold no ACL once those
    are gone. Users who hold no ACL of ours, such as the administrator, are never touched.
    """
    assert prefix, "without a prefix nothing tells our topics from others'"
    declared = frozenset[Acl]().union(*(acls_of(p, topics, prefix) for p in principals))
    names = {principal.name for principal in principals}
    ours = {acl for acl in actual.acls if acl.user in names} | held_under(actual.acls, prefix)
    stray = ours - declared
    kept = {acl.user for acl in actual.acls - stray}
    return Plan(
        new_users=tuple(sorted(names - actual.users)),
        new_acls=tuple(sorted(declared - actual.acls)),
        stray_users=tuple(
            sorted(({acl.user for acl in stray} & actual.users) - kept - names),
        ),
        stray_acls=tuple(sorted(stray)),
        wider_acls=tuple(sorted(acl for acl in actual.acls - ours if _reaches(acl, prefix))),
    )


def _reaches(acl: Acl, prefix: str) -> bool:
    """Whether an ACL allows something on what is under the prefix, and on others' things, too."""
    if acl.resource is Resource.CLUSTER or not acl.allow:
        return False
    if acl.pattern is Pattern.LITERAL:
        return acl.name == ANY_NAME
    return prefix.startswith(acl.name)


def plan_revoking(names: Collection[str], actual: Actual) -> Plan:
    """Return how users lose their passwords and every ACL that they have, declared or not."""
    return Plan(
        stray_users=tuple(sorted(actual.users & set(names))),
        stray_acls=tuple(sorted(acl for acl in actual.acls if acl.user in names)),
    )


def held_under(acls: Iterable[Acl], prefix: str) -> set[Acl]:
    """Return the ACLs on what is ours, whoever holds them."""
    found = {
        acl for acl in acls if acl.resource is not Resource.CLUSTER and acl.name.startswith(prefix)
    }
    topic = f"{prefix}{compliance_topic('')}"
    groups = {
        (acl.user, f"{acl.name.removeprefix(topic)}.")
        for acl in found
        if acl.resource is Resource.TOPIC and acl.name.startswith(topic)
    }
    return found | {
        acl for acl in acls if acl.resource is Resource.GROUP and (acl.user, acl.name) in groups
    }
