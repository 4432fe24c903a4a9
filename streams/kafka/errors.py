"""What can go wrong with Kafka, as a person is told it: one line that ends in what to do."""

from __future__ import annotations

from typing import Final

from confluent_kafka import KafkaError


class ClusterError(Exception):
    """Kafka, or the way to it, does not do what we need. The message ends in the remedy.

    `retryable` tells whether the same call may succeed later without anybody's doing.
    """

    retryable = False


class KafkaUnavailable(ClusterError):  # noqa: N818 (what happened, as it is caught)
    """No broker answered in time. Nothing is known about what was asked; it may be asked again."""

    retryable = True


class TopicMissing(ClusterError):  # noqa: N818 (what happened, as it is caught)
    """A topic that is read or written does not exist. It does not come by itself."""


class AuthorizationFailed(ClusterError):  # noqa: N818 (what happened, as it is caught)
    """Kafka does not know us, or does not let us. Asking again gives the same answer."""


class KafkaRefused(ClusterError):  # noqa: N818 (what happened, as it is caught)
    """Kafka understood and refused: a bad name, a bad setting, a policy of the cluster."""


class BrokerError(ClusterError):
    """The embedded broker could not be started, stopped or found. Nothing was left half-started."""


# The commands that remedies name, once each.
CREATE_COMMAND: Final = "realname topics create"
CORRECT_COMMAND: Final = "realname topics correct"

# Where an administrator looks for what is missing.
ACCESS_COMMAND: Final = "realname access plan"

_UNKNOWN: Final = frozenset(
    {
        KafkaError._AUTHENTICATION,  # noqa: SLF001 (librdkafka's own codes are public by that name)
        KafkaError.SASL_AUTHENTICATION_FAILED,
        KafkaError.UNSUPPORTED_SASL_MECHANISM,
        KafkaError.ILLEGAL_SASL_STATE,
    },
)

_UNAUTHORIZED: Final = frozenset(
    {
        KafkaError.TOPIC_AUTHORIZATION_FAILED,
        KafkaError.GROUP_AUTHORIZATION_FAILED,
        KafkaError.CLUSTER_AUTHORIZATION_FAILED,
        KafkaError.TRANSACTIONAL_ID_AUTHORIZATION_FAILED,
    },
)

_MISSING: Final = frozenset(
    {
        KafkaError._UNKNOWN_TOPIC,  # noqa: SLF001
        KafkaError._UNKNOWN_PARTITION,  # noqa: SLF001
        KafkaError.UNKNOWN_TOPIC_OR_PART,
    },
)

_UNAVAILABLE: Final = frozenset(
    {
        KafkaError._TRANSPORT,  # noqa: SLF001
        KafkaError._RESOLVE,  # noqa: SLF001
        KafkaError._ALL_BROKERS_DOWN,  # noqa: SLF001
        KafkaError._TIMED_OUT,  # noqa: SLF001
        KafkaError._TIMED_OUT_QUEUE,  # noqa: SLF001
        KafkaError._MSG_TIMED_OUT,  # noqa: SLF001
        KafkaError._WAIT_COORD,  # noqa: SLF001
        KafkaError._SSL,  # noqa: SLF001
        KafkaError.REQUEST_TIMED_OUT,
        KafkaError.BROKER_NOT_AVAILABLE,
        KafkaError.LEADER_NOT_AVAILABLE,
        KafkaError.NOT_LEADER_FOR_PARTITION,
        KafkaError.NOT_COORDINATOR,
        KafkaError.COORDINATOR_NOT_AVAILABLE,
        KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
        KafkaError.NOT_CONTROLLER,
        KafkaError.NETWORK_EXCEPTION,
        # A broker that has just come back may know of an older leader than the client.
        KafkaError.UNKNOWN_LEADER_EPOCH,
        KafkaError.FENCED_LEADER_EPOCH,
        KafkaError.OFFSET_NOT_AVAILABLE,
    },
)


def cluster_error(error: KafkaError, *, doing: str) -> ClusterError:
    """Make of librdkafka's error the one to raise. `doing` is what was tried, as a gerund."""
    code = error.code()
    reason = error.str()
    if code in _UNKNOWN:
        return AuthorizationFailed(
            f"authentication failed: Kafka refused {doing} ({reason}); check user, password, "
            "mechanism and certificate in the Kafka settings",
        )
    if code in _UNAUTHORIZED:
        # Brokers add whole requests to the text of some refusals; what was refused stands there shortly.
        reason = KafkaError(code).str()
        return AuthorizationFailed(
            f"authorisation failed: this user may not do what is needed for {doing} ({reason}); "
            f"log in as one who may, or let an administrator look with `{ACCESS_COMMAND}`",
        )
    if code == KafkaError.SECURITY_DISABLED:
        return KafkaRefused(
            f"{doing} is not possible: the cluster has no authorizer, so everybody may do "
            "everything; set authorizer.class.name on its brokers, or start an embedded one "
            "with `realname broker start --secure`",
        )
    if code in _MISSING:
        return TopicMissing(f"{doing} found no such topic ({reason}); run `{CREATE_COMMAND}`")
    if code in _UNAVAILABLE or error.retriable():
        return KafkaUnavailable(
            f"no answer from Kafka for {doing} ({reason}); check that it runs and that the "
            "bootstrap address and the security settings are right, then try again",
        )
    return KafkaRefused(
        f"Kafka refused {doing} ({reason}); correct that, or ask the cluster's operators",
    )
