"""Reads dead letters and settles them: each is replayed or dropped once, and the audit says so.

The record on `audit` is the mark that a letter is settled, and is written in the same transaction as
what was done: either both are visible or neither. All who settle share one transactional id. Whoever
comes later ends the open transaction of who came before, and reads the marks after that, so that two
commands at once, or one after a crash, never send a letter twice.

A letter that is replayed and refused again comes back as another one, whose `attempt` is one higher. A
command reads the letters that were there when it began, so it never meets those that it sent.
"""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import chain, islice
from time import monotonic
from typing import Any, Final, Literal, NoReturn

import msgspec
from confluent_kafka import KafkaException, Message, Producer, TopicCollection
from confluent_kafka.admin import AdminClient

from streams.domain.personal import code_or_mask
from streams.domain.window import instant_text
from streams.kafka import dead_letters
from streams.kafka.dead_letters import DeadLetter, attempt_of, replayed, told_and_kept
from streams.kafka.errors import ClusterError, KafkaRefused, KafkaUnavailable, cluster_error
from streams.kafka.reading import read_to_end
from streams.kafka.transaction import (
    GaveUp,
    ProducerLost,
    TransactionAborted,
    TransactionalProducer,
    producer_config,
)
from streams.records.audit import PLACES_MAX, Action, AuditRecord, decode, encode
from streams.records.topics import SHIPMENTS_DLQ

ATTEMPTS_MAX: Final = 3
"""How often a letter is refused before a replay passes it over, unless told otherwise."""
BATCH_LETTERS: Final = 500
BATCH_BYTES: Final = 8 * 1024 * 1024
assert BATCH_LETTERS <= PLACES_MAX
TIMEOUT_S: Final = 60.0
"""How long Kafka may say nothing in the middle of a transaction. A person is waiting."""
DELIVERY_S: Final = 15.0

State = Literal["open", "replayed", "dropped"]
_STATES: Final[Mapping[Action, State]] = {"dlq.replayed": "replayed", "dlq.dropped": "dropped"}


@dataclass(frozen=True, slots=True)
class Letter:
    """A dead letter, and what its headers say.

    Attributes:
        place: partition@offset among the dead letters.
        refused_ms: When it was refused.
        code: Why.
        path: Where in the record; never a value.
        source: The source that the record names: what its producer wrote, whatever that is.
        attempt: How often it has been refused.
        from_place: partition@offset in `shipments`.
        received_ms: When `shipments` had it.
        message: The record itself: personal data.

    """

    place: str
    refused_ms: int
    code: str
    path: str
    source: str
    stage: str
    attempt: int
    from_place: str
    received_ms: int | None
    message: Message = field(repr=False)

    @property
    def value(self) -> bytes:
        """The record, empty where there was none."""
        return self.message.value() or b""


@dataclass(frozen=True, slots=True)
class Selection:
    """Which letters are meant; what is empty or None excludes none.

    Attributes:
        since_ms: Refused at or after it.
        until_ms: Refused before it.

    """

    codes: Collection[str] = ()
    sources: Collection[str] = ()
    places: Collection[str] = ()
    since_ms: int | None = None
    until_ms: int | None = None

    def wants(self, letter: Letter) -> bool:
        """Return whether a letter is meant."""
        return (
            (not self.codes or letter.code in self.codes)
            and (not self.sources or letter.source in self.sources)
            and (not self.places or letter.place in self.places)
            and (self.since_ms is None or self.since_ms <= letter.refused_ms)
            and (self.until_ms is None or letter.refused_ms < self.until_ms)
        )

    def __bool__(self) -> bool:
        """Return whether anything is asked for."""
        return self != Selection()

    def __str__(self) -> str:
        """Return it as the command line says it, for the audit: what may be personal is masked."""
        times = (("--since", self.since_ms), ("--until", self.until_ms))
        return " ".join(
            chain(
                (f"--code {code_or_mask(code)}" for code in self.codes),
                (f"--source {code_or_mask(source)}" for source in self.sources),
                (f"{name} {instant_text(at)}" for name, at in times if at is not None),
            )
        )


@dataclass(frozen=True, slots=True)
class Doing:
    """What goes to the audit about one command: when, who, which letters and why."""

    at_ms: int
    by: str
    selection: Selection
    reason: str = ""


