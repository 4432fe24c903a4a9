"""Mutated state logs: whoever reads one gives back a state that works, or says that it is damaged.

A flipped bit on a disk is seen by the checksum that Kafka puts around a batch. This is about what comes
behind that: a log of another program, or of a program with a bug. Nothing but StateDamaged and ValueError
may come of it, since only these lead to a message that says what to do.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any, Final

import msgspec

from bench.fuzz.mutations import BYTES_MUTATIONS
from streams.kafka.state_log import LogReader, StateDamaged, changes, snapshot
from streams.stages.match import MatchPartition
from streams.stages.stage import Stage
from tests.stages import feeds
from tests.stages.match import drawn
from tests.stages.match.drawn import Fields

Values = Sequence[bytes]
_ODD: Final[Sequence[Any]] = [
    *(None, True, 0, -1, 1, 2**31, 2**63 - 1, -(2**63), 2**64 - 1, 1e308, float("nan")),
    *("", "x" * 100, b"", b"\x00", b"\xff" * 9, [], [[]], {}, {"": 0}),
]
_SIZE_MAX: Final = 2**20


def mutated_payload(rng: random.Random, payload: bytes) -> bytes:
    """Return a msgpack value with something in it replaced, or with wrong bytes."""
    bytewise = rng.choice(BYTES_MUTATIONS)(rng, payload, payload)[:_SIZE_MAX]
    if rng.random() < 0.3:
        return bytewise
    try:
        content = msgspec.msgpack.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError):
        return bytewise
    if not isinstance(content, list | dict):
        return bytewise
    return msgspec.msgpack.encode(_replaced(rng, content))


def _replaced(rng: random.Random, content: Any) -> Any:  # noqa: ANN401 - whatever msgpack holds
    """Return a value in which one thing, at any depth, is another one."""
    if isinstance(content, list) and content and rng.random() < 0.9:
        at = rng.randrange(len(content))
        some = list(content)
        choice = rng.randrange(10)
        if choice == 0:
            del some[at]
        elif choice == 1:
            some.insert(at, content[at])
        else:
            some[at] = _replaced(rng, content[at])
        return some
    if isinstance(content, dict) and content:
        key = rng.choice(list(content))
        return {**content, key: _replaced(rng, content[key])}
    if isinstance(content, bytes) and content and rng.random() < 0.8:
        return mutated_payload(rng, content)
    return rng.choice(_ODD)


def mutated_log(rng: random.Random, values: Values) -> list[bytes]:
    """Return a log with records changed, missing, repeated or in another order."""
    log = list(values)
    at = rng.randrange(len(log))
    choice = rng.randrange(6)
    if choice == 0:
        del log[at]
    elif choice == 1:
        log.insert(at, log[rng.randrange(len(log))])
    elif choice == 2:
        rng.shuffle(log)
    elif choice == 3:
        del log[at:]
    else:
        frame, payload = log[at][:1], log[at][1:]
        log[at] = (frame if rng.random() < 0.9 else rng.randbytes(1)) + mutated_payload(
            rng, payload
        )
    return log


def read_log(values: Values, make_state: Callable[[], Stage]) -> bool:
    """Read a log as a worker does; return whether it was taken. Raises what only a bug raises."""
    state = make_state()
    reader = LogReader(state)
    try:
        for value in values:
            reader.take(value)
        reader.finish()
        state.restored()
    except (StateDamaged, ValueError):
        return False
    return True


def a_log(deltas: Sequence[Sequence[bytes]], chunks: Values) -> list[bytes]:
    """Return the log of some flushes, a snapshot and one more flush without changes."""
    log: list[bytes] = []
    for number, payloads in enumerate(deltas):
        log += changes(number, number + 1, payloads)
    end = len(deltas)
    return [*log, *snapshot(end, chunks), *changes(end, end + 1, [])]


class Readers:
    """Sound logs of the three stages, and what reads them.

    Rate and rollup are restored from snapshots alone: their deltas are their input, and a watermark that
    lies a thousand years ahead is followed minute by minute, as it must.
    """

    def __init__(self) -> None:
        reference = feeds.a_reference()
        rate, rollup = feeds.Feed(feeds.a_rate(reference)), feeds.Feed(feeds.a_rollup(reference))
        sender = feeds.Sender()
        for minute in range(5, 60, 5):
            rows = feeds.parcels(0, at=minute, count=9, covered=minute % 7)
            rate.apply(sender.records(rows, until=feeds.MIDNIGHT_TICK + minute))
            rollup.apply(feeds.totals_of(rate.commit(publish=True)))
            rollup.commit(publish=True)
        self.logs: Sequence[tuple[str, Values, Callable[[], Stage]]] = [
            ("match", _match_log(), _match),
            ("rate", a_log([], list(rate.stage.snapshot())), lambda: feeds.a_rate(reference)),
            ("rollup", a_log([], list(rollup.stage.snapshot())), lambda: feeds.a_rollup(reference)),
        ]

    def read(self, rng: random.Random) -> tuple[str, bool]:
        """Read one mutated log of any stage; return the stage, and whether it was taken.

        Raises what only a bug raises.
        """
        name, log, make = rng.choice(self.logs)
        return name, read_log(mutated_log(rng, log), make)


def _match() -> MatchPartition:
    return drawn.a_partition(drawn.changing_history())


def _match_log() -> list[bytes]:
    """Return the log of a partition whose state has some of everything."""
    rng = random.Random(0)
    options = drawn.choices([*drawn.STEPS_MS, 0, 0, 0], waybills=40)
    fields = [Fields._make(map(rng.choice, options)) for _ in range(400)]
    records = drawn.sent(fields, orderly=False)
    partition = _match()
    deltas = []
    for at in range(0, len(records), 50):
        partition.apply(drawn.batch(records[at : at + 50], at))
        deltas.append(list(partition.drain(publish=True).state))
        partition.committed()
    return a_log(deltas, list(partition.snapshot()))
