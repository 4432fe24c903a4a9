"""The rate stage against the same rules said slowly, and against itself in other batches."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.cell import Counter, cell_of
from streams.domain.period import EventPeriod
from streams.domain.rate import Figures
from streams.records.changes import summed
from streams.stages.rate import summed_quickly
from tests.stages.feeds import (
    DAY,
    MIDNIGHT_TICK,
    SHORT,
    Feed,
    Sender,
    a_rate,
    a_reference,
    columns,
    parcels,
    periods,
    records,
    run_rate,
    sent_rows,
    streams_of_rows,
    verdict_changes,
)
from tests.stages.plain import Plain, Row, key_of, outlet_alone

UNTIL = st.integers(MIDNIGHT_TICK - 150, MIDNIGHT_TICK + 450)


@given(rows=streams_of_rows(), named=periods(), until=UNTIL)
@settings(max_examples=40, deadline=None)
def test_verdicts_are_those_of_the_slow_rules(
    rows: list[Row], named: tuple[EventPeriod, ...], until: int
) -> None:
    reference = a_reference(*named)
    plain = Plain(SHORT, reference, outlet_alone)
    plain.run(rows, until)

    found = verdict_changes(
        run_rate(reference, rows, until=until).stage.drain(publish=False).outputs
    )

    expected = {
        (tick, int(scope[1][2:]), key_of(verdict), verdict.n, verdict.covered, verdict.bound)
        for tick, scope, verdict in plain.changes
    }
    keys = {
        (c.tick, c.outlet, key_of(c.verdict), c.n, c.covered, c.bound)
        for c in found
        if (c.tick % 60 or (c.tick, c.outlet) in {e[:2] for e in expected})
    }
    assert keys == expected


@given(rows=streams_of_rows(), until=UNTIL)
@settings(max_examples=40, deadline=None)
def test_figures_are_those_of_the_slow_rules(rows: list[Row], until: int) -> None:
    reference = a_reference()
    plain = Plain(SHORT, reference, outlet_alone)
    plain.run(rows, until)

    outputs = run_rate(reference, rows, until=until).commit(publish=True)

    days = records(outputs, "days")
    rates = records(outputs, "rates")
    assert {key.split("|")[1] for key in rates} == {scope_id for _, scope_id in plain.scopes}
    for scope in plain.scopes:
        rate = rates[f"OUTLET|{scope[1]}"]
        assert figures(rate["trailing_24h"]) == plain.trailing(scope)
        for day in (DAY - 1, DAY):
            text = {DAY - 1: "2017-09-07", DAY: "2017-09-08"}[day]
            record = days.get(f"OUTLET|{scope[1]}|{text}")
            expected = plain.of_day(scope, day)
            assert (figures(record) if record else Figures(0, 0, 0, 0, 0)) == expected
            for counter in Counter:
                if record and counter > Counter.COVERED_LATE:
                    assert record[counter.name.lower()] == plain.counter(scope, day, counter)


def figures(record: dict[str, int]) -> Figures:
    return Figures(
        record["covered_on_time"],
        record["covered_late"],
        record["missing"],
        record["covered_young"],
        record["pending"],
    )


@given(rows=streams_of_rows(), named=periods(), data=st.data())
@settings(max_examples=40, deadline=None)
def test_batches_commits_sources_and_restarts_change_nothing(
    rows: list[Row], named: tuple[EventPeriod, ...], data: st.DataObject
) -> None:
    until = MIDNIGHT_TICK + 300
    reference = a_reference(*named)
    at_once = run_rate(reference, rows, until=until)
    expected = at_once.commit(publish=True)

    feed = Feed(a_rate(reference, sources=2))
    senders = [Sender(0), Sender(1)]
    sent, log = [], []
    cuts = data.draw(st.lists(st.integers(MIDNIGHT_TICK - 210, until - 1), max_size=6))
    before = [MIDNIGHT_TICK - 1_000] * 2
    for cut in [*sorted(cuts), until]:
        values = []
        for sender in senders:
            mine = [
                row
                for number, row in enumerate(rows)
                if number % 2 == sender.source and before[sender.source] < row[0] <= cut
            ]
            # A source may be late with its watermark; but all have passed everything in the end.
            values += sender.records(mine, until=cut)
            before[sender.source] = cut
        half = data.draw(st.integers(0, len(values)))
        feed.apply(values[:half])
        if data.draw(st.booleans()):
            feed.stage.drain(publish=True)  # An aborted transaction.
        feed.apply(values[half:])
        drained = feed.stage.drain(publish=data.draw(st.booleans()))
        feed.stage.committed()
        sent += drained.outputs
        log += drained.state
        feed = restarted(
            feed, log, reference, data.draw(st.sampled_from(["no", "log", "snapshot"]))
        )
    feed.stage.restored()
    sent += feed.commit(publish=True)

    assert sent_rows(sent) == sent_rows(expected)
    assert verdict_changes(sent) == verdict_changes(expected)
    assert records(sent, "days") == records(expected, "days")
    assert records(sent, "rates") == records(expected, "rates")


def restarted(feed: Feed, log: list[bytes], reference: object, how: str) -> Feed:
    if how == "no":
        return feed
    after = Feed(a_rate(reference, sources=2))  # type: ignore[arg-type]  # What it was made with.
    if how == "snapshot":
        after.stage.restore_snapshot(list(feed.stage.snapshot()))
    else:
        for payload in log:
            after.stage.restore_delta(payload)
    after.stage.restored()
    assert after.stage.next_offset == feed.stage.next_offset
    return after


def test_no_tick_passes_before_all_sources_are_heard_of() -> None:
    feed = Feed(a_rate(a_reference(), sources=2))
    rows = parcels(0, at=0, count=1)
    feed.apply(Sender(0).records(rows, until=MIDNIGHT_TICK + 9))
    assert sent_rows(feed.commit(publish=True)) == []
    feed.apply(Sender(1).records([], until=MIDNIGHT_TICK + 9))
    assert len(sent_rows(feed.commit())) == 1


@given(
    st.lists(
        st.tuples(
            st.integers(0, 3) | st.integers(0, 2**25),  # Ticks close together, or too far apart,
            st.integers(0, 3) | st.integers(0, 2**36 - 1),  # and groups,
            st.integers(0, 3) | st.integers(0, 2**27 - 1),  # and panes, for one number.
            st.sampled_from(Counter),
            st.integers(-3, 3),
        ),
        max_size=40,
    )
)
def test_summing_quickly_is_summing(drawn: list[tuple[int, int, int, Counter, int]]) -> None:
    rows = columns([(t, cell_of(g, pane), int(c), by) for t, g, pane, c, by in drawn])
    quickly, expected = summed_quickly(rows), summed(rows)
    for name in ("ticks", "cells", "counters", "deltas"):
        assert getattr(quickly, name).tolist() == getattr(expected, name).tolist()
