"""What one run does, drawn from its seed: the load, the workers' settings, and every fault with its time.

Pure. The plan repeats with the seed; what it meets at those instants depends on the machine.

What is not drawn here, since it ends in a refusal and not in figures: a state log that is damaged in the
middle, truncated or of a newer version. tests/kafka/test_damaged_log.py has that, against a real broker.
"""

import random
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import cycle
from typing import Final, Literal

from streams.kafka.consumer import SESSION_TIMEOUT_MS
from streams.kafka.crash import CRASH_POINTS

STAGES: Final = ("match", "rate", "rollup", "compliance")
SLOTS: Final = ("a", "b")
LASTS_S: Final = 32.0
"""The last fault begins before. The longest takes twelve seconds more."""
ARMED_S: Final = 7.0
"""So long a worker may take to come to the crash point that it has been given."""
SESSION_S: Final = SESSION_TIMEOUT_MS / 1000
LONG_S: Final = 30.0
"""Of an outage of the broker after which nothing is left of any session or transaction."""
CALLBACKS: Final = ("during_assignment", "during_revocation", "during_loss")
"""The points inside of rebalance callbacks."""

LONG: Final = 0.1
"""How likely a run has an outage of `LONG_S`."""
JOINED_S: Final = 4.5
"""So long a worker takes to have its partitions, mostly."""
PAUSING: Final = {False: 0.2, True: 0.7}
"""How likely a worker stops at its point instead of ending, by whether that is in a callback."""

# After so many passes at most; a point that a run seldom passes is taken the first time.
PASSES_MAX: Final[Mapping[str, int]] = {
    **dict.fromkeys(CRASH_POINTS, 4),
    "during_restore": 8,
    **dict.fromkeys(CALLBACKS, 1),
    **dict.fromkeys((point for point in CRASH_POINTS if point.startswith("snapshot")), 1),
}

Do = Literal["start", "kill", "stop", "pause", "resume", "replace", "disarm", "line"]
Outing = Literal["killed", "stopped", "paused", "full"]
Line = Literal["open", "reset", "swallow", "hold"]
"""How a network is.

open: bytes go through.
reset: connections are reset, new ones too.
swallow: bytes vanish in both directions, and nobody is told. Connections of that time stay so for ever, as
    behind a firewall that has forgotten them; new ones work once the line is open again.
hold: bytes wait in both directions, and come late, once the line is open again.
"""


@dataclass(frozen=True, slots=True)
class Crash:
    """Where a worker ends itself with SIGKILL: at the n-th pass of a point, in one stage.

    With `pause_s` it stops itself (SIGSTOP) instead, and is let go on after so long.
    """

    stage: str
    point: str
    passes: int
    pause_s: float = 0.0

    def __str__(self) -> str:
        paused = f" for {self.pause_s:.1f} s" if self.pause_s else ""
        return f"{self.stage} {self.point}:{self.passes}{paused}"


@dataclass(frozen=True, slots=True)
class Step:
    """Something done to a worker place.

    start: a process begins there, unless one runs; `crash` is where it will end.
    kill, stop: SIGKILL, SIGTERM; nobody starts it again before the next `start`.
    pause, resume: SIGSTOP, SIGCONT.
    replace: a second process of that place begins while the first runs.
    disarm: one that has not come to its crash point is stopped and started without.
    line: the network between it and the broker is like `line` from now on.
    """

    at_s: float
    do: Do
    crash: Crash | None = None
    line: Line = "open"


@dataclass(frozen=True, slots=True)
class Outage:
    """The broker is away: killed or stopped, and started after some time; or only paused.

    Or its disk is full for some time, which a broker does not survive; then it is started anew.
    """

    at_s: float
    how: Outing
    for_s: float


@dataclass(frozen=True, slots=True)
class Plan:
    """One run.

    Attributes:
        seed: What it was drawn from.
        parcels_per_day: Size of the load.
        preloaded: Share of the load that is there before the first worker.
        lasts_s: How long the rest of it takes to arrive.
        slow: Share of records that others overtake.
        again: Share of records that arrive twice, or more often.
        flush_ms: Time between two transactions of a stage.
        snapshot_bytes_min: A state log smaller than this gets no snapshot.
        clock_s: Every so many seconds the workers' wall clocks step by an hour; 0 for never.
        steps: By worker place, in order of time. After the last one each place has a worker.
        outages: Of the broker, in order of time, one ending before the next begins.

    """

    seed: int
    parcels_per_day: int
    preloaded: float
    lasts_s: float
    slow: float
    again: float
    flush_ms: int
    snapshot_bytes_min: int
    clock_s: float = 0.0
    steps: Mapping[str, Sequence[Step]] = field(default_factory=dict)
    outages: Sequence[Outage] = ()


