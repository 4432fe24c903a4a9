"""One transaction after the other: all of what is produced in it becomes visible, or none.

What can go wrong has four ends. Our place in the group has gone to another worker: the process ends
at once (`end_process`), since that worker has gone on from the last commit. The producer cannot go
on, because the broker has given its id a new epoch or because its state is lost: `ProducerLost`. The
transaction failed: it is aborted and `TransactionAborted` raised; the caller keeps its changes and
tries again. The outcome is unknown: the same call is repeated until it is known.
"""

import logging
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final, NoReturn

from confluent_kafka import KafkaError, KafkaException, Message, Producer, TopicPartition

from streams.kafka.errors import cluster_error
from streams.kafka.fencing import is_fenced, is_member_fenced
from streams.records.topics import MESSAGE_BYTES_MAX

LOGGER: Final = logging.getLogger(__name__)

TRANSACTION_TIMEOUT_MS: Final = 6_000
"""After this the broker aborts what a dead worker left open, and the next one may read on."""
CALL_TIMEOUT_S: Final = 5.0
HANG_MARGIN_S: Final = 1.0
assert CALL_TIMEOUT_S * 1_000 < TRANSACTION_TIMEOUT_MS, (
    "a call must return before the broker gives up"
)

# What waits for delivery inside librdkafka. A flush of 200,000 records makes some ten thousand
# records of at most a few hundred bytes, a snapshot some hundred chunks of 900 KB.
QUEUED_RECORDS_MAX: Final = 1_000_000
QUEUED_KIB_MAX: Final = 1_048_576


class TransactionAborted(Exception):  # noqa: N818 (it states what has happened)
    """A transaction has been aborted: nothing of it is visible. Trying again later may help.

    Attributes:
        reason: The error's name, of a small set: fit for a metric label.

    """

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


class ProducerLost(Exception):  # noqa: N818 (it states what has happened)
    """The producer is of no more use, and whether its last transaction counts is not certain.

    Another producer may have taken its transactional id; or the broker has, after an outage longer
    than TRANSACTION_TIMEOUT_MS, which looks the same from here. A new producer can go on, from what
    the state log says.

    Attributes:
        fenced: Whether another may have the id; False when there was no answer at all.

    """

    def __init__(self, message: str, *, fenced: bool) -> None:
        super().__init__(message)
        self.fenced = fenced


class GaveUp(Exception):  # noqa: N818 (it states what has happened)
    """The worker is to stop, and Kafka does not answer. What becomes of the transaction is open."""


def producer_config(client: Mapping[str, Any], *, transactional_id: str) -> dict[str, Any]:
    """Return the settings of a transactional producer, on top of those of the client."""
    return {
        **client,
        "transactional.id": transactional_id,
        "transaction.timeout.ms": TRANSACTION_TIMEOUT_MS,
        "enable.idempotence": True,
        # The same as the Java clients, so that one key has one partition, whoever writes it.
        "partitioner": "murmur2_random",
        "compression.type": "lz4",
        "linger.ms": 50,
        "message.max.bytes": MESSAGE_BYTES_MAX,
        "batch.size": 1_000_000,
        "queue.buffering.max.messages": QUEUED_RECORDS_MAX,
        "queue.buffering.max.kbytes": QUEUED_KIB_MAX,
    }


