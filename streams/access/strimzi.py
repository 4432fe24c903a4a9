"""The same access for clusters that Strimzi runs, and quotas for those that it does not. Pure."""

import json
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import groupby
from typing import Final

from streams.access.acls import Acl, Pattern, Resource
from streams.access.declared import Principal
from streams.access.roles import acls_of
from streams.records.topics import Topic

API_VERSION: Final = "kafka.strimzi.io/v1"

# Strimzi's word for Kafka's PREFIXED.
_PATTERNS: Final = {Pattern.LITERAL: "literal", Pattern.PREFIXED: "prefix"}

_QUOTAS: Final = {
    "producer_byte_rate": "producerByteRate",
    "consumer_byte_rate": "consumerByteRate",
    "request_percentage": "requestPercentage",
    "controller_mutation_rate": "controllerMutationRate",
}


def kafka_users(
    principals: Collection[Principal],
    topics: Mapping[str, Topic],
    *,
    prefix: str,
    cluster: str,
) -> str:
    """Return a KafkaUser of Strimzi for each principal, as one YAML text.

    `cluster` is the name of the Kafka resource. Strimzi's user operator then makes the passwords, in
    a Secret of each user's name, and the ACLs: `realname access grant` must not do so as well.
    """
    return "".join(
        f"---\n{_user(principal, sorted(acls_of(principal, topics, prefix)), cluster)}"
        for principal in principals
    )


def quota_commands(principals: Collection[Principal], bootstrap: str) -> Sequence[str]:
    """Return the commands of Kafka's own tools that set the declared quotas, one per principal.

    No client library can set them. They are per broker, and slow a client down instead of refusing it.
    """
    return [
        f"kafka-configs.sh --bootstrap-server {bootstrap} --command-config admin.properties"
        f" --alter --entity-type users --entity-name {principal.name} --add-config "
        + ",".join(f"{name}={value}" for name, value in quotas.items())
        for principal in principals
        if (quotas := principal.quotas.model_dump(exclude_none=True))
    ]


def _user(principal: Principal, acls: Sequence[Acl], cluster: str) -> str:
    lines = [
        f"apiVersion: {API_VERSION}",
        "kind: KafkaUser",
        "metadata:",
        f"  name: {principal.name}",
        "  labels:",
        f"    strimzi.io/cluster: {cluster}",
        "spec:",
        "  authentication:",
        "    type: scram-sha-512",
        "  authorization:",
        "    type: simple",
        "    acls:",
        *_acls(acls),
    ]
    quotas = principal.quotas.model_dump(exclude_none=True)
    if quotas:
        lines.append("  quotas:")
        lines += [f"    {_QUOTAS[name]}: {value}" for name, value in quotas.items()]
    return "".join(f"{line}\n" for line in lines)


def _acls(acls: Sequence[Acl]) -> Iterator[str]:
    """Yield the lines of the ACLs; those on one resource are one entry with several operations."""
    for (resource, name, pattern, allow, host), group in groupby(
        acls, key=lambda acl: (acl.resource, acl.name, acl.pattern, acl.allow, acl.host)
    ):
        yield "      - resource:"
        yield f"          type: {resource}"
        if resource is not Resource.CLUSTER:
            yield f"          name: {json.dumps(name)}"
            yield f"          patternType: {_PATTERNS[pattern]}"
        yield f"        operations: [{', '.join(acl.operation for acl in group)}]"
        if not allow:
            yield "        type: deny"
        yield f"        host: {json.dumps(host)}"
