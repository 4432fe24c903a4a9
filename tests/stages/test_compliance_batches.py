"""What is told depends on the records alone: not on batches, repeats of transactions, crashes, snapshots."""

import itertools
import json
import random
from collections.abc import Mapping, Sequence
from functools import cache

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.policy import Policy
from streams.domain.window import MINUTE_MS
from streams.records.refusals import Refusal, encode
from streams.records.topics import ALERTS, COMPLIANCE_INPUTS, DAYS, PARCELS_MISSING, SHIPMENTS_DLQ
from streams.stages.compliance.partition import CompliancePartition
from streams.stages.pipeline import LogRecord, Pipeline
from streams.stages.stage import Batch, Output
from tests.builders import Body, at, collected, heartbeat, registered, revoked
from tests.stages.telling import OUTLET, Event, a_history, a_stage, event_of

Log = Sequence[tuple[bytes, bytes | None, int]]
"""Key, value and timestamp of each record of an input."""


AT_ONCE = 4
"""Records between two looks at the figures: about as often as they are published."""


def _key(body: Body) -> bytes | None:
    return str(body["waybill_no"]).encode() if "waybill_no" in body else None


@cache
def played() -> Mapping[str, Log]:
    """Two days of an outlet whose rate falls and recovers, as the stages publish them."""
    pipeline = Pipeline(Policy(), a_history())
    rng = random.Random(7)
    bodies = []
    for number in range(150):
        hour, minute = divmod(480 + number * 4, 60)
        waybill, time = f"ZT{number:011d}", f"{hour:02d}:{minute:02d}"
        place = {"outlet_id": OUTLET, "waybill_no": waybill, "destination_code": "150602"}
        bodies.append((time, collected(time, **place)))
        lot = rng.random()
        if lot < 0.5:
            bodies.append(
                (time, registered(time, f"R{number}", outlet_id=OUTLET, waybill_no=waybill))
            )
        elif lot < 0.8:
            late = f"+1 {hour:02d}:{minute:02d}"
            bodies.append(
                (late, registered(late, f"R{number}", outlet_id=OUTLET, waybill_no=waybill))
            )
            if lot < 0.55:
                bodies.append(("+1 23:30", revoked("+1 23:30", f"R{number}", waybill_no=waybill)))
    bodies += [
        (f"+{d} {h:02d}:00", heartbeat(f"+{d} {h:02d}:00")) for d in range(4) for h in range(24)
    ]
    bodies.sort(key=lambda body: at(body[0]))
    found: dict[str, list[tuple[bytes, bytes | None, int]]] = {n: [] for n in COMPLIANCE_INPUTS}
    for begin in range(0, len(bodies), AT_ONCE):
        some = bodies[begin : begin + AT_ONCE]
        records = [LogRecord(_key(body), json.dumps(body).encode()) for _, body in some]
        for output in pipeline.take(records):
            found[output.topic].append((output.key or b"", output.value, at(some[-1][0])))
    assert not pipeline.dead_letters
    for number in range(200):
        code = rng.choice(["schema", "bad_time"])
        facts = Refusal(
            "zto-app", code, "$.time", "ZT0****0001", at("10:00") + number * 9_000, "0@1"
        )
        found[SHIPMENTS_DLQ].append((b"", encode(facts), 0))
    return found


def whole(topic: str) -> list[Event]:
    return told(a_stage(topic), played()[topic], 0)


def told(stage: CompliancePartition, log: Log, begin: int) -> list[Event]:
    return [event_of(output) for output in take(stage, log, begin)]


def take(stage: CompliancePartition, log: Log, begin: int) -> list[Output]:
    if not log:
        return []
    keys, values, stamps = zip(*log, strict=True)
    stage.apply(Batch(range(begin, begin + len(log)), keys, values, stamps))
    outputs = stage.drain(publish=False).outputs
    stage.committed()
    return outputs


@pytest.mark.parametrize(
    ("topic", "types"),
    [
        ("rates", {"rate.updated", "period.declared", "period.ended"}),
        (DAYS, {"day.closed", "day.revised"}),
        (ALERTS, {"alert.raised", "alert.changed", "alert.ended"}),
        (PARCELS_MISSING, {"parcel.missing", "parcel.retracted"}),
        (SHIPMENTS_DLQ, {"records.rejected"}),
    ],
)
def test_the_play_has_every_type_of_event_and_no_id_twice(topic: str, types: set[str]) -> None:
    events = whole(topic)
    assert {event.type for event in events} >= types - {"alert.changed"}
    ids = [event.attributes["id"] for event in events]
    assert len(ids) == len(set(ids))


