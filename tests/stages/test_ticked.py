"""What rate and rollup promise their driver: offsets, versions, deltas, and repeated drains."""

from dataclasses import replace
from typing import Any

import msgspec
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.category import Category
from streams.domain.cell import Counter
from streams.domain.period import EventPeriod
from streams.domain.window import MINUTE_MS, TICK_MS
from streams.reference.types import ReferenceHistory
from streams.stages import ticked
from streams.stages.columns import unpack
from streams.stages.rate import RatePartition
from streams.stages.rollup import RollupPartition
from streams.stages.stage import Batch
from tests.stages.feeds import (
    MIDNIGHT_TICK,
    SHORT,
    Feed,
    Sender,
    a_cell,
    a_period,
    a_rate,
    a_reference,
    a_rollup,
    a_row,
    alerts,
    parcels,
    periods,
    records,
    run_rate,
    sent_rows,
    streams_of_rows,
    totals_of,
    verdict_changes,
)
from tests.stages.plain import Row


def a_batch(values: list[bytes], first: int = 0) -> Batch:
    offsets = list(range(first, first + len(values)))
    return Batch(offsets, [None] * len(values), list(values), [0] * len(values))


def test_a_batch_names_the_reference_version_that_it_was_made_with() -> None:
    stage = a_rate(a_reference())
    values = Sender().records(parcels(0, at=0, count=1), until=MIDNIGHT_TICK + 5)
    assert stage.reference_version_needed(a_batch(values)) == 1
    assert stage.reference_version_needed(a_batch([])) == 0
    assert stage.apply(a_batch(values)) == []
    assert stage.next_offset == 1


