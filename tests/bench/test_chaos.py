"""The pure parts of `make chaos`: what a seed plans, how a load is disturbed, what counts as a difference."""

import random
import socket
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import closing, suppress
from itertools import pairwise, product
from pathlib import Path
from typing import Any, Self

import msgspec
import orjson
import pytest

from bench.chaos.disk import SmallDisk
from bench.chaos.figures import Figures, Letter, differences, figures_of, oracle_differences
from bench.chaos.load import OVERTAKING_MS, disturbed
from bench.chaos.network import Network
from bench.chaos.plan import CALLBACKS, LONG_S, SESSION_S, STAGES, Plan, Step, draw
from bench.chaos.told import event_differences, never_committed, untold
from streams.kafka.crash import CRASH_POINTS
from streams.notify.notices import PAGE, labels_of
from streams.records.topics import ALERTS, DAYS, PARCELS_MISSING
from streams.simulate.feed import SimulatedRecord
from tests import oracle
from tests.notify import builders
from tests.stages.telling import Event

PLANS = [draw(seed) for seed in range(150)]


def test_a_seed_always_plans_the_same_and_another_one_something_else() -> None:
    assert draw(3) == draw(3)
    assert draw(3) != draw(4)


@pytest.mark.parametrize("plan", PLANS[:20], ids=lambda plan: str(plan.seed))
def test_each_place_has_a_worker_after_its_last_fault(plan: Plan) -> None:
    for steps in plan.steps.values():
        assert [step.at_s for step in steps] == sorted(step.at_s for step in steps)
        running, paused, cut = False, False, False
        for step in steps:
            if step.do == "line":
                cut = step.line != "open"
            elif step.do in ("pause", "resume"):
                paused = step.do == "pause"
            elif step.do in ("kill", "stop"):
                assert not paused, "nobody would answer"
                running = False
            else:
                running = True
        assert running
        assert not paused
        assert not cut


def test_within_some_runs_every_crash_point_is_met_in_every_stage() -> None:
    crashes = {(s.crash.stage, s.crash.point) for s in all_steps() if s.crash is not None}
    assert crashes == {(stage, point) for stage in STAGES for point in CRASH_POINTS}


def test_in_each_callback_and_elsewhere_workers_pause_past_their_session_and_others_end() -> None:
    crashes = [step.crash for step in all_steps() if step.crash is not None]
    for points in ([point] for point in CALLBACKS):
        assert {c.pause_s > SESSION_S for c in crashes if c.point in points} == {False, True}
    assert {c.pause_s > 0 for c in crashes if c.point not in CALLBACKS} == {False, True}
    assert all(c.pause_s == 0 or c.pause_s > SESSION_S for c in crashes)


def test_networks_are_cut_in_every_way_for_less_and_more_than_a_session() -> None:
    cuts = [
        (step.line, after.at_s - step.at_s > SESSION_S)
        for plan in PLANS
        for steps in plan.steps.values()
        for step, after in pairwise(steps)
        if step.do == "line" and step.line != "open"
    ]
    assert set(cuts) == set(product(("reset", "swallow", "hold"), (False, True)))


def test_some_outages_last_longer_than_any_session_or_transaction() -> None:
    long = {outage.how for plan in PLANS for outage in plan.outages if outage.for_s == LONG_S}
    assert long == {"stopped", "paused"}


def test_some_pauses_outlast_the_session_and_some_do_not() -> None:
    pauses = [
        after.at_s - step.at_s
        for plan in PLANS
        for steps in plan.steps.values()
        for step, after in pairwise(steps)
        if step.do == "pause"
    ]
    assert min(pauses) < SESSION_S < max(pauses)


def test_every_kind_of_fault_is_drawn() -> None:
    assert {step.do for step in all_steps()} == {
        *("start", "kill", "stop", "pause", "resume", "replace", "disarm", "line")
    }
    assert {outage.how for plan in PLANS for outage in plan.outages} == {
        *("killed", "stopped", "paused", "full")
    }


def test_an_outage_ends_before_the_next_begins() -> None:
    for plan in PLANS:
        for one, next_ in pairwise(plan.outages):
            assert one.at_s + one.for_s < next_.at_s


def all_steps() -> Iterator[Step]:
    for plan in PLANS:
        for steps in plan.steps.values():
            yield from steps


RECORDS = [SimulatedRecord(b"%d" % at, b"v%d" % at, at * 7_000) for at in range(500)]


