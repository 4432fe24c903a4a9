"""The words of Kafka's access control: an ACL, and what it is about."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

ANY_HOST: Final = "*"
ANY_NAME: Final = "*"
"""As a literal name: every resource of the kind."""

USER: Final = "User:"


class Resource(StrEnum):
    """What may be protected; the values are Kafka's."""

    TOPIC = "topic"
    GROUP = "group"
    TRANSACTIONAL_ID = "transactionalId"
    CLUSTER = "cluster"


class Pattern(StrEnum):
    """How an ACL names resources: one, or all that begin so."""

    LITERAL = "literal"
    PREFIXED = "prefixed"


class Operation(StrEnum):
    """What may be done; the values are Kafka's.

    READ, WRITE, DELETE and ALTER each include DESCRIBE; ALTER_CONFIGS includes DESCRIBE_CONFIGS.
    """

    ALL = "All"
    READ = "Read"
    WRITE = "Write"
    CREATE = "Create"
    DELETE = "Delete"
    ALTER = "Alter"
    DESCRIBE = "Describe"
    CLUSTER_ACTION = "ClusterAction"
    DESCRIBE_CONFIGS = "DescribeConfigs"
    ALTER_CONFIGS = "AlterConfigs"
    IDEMPOTENT_WRITE = "IdempotentWrite"


@dataclass(frozen=True, slots=True, order=True)
class Acl:
    """One ACL. A denial wins over every allowance.

    Attributes:
        user: The user's name, without Kafka's `User:`; `*` is everybody.
        resource: The kind of what is protected.
        name: Of what is protected, or how it begins.
        pattern: Which of the two.
        operation: What may be done, or may not.
        allow: Whether it may.
        host: From where; `*` is anywhere.

    """

    user: str
    resource: Resource
    name: str
    pattern: Pattern
    operation: Operation
    allow: bool = True
    host: str = ANY_HOST

    @property
    def what(self) -> str:
        """What it is about, in words: `topic realname.shipments`, `group realname.*`."""
        if self.resource is Resource.CLUSTER:
            return "cluster"
        star = "*" if self.pattern is Pattern.PREFIXED else ""
        return f"{self.resource} {self.name}{star}"

    def __str__(self) -> str:
        """Return it as one line for a person."""
        word = "may" if self.allow else "may not"
        place = "" if self.host == ANY_HOST else f" from {self.host}"
        return f"{self.user} {word} {self.operation} {self.what}{place}"
