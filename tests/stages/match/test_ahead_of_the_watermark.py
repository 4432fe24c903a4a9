"""What a record's own time brings about, ahead of the watermark, a restored partition knows as well."""

import pytest

from streams.domain.cell import Counter
from streams.stages.match import MatchPartition
from tests.builders import Body, a_history, batch_of, heartbeat, registered, revoked
from tests.stages.match import drawn

# A pane that ends at 10:05 closes 72 hours later; the watermark is a minute behind what was received.
AT_THE_CLOSE = "+3 10:05"
AFTER_IT = "+3 11:00"

FIRST = [
    ("never collected, so an orphan", [registered("10:00")], {int(Counter.ORPHANS): 1}),
    ("nothing to count but what comes after it", [revoked("10:00")], {}),
]


def in_flushes(flushes: list[list[Body]], *, crash: bool) -> dict[int, int]:
    """Return what the flushes count, each of them taken by a restored partition if one crashes."""
    log: list[bytes] = []
    drained = []
    partition: MatchPartition = drawn.a_partition(a_history())
    offset = 0
    for flush in flushes:
        if crash:
            partition = drawn.a_partition(a_history())
            for payload in log:
                partition.restore_delta(payload)
            partition.restored()
        partition.apply(batch_of(flush, offset=offset))
        offset += len(flush)
        drained.append(partition.drain(publish=True))
        partition.committed()
        log += drained[-1].state
    figures: dict[int, int] = {}
    for (_, counter), figure in drawn.by_cell(drawn.rows_in(drained)).items():
        figures[counter] = figures.get(counter, 0) + figure
    return figures


@pytest.mark.parametrize(("first", "counted"), [f[1:] for f in FIRST], ids=[f[0] for f in FIRST])
def test_what_has_closed_ahead_of_the_watermark_closes_once(
    first: list[Body], counted: dict[int, int]
) -> None:
    again = revoked(AT_THE_CLOSE, id="again")
    flushes = [first, [again], [heartbeat(AFTER_IT)]]
    undisturbed = in_flushes(flushes, crash=False)
    assert in_flushes(flushes, crash=True) == undisturbed
    assert {c: undisturbed.get(c, 0) for c in counted} == counted
