"""What is printed for Strimzi and for Kafka's own tools says the same as the ACLs."""

import yaml  # type: ignore[import-untyped]  # its types would be one more package, for five lines

from streams.access.declared import read_access
from streams.access.roles import acls_of
from streams.access.strimzi import kafka_users, quota_commands
from streams.records.topics import catalogue
from streams.resources import access_file

PREFIX = "realname."
TOPICS = catalogue(PREFIX)
PRINCIPALS = read_access(access_file(), PREFIX)
USERS = list(yaml.safe_load_all(kafka_users(PRINCIPALS, TOPICS, prefix=PREFIX, cluster="realname")))


def test_there_is_one_user_for_each_principal() -> None:
    assert [user["metadata"]["name"] for user in USERS] == [p.name for p in PRINCIPALS]
    assert {user["metadata"]["labels"]["strimzi.io/cluster"] for user in USERS} == {"realname"}
    assert {user["spec"]["authentication"]["type"] for user in USERS} == {"scram-sha-512"}


def test_its_rights_are_those_of_the_plan() -> None:
    patterns = {"literal": "literal", "prefix": "prefixed"}
    for principal, user in zip(PRINCIPALS, USERS, strict=True):
        written = {
            (
                acl["resource"]["type"],
                acl["resource"]["name"],
                patterns[acl["resource"]["patternType"]],
                operation,
                acl["host"],
            )
            for acl in user["spec"]["authorization"]["acls"]
            for operation in acl["operations"]
        }
        assert written == {
            (acl.resource, acl.name, acl.pattern, acl.operation, acl.host)
            for acl in acls_of(principal, TOPICS, PREFIX)
        }


def test_quotas_are_in_both() -> None:
    limited = {p.name for p in PRINCIPALS if p.quotas.model_dump(exclude_none=True)}
    assert limited
    assert {user["metadata"]["name"] for user in USERS if "quotas" in user["spec"]} == limited
    user = next(user for user in USERS if user["metadata"]["name"] == "enterprise-yto")
    assert user["spec"]["quotas"] == {"consumerByteRate": 1048576, "requestPercentage": 5}
    commands = quota_commands(PRINCIPALS, "kafka:9093")
    assert len(commands) == len(limited)
    assert (
        "--entity-name enterprise-yto --add-config consumer_byte_rate=1048576,request_percentage=5"
        in commands[0]
    )
