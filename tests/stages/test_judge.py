"""Verdicts in columns are the scalar verdicts, bit for bit."""

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.category import Category
from streams.domain.policy import Policy
from streams.domain.verdict import Line, judge_line, worst
from streams.stages.lines import LineTable, verdict_at

POLICY = Policy()
PERIODS = ["EP-A", "EP-B"]

LINES = st.builds(
    Line,
    target=st.sampled_from([0.5, 0.8, 0.9, 0.92, 0.95, 0.98, 0.995, 1.0]),
    n_min=st.sampled_from([0, 1, 20, 100]),
    category=st.sampled_from([None, Category.LOOSE, Category.WAREHOUSE_DIRECT]),
    event_period_id=st.sampled_from([None, *PERIODS]),
    l1_core=st.booleans(),
)


@given(st.lists(LINES, min_size=1, max_size=4), st.data())
@settings(max_examples=300, deadline=None)
def test_columns_say_what_the_scalar_rules_say(lines: list[Line], data: st.DataObject) -> None:
    scopes = data.draw(st.integers(1, 5))
    n = [[data.draw(st.integers(0, 400)) for _ in range(scopes)] for _ in lines]
    covered = [[data.draw(st.integers(0, most)) for most in row] for row in n]
    applies = np.array([[data.draw(st.booleans()) for _ in range(scopes)] for _ in lines])
    applies[0] |= ~applies.any(axis=0)  # A scope has at least one line.

    periods = [PERIODS.index(li.event_period_id) if li.event_period_id else -1 for li in lines]
    table = LineTable(lines, periods, POLICY)
    found, chosen = table.judge(np.array(n, float), np.array(covered, float), applies)

    for scope in range(scopes):
        mine = [
            judge_line(line, n=n[at][scope], covered=covered[at][scope], policy=POLICY)
            for at, line in enumerate(lines)
            if applies[at, scope]
        ]
        expected = worst(mine)
        assert verdict_at(found, scope, PERIODS, POLICY) == expected
        assert lines[chosen[scope]].target == expected.target
