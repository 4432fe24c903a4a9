"""The match stage as its drivers see it: how they batch, drain and crash makes no difference."""

import random
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.window import TICK_MS
from streams.records import changes, topics
from streams.stages.match import MatchPartition
from streams.stages.stage import Batch, Drained
from tests.builders import a_history, batch_of, collected, heartbeat, revoked
from tests.stages.match import drawn
from tests.stages.match.drawn import Sent

SEEDS = st.integers(0, 2**32)


def pieces(records: list[Sent], rng: random.Random) -> list[Batch]:
    """Cut a log into batches of random lengths."""
    batches, offset = [], 0
    while offset < len(records):
        length = rng.randint(1, 8)
        batches.append(drawn.batch(records[offset : offset + length], offset))
        offset += length
    return batches


def everything(partition: MatchPartition) -> object:
    """Return the state in a form that two partitions can be compared by.

    What is remembered of a closed parcel does not matter once its waybill is open anew.
    """
    waybills = partition._waybills
    opened = {waybills.hash_of(key) for key in waybills.entries}
    return (
        waybills.entries,
        {closed: cell for closed, cell in waybills.closed.items() if closed not in opened},
        waybills.sources,
        (waybills.received_max_ms, waybills.watermark_ms, partition.next_offset),
        waybills.lookup.version_used,
    )


@settings(max_examples=100, deadline=None)
@given(records=drawn.STREAMS, seed=SEEDS)
def test_batches_and_drains_may_be_cut_anywhere(records: list[Sent], seed: int) -> None:
    rng = random.Random(seed)
    whole, cut = (drawn.a_partition(drawn.changing_history(), targets=3) for _ in range(2))
    rejects = whole.apply(drawn.batch(records))
    at_once = [whole.drain(publish=True)]
    drains: list[Drained] = []
    cut_rejects = []
    for batch in pieces(records, rng):
        cut_rejects += [replace(r, index=r.index + batch.offsets[0]) for r in cut.apply(batch)]
        if rng.random() < 0.5:
            drains.append(cut.drain(publish=False))
            cut.committed()
    drains.append(cut.drain(publish=True))
    assert cut_rejects == rejects
    assert drawn.listed(drawn.rows_in(drains)) == drawn.listed(drawn.rows_in(at_once))
    missing = [o for o in drawn.outputs_of(at_once) if o.topic == topics.PARCELS_MISSING]
    assert [o for o in drawn.outputs_of(drains) if o.topic == topics.PARCELS_MISSING] == missing
    assert everything(cut) == everything(whole)


@settings(max_examples=100, deadline=None)
@given(records=drawn.STREAMS, seed=SEEDS)
def test_no_change_has_a_tick_before_a_watermark_that_was_sent(
    records: list[Sent], seed: int
) -> None:
    partition = drawn.a_partition(drawn.changing_history(), targets=2)
    promised_ms = expected_offset = 0
    for batch in pieces(records, random.Random(seed)):
        partition.apply(batch)
        sent = [
            changes.decode(output.value or b"")
            for output in partition.drain(publish=True).outputs
            if output.topic == topics.COUNTS
        ]
        partition.committed()
        assert len(sent) == 2, "every target hears of the watermark, also without changes"
        for each in sent:
            assert all(tick * TICK_MS >= promised_ms for tick in each.rows.ticks.tolist())
            assert each.header.watermark_ms == partition.stream_time_ms >= promised_ms
            assert (each.header.from_offset, each.header.to_offset) == (
                expected_offset,
                partition.next_offset,
            )
        promised_ms, expected_offset = partition.stream_time_ms, partition.next_offset


@settings(max_examples=150, deadline=None)
@given(records=drawn.STREAMS, seed=SEEDS)
def test_a_crash_leaves_no_trace(records: list[Sent], seed: int) -> None:
    rng = random.Random(seed)
    history = drawn.changing_history()
    steady, crashing = (drawn.a_partition(history) for _ in range(2))
    snapshot: list[bytes] = []
    deltas: list[bytes] = []
    drains: list[Drained] = []
    steady.apply(drawn.batch(records))
    while crashing.next_offset < len(records):
        start = crashing.next_offset
        crashing.apply(drawn.batch(records[start : start + rng.randint(1, 8)], start))
        fate = rng.random()
        if fate < 0.3:
            crashing.drain(publish=True)  # An aborted transaction: the next drain has it again.
        elif fate < 0.8:
            drains.append(crashing.drain(publish=True))
            crashing.committed()
            deltas += drains[-1].state
            if rng.random() < 0.2:
                snapshot, deltas = list(crashing.snapshot()), []
        else:
            crashing = drawn.a_partition(history)
            crashing.restore_snapshot(snapshot)
            for delta in deltas:
                crashing.restore_delta(delta)
            crashing.restored()
            assert crashing.drain(publish=True) == Drained(), "what was committed is not sent again"
    drains.append(crashing.drain(publish=True))
    at_once = [steady.drain(publish=True)]
    assert drawn.listed(drawn.rows_in(drains)) == drawn.listed(drawn.rows_in(at_once))
    assert drawn.missing_of(drawn.outputs_of(drains)) == drawn.missing_of(drawn.outputs_of(at_once))
    assert everything(crashing) == everything(steady)


def test_a_flush_of_several_payloads_is_whole_only_with_its_last() -> None:
    steady, restored = (drawn.a_partition(a_history()) for _ in range(2))
    bodies = [collected("10:00", waybill_no=f"W{n}") for n in range(6_001)]
    steady.apply(batch_of(bodies))
    first, last = steady.drain(publish=True).state
    restored.restore_delta(first)
    assert restored.stream_time_ms == 0
    restored.restore_delta(last)
    restored.restored()
    assert everything(restored) == everything(steady)
    assert restored.open_parcels == 6_001


def test_what_was_forgotten_before_a_crash_is_not_remembered_after_it() -> None:
    steady, restored = (drawn.a_partition(a_history()) for _ in range(2))
    late = revoked("+3 10:10")
    flushes = [[collected("10:00"), heartbeat("+3 10:06")], [late], [heartbeat("+8 00:00")]]
    for flush in flushes:
        steady.apply(batch_of(flush, offset=steady.next_offset))
        for payload in steady.drain(publish=True).state:
            restored.restore_delta(payload)
        steady.committed()
    assert restored._waybills.closed.keys() == restored._waybills.late.keys() != set()
    restored.restored()
    assert everything(restored) == everything(steady)
    assert not restored._waybills.late
