"""Life of one alert as a transition table: quiet, pending, firing, clearing; ended is quiet again.

Rule 1: every transition is in TRANSITIONS. Code may look the table up; it may not add to it.
Rule 2: nothing here reads a clock. Instants come in as `now_ms`, UTC epoch milliseconds.
Rule 3: missing evidence never clears an alert. Only a rate above target and margin does, or the end of
its period, of its rule, or of its own standing beside a greater alert.

A rate that hovers about its target makes one alert and not twenty: between target and margin a firing
alert stays, and clearing begins anew.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from enum import Enum
from typing import Final


class AlertKind(Enum):
    """What an alert is about."""

    RATE_BELOW_TARGET = "RATE_BELOW_TARGET"
    RATE_AT_RISK = "RATE_AT_RISK"
    CHANNEL_SILENT = "CHANNEL_SILENT"


class AlertState(Enum):
    """Where an alert is in its life. Receivers see firing and clearing, and `ended` for quiet again."""

    QUIET = "quiet"
    PENDING = "pending"
    FIRING = "firing"
    CLEARING = "clearing"


class Signal(Enum):
    """What one evaluation says about one alert."""

    SURE = "sure"  # The condition holds, beyond chance.
    LIKELY = "likely"  # Below target, but it may be chance.
    HOLD = "hold"  # At target, but within the margin.
    CLEAR = "clear"  # Above the margin, not yet for `clear_ms`; or a silent channel sends again.
    CLEAR_HELD = "clear_held"  # The same for as long as it must, without a break.
    UNKNOWN = "unknown"  # Too few parcels, or no data.
    PERIOD_ENDED = "period_ended"  # The event period is over.
    WITHDRAWN = "withdrawn"  # The period or the outlet was removed.
    SUPERSEDED = "superseded"  # A greater alert says it all.


_Q, _P, _F, _C = AlertState.QUIET, AlertState.PENDING, AlertState.FIRING, AlertState.CLEARING
_ENDS = {Signal.PERIOD_ENDED: _Q, Signal.WITHDRAWN: _Q, Signal.SUPERSEDED: _Q}

TRANSITIONS: Final[Mapping[AlertState, Mapping[Signal, AlertState]]] = {
    _Q: {
        Signal.SURE: _F,
        Signal.LIKELY: _P,
        Signal.HOLD: _Q,
        Signal.CLEAR: _Q,
        Signal.CLEAR_HELD: _Q,
        Signal.UNKNOWN: _Q,
        **_ENDS,
    },
    _P: {
        Signal.SURE: _F,
        Signal.LIKELY: _P,
        Signal.HOLD: _Q,
        Signal.CLEAR: _Q,
        Signal.CLEAR_HELD: _Q,
        Signal.UNKNOWN: _P,
        **_ENDS,
    },
    _F: {
        Signal.SURE: _F,
        Signal.LIKELY: _F,
        Signal.HOLD: _F,
        Signal.CLEAR: _C,
        Signal.CLEAR_HELD: _Q,  # A hold of zero.
        Signal.UNKNOWN: _F,
        **_ENDS,
    },
    _C: {
        Signal.SURE: _F,
        Signal.LIKELY: _F,
        Signal.HOLD: _F,
        Signal.CLEAR: _C,
        Signal.CLEAR_HELD: _Q,
        Signal.UNKNOWN: _F,  # "Above for five minutes" was not seen, so it begins anew.
        **_ENDS,
    },
}

# The table is total: a state or signal added without its row or column fails at import.
assert set(TRANSITIONS) == set(AlertState)
assert all(set(row) == set(Signal) for row in TRANSITIONS.values())


class Reason(Enum):
    """Why a record of an alert was written."""

    RAISED = "raised"
    CHANGED = "changed"  # Its period, target or severity has changed.
    REEMITTED = "reemitted"  # It is still open, a day later.
    RECOVERED = "recovered"
    PERIOD_ENDED = "period_ended"
    WITHDRAWN = "withdrawn"
    SUPERSEDED = "superseded"


ENDS: Final[Mapping[Signal, Reason]] = {
    Signal.CLEAR_HELD: Reason.RECOVERED,
    Signal.PERIOD_ENDED: Reason.PERIOD_ENDED,
    Signal.WITHDRAWN: Reason.WITHDRAWN,
    Signal.SUPERSEDED: Reason.SUPERSEDED,
}
"""The signals that end an open alert, and what they are called in its last record."""

assert {s for s, to in TRANSITIONS[_F].items() if to is _Q} == set(ENDS)
assert {s for s, to in TRANSITIONS[_C].items() if to is _Q} == set(ENDS)


@dataclass(frozen=True, slots=True)
class Alert:
    """One alert of one scope.

    Attributes:
        state: Where it is in its life.
        since_ms: When it entered `state`.
        raised_ms: When receivers were first told of this episode; None while it is not open.
        episode: How often it has been raised.

    """

    state: AlertState = AlertState.QUIET
    since_ms: int = 0
    raised_ms: int | None = None
    episode: int = 0

    @property
    def is_open(self) -> bool:
        """Whether receivers have been told of it and not yet of its end."""
        return self.raised_ms is not None


def step(alert: Alert, signal: Signal, *, now_ms: int) -> tuple[Alert, Reason | None]:
    """Return the alert after `signal`, and why receivers must be told, or None.

    Idempotent: the same signal at the same instant again gives the same alert and None.

    Args:
        alert: The alert before the evaluation.
        signal: What the evaluation says.
        now_ms: Tick of the evaluation. Must not precede `alert.since_ms`.

    """
    assert now_ms >= alert.since_ms, (now_ms, alert)
    state = TRANSITIONS[alert.state][signal]
    if state is alert.state:
        return alert, None
    after = replace(alert, state=state, since_ms=now_ms)
    if state is AlertState.FIRING and not alert.is_open:
        return replace(after, raised_ms=now_ms, episode=alert.episode + 1), Reason.RAISED
    if state is AlertState.QUIET and alert.is_open:
        return replace(after, raised_ms=None), ENDS[signal]
    return after, None


def mermaid() -> str:
    """Return the transition table as a Mermaid state diagram, for ARCHITECTURE.md."""
    lines = ["stateDiagram-v2", "    [*] --> quiet"]
    for source, row in TRANSITIONS.items():
        for target in AlertState:
            signals = [signal.value for signal, to in row.items() if to is target]
            if signals and target is not source:
                lines.append(f"    {source.value} --> {target.value}: {', '.join(signals)}")
    return "\n".join(lines)
