"""Better stopped than a topic emptied into the dead letters."""

import pytest

from streams.domain.policy import Policy
from streams.records.rejects import Reject, RejectCode, TooManyRejects
from streams.stages.match import reject_ratio
from streams.stages.match.reject_ratio import BLOCK_RECORDS, BLOCKS, RejectRatio
from tests.builders import Body, a_history, batch_of, collected
from tests.stages.match import drawn


def rejects(number: int, source: str, code: RejectCode = RejectCode.KEY_MISMATCH) -> list[Reject]:
    return [Reject(index, code, "$", source) for index in range(number)]


def test_a_source_is_flagged_when_more_than_half_of_its_records_are_refused() -> None:
    ratio = RejectRatio()
    ratio.add({"half": 1000, "more": 1000, "few": 999}, [
        *rejects(500, "half"), *rejects(501, "more"), *rejects(999, "few"),
    ])  # fmt: skip
    assert ratio.flagged == ["more"]


def test_what_could_not_be_decoded_counts_as_a_record_too() -> None:
    ratio = RejectRatio()
    ratio.add({"S": 400}, rejects(600, "S", RejectCode.SCHEMA))
    ratio.add({}, rejects(1000, "", RejectCode.NOT_JSON))
    assert ratio.flagged == ["", "S"]


def test_only_the_latest_records_matter() -> None:
    ratio = RejectRatio()
    ratio.add({"S": BLOCK_RECORDS}, rejects(BLOCK_RECORDS, "S"))
    assert ratio.flagged == ["S"]
    ratio.add({"S": BLOCK_RECORDS}, [])
    assert ratio.flagged == [], "half is not more than half"
    for _ in range(BLOCKS - 2):
        ratio.add({"S": BLOCK_RECORDS}, [])
    ratio.add({"S": BLOCK_RECORDS}, rejects(BLOCK_RECORDS, "S"))
    assert ratio.flagged == []
    assert ratio._watched() == {"S": (BLOCKS * BLOCK_RECORDS, BLOCK_RECORDS)}


def test_small_batches_fill_a_block_together() -> None:
    ratio = RejectRatio()
    for _ in range(10):
        ratio.add({"S": 100}, rejects(60, "S"))
    assert ratio.flagged == ["S"]


def test_the_counts_survive_in_the_state_log() -> None:
    ratio, restored = RejectRatio(), RejectRatio()
    ratio.add({"S": 1000, "T": 1000}, rejects(600, "S"))
    restored.load(ratio.dump())
    assert restored.flagged == ["S"]
    restored.add({"S": 1000}, [])
    ratio.add({"S": 1000}, [])
    assert restored.dump() == ratio.dump()


STOPS = [
    ("none of three is flagged", 0, 3, 0.5, False),
    ("one of two is not more than half", 1, 2, 0.5, False),
    ("two of three are", 2, 3, 0.5, True),
    ("the only one is", 1, 1, 0.5, True),
    ("with 1 nothing stops it", 3, 3, 1, False),
    ("with 0 the first one does", 1, 3, 0, True),
]


@pytest.mark.parametrize(
    ("flagged", "sources", "share", "stops"), [s[1:] for s in STOPS], ids=[s[0] for s in STOPS]
)
def test_it_stops_when_most_sources_send_what_is_refused(
    flagged: int, sources: int, share: float, stops: bool
) -> None:
    ratio = RejectRatio()
    refused = [r for n in range(flagged) for r in rejects(900 + n, f"S{n}")]
    ratio.add({f"S{n}": 1000 for n in range(sources)}, refused)
    if stops:
        worst = rf"{flagged} of {sources} sources .* from 'S{flagged - 1}', .* 'key_mismatch'"
        with pytest.raises(TooManyRejects, match=worst):
            ratio.stop_if_most_are_refused(share)
    else:
        ratio.stop_if_most_are_refused(share)


def test_after_a_restart_the_message_can_do_without_a_code() -> None:
    ratio, restored = RejectRatio(), RejectRatio()
    ratio.add({"S": 1000}, rejects(900, "S"))
    restored.load(ratio.dump())
    with pytest.raises(TooManyRejects, match="from 'S'; nothing"):
        restored.stop_if_most_are_refused(0.5)


def test_sources_beyond_the_limit_count_together() -> None:
    ratio = RejectRatio()
    ratio.add({f"S{n}": 1 for n in range(reject_ratio.SOURCES_MAX)}, [])
    for n in range(10):
        ratio.add({f"T{n}": 100}, rejects(90, f"T{n}"))
    assert ratio.flagged == [""]


def bad_batch(sources: int) -> list[Body]:
    return [
        collected("10:00", outlet_id="X", source=f"S{n % sources}") for n in range(1000 * sources)
    ]


def test_the_stage_stops_and_commits_nothing() -> None:
    partition = drawn.a_partition(a_history())
    with pytest.raises(TooManyRejects, match="unknown_outlet"):
        partition.apply(batch_of(bad_batch(1)))
    assert partition.next_offset == 0


def test_where_the_policy_lets_it_the_stage_goes_on_and_shows_the_source() -> None:
    partition = drawn.a_partition(a_history(), policy=Policy(reject_share_max=1))
    assert len(partition.apply(batch_of(bad_batch(1)))) == 1000
    assert partition.sources_flagged == ["S0"]
    again = drawn.a_partition(a_history())
    again.restore_snapshot(list(partition.snapshot()))
    again.restored()
    assert again.sources_flagged == ["S0"]
