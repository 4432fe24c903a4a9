"""The life of an alert: every transition, and what is told of it."""

from itertools import product

import pytest

from streams.domain.alert import (
    ENDS,
    TRANSITIONS,
    Alert,
    AlertState,
    Reason,
    Signal,
    mermaid,
    step,
)

Q, P, F, C = AlertState.QUIET, AlertState.PENDING, AlertState.FIRING, AlertState.CLEARING
OPEN = {F, C}


def life(*signals: Signal) -> tuple[list[AlertState], list[Reason]]:
    alert, states, reasons = Alert(), [], []
    for minute, signal in enumerate(signals, start=1):
        alert, reason = step(alert, signal, now_ms=minute)
        states.append(alert.state)
        reasons += [reason] if reason else []
    return states, reasons


@pytest.mark.parametrize(
    ("signals", "states", "reasons"),
    [
        # A breach is raised at once.
        ("sure", [F], ["raised"]),
        # What may be chance waits, and nobody is told.
        ("likely likely hold", [P, P, Q], []),
        ("likely sure", [P, F], ["raised"]),
        # A rate that hovers about its target is one alert.
        ("sure hold likely sure hold", [F, F, F, F, F], ["raised"]),
        # Five minutes above the margin end it.
        ("sure clear clear clear_held", [F, C, C, Q], ["raised", "recovered"]),
        # Falling back below the margin begins anew.
        ("sure clear hold clear", [F, C, F, C], ["raised"]),
        ("sure clear likely clear_held", [F, C, F, Q], ["raised", "recovered"]),
        # Missing evidence never clears, and interrupts clearing.
        ("sure unknown unknown", [F, F, F], ["raised"]),
        ("sure clear unknown", [F, C, F], ["raised"]),
        # The other ends have names of their own.
        ("sure period_ended", [F, Q], ["raised", "period_ended"]),
        ("sure clear withdrawn", [F, C, Q], ["raised", "withdrawn"]),
        ("sure superseded", [F, Q], ["raised", "superseded"]),
        # What was never told has no end to tell.
        ("likely period_ended", [P, Q], []),
    ],
)
def test_a_life_goes_as_told(signals: str, states: list[AlertState], reasons: list[str]) -> None:
    found, told = life(*(Signal(name) for name in signals.split()))
    assert (found, [reason.value for reason in told]) == (states, reasons)


def test_every_raise_has_one_end_whatever_the_signals() -> None:
    for signals in product(Signal, repeat=4):
        states, reasons = life(*signals)
        raised = [reason is Reason.RAISED for reason in reasons]
        # Raises and ends take turns, and it is open now just when the last was a raise.
        assert raised == [number % 2 == 0 for number in range(len(raised))], signals
        assert (states[-1] in OPEN) == bool(raised and raised[-1]), signals


def test_the_same_signal_again_at_the_same_instant_tells_nothing() -> None:
    for state, signal in product(AlertState, Signal):
        raised_ms = 1 if state in OPEN else None
        after, _ = step(Alert(state, 1, raised_ms, 1), signal, now_ms=2)
        assert step(after, signal, now_ms=2) == (after, None)


def test_each_raise_is_an_episode_of_its_own() -> None:
    alert = Alert()
    for minute, signal in enumerate([Signal.SURE, Signal.WITHDRAWN, Signal.SURE]):
        alert, _ = step(alert, signal, now_ms=minute)
    assert (alert.episode, alert.raised_ms) == (2, 2)


def test_missing_evidence_never_ends_an_open_alert() -> None:
    assert Signal.UNKNOWN not in ENDS
    assert {TRANSITIONS[state][Signal.UNKNOWN] for state in OPEN} == {F}


def test_time_does_not_go_back() -> None:
    with pytest.raises(AssertionError):
        step(Alert(since_ms=5), Signal.SURE, now_ms=4)


def test_the_diagram_shows_every_change_of_state() -> None:
    drawn = mermaid()
    for state, row in TRANSITIONS.items():
        for signal, to in row.items():
            line = next(
                (li for li in drawn.splitlines() if f"{state.value} --> {to.value}:" in li), ""
            )
            assert (signal.value in line.partition(": ")[2].split(", ")) == (state is not to)