def draw(seed: int, *, lasts_s: float = LASTS_S, parcels_per_day: int | None = None) -> Plan:
    """Draw a run. Whatever is not drawn may be given."""
    rng = random.Random(seed)
    points = _points(rng)
    return Plan(
        seed=seed,
        parcels_per_day=parcels_per_day or rng.randrange(8_000, 12_000),
        preloaded=rng.choice((0.0, 0.2, 0.5)),
        lasts_s=lasts_s,
        slow=rng.uniform(0.0, 0.5),
        again=rng.uniform(0.0, 0.1),
        flush_ms=rng.choice((50, 100, 250)),
        snapshot_bytes_min=rng.choice((30_000, 100_000, 400_000)),
        steps={slot: _steps(rng, slot, lasts_s, points) for slot in SLOTS},
        outages=_outages(rng, lasts_s),
        clock_s=rng.choice((0.0, 1.5, 6.0)),
    )


def _points(rng: random.Random) -> Iterator[str]:
    """Yield all crash points in some order, again and again, so that no run leaves out many."""
    return cycle(rng.sample(CRASH_POINTS, len(CRASH_POINTS)))


def _steps(rng: random.Random, slot: str, lasts_s: float, points: Iterator[str]) -> list[Step]:
    at_s = 0.0 if slot == SLOTS[0] else rng.uniform(0, lasts_s / 5)
    steps = [Step(at_s, "start")]
    while (at_s := steps[-1].at_s + rng.uniform(1.5, 5)) < lasts_s:
        fault = rng.choices(list(_FAULTS), list(_FAULTS.values()))[0]
        steps += fault(rng, at_s, points)
    return steps


def _kill(rng: random.Random, at_s: float, points: Iterator[str]) -> list[Step]:
    return [Step(at_s, "kill"), Step(at_s + _away_s(rng), "start")]


def _leave(rng: random.Random, at_s: float, points: Iterator[str]) -> list[Step]:
    return [Step(at_s, "stop"), Step(at_s + _away_s(rng), "start")]


def _away_s(rng: random.Random) -> float:
    """Back while its place is kept, or only after its partitions have gone to others."""
    return rng.choice((rng.uniform(0, 2), rng.uniform(SESSION_S + 0.5, SESSION_S + 3)))


def _crash(rng: random.Random, at_s: float, points: Iterator[str]) -> list[Step]:
    point = next(points)
    pauses = rng.random() < PAUSING[point in CALLBACKS]
    pause_s = rng.uniform(SESSION_S + 1, SESSION_S + 4) if pauses else 0.0
    crash = Crash(rng.choice(STAGES), point, rng.randint(1, PASSES_MAX[point]), pause_s)
    back_s = at_s + rng.uniform(0.1, 1)
    end: Do = rng.choice(("kill", "stop"))
    steps = [Step(at_s, end), Step(back_s, "start", crash)]
    if point == "during_loss":
        # What a member is told that was away for longer than its session.
        pause_s = back_s + JOINED_S
        steps += [Step(pause_s, "pause"), Step(pause_s + SESSION_S + 2, "resume")]
    return [*steps, Step(steps[-1].at_s + ARMED_S, "disarm")]


def _pause(rng: random.Random, at_s: float, points: Iterator[str]) -> list[Step]:
    for_s = rng.choice((rng.uniform(0.5, 4), rng.uniform(SESSION_S + 1, SESSION_S + 4)))
    return [Step(at_s, "pause"), Step(at_s + for_s, "resume")]


def _replace(rng: random.Random, at_s: float, points: Iterator[str]) -> list[Step]:
    return [Step(at_s, "replace")]


def _cut(rng: random.Random, at_s: float, points: Iterator[str]) -> list[Step]:
    line: Line = rng.choice(("reset", "swallow", "hold"))
    for_s = rng.choice((rng.uniform(0.2, 3), rng.uniform(SESSION_S + 1, SESSION_S + 4)))
    return [Step(at_s, "line", line=line), Step(at_s + for_s, "line", line="open")]


_Fault = Callable[[random.Random, float, Iterator[str]], list[Step]]
_FAULTS: Final[Mapping[_Fault, int]] = {
    _kill: 3,
    _crash: 6,
    _pause: 2,
    _leave: 2,
    _replace: 1,
    _cut: 3,
}
"""The faults with their weights."""


def _outages(rng: random.Random, lasts_s: float) -> list[Outage]:
    """Draw none, one or two; a broker needs some seconds to be back. A long one is alone."""
    if rng.random() < LONG:
        how: Outing = rng.choice(("stopped", "paused"))
        return [Outage(rng.uniform(3, lasts_s / 4), how, LONG_S)]
    outages = []
    at_s = rng.uniform(3, lasts_s / 2)
    for _ in range(rng.choice((0, 1, 1, 2))):
        how = rng.choice(("killed", "stopped", "paused", "full"))
        for_s = rng.uniform(0, 2) if how == "killed" else rng.uniform(1, 9)
        outages.append(Outage(at_s, how, for_s))
        at_s += for_s + rng.uniform(8, 15)
    return [outage for outage in outages if outage.at_s < lasts_s]
