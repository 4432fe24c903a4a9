"""The topic catalogue: consistent in itself. tests/test_schemas.py compares schemas/topics."""

import pytest

from streams.records.topics import (
    COUNTS,
    MATCH_STATE,
    PARCELS_MISSING,
    RATE_STATE,
    ROLLUP_STATE,
    SHIPMENTS,
    SHIPMENTS_DLQ,
    TOTALS,
    catalogue,
)


def test_names_have_the_prefix_and_keys_do_not() -> None:
    for short, topic in catalogue("region-15.").items():
        assert topic.name == f"region-15.{short}"


def test_topics_that_follow_another_have_as_many_partitions() -> None:
    topics = catalogue(partitions={SHIPMENTS: 5, COUNTS: 3})
    assert topics[PARCELS_MISSING].partitions == topics[MATCH_STATE].partitions == 5
    assert topics[RATE_STATE].partitions == 3
    assert topics[ROLLUP_STATE].partitions == topics[TOTALS].partitions == 1
    assert topics[SHIPMENTS_DLQ].partitions == catalogue()[SHIPMENTS_DLQ].partitions


def test_all_that_is_wrong_with_the_partitions_is_said_at_once() -> None:
    wrong = {MATCH_STATE: 3, TOTALS: 2, "shipment": 9, SHIPMENTS: 0}
    with pytest.raises(ValueError, match="set that one's") as raised:
        catalogue(partitions=wrong)
    lines = str(raised.value).splitlines()
    assert [line.split("; ")[0] for line in lines] == [
        "match.state has as many partitions as shipments",
        "totals always has one partition",
        "there is no topic shipment",
        "shipments cannot have 0 partitions",
    ]


@pytest.mark.parametrize("name", [COUNTS, TOTALS, MATCH_STATE, RATE_STATE, ROLLUP_STATE])
def test_what_a_worker_restores_from_is_never_deleted_by_time_or_size(name: str) -> None:
    config = catalogue()[name].config
    assert config["cleanup.policy"] == "delete"
    assert config["retention.ms"] == config["retention.bytes"] == "-1"


def test_only_shipments_take_their_time_from_the_broker() -> None:
    stamped = [
        name
        for name, topic in catalogue().items()
        if topic.config.get("message.timestamp.type") == "LogAppendTime"
    ]
    assert stamped == [SHIPMENTS]


def test_the_dead_letter_topic_takes_any_shipment_with_its_reason() -> None:
    topics = catalogue()
    sizes = [int(topics[name].config["max.message.bytes"]) for name in (SHIPMENTS, SHIPMENTS_DLQ)]
    assert sizes[1] > sizes[0] + 64 * 1024