@dataclass(slots=True)
class Settled:
    """What a command has done.

    Attributes:
        done: Letters that were replayed or dropped.
        before: Letters passed over because they had been settled before.
        exhausted: Letters passed over because they have been refused too often.
        left: Whether there are more than the limit.

    """

    done: int = 0
    before: int = 0
    exhausted: int = 0
    left: bool = False


def letter_of(message: Message) -> Letter:
    """Return a record of `shipments.dlq` as a letter."""
    ours, _ = told_and_kept(message)

    def text(name: str) -> str:
        return ours.get(name, b"").decode(errors="replace")

    received = text(dead_letters.TIMESTAMP)
    return Letter(
        place=f"{message.partition()}@{message.offset()}",
        refused_ms=message.timestamp()[1],
        code=text(dead_letters.CODE),
        path=text(dead_letters.PATH),
        source=text(dead_letters.SOURCE),
        stage=text(dead_letters.STAGE),
        attempt=attempt_of(ours),
        from_place=f"{text(dead_letters.PARTITION) or '?'}@{text(dead_letters.OFFSET) or '?'}",
        received_ms=int(received) if received.isascii() and received.isdigit() else None,
        message=message,
    )


class LetterBox:
    """The dead letters of one deployment, and what has become of them. Changes nothing.

    Args:
        client: Settings of a Kafka client.
        dlq: Full name of the topic with the letters.
        audit: The same of the audit.

    """

    def __init__(self, client: Mapping[str, Any], *, dlq: str, audit: str) -> None:
        self.client = dict(client)
        self._dlq = dlq
        self.audit = audit
        self.topic_id = _topic_id(AdminClient(dict(client)), dlq)

    def letters(self, selection: Selection) -> Iterator[Letter]:
        """Return the letters that are meant, as of now; in order by partition.

        Raises:
            ClusterError: No answer, no such topic, or refused.
        """
        places = [place.partition("@")[0] for place in selection.places]
        partitions = {int(p) for p in places if p.isdigit()} if places else None
        for message in read_to_end(self.client, self._dlq, partitions):
            letter = letter_of(message)
            if selection.wants(letter):
                yield letter

    def states(self) -> Mapping[str, State]:
        """Return by place what has become of letters; those that are not in it are open.

        Raises:
            ClusterError: As `letters`.
        """
        states: dict[str, State] = {}
        for message in read_to_end(self.client, self.audit):
            try:
                record = decode(message.value() or b"")
            except msgspec.MsgspecError:
                continue  # Of a later version of this program.
            if record.topic == SHIPMENTS_DLQ and record.topic_id == self.topic_id:
                state = _STATES.get(record.action)
                if state is not None:
                    states.update(dict.fromkeys(record.places, state))
        return states

    def record(self, action: Action, doing: Doing, places: Sequence[str], count: int) -> bytes:
        """Return what the audit is told."""
        return encode(
            AuditRecord(
                action=action,
                at=instant_text(doing.at_ms),
                by=doing.by,
                topic=SHIPMENTS_DLQ,
                topic_id=self.topic_id,
                selection=str(doing.selection),
                reason=doing.reason,
                count=count,
                places=list(places),
            )
        )

    def note(self, action: Action, doing: Doing, places: Sequence[str], count: int) -> None:
        """Tell the audit that letters have been looked at; returns once it is acknowledged.

        Raises:
            ClusterError: It was not; whoever asked is to be shown nothing.
        """
        failed: list[ClusterError] = []

        def delivered(error: Any, _: Message) -> None:  # noqa: ANN401 - theirs, or None
            if error is not None:
                failed.append(cluster_error(error, doing=f"writing to {self.audit}"))

        settings = {
            "enable.idempotence": True,
            "delivery.timeout.ms": int(DELIVERY_S * 1000),
            "allow.auto.create.topics": False,
        }
        producer = Producer({**self.client, **settings})
        for start in range(0, max(len(places), 1), PLACES_MAX):
            part = places[start : start + PLACES_MAX]
            value = self.record(action, doing, part, len(part) if places else count)
            producer.produce(self.audit, value, on_delivery=delivered)
        producer.flush(DELIVERY_S + 1)
        if failed:
            raise failed[0]


