"""The fast path is only ever a faster way to do what the rule does."""

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.policy import Policy
from streams.stages.match import fast_path
from streams.stages.match.waybills import Clock, Waybills
from tests.stages.match import drawn
from tests.stages.match.drawn import Sent

CLOCKS: st.SearchStrategy[Clock] = st.sampled_from(["data", "data", "wall"])


def some_waybills(clock: Clock) -> Waybills:
    waybills = Waybills(0, Policy(), drawn.changing_history(), clock=clock, hash_seed=7)
    waybills.note_new_reference()
    return waybills


@settings(max_examples=600, deadline=None)
@given(records=drawn.STREAMS, clock=CLOCKS, run_min=st.sampled_from([1, 1, 1, 8]))
def test_the_fast_path_leads_where_the_rule_leads(
    records: list[Sent], clock: Clock, run_min: int
) -> None:
    fast, plain = some_waybills(clock), some_waybills(clock)
    batch = drawn.batch(records)
    assert fast_path.run(fast, batch, run_min=run_min) == drawn.take_plainly(plain, batch)
    assert drawn.listed(fast.ledger.rows()) == drawn.listed(plain.ledger.rows())
    assert fast.outputs == plain.outputs
    assert (fast.received_max_ms, fast.watermark_ms) == (plain.received_max_ms, plain.watermark_ms)
    assert fast.sources == plain.sources
    assert fast.entries == plain.entries
    assert (fast.closed, fast.late) == (plain.closed, plain.late)
    assert fast.entries.changes() == plain.entries.changes()
    assert (fast.closed_new, fast.late_new) == (plain.closed_new, plain.late_new)
    assert fast.lookup.version_used == plain.lookup.version_used