def test_an_undisturbed_load_is_fed_as_it_was_received() -> None:
    assert disturbed(RECORDS, random.Random(1), slow=0, again=0) == RECORDS


def test_a_disturbed_load_loses_nothing_repeats_some_and_stays_within_the_disorder() -> None:
    records = disturbed(RECORDS, random.Random(1), slow=0.5, again=0.2)
    assert set(records) == set(RECORDS)
    assert 550 < len(records) < 700
    assert records != sorted(records, key=lambda record: record.received_at_ms)
    newest_ms = 0
    for record in records:
        assert newest_ms - record.received_at_ms < OVERTAKING_MS
        newest_ms = max(newest_ms, record.received_at_ms)


# --- what counts as a difference ---

DAY = {"granularity": "CITY", "scope_id": "1501", "date": "2017-09-06", "eligible": 3}
RAISED = {"id": "a", "episode": 1, "reason": "raised"}
CLOSED = {"id": "a", "episode": 1, "reason": "recovered"}


def outcome(
    *,
    days: Sequence[dict[str, Any]] = (DAY,),
    alerts: Sequence[dict[str, Any]] = (RAISED, CLOSED),
    missing: Sequence[tuple[bytes, bytes | None]] = ((b"w1", b"{}"),),
    letters: Sequence[str] = ("empty", "schema"),
) -> Figures:
    records = [
        *((DAYS, b"", orjson.dumps(row)) for row in days),
        *((ALERTS, b"%s|1" % row["id"].encode(), orjson.dumps(row)) for row in alerts),
        *((PARCELS_MISSING, key, value) for key, value in missing),
    ]
    dead_letters: Counter[Letter] = Counter((code, b"k", b"value") for code in letters)
    return figures_of(records)._replace(dead_letters=dead_letters)


@pytest.mark.parametrize(
    ("found", "told", "sentence"),
    [
        ({}, [], "the same is no difference"),
        ({"days": [{**DAY, "eligible": 2}, DAY]}, [], "of a day the latest record counts"),
        (
            {"days": [{**DAY, "eligible": 4}]},
            ["day CITY|1501|2017-09-06: eligible 3 expected, 4 found"],
            "one parcel too many",
        ),
        ({"days": []}, ["day CITY|1501|2017-09-06: is not there"], "a day that is lost"),
        (
            {"alerts": [RAISED]},
            ["alert a|1: 2 records expected, 1 found"],
            "the end of an alert is lost",
        ),
        (
            {"alerts": [RAISED, RAISED, CLOSED]},
            [
                "alert a|1: record 2: reason 'recovered' expected, 'raised' found",
                "alert a: episode 1 was raised 2 times",
            ],
            "an alert is raised twice",
        ),
        (
            {"alerts": [CLOSED, RAISED]},
            ["alert a|1: record 1: reason 'raised' expected, 'recovered' found"],
            "the order within an alert matters",
        ),
        (
            {"missing": [(b"w1", b"{}"), (b"w1", None)]},
            ["missing parcel w1: is not there"],
            "a parcel that was taken back is not missing",
        ),
        (
            {"missing": [(b"w1", b"{}"), (b"w2", b"{}")]},
            ["missing parcel w2: should not be there"],
            "a parcel that is not missing",
        ),
        (
            {"letters": ["empty", "empty", "schema"]},
            ["dead letter empty of b'k', 5 bytes: 1 expected, 2 found"],
            "a dead letter that is there twice",
        ),
    ],
)
def test_differences_tell_what_is_not_as_undisturbed(
    found: dict[str, Any], told: list[str], sentence: str
) -> None:
    assert differences(outcome(), outcome(**found)) == told, sentence


def test_of_many_differences_the_first_are_told_and_the_rest_is_counted() -> None:
    missing = [(b"w%03d" % number, b"{}") for number in range(100)]
    told = differences(outcome(), outcome(missing=[*missing, (b"w1", b"{}")]))
    assert told[0] == "missing parcel w000: should not be there"
    assert told[-1] == "and 95 more"


def test_the_oracle_is_heard_on_missing_parcels_and_on_codes_of_dead_letters() -> None:
    truth = oracle.Truth({}, {}, {}, {}, {"w1", "w2"}, Counter(empty=1, schema=2))
    assert oracle_differences(truth, outcome(days=[])) == [
        "oracle's missing parcel w2: is not there",
        "oracle's dead letters schema: 2 expected, 1 found",
    ]


# --- what is around the workers ---


