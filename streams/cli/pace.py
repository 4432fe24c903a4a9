"""How fast a simulated play goes: when its records are due, and its heartbeats in data time."""

from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator
from itertools import accumulate
from time import monotonic, sleep
from typing import TYPE_CHECKING, Final, NamedTuple, TypeVar

from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS, SHANGHAI_OFFSET_MS

if TYPE_CHECKING:
    from streams.simulate.feed import SimulatedRecord

_SLEEP_MIN_S: Final = 0.01  # A shorter sleep costs more than it waits.

NIGHT_SPEED: Final = 6.0
"""How many times faster hours go by in which next to nothing is collected."""
_NIGHT_HOURS: Final = frozenset({22, 23, 0, 1, 2, 3, 4, 5, 6})

DueS = Callable[[int], float]
"""Says how many seconds after its begin a play has come to an instant of data time."""


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


def paced(items: Iterable[Item], due_s: DueS | None) -> Iterator[Item]:
    """Yield each item when it is due, or without a pause.

    Whoever takes them too slowly gets the rest without a pause until the play has caught up.
    """
    begun_s = monotonic()
    for item in items:
        if due_s is not None:
            wait_s = begun_s + due_s(item.received_at_ms) - monotonic()
            if wait_s > _SLEEP_MIN_S:
                sleep(wait_s)
        yield item


def uniform(start_ms: int, speed: float) -> DueS:
    """Return when instants are due in a time that goes `speed` times as fast as ours."""
    return lambda at_ms: (at_ms - start_ms) / 1000 / speed


def quick_nights(start_ms: int, end_ms: int, speed: float) -> DueS:
    """Return when instants are due where days go by at `speed`, and nights faster."""
    hours = range(start_ms // HOUR_MS, end_ms // HOUR_MS + 1)
    lengths_s = [HOUR_MS / 1000 / speed_at(hour * HOUR_MS, speed) for hour in hours]
    before_s = [0.0, *accumulate(lengths_s)]
    starts = [hour * HOUR_MS for hour in hours]

    def since_first(at_ms: int) -> float:
        index = max(0, bisect_right(starts, at_ms) - 1)
        return before_s[index] + (at_ms - starts[index]) / 1000 / speed_at(starts[index], speed)

    offset_s = since_first(start_ms)
    return lambda at_ms: since_first(at_ms) - offset_s


def speed_at(at_ms: int, speed: float) -> float:
    """Return how fast time goes at an instant, with quick nights."""
    hour = (at_ms + SHANGHAI_OFFSET_MS) % DAY_MS // HOUR_MS
    return speed * NIGHT_SPEED if hour in _NIGHT_HOURS else speed
