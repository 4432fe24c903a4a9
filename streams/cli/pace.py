"""How fast a simulated play goes: when its records are due, and its heartbeats in data time."""

from collections.abc import Iterable, Iterator
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from streams.domain.window import MINUTE_MS

if TYPE_CHECKING:
    from streams.simulate.feed import SimulatedRecord

_SLEEP_MIN_S: Final = 0.01  # A shorter sleep costs more than it waits.


class Beat(NamedTuple):
    """A heartbeat, due in every partition. Named as a record's instant is, so that both can be paced."""

    received_at_ms: int


Item = TypeVar("Item", "SimulatedRecord", "SimulatedRecord | Beat")


def with_beats(
    records: "Iterable[SimulatedRecord]", *, start_ms: int, end_ms: int | None
) -> "Iterator[SimulatedRecord | Beat]":
    """Yield the records and, at each whole minute of data time up to the end, a heartbeat.

    It says that its minute has come, so it goes before the first record that was received later.
    """
    next_ms = -(-start_ms // MINUTE_MS) * MINUTE_MS
    for record in records:
        while next_ms <= record.received_at_ms:
            yield Beat(next_ms)
            next_ms += MINUTE_MS
        yield record
    if end_ms is None:
        return
    while next_ms < end_ms:
        yield Beat(next_ms)
        next_ms += MINUTE_MS
    yield Beat(end_ms)


def paced(items: Iterable[Item], *, start_ms: int, speed: float) -> Iterator[Item]:
    """Yield each item when it is received, in a time that goes `speed` times as fast as ours.

    Whoever takes them too slowly gets the rest without a pause until the play has caught up. With a
    speed of 0 there is never a pause.
    """
    if not speed:
        yield from items
        return
    begun_s = monotonic()
    for item in items:
        due_s = begun_s + (item.received_at_ms - start_ms) / 1000 / speed
        wait_s = due_s - monotonic()
        if wait_s > _SLEEP_MIN_S:
            sleep(wait_s)
        yield item