@pytest.fixture
def line() -> Iterator[tuple[Network, "Proxied"]]:
    """A network, and a connection through it to a listener that stands for a broker."""
    network = Network(["a"])
    with closing(network), Proxied(network) as proxied:
        yield network, proxied


class Proxied:
    """Both ends of a connection through the proxy."""

    def __init__(self, network: Network) -> None:
        ((told, bound),) = network.ports.items()
        self._listener = socket.create_server(("127.0.0.1", bound))
        self._told = told
        self.client = self.connect()
        self.client.sendall(b"hello")
        self.broker, _ = self._listener.accept()
        assert self.broker.recv(100) == b"hello"
        self.broker.settimeout(QUIET_S)

    def connect(self) -> socket.socket:
        client = socket.create_connection(("127.0.0.1", self._told))
        client.settimeout(QUIET_S)
        return client

    def accepts(self) -> socket.socket:
        self._listener.settimeout(10)
        return self._listener.accept()[0]

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *of: object) -> None:
        for end in (self.client, self.broker, self._listener):
            end.close()


QUIET_S = 0.3


def test_a_line_that_is_held_delivers_everything_late(line: tuple[Network, Proxied]) -> None:
    network, ends = line
    network.set("a", "hold")
    ends.client.sendall(b"request")
    with pytest.raises(TimeoutError):
        ends.broker.recv(100)
    network.set("a", "open")
    ends.broker.settimeout(10)
    assert ends.broker.recv(100) == b"request"


def test_a_line_that_is_reset_tells_both_ends_and_lets_nobody_in(
    line: tuple[Network, Proxied],
) -> None:
    network, ends = line
    network.set("a", "reset")
    for end in (ends.client, ends.broker):
        end.settimeout(10)
        with pytest.raises(ConnectionResetError):
            end.recv(100)
    late = ends.connect()
    with late, suppress(ConnectionResetError):
        assert late.recv(100) == b""
    network.set("a", "open")
    with ends.connect(), ends.accepts():
        pass


def test_a_line_that_swallows_tells_nobody_and_its_connections_stay_dead(
    line: tuple[Network, Proxied],
) -> None:
    network, ends = line
    network.set("a", "swallow")
    ends.client.sendall(b"request")
    ends.broker.sendall(b"answer")
    with pytest.raises(TimeoutError):
        ends.broker.recv(100)
    with pytest.raises(TimeoutError):
        ends.client.recv(100)
    network.set("a", "open")
    ends.client.sendall(b"again")
    with pytest.raises(TimeoutError):
        ends.broker.recv(100)
    ends.client.close()
    with pytest.raises(TimeoutError):
        ends.broker.recv(100)
    with ends.connect() as fresh, ends.accepts() as broker:
        fresh.sendall(b"works")
        broker.settimeout(10)
        assert broker.recv(100) == b"works"


def test_a_small_disk_is_filled_to_the_last_byte_and_freed(tmp_path: Path) -> None:
    disk = SmallDisk(tmp_path / "disk")
    if (refused := disk.mount()) is not None:
        pytest.skip(refused)
    try:
        disk.fill()
        with pytest.raises(OSError, match="No space left"):
            (tmp_path / "disk/more").write_bytes(bytes(4096))
        disk.free()
        (tmp_path / "disk/log").write_bytes(b"kept")
    finally:
        disk.unmount(keep=True)
    assert (tmp_path / "disk/log").read_bytes() == b"kept"


# --- what was told ---


def test_an_event_that_is_lost_or_told_twice_is_a_difference() -> None:
    key = ("compliance.e", "rate|scope")
    event = Event(*key, {"type": "rate.updated"}, {})
    assert list(event_differences({key: [event]}, {key: [event]})) == []
    told = "compliance.e rate|scope: ['rate.updated'] expected, "
    assert list(event_differences({key: [event]}, {})) == [f"{told}[] found"]
    assert list(event_differences({key: [event]}, {key: [event, event]})) == [
        f"{told}['rate.updated', 'rate.updated'] found"
    ]


def test_an_alert_that_nobody_committed_or_nobody_told_is_a_difference() -> None:
    row = msgspec.to_builtins(builders.record())
    episode = frozenset(labels_of(builders.record(), PAGE).items())
    other = frozenset({**dict(episode), "episode": "99"}.items())
    alerts = {"a|1": [row]}
    assert never_committed({episode}, alerts) == untold({episode}, alerts) == []
    assert len(never_committed({episode, other}, alerts)) == 1
    assert len(untold({other}, alerts)) == 1
