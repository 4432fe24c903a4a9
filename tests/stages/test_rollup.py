"""The rollup stage against the same rules said slowly, and against itself in other batches."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.cell import UNIT_SHIFT
from streams.domain.period import EventPeriod
from streams.domain.policy import Policy
from streams.domain.window import MINUTE_MS, TICK_MS, instant_from_text
from streams.records.published import AlertRecord
from streams.stages.stage import Output
from tests.stages.feeds import (
    MIDNIGHT_TICK,
    SHORT,
    Feed,
    Sender,
    a_rate,
    a_reference,
    a_rollup,
    alerts,
    periods,
    records,
    run_both,
    streams_of_rows,
    totals_of,
)
from tests.stages.plain import Plain, Row, outlet_alone, rolled_up
from tests.stages.test_rate import figures

UNTIL = st.integers(MIDNIGHT_TICK - 150, MIDNIGHT_TICK + 450)


@given(rows=streams_of_rows(), named=periods(), until=UNTIL)
@settings(max_examples=30, deadline=None)
def test_figures_and_verdicts_are_those_of_the_slow_rules(
    rows: list[Row], named: tuple[EventPeriod, ...], until: int
) -> None:
    reference = a_reference(*named)
    plain = Plain(SHORT, reference, rolled_up)
    plain.run(rows, until)

    _, rollup = run_both(reference, rows, until=until)
    rates = records(rollup.commit(publish=True), "rates")

    assert set(rates) == {
        f"{granularity.value}|{scope_id}" for granularity, scope_id in plain.scopes
    }
    for scope, verdict in plain.verdicts.items():
        record = rates[f"{scope[0].value}|{scope[1]}"]
        told = record["verdict"]
        assert figures(record["trailing_24h"]) == plain.trailing(scope)
        assert (told["rate_status"], told["ticket"], told["target"], told["event_period_id"]) == (
            verdict.status.name,
            verdict.ticket,
            verdict.target,
            verdict.event_period_id,
        )
        assert (told["n"], told["covered"], told["z"]) == (
            verdict.n,
            verdict.covered,
            verdict.bound_z,
        )


@given(
    rows=streams_of_rows(),
    named=periods(),
    until=UNTIL,
    policy=st.builds(
        replace,
        st.just(SHORT),
        routine_alerts=st.booleans(),
        silent_ms=st.sampled_from([10 * MINUTE_MS, 30 * MINUTE_MS]),
        silent_collections=st.sampled_from([1, 20, 1_000_000]),
        silent_hold_ms=st.sampled_from([0, 5 * MINUTE_MS, 30 * MINUTE_MS]),
    ),
)
@settings(max_examples=60, deadline=None)
def test_alerts_are_those_of_the_slow_rules(
    rows: list[Row], named: tuple[EventPeriod, ...], until: int, policy: Policy
) -> None:
    reference = a_reference(*named)
    expected = set()  # A silent channel's are said by both.
    for scopes_of in (outlet_alone, rolled_up):
        plain = Plain(policy, reference, scopes_of)
        plain.run(rows, until)
        assert len(set(plain.told)) == len(plain.told)
        expected |= set(plain.told)

    _, rollup = run_both(reference, rows, until=until, policy=policy)

    found = [
        (
            at,
            record.alert_id,
            record.episode,
            record.reason,
            record.severity,
            record.target,
            record.event_period_id,
        )
        for at, record in ticks_and(rollup.commit())
    ]
    assert sorted(found, key=str) == sorted(expected, key=str)


def ticks_and(outputs: list[Output]) -> list[tuple[int, AlertRecord]]:
    return [(instant_from_text(a.last_at) // TICK_MS, a) for a in alerts(outputs)]


@given(rows=streams_of_rows(), named=periods(), data=st.data())
@settings(max_examples=30, deadline=None)
def test_batches_commits_partitions_and_restarts_change_nothing(
    rows: list[Row], named: tuple[EventPeriod, ...], data: st.DataObject
) -> None:
    until = MIDNIGHT_TICK + 300
    policy = replace(SHORT, collapse_outlets=2, silent_collections=5)
    reference = a_reference(*named)
    _, at_once = run_both(reference, rows, until=until, policy=policy)
    expected = at_once.commit(publish=True)

    rates = [Feed(a_rate(reference, policy)) for _ in range(2)]
    senders = [Sender(), Sender()]
    for number, rate in enumerate(rates):
        rate.stage._partition = number  # type: ignore[attr-defined]  # A rate partition's.
    rollup = Feed(a_rollup(reference, policy, sources=2))
    sent: list[Output] = []
    log: list[bytes] = []
    before = MIDNIGHT_TICK - 1_000
    cuts = data.draw(st.lists(st.integers(MIDNIGHT_TICK - 210, until - 1), max_size=5, unique=True))
    for cut in [*sorted(cuts), until]:
        values = []
        for number, (rate, sender) in enumerate(zip(rates, senders, strict=True)):
            mine = [
                row
                for row in rows
                if before < row[0] <= cut and (row[1] >> (27 + UNIT_SHIFT)) % 2 == number
            ]
            rate.apply(sender.records(mine, until=cut))
            values += totals_of(rate.commit())
        before = cut
        rollup.apply(values)
        if data.draw(st.booleans()):
            rollup.stage.drain(publish=True)  # An aborted transaction.
        drained = rollup.stage.drain(publish=data.draw(st.booleans()))
        rollup.stage.committed()
        sent += drained.outputs
        log += drained.state
        how = data.draw(st.sampled_from(["no", "log", "snapshot"]))
        if how != "no":
            after = Feed(a_rollup(reference, policy, sources=2))
            if how == "snapshot":
                after.stage.restore_snapshot(list(rollup.stage.snapshot()))
            else:
                for payload in log:
                    after.stage.restore_delta(payload)
            rollup = after
    rollup.stage.restored()
    sent += rollup.commit(publish=True)

    of_alerts = [output for output in sent if output.topic == "alerts"]
    assert of_alerts == [output for output in expected if output.topic == "alerts"]
    assert records(sent, "days") == records(expected, "days")
    assert records(sent, "rates") == records(expected, "rates")
