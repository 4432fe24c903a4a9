"""What an administrator's request comes to: librdkafka's futures and errors become ours."""

from __future__ import annotations

from concurrent.futures import TimeoutError as FutureTimeoutError
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException

from streams.kafka.errors import ClusterError, KafkaUnavailable, cluster_error

if TYPE_CHECKING:
    from concurrent.futures import Future
    from typing import TypeVar

    Answer = TypeVar("Answer")


def answer(future: Future[Answer], *, doing: str, timeout_s: float) -> Answer:
    """Return the future's value. `doing` is what was asked, as a gerund.

    Raises:
        KafkaUnavailable: There is none in time.
        ClusterError: Kafka refused.

    """
    try:
        return future.result(timeout=timeout_s)
    except KafkaException as error:
        raise cluster_error(error.args[0], doing=doing) from error
    except FutureTimeoutError as error:
        raise too_late(doing) from error


def done(future: Future[None], *, doing: str, timeout_s: float, needless: int) -> bool:
    """Wait for a change; return False where Kafka refused it with the code that says it is needless.

    Raises as `answer` does.
    """
    try:
        answer(future, doing=doing, timeout_s=timeout_s)
    except ClusterError as error:
        cause = error.__cause__
        if isinstance(cause, KafkaException) and cause.args[0].code() == needless:
            return False
        raise
    return True


def too_late(doing: str) -> KafkaUnavailable:
    """Return what to raise when something is not finished in time."""
    return KafkaUnavailable(
        f"Kafka did not finish {doing} in time; look at the brokers' load and logs, then try again",
    )
