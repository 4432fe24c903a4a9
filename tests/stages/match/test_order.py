"""Neither the order of arrival, within the disorder allowed, nor repeats change what is counted."""

import random
from collections.abc import Sequence

from hypothesis import given, settings
from hypothesis import strategies as st

from streams.domain.window import DAY_MS, MINUTE_MS, instant_from_text, instant_text
from streams.records.missing import decode
from tests.stages.match import drawn
from tests.stages.match.drawn import Sent

SEEDS = st.integers(0, 2**32)


def disordered(records: Sequence[Sent], rng: random.Random) -> list[Sent]:
    """Delay records by less than a minute, and send some of them again."""
    delayed = [
        (record.received_ms + rng.randrange(MINUTE_MS), number, record)
        for number, record in enumerate([*records, *rng.sample(records, len(records) // 3)])
    ]
    return [record for _, _, record in sorted(delayed)]


def outcome(records: list[Sent]) -> object:
    """Return what a log leads to once all of it is final.

    A missing parcel whose waybill has been used again after seven days is left out: the topic of
    missing parcels keeps its records that long.
    """
    partition = drawn.a_partition(drawn.changing_history())
    last_ms = max((record.received_ms for record in records), default=drawn.START_MS)
    beat = instant_text(last_ms + 20 * DAY_MS)
    end = Sent(0, None, b'{"type":"stream.heartbeat","received_at":"%s"}' % beat.encode())
    rejects = partition.apply(drawn.batch([*records, end]))
    drained = partition.drain(publish=True)
    last_of: dict[bytes | None, int] = {}
    for record in records:
        last_of[record.key] = max(last_of.get(record.key, 0), record.received_ms)
    return (
        drawn.by_cell(drawn.rows_in([drained])),
        {
            key: value
            for key, value in drawn.missing_of(drained.outputs).items()
            if last_of[key] < instant_from_text(decode(value).collected_at) + 7 * DAY_MS
        },
        {(records[reject.index], reject.code, reject.path) for reject in rejects},
    )


@settings(max_examples=200, deadline=None)
@given(records=drawn.ORDERLY_STREAMS, seed=SEEDS)
def test_less_than_a_minute_of_disorder_and_repeats_change_nothing(
    records: list[Sent], seed: int
) -> None:
    assert outcome(disordered(records, random.Random(seed))) == outcome(records)
