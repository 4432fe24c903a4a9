"""Reads users and ACLs from Kafka, and makes them as planned."""

from __future__ import annotations

import time
from concurrent.futures import Future
from typing import TYPE_CHECKING, Final, TypeVar

from confluent_kafka import KafkaError
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # Documented, not re-exported.
    AclBinding,
    AclBindingFilter,
    AclOperation,
    AclPermissionType,
    ResourcePatternType,
    ResourceType,
    ScramCredentialInfo,
    ScramMechanism,
    UserScramCredentialDeletion,
    UserScramCredentialUpsertion,
)

from streams.access.acls import USER, Acl, Operation, Pattern, Resource
from streams.access.plan import Actual
from streams.kafka.answers import answer, done, too_late
from streams.kafka.errors import cluster_error

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping

    from confluent_kafka.admin import (  # type: ignore[attr-defined]  # As above.
        AdminClient,
        UserScramCredentialsDescription,
    )

    Answer = TypeVar("Answer")

TIMEOUT_S: Final = 30.0

# Kafka's least. More would make guessing harder, and each login slower; nobody guesses 192 random
# bits.
ITERATIONS: Final = 4096

# What was changed is in force some milliseconds after it is acknowledged.
_POLL_S: Final = 0.05

_RESOURCES: Final = {
    Resource.TOPIC: ResourceType.TOPIC,
    Resource.GROUP: ResourceType.GROUP,
    Resource.TRANSACTIONAL_ID: ResourceType.TRANSACTIONAL_ID,
    Resource.CLUSTER: ResourceType.BROKER,
}
_PATTERNS: Final = {
    Pattern.LITERAL: ResourcePatternType.LITERAL,
    Pattern.PREFIXED: ResourcePatternType.PREFIXED,
}
_OPERATIONS: Final = {operation: AclOperation[operation.name] for operation in Operation}


def read_actual(admin: AdminClient, *, timeout_s: float = TIMEOUT_S) -> Actual:
    """Return the users with a SCRAM-SHA-512 password, and all ACLs.

    Leaves out ACLs on kinds of things that this program has nothing to do with, such as delegation
    tokens.

    Raises:
        KafkaRefused: The cluster has no authorizer.
        ClusterError: No answer in time, or only an administrator may ask.
    """
    _require_administrator(admin, timeout_s)
    return Actual(_users(admin, timeout_s), _acls(admin, timeout_s))


def set_password(
    admin: AdminClient, user: str, password: str, *, timeout_s: float = TIMEOUT_S
) -> None:
    """Let a user log in with this password from now on; makes the user, or replaces the password.

    Connections that are open stay so. Raises ClusterError.
    """
    wanted = UserScramCredentialUpsertion(
        user, ScramCredentialInfo(ScramMechanism.SCRAM_SHA_512, ITERATIONS), password.encode()
    )
    futures = admin.alter_user_scram_credentials([wanted], request_timeout=timeout_s)
    answer(futures[user], doing=f"setting the password of {user}", timeout_s=timeout_s)


def delete_users(
    admin: AdminClient, users: Collection[str], *, timeout_s: float = TIMEOUT_S
) -> None:
    """Let users log in no more; who is not there is as good as deleted. Idempotent.

    Connections that are open stay so, and may do what the ACLs allow. Raises ClusterError.
    """
    if not users:
        return
    mechanism = ScramMechanism.SCRAM_SHA_512
    futures = admin.alter_user_scram_credentials(
        [UserScramCredentialDeletion(user, mechanism) for user in users],
        request_timeout=timeout_s,
    )
    for user, future in futures.items():
        done(
            future,
            doing=f"deleting user {user}",
            timeout_s=timeout_s,
            needless=KafkaError.RESOURCE_NOT_FOUND,
        )


def create_acls(admin: AdminClient, acls: Collection[Acl], *, timeout_s: float = TIMEOUT_S) -> None:
    """Create ACLs; when it returns, they are in force. Idempotent. Raises ClusterError."""
    if not acls:
        return
    futures = admin.create_acls([_binding(acl) for acl in acls], request_timeout=timeout_s)
    for future in futures.values():
        answer(future, doing="creating ACLs", timeout_s=timeout_s)
    _await(admin, set(acls), present=True, timeout_s=timeout_s)


