"""What is posted when: the table, and the outbox that follows it. Times are in minutes."""

from dataclasses import dataclass, field
from itertools import product

import pytest

from streams.notify.notices import Notice, NoticeKey
from streams.notify.outbox import TRANSITIONS, ItemSignal, ItemState, Outbox, OutboxPolicy, mermaid

MINUTE_MS = 60_000
POLICY = OutboxPolicy(
    resend_ms=MINUTE_MS, ended_ms=15 * MINUTE_MS, remember_ms=75 * MINUTE_MS, late_ms=2 * MINUTE_MS
)


def notice(name: str = "a", ended_at: int | None = None, level: str = "outlet") -> Notice:
    return Notice(
        key=NoticeKey(name, "1", "page"),
        labels={"alert_id": name, "level": level},
        annotations={},
        starts_ms=0,
        ended_ms=None if ended_at is None else ended_at * MINUTE_MS,
        url="",
        ahead_ms=60 * MINUTE_MS,
    )


def test_the_table_is_total() -> None:
    for state, signal in product(ItemState, ItemSignal):
        assert TRANSITIONS[state][signal] in ItemState


def test_only_a_record_ends_what_fires() -> None:
    open_states = {ItemState.UNTOLD, ItemState.TOLD}
    for state, signal in product(open_states, ItemSignal):
        if signal is not ItemSignal.ENDED:
            assert TRANSITIONS[state][signal] in open_states


def test_what_is_over_is_told_only_to_who_has_it() -> None:
    told = {
        signal for signal in ItemSignal if TRANSITIONS[ItemState.OVER][signal] is ItemState.ENDING
    }
    assert told == {ItemSignal.TOOK, ItemSignal.HELD}


def test_the_diagram_shows_every_change_of_state() -> None:
    shown = mermaid()
    for state, row in TRANSITIONS.items():
        for signal, to in row.items():
            if to is not state:
                assert any(
                    line.strip().startswith(f"{state.value} --> {to.value}")
                    and signal.value in line
                    for line in shown.splitlines()
                )


@dataclass
class Case:
    """Steps at minutes: `fire`, `end`, `took` (what was due), `held`, `lost`, `lost_answer` (the
    Alertmanager stored what was due, and the answer did not come). `posts` are minutes and what is
    due then: firing, ended or nothing."""

    name: str
    steps: list[tuple[float, str]]
    posts: list[tuple[float, str]] = field(default_factory=list)


CASES = [
    Case("a raise is posted at once", [(0, "fire")], [(0, "firing")]),
    Case("it stays due until it is taken", [(0, "fire")], [(0, "firing"), (0.5, "firing")]),
    Case(
        "it is posted again each minute",
        [(0, "fire"), (0, "took"), (1, "took"), (2, "took")],
        [(0.5, ""), (1, "firing"), (1.5, ""), (2, "firing"), (2.5, "")],
    ),
    Case(
        "new figures are posted at once",
        [(0, "fire"), (0, "took"), (0.2, "fire")],
        [(0.1, ""), (0.2, "firing")],
    ),
    Case(
        "a raise that has ended before it was posted never is",
        [(0, "fire"), (1, "end")],
        [(1, ""), (2, "")],
    ),
    Case(
        "an end is told for fifteen minutes",
        [(0, "fire"), (0, "took"), (5, "end"), (5, "took"), (6, "took"), (19.9, "took")],
        [(5, "ended"), (5.5, ""), (6, "ended"), (19.9, "ended"), (20, ""), (30, "")],
    ),
    Case(
        "an end that comes first is told to nobody",
        [(0, "end"), (0, "lost")],
        [(0, ""), (1, "")],
    ),
    Case(
        "but to who still has the alert from before a restart",
        [(0, "end"), (0, "held")],
        [(0, "ended"), (14, "ended"), (15, "")],
    ),
    Case(
        "a raise that another notify has posted is posted on, and ended",
        [(0, "fire"), (0, "held"), (1, "end")],
        [(0, "firing"), (1, "ended")],
    ),
    Case(
        "an end is told to who stored a raise and did not say so",
        [(0, "fire"), (1, "end"), (1, "held")],
        [(1, "ended")],
    ),
    Case(
        "who has forgotten is told at once, not in a minute",
        [(0, "fire"), (0, "took"), (0.2, "lost")],
        [(0.2, "firing")],
    ),
    Case(
        "who has forgotten an alert that has ended needs no end",
        [(0, "fire"), (0, "took"), (1, "end"), (1, "lost")],
        [(1, "")],
    ),
    Case(
        "who cannot be asked is told of an end that it may need",
        [(0, "end"), (70, "unknown")],
        [(0, ""), (70, "ended")],
    ),
    Case(
        "an end too old for anybody to have the alert is forgotten",
        [(0, "end"), (76, "unknown")],
        [(75, ""), (76, "")],
    ),
    Case(
        "no answer is no end",
        [(0, "fire"), (0, "took"), (0.1, "unknown"), (1, "unknown")],
        [(0.1, ""), (1, "firing"), (60, "firing"), (600, "firing")],
    ),
]