class TransactionalProducer:
    """A producer of which everything goes out in transactions. For one thread.

    Args:
        config: See `producer_config`.
        end_process: Called with the reason when the consumer was replaced. It may not return, and
            nothing may be written after it.
        give_up: Asked while Kafka does not answer; True raises GaveUp.

    """

    def __init__(
        self,
        config: Mapping[str, Any],
        *,
        end_process: Callable[[str], NoReturn],
        give_up: Callable[[], bool] = lambda: False,
    ) -> None:
        self._producer = Producer({**config, "error_cb": self._on_error})
        self._end_process = end_process
        self._give_up = give_up
        self._undelivered: list[KafkaError] = []
        self._fenced: KafkaError | None = None
        self._open = False

    def init(self) -> None:
        """End what a predecessor of the same transactional id left open. Blocks until that is done.

        Raises:
            ClusterError: Kafka refuses us; trying again does not help.
            GaveUp: Told to.

        """
        while True:
            try:
                self._producer.init_transactions(CALL_TIMEOUT_S)
            except KafkaException as raised:
                error = _error_of(raised)
                self._end_if_fenced(error)
                if not (error.retriable() or cluster_error(error, doing="").retryable):
                    raise cluster_error(error, doing="to begin transactions") from raised
                self._wait(error, "begin transactions")
            else:
                return

    def begin(self) -> None:
        """Begin a transaction."""
        self._undelivered.clear()
        self._call(self._producer.begin_transaction, "begin a transaction")
        self._open = True

    def produce(
        self,
        topic: str,
        value: bytes | None,
        *,
        key: bytes | None = None,
        partition: int | None = None,
        headers: Sequence[tuple[str, bytes | None]] | None = None,
        on_offset: Callable[[int], None] | None = None,
    ) -> None:
        """Add a record to the transaction. `on_offset` is told where it went, during `deliver`."""
        delivered = self._on_delivery if on_offset is None else self._noting(on_offset)
        optional: dict[str, Any] = {}
        if partition is not None:
            optional["partition"] = partition
        if headers:
            optional["headers"] = list(headers)
        while True:
            try:
                self._producer.produce(topic, value, key, on_delivery=delivered, **optional)
            except BufferError:
                self._producer.poll(0.1)
            except KafkaException as raised:
                self._fail(_error_of(raised), "write")
            else:
                return

    def deliver(self) -> None:
        """Wait until every record of the transaction has been acknowledged.

        Raises:
            TransactionAborted: One was not.

        """
        try:
            left = self._producer.flush(CALL_TIMEOUT_S)
        except (KafkaException, SystemError) as raised:
            self._fail(_error_in(raised), "write")
        self._end_if_fenced(self._fenced)
        if self._undelivered:
            self._fail(self._undelivered[0], "write")
        if left:
            self._fail(KafkaError(KafkaError._MSG_TIMED_OUT), "write")  # noqa: SLF001 (public code)

    def send_offsets(self, offsets: Sequence[TopicPartition], group_metadata: object) -> None:
        """Add the input offsets reached to the transaction, as of a member of a group.

        Raises:
            TransactionAborted: The group is in a rebalance (ILLEGAL_GENERATION), or Kafka failed.
            ProducerLost: No answer at all.

        """
        producer = self._producer
        raised: list[BaseException] = []

        def send() -> None:
            try:
                producer.send_offsets_to_transaction(list(offsets), group_metadata, CALL_TIMEOUT_S)
            except BaseException as error:  # noqa: BLE001 (raised again below)
                raised.append(error)

        # The client does not keep to this call's time-out: when the group's coordinator restarts
        # at the wrong moment it never returns. A new producer fences whatever it still sends.
        thread = threading.Thread(target=send, name="send-offsets", daemon=True)
        thread.start()
        thread.join(CALL_TIMEOUT_S + HANG_MARGIN_S)
        if thread.is_alive():
            raise ProducerLost("no answer for committing offsets", fenced=False)
        if raised and isinstance(raised[0], KafkaException):
            self._fail(_error_of(raised[0]), "commit offsets")
        if raised:
            raise raised[0]

    def commit(self) -> None:
        """Make everything of the transaction visible.

        Raises:
            TransactionAborted: Nothing of it is visible.
            GaveUp: Told to; the outcome is open.

        """
        while True:
            try:
                self._producer.commit_transaction(CALL_TIMEOUT_S)
            except KafkaException as raised:
                error = _error_of(raised)
                self._end_if_fenced(error)
                if not error.retriable():
                    self._fail(error, "commit")
                self._wait(error, "commit a transaction")
            else:
                self._open = False
                return

    def abort(self) -> None:
        """Throw away what the transaction has; without one, do nothing. Blocks until it is done.

        Raises:
            GaveUp: Told to; Kafka aborts it when its time is over.

        """
        while self._open:
            try:
                self._producer.abort_transaction(CALL_TIMEOUT_S)
            except KafkaException as raised:
                error = _error_of(raised)
                self._end_if_fenced(error)
                if not error.retriable():
                    # No transaction can follow one that cannot be ended.
                    raise ProducerLost(
                        f"cannot abort a transaction ({error.str()})", fenced=True
                    ) from raised
                self._wait(error, "abort a transaction")
            else:
                self._open = False

    def close(self) -> None:
        """Forget what is not committed."""
        self._producer.purge()

    def _call(self, call: Callable[[], None], doing: str) -> None:
        try:
            call()
        except KafkaException as raised:
            self._fail(_error_of(raised), doing)

    def _fail(self, error: KafkaError, doing: str) -> NoReturn:
        self._end_if_fenced(error)
        self.abort()
        raise TransactionAborted(
            error.name(), f"could not {doing}, so nothing of the transaction counts ({error.str()})"
        )

    def _end_if_fenced(self, error: KafkaError | None) -> None:
        if error is None or not is_fenced(error):
            return
        if is_member_fenced(error):
            self._end_process(f"another worker has its place ({error.name()}: {error.str()})")
        raise ProducerLost(f"{error.name()}: {error.str()}", fenced=True)

    def _wait(self, error: KafkaError, doing: str) -> None:
        if self._give_up():
            raise GaveUp(f"Kafka does not answer, could not {doing} ({error.str()})")
        LOGGER.warning("Kafka does not answer; trying again to %s (%s)", doing, error.str())
        time.sleep(0.5)

    def _on_delivery(self, error: KafkaError | None, _message: Message) -> None:
        if error is not None:
            self._undelivered.append(error)

    def _noting(
        self, on_offset: Callable[[int], None]
    ) -> Callable[[KafkaError | None, Message], None]:
        def delivered(error: KafkaError | None, message: Message) -> None:
            offset = message.offset()
            if error is not None:
                self._undelivered.append(error)
            elif offset is not None:
                on_offset(offset)

        return delivered

    def _on_error(self, error: KafkaError) -> None:
        if is_fenced(error):
            self._fenced = error  # An exception may not leave a callback: `deliver` looks here.
        else:
            LOGGER.warning("producer: %s", error.str())


def _error_in(raised: KafkaException | SystemError) -> KafkaError:
    """Return what ended a call that serves callbacks.

    A fatal error is not given to `error_cb` but raised; and when the client calls another callback
    after that, the interpreter makes a SystemError of it, with the error as its cause. Where that callback
    has met and handled an exception of its own, as in writing its log line, even the cause is gone.
    """
    cause = raised if isinstance(raised, KafkaException) else raised.__cause__
    if cause is None:
        return KafkaError(KafkaError._FATAL)  # noqa: SLF001 (public code); no other is raised there
    if not isinstance(cause, KafkaException):
        raise raised
    return _error_of(cause)


def _error_of(raised: KafkaException) -> KafkaError:
    error = raised.args[0]
    assert isinstance(error, KafkaError)
    return error