@given(rows=streams_of_rows(minutes=25), named=periods(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_ticks_gone_through_together_are_as_one_after_the_other(
    rows: list[Row], named: tuple[EventPeriod, ...], data: st.DataObject
) -> None:
    """Also where reference data take effect among them, channels fall silent, and alerts wait."""
    policy = replace(
        SHORT,
        grace_alert_ms=data.draw(st.sampled_from([5, 15])) * MINUTE_MS,
        silent_ms=data.draw(st.sampled_from([7, 1_000])) * MINUTE_MS,
        silent_collections=5,
        collapse_outlets=2,
        routine_alerts=data.draw(st.booleans()),
    )
    renewed_ms = (MIDNIGHT_TICK + data.draw(st.integers(-30, 60))) * TICK_MS
    versions = [a_reference(), a_reference(*named, version=2, effective_at_ms=renewed_ms)]
    begin, end = MIDNIGHT_TICK - 60, MIDNIGHT_TICK + 320
    rows = [row for row in rows if row[0] <= end]
    found = []
    for steps in ([end], range(begin, end + 1)):
        history = ReferenceHistory(versions)
        rate, sender = Feed(RatePartition(0, policy, history, sources=1)), Sender()
        rollup = Feed(RollupPartition(policy, history, sources=1))
        outputs, before = [], begin - 1
        for step in steps:
            rate.apply(sender.records([r for r in rows if before < r[0] <= step], until=step))
            sent = rate.commit(publish=step == end)
            rollup.apply(totals_of(sent))
            outputs += sent + rollup.commit(publish=step == end)
            before = step
        snapshots = [list(feed.stage.snapshot()) for feed in (rate, rollup)]
        found.append((outputs, snapshots))
    (together, one), (apart, other) = found
    assert sent_rows(together) == sent_rows(apart)
    assert verdict_changes(together) == verdict_changes(apart)
    assert alerts(together) == alerts(apart)
    assert records(together, "rates") == records(apart, "rates")
    assert records(together, "days") == records(apart, "days")
    for some, others in zip(one, other, strict=True):
        assert arrays_of(some) == arrays_of(others)


def arrays_of(chunks: list[bytes]) -> dict[str, list[Any]]:
    arrays, _ = unpack(chunks)
    return {name: np.nan_to_num(array, nan=-1).tolist() for name, array in arrays.items()}


def test_a_batch_that_comes_again_is_a_bug_of_the_driver() -> None:
    stage = a_rate(a_reference())
    values = Sender().records([], until=MIDNIGHT_TICK)
    stage.apply(a_batch(values))
    with pytest.raises(AssertionError, match="next_offset"):
        stage.apply(a_batch(values))
    with pytest.raises(AssertionError, match="without a drain"):
        stage.committed()


def test_a_damaged_record_is_an_error() -> None:
    with pytest.raises(ValueError, match="damaged"):
        a_rate(a_reference()).apply(a_batch([b"\x01"]))


def test_a_drain_may_be_repeated_and_then_gives_all_that_has_come_since() -> None:
    feed, sender = Feed(a_rate(a_reference())), Sender()
    feed.apply(sender.records(parcels(0, at=0, count=1), until=MIDNIGHT_TICK + 5))
    first = feed.stage.drain(publish=True)
    assert feed.stage.drain(publish=True) == first
    feed.apply(sender.records(parcels(1, at=5, count=1), until=MIDNIGHT_TICK + 10))
    second = feed.commit(publish=True)
    assert set(sent_rows(first.outputs)) < set(sent_rows(second))
    assert set(records(second, "rates")) == {"OUTLET|O-000", "OUTLET|O-001"}
    assert feed.commit(publish=True) == []  # Nothing is due any more.


def test_what_is_applied_after_a_drain_survives_its_commit() -> None:
    feed, sender = Feed(a_rate(a_reference())), Sender()
    feed.apply(sender.records(parcels(0, at=0, count=1), until=MIDNIGHT_TICK + 5))
    feed.stage.drain(publish=True)
    feed.apply(sender.records(parcels(1, at=5, count=1), until=MIDNIGHT_TICK + 10))
    feed.stage.committed()
    after = feed.commit(publish=True)
    assert [row[1] for row in sent_rows(after)] != []
    assert [change.outlet for change in verdict_changes(after)] == [1]
    assert set(records(after, "rates")) == {"OUTLET|O-001"}


def test_totals_cover_the_offsets_without_gaps() -> None:
    feed, sender, taken = Feed(a_rate(a_reference())), Sender(), Feed(a_rollup(a_reference()))
    for minute in range(5, 40, 5):
        feed.apply(sender.records(parcels(0, at=minute, count=1), until=MIDNIGHT_TICK + minute))
        taken.apply(totals_of(feed.commit()))  # A gap would be an error.
    assert taken.stage.tick == feed.stage.tick


def test_a_snapshot_is_of_committed_state() -> None:
    feed = run_rate(a_reference(), parcels(0, at=0, count=1), until=MIDNIGHT_TICK + 5)
    with pytest.raises(AssertionError, match="committed"):
        list(feed.stage.snapshot())


def test_a_stage_that_has_seen_nothing_has_a_snapshot_too() -> None:
    for make in (a_rate, a_rollup):
        after = make(a_reference())
        after.restore_snapshot(list(make(a_reference()).snapshot()))
        assert (after.next_offset, after.tick) == (0, 0)


def test_deltas_are_cut_so_that_kafka_takes_them() -> None:
    feed, sender = Feed(a_rate(a_reference())), Sender()
    size = ticked.STATE_BYTES
    for minute in range(3):
        rows = [a_row(minute, a_cell(0, 0), Counter.DUPLICATES)] * 40_000
        feed.apply(sender.records(rows, until=MIDNIGHT_TICK + minute))
    drained = feed.stage.drain(publish=False)
    feed.stage.committed()
    assert len(drained.state) == 3
    assert max(len(payload) for payload in drained.state) < size + 50_000 < 900_001
    after = Feed(a_rate(a_reference()))
    for payload in drained.state:
        after.stage.restore_delta(payload)
    after.stage.restored()
    assert records(after.commit(publish=True), "days") == records(feed.commit(publish=True), "days")


def test_a_delta_of_another_format_is_refused() -> None:
    payload = msgspec.msgpack.encode([99, 0, []])
    with pytest.raises(ValueError, match="format 99"):
        a_rate(a_reference()).restore_delta(payload)


def test_a_version_is_used_from_its_tick_on() -> None:
    later = replace(
        a_reference(a_period("EP"), version=2), effective_at_ms=(MIDNIGHT_TICK + 30) * TICK_MS
    )
    stage = RatePartition(0, SHORT, ReferenceHistory([a_reference(), later]), sources=1)
    feed = Feed(stage)
    feed.apply(Sender().records(parcels(0, at=0, count=9), until=MIDNIGHT_TICK + 59))
    found = [(c.tick - MIDNIGHT_TICK, c.event_period_id) for c in verdict_changes(feed.commit())]
    assert found == [(1, None), (15, None), (30, "EP")]


def test_a_version_that_is_read_after_its_tick_is_used_from_the_next_tick_on() -> None:
    history = ReferenceHistory([a_reference()])
    feed, sender = Feed(RatePartition(0, SHORT, history, sources=1)), Sender()
    feed.apply(sender.records(parcels(0, at=0, count=9), until=MIDNIGHT_TICK + 40))
    feed.commit()
    history.add(
        replace(
            a_reference(a_period("EP"), version=2), effective_at_ms=(MIDNIGHT_TICK + 30) * TICK_MS
        )
    )
    feed.apply(sender.records([], until=MIDNIGHT_TICK + 59))
    found = [(c.tick - MIDNIGHT_TICK, c.event_period_id) for c in verdict_changes(feed.commit())]
    assert found == [(41, "EP")]


def test_the_evidence_of_bad_verdicts_is_sent_again_each_hour() -> None:
    feed, sender = Feed(a_rate(a_reference())), Sender()
    rows = [*parcels(0, at=0, count=50), *parcels(1, at=0, count=50, covered=50)]
    rows.append(a_row(100, a_cell(0, 0), Counter.COVERED_LATE, 2))
    feed.apply(sender.records(rows, until=MIDNIGHT_TICK + 130))
    found = [
        (change.tick - MIDNIGHT_TICK, change.covered)
        for change in verdict_changes(feed.commit())
        if change.outlet == 0
    ]
    assert found == [(1, 0), (15, 0), (60, 0), (120, 2)]


@pytest.mark.parametrize(
    ("start", "from_pane", "status"),
    [
        # Of the day on which a period began only what was collected since is judged.
        (60, 0, "INSUFFICIENT"),
        (0, 0, "BREACH"),
    ],
)
def test_a_parcel_collected_before_a_period_never_meets_its_target(
    start: int, from_pane: int, status: str
) -> None:
    reference = a_reference(a_period("EP", start=start))
    rows = parcels(0, at=from_pane, count=50)
    feed = run_rate(reference, rows, until=MIDNIGHT_TICK + 200)
    verdict = records(feed.commit(publish=True), "rates")["OUTLET|O-000"]["verdict"]
    assert (verdict["event_period_id"], verdict["rate_status"]) == ("EP", status)


def test_an_old_days_status_is_by_the_targets_of_its_end() -> None:
    reference = a_reference(a_period("EP", start=60, end=3_000))
    rows = parcels(0, at=720, count=50)
    feed = run_rate(reference, rows, until=MIDNIGHT_TICK + 2_000)
    day = records(feed.commit(publish=True), "days")["OUTLET|O-000|2017-09-08"]
    assert (day["rate_status"], day["event_period_id"], day["target"]) == ("BREACH", "EP", 0.9)
    assert day["parcel_category"] == "*"


def test_a_day_names_the_category_whose_target_decided_since_its_rate_is_of_all() -> None:
    of_all = a_period("EP-1", start=-3_000, end=3_000, rate=0.6)
    of_loose = a_period("EP-2", start=-3_000, end=3_000, rate=0.8, category=Category.LOOSE)
    reference = a_reference(of_all, of_loose)
    rows = [
        *parcels(0, at=720, count=100, covered=50),
        *parcels(0, at=720, count=900, covered=900, category=Category.AGREEMENT),
    ]
    feed = run_rate(reference, rows, until=MIDNIGHT_TICK + 2_000)
    day = records(feed.commit(publish=True), "days")["OUTLET|O-000|2017-09-08"]
    assert (day["rate"], day["target"], day["rate_status"]) == (0.95, 0.8, "BREACH")
    assert (day["event_period_id"], day["parcel_category"]) == ("EP-2", "LOOSE")


def test_an_old_days_part_that_was_never_kept_apart_is_not_judged() -> None:
    # The period is heard of two days after it began, within that day.
    later = replace(
        a_reference(a_period("EP", start=60, end=9_000), version=2),
        effective_at_ms=(MIDNIGHT_TICK + 5_000) * TICK_MS,
    )
    stage = RatePartition(0, SHORT, ReferenceHistory([a_reference(), later]), sources=1)
    feed = Feed(stage)
    feed.apply(Sender().records(parcels(0, at=720, count=50), until=MIDNIGHT_TICK + 7_300))
    day = records(feed.commit(publish=True), "days")["OUTLET|O-000|2017-09-08"]
    assert (day["rate_status"], day["target"]) == ("INSUFFICIENT", None)


def verdict_of(feed: Feed) -> tuple[str | None, str, int]:
    found = records(feed.commit(publish=True), "rates")["OUTLET|O-000"]["verdict"]
    return found["event_period_id"], found["rate_status"], found["n"]


def test_a_stricter_period_that_began_later_does_not_hide_what_came_before_it() -> None:
    reference = a_reference(
        a_period("EP-LOOSE", rate=0.8), a_period("EP-STRICT", start=60, rate=0.95)
    )
    rows = [*parcels(0, at=0, count=50), *parcels(0, at=60, count=50, covered=50)]
    feed = run_rate(reference, rows, until=MIDNIGHT_TICK + 120)
    assert verdict_of(feed) == ("EP-LOOSE", "BREACH", 100)
    # Beginning together, the stricter says it all.
    reference = a_reference(a_period("EP-LOOSE", rate=0.8), a_period("EP-STRICT", rate=0.95))
    feed = run_rate(reference, rows, until=MIDNIGHT_TICK + 120)
    assert verdict_of(feed) == ("EP-STRICT", "BREACH", 100)


def test_a_late_record_of_before_a_period_stays_before_it() -> None:
    reference = a_reference(a_period("EP", start=60))
    rows = [
        *parcels(0, at=60, count=10, covered=10),
        a_row(100, a_cell(0, 0), Counter.ELIGIBLE, 50),  # Collected an hour before it began.
    ]
    feed = run_rate(reference, rows, until=MIDNIGHT_TICK + 120)
    assert verdict_of(feed) == ("EP", "OK", 10)


def test_pending_parcels_are_those_of_the_worst_line_also_after_a_restart() -> None:
    reference = a_reference(
        a_period("EP-ALL", rate=0.9), a_period("EP-CITY", rate=0.95, bit=0, n_min=1)
    )
    rows = [
        *parcels(0, at=0, count=50),
        *parcels(0, at=0, count=5, covered=5, scope=1),
        *parcels(0, at=55, count=7),  # Young at the whole hour, and bound for elsewhere.
    ]
    sender, feed = Sender(), Feed(a_rate(reference))
    feed.apply(
        sender.records([r for r in rows if r[0] <= MIDNIGHT_TICK + 57], until=MIDNIGHT_TICK + 57)
    )
    feed.commit()
    after = Feed(a_rate(reference))
    after.stage.restore_snapshot(list(feed.stage.snapshot()))
    last = sender.records([], until=MIDNIGHT_TICK + 61)
    for stage in (feed, after):
        stage.apply(last)
        (change,) = verdict_changes(stage.commit())
        assert (change.event_period_id, change.pending) == ("EP-ALL", 7)