def due(outbox: Outbox, minute: float) -> str:
    found = outbox.due(round(minute * MINUTE_MS))
    return {None: "", False: "firing", True: "ended"}[
        found[0].ended_ms is not None if found else None
    ]


def apply(outbox: Outbox, minute: float, step: str) -> None:
    now_ms = round(minute * MINUTE_MS)
    key = notice().key
    if step == "fire":
        outbox.take(notice(), now_ms)
    elif step == "end":
        outbox.take(notice(ended_at=int(minute)), now_ms)
    elif step == "took":
        outbox.took(outbox.due(now_ms), now_ms)
    elif step == "held":
        outbox.asked({key}, now_ms)
    elif step == "lost":
        outbox.asked(set(), now_ms)
    else:
        assert step == "unknown"
        outbox.assume_held(now_ms)


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_outbox(case: Case) -> None:
    for minute, expected in case.posts:
        outbox = Outbox(POLICY)
        for at, step in case.steps:
            # What is taken at this minute was due before it was taken.
            if at < minute or (at == minute and step != "took"):
                apply(outbox, at, step)
        assert due(outbox, minute) == expected, f"at minute {minute}"


def test_a_post_under_way_when_the_end_comes_is_followed_by_the_end() -> None:
    outbox = Outbox(POLICY)
    outbox.take(notice(), 0)
    under_way = outbox.due(0)
    outbox.take(notice(ended_at=0), 100)
    assert not outbox.due(100)
    outbox.took(under_way, 200)
    assert [found.ended_ms for found in outbox.due(200)] == [0]


def test_a_change_during_a_post_is_posted_after_it() -> None:
    outbox = Outbox(POLICY)
    outbox.take(notice(), 0)
    under_way = outbox.due(0)
    newer = notice()
    outbox.take(newer, 100)
    outbox.took(under_way, 200)
    assert outbox.due(200) == [newer]


def test_the_broadest_goes_first_so_that_it_can_inhibit() -> None:
    outbox = Outbox(POLICY)
    levels = ["outlet", "county", "region", "city"]
    for level in levels:
        outbox.take(notice(level, level=level), 0)
    assert [found.labels["level"] for found in outbox.due(0)] == [
        "region",
        "city",
        "county",
        "outlet",
    ]


def test_posts_of_many_stay_together() -> None:
    outbox = Outbox(POLICY)
    for second in range(10):
        outbox.take(notice(str(second)), second * 1000)
        outbox.took(outbox.due(second * 1000), second * 1000)
    assert len(outbox.due(MINUTE_MS)) == 10, "what is nearly due goes along"


# At which minute, after which steps at minute 0, an alert raised at minute 0 is said to have started.
STARTS: list[tuple[str, float, list[tuple[float, str]], float]] = [
    ("a prompt one starts when it was raised", 1.9, [], 0),
    ("a late one starts now", 60, [], 60),
    ("until it is told", 61, [(60, "took")], 0),
    ("or is held from before", 60, [(60, "held")], 0),
    ("who has forgotten hears of it anew", 60, [(5, "took"), (60, "lost")], 60),
]


@pytest.mark.parametrize(
    ("minute", "steps", "starts"), [case[1:] for case in STARTS], ids=[case[0] for case in STARTS]
)
def test_an_alert_is_said_to_have_started(
    minute: float, steps: list[tuple[float, str]], starts: float
) -> None:
    outbox = Outbox(POLICY)
    apply(outbox, 0, "fire")
    for at, step in steps:
        apply(outbox, at, step)
    assert outbox.starts_ms(notice(), round(minute * MINUTE_MS)) == round(starts * MINUTE_MS)


def test_a_clock_that_is_set_back_makes_no_pause() -> None:
    outbox = Outbox(POLICY)
    outbox.take(notice(), 60 * MINUTE_MS)
    outbox.took(outbox.due(60 * MINUTE_MS), 60 * MINUTE_MS)
    assert len(outbox.due(0)) == 1


def test_it_says_when_to_look_again() -> None:
    outbox = Outbox(POLICY)
    assert outbox.next_ms(0) == MINUTE_MS, "even with nothing to post"
    outbox.take(notice(), 0)
    assert outbox.next_ms(0) == 0
    outbox.took(outbox.due(0), 0)
    assert outbox.next_ms(10_000) == MINUTE_MS


def test_ended_alerts_do_not_pile_up() -> None:
    outbox = Outbox(POLICY)
    for number in range(100):
        outbox.take(notice(str(number)), 0)
    outbox.took(outbox.due(0), 0)
    for number in range(100):
        outbox.take(notice(str(number), ended_at=1), MINUTE_MS)
    outbox.due(76 * MINUTE_MS)
    outbox.due(77 * MINUTE_MS)
    assert len(outbox) == 0