def delete_acls(admin: AdminClient, acls: Collection[Acl], *, timeout_s: float = TIMEOUT_S) -> None:
    """Delete exactly these ACLs; when it returns, they are out of force. Idempotent.

    They end for open connections, too. Raises ClusterError.
    """
    if not acls:
        return
    futures = admin.delete_acls([_exactly(acl) for acl in acls], request_timeout=timeout_s)
    for future in futures.values():
        answer(future, doing="deleting ACLs", timeout_s=timeout_s)
    _await(admin, set(acls), present=False, timeout_s=timeout_s)


def _await(admin: AdminClient, acls: set[Acl], *, present: bool, timeout_s: float) -> None:
    deadline = time.monotonic() + timeout_s
    while len(acls & _acls(admin, timeout_s)) != (len(acls) if present else 0):
        if time.monotonic() > deadline:
            raise too_late("putting the ACLs into force")
        time.sleep(_POLL_S)


def _require_administrator(admin: AdminClient, timeout_s: float) -> None:
    """Raise AuthorizationFailed unless we may ask for users and ACLs.

    Asked beforehand, because the client (2.16) does not bear a refusal: to the question for users it
    ends the process with a spoilt heap, and to that for ACLs it answers that there are none.
    """
    future = admin.describe_cluster(include_authorized_operations=True, request_timeout=timeout_s)
    described = answer(future, doing="asking what we may do", timeout_s=timeout_s)
    if AclOperation.DESCRIBE not in (described.authorized_operations or ()):
        refusal = KafkaError(KafkaError.CLUSTER_AUTHORIZATION_FAILED)
        raise cluster_error(refusal, doing="listing users and ACLs")


def _users(admin: AdminClient, timeout_s: float) -> frozenset[str]:
    described = admin.describe_user_scram_credentials(request_timeout=timeout_s)
    assert isinstance(described, Future), "all users are asked for, so there is one answer"
    users: Mapping[str, UserScramCredentialsDescription]
    users = answer(described, doing="listing the users", timeout_s=timeout_s)
    return frozenset(
        user
        for user, found in users.items()
        if any(
            info.mechanism == ScramMechanism.SCRAM_SHA_512 for info in found.scram_credential_infos
        )
    )


def _acls(admin: AdminClient, timeout_s: float) -> frozenset[Acl]:
    everything = AclBindingFilter(
        ResourceType.ANY,
        None,  # type: ignore[arg-type]  # Any name, as documented.
        ResourcePatternType.ANY,
        None,  # type: ignore[arg-type]  # Anybody.
        None,  # type: ignore[arg-type]  # From anywhere.
        AclOperation.ANY,
        AclPermissionType.ANY,
    )
    future = admin.describe_acls(everything, request_timeout=timeout_s)
    found = answer(future, doing="listing the ACLs", timeout_s=timeout_s)
    return frozenset(acl for acl in map(_acl, found) if acl is not None)


def _acl(binding: AclBinding) -> Acl | None:
    resource = next((o for o, theirs in _RESOURCES.items() if theirs == binding.restype), None)
    pattern = next(
        (o for o, theirs in _PATTERNS.items() if theirs == binding.resource_pattern_type), None
    )
    operation = next((o for o in Operation if _OPERATIONS[o] == binding.operation), None)
    if resource is None or pattern is None or operation is None:
        return None
    return Acl(
        user=binding.principal.removeprefix(USER),
        resource=resource,
        name=binding.name,
        pattern=pattern,
        operation=operation,
        allow=binding.permission_type == AclPermissionType.ALLOW,
        host=binding.host,
    )


def _binding(acl: Acl) -> AclBinding:
    return AclBinding(
        _RESOURCES[acl.resource],
        acl.name,
        _PATTERNS[acl.pattern],
        f"{USER}{acl.user}",
        acl.host,
        _OPERATIONS[acl.operation],
        AclPermissionType.ALLOW if acl.allow else AclPermissionType.DENY,
    )


def _exactly(acl: Acl) -> AclBindingFilter:
    binding = _binding(acl)
    return AclBindingFilter(
        binding.restype,
        binding.name,
        binding.resource_pattern_type,
        binding.principal,
        binding.host,
        binding.operation,
        binding.permission_type,
    )