def test_every_scope_is_told_once_each_hour_also_in_a_night_without_records() -> None:
    stage, log = a_stage("rates"), list(played()["rates"])
    events: list[Event] = []
    now_ms, last_ms = at("11:00"), at("+1 23:59")
    while now_ms < last_ms:
        come = [record for record in log if record[2] <= now_ms]
        events += told(stage, come, stage.next_offset)
        del log[: len(come)]
        if stage.beat(now_ms):
            events += [event_of(output) for output in stage.drain(publish=True).outputs]
            stage.committed()
        now_ms += 10 * MINUTE_MS
    scopes = {event.attributes["subject"] for event in events if event.type == "rate.updated"}
    assert len(scopes) == 3
    for scope in scopes:
        ours = [event.attributes for event in events if event.attributes["subject"] == scope]
        assert len({a["id"] for a in ours}) == len(ours)
        whole_hours = {a["time"] for a in ours if a["time"].endswith(":00:00+08:00")}
        assert len(whole_hours) >= 36, f"{scope}: {sorted(whole_hours)}"


def test_a_beat_that_was_told_is_not_told_again_after_a_crash() -> None:
    stage = a_stage("rates")
    log = played()["rates"][:40]
    keys, values, stamps = zip(*log, strict=True)
    stage.apply(Batch(range(len(log)), keys, values, stamps))
    assert stage.beat(at("+1 03:05"))
    state = stage.drain(publish=True).state
    stage.committed()
    after = restored("rates", [], state)
    assert after.next_offset == stage.next_offset
    assert not after.beat(at("+1 03:30"))
    assert after.beat(at("+1 04:05"))


@given(seed=st.integers(0, 2**32), topic=st.sampled_from(COMPLIANCE_INPUTS))
@settings(max_examples=40, deadline=None)
def test_any_batches_aborts_crashes_and_snapshots_give_the_same_events(
    seed: int, topic: str
) -> None:
    rng = random.Random(seed)
    log, expected = played()[topic], whole(topic)
    stage, offset = a_stage(topic), 0
    state: list[bytes] = []
    snapshot: list[bytes] = []
    events: list[Event] = []
    while offset < len(log):
        size = rng.randint(1, max(len(log) // 3, 1))
        keys, values, stamps = zip(*log[offset : offset + size], strict=True)
        stage.apply(Batch(range(offset, offset + len(keys)), keys, values, stamps))
        drained = stage.drain(publish=rng.random() < 0.5)
        what = rng.random()
        if what < 0.2:  # The process dies before the commit: a new one has the log only.
            stage = restored(topic, snapshot, state)
            continue
        if what < 0.4:  # The transaction was aborted, and is tried again with the same.
            assert stage.drain(publish=True) == drained
        stage.committed()
        state += drained.state
        events += map(event_of, drained.outputs)
        offset += len(keys)
        if what > 0.7:
            snapshot, state = list(stage.snapshot()), []
        if what > 0.85:  # It dies right after.
            stage = restored(topic, snapshot, state)
    assert events == expected


def restored(topic: str, snapshot: list[bytes], state: list[bytes]) -> CompliancePartition:
    stage = a_stage(topic)
    if snapshot:
        stage.restore_snapshot(snapshot)
    for payload in state:
        stage.restore_delta(payload)
    stage.restored()
    return stage


@pytest.mark.parametrize("topic", [t for t in COMPLIANCE_INPUTS if t != SHIPMENTS_DLQ])
def test_what_is_published_again_is_not_told_again(topic: str) -> None:
    """After a restore rates and days go out once more; a rebuilt state repeats alerts and parcels."""
    log = list(played()[topic])
    stage = a_stage(topic)
    first = take(stage, log, 0)
    latest = {key: (key, value, stamp) for key, value, stamp in log if value is not None}
    gone = {
        key for key, group in itertools.groupby(log, lambda r: r[0]) if list(group)[-1][1] is None
    }
    again = [record for key, record in latest.items() if key not in gone]
    assert first
    assert not take(stage, again, len(log))