class Settler:
    """Replays and drops letters, in transactions of at most BATCH_LETTERS.

    Args:
        box: The letters.
        shipments: Full name of the topic that replayed ones go to.
        transactional_id: The same for all who settle letters of this deployment.

    """

    def __init__(self, box: LetterBox, *, shipments: str, transactional_id: str) -> None:
        self._box = box
        self._shipments = shipments
        self._deadline = monotonic() + TIMEOUT_S
        self._producer = TransactionalProducer(
            producer_config(box.client, transactional_id=transactional_id),
            end_process=_not_a_member,
            give_up=lambda: monotonic() > self._deadline,
        )

    def replay(self, doing: Doing, *, limit: int, attempts_max: int = ATTEMPTS_MAX) -> Settled:
        """Send at most `limit` letters to `shipments` once more, with how often they were refused.

        Those that were settled before are passed over, and those that were refused `attempts_max` times.

        Raises:
            ClusterError: Kafka failed, or another command settles letters now. What was done before
                stands; the same command again does the rest.
        """
        return self._settle("dlq.replayed", doing, limit=limit, attempts_max=attempts_max)

    def drop(self, doing: Doing, *, limit: int) -> Settled:
        """Set at most `limit` letters aside: they are never replayed, and deleted by their age.

        Raises:
            ClusterError: As `replay`.
        """
        return self._settle("dlq.dropped", doing, limit=limit, attempts_max=None)

    def _settle(
        self, action: Action, doing: Doing, *, limit: int, attempts_max: int | None
    ) -> Settled:
        settled = Settled()
        try:
            self._producer.init()
            # Only now: what another command commits after this, it cannot, being fenced.
            states = self._box.states()
            letters = self._unsettled(doing.selection, states, settled, attempts_max=attempts_max)
            for batch in _batches(islice(letters, limit)):
                self._commit(action, doing, batch)
                settled.done += len(batch)
            settled.left = next(letters, None) is not None
        except ProducerLost as error:
            raise KafkaRefused(
                "another `realname dlq` command settles letters now, so this one has stopped; "
                "what it did before stands: when the other is done, give the command again"
            ) from error
        except (TransactionAborted, GaveUp) as error:
            raise KafkaUnavailable(
                f"Kafka failed while letters were settled ({error}); give the command again: what "
                "was done is not done twice"
            ) from error
        finally:
            self._producer.close()
        return settled

    def _unsettled(
        self,
        selection: Selection,
        states: Mapping[str, State],
        settled: Settled,
        *,
        attempts_max: int | None,
    ) -> Iterator[Letter]:
        for letter in self._box.letters(selection):
            if letter.place in states:
                settled.before += 1
            elif attempts_max is not None and letter.attempt >= attempts_max:
                settled.exhausted += 1
            else:
                yield letter

    def _commit(self, action: Action, doing: Doing, batch: Sequence[Letter]) -> None:
        self._deadline = monotonic() + TIMEOUT_S
        producer = self._producer
        producer.begin()
        if action == "dlq.replayed":
            for letter in batch:
                again: DeadLetter = replayed(letter.message)
                producer.produce(self._shipments, again.value, key=again.key, headers=again.headers)
        places = [letter.place for letter in batch]
        producer.produce(self._box.audit, self._box.record(action, doing, places, len(batch)))
        producer.deliver()
        producer.commit()


def _batches(letters: Iterable[Letter]) -> Iterator[Sequence[Letter]]:
    batch: list[Letter] = []
    size = 0
    for letter in letters:
        batch.append(letter)
        size += len(letter.value)
        if len(batch) == BATCH_LETTERS or size >= BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch


def _topic_id(admin: AdminClient, topic: str) -> str:
    asked = admin.describe_topics(TopicCollection([topic]), request_timeout=DELIVERY_S)
    try:
        return str(asked[topic].result().topic_id)
    except KafkaException as error:
        raise cluster_error(error.args[0], doing=f"reading {topic}") from error


def _not_a_member(reason: str) -> NoReturn:
    raise AssertionError(f"no offsets are sent here, so no place in a group is lost: {reason}")
