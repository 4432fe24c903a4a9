"""By which key closed parcels are remembered, and that no worker goes on under another."""

import msgspec
import pytest

from streams.domain.policy import Policy
from streams.stages.match import MatchPartition, state
from streams.stages.match.hash_key import UNKEYED, HashKey, hash_key
from streams.stages.match.waybills import Waybills
from tests.builders import a_history, batch_of, collected

ONE, OTHER = hash_key("a secret"), hash_key("a secret, too")


def a_partition(key: HashKey) -> MatchPartition:
    return MatchPartition(0, Policy(), a_history(), counts_partitions=1, clock="data", key=key)


def hashed(key: HashKey) -> int:
    waybills: Waybills = a_partition(key)._waybills
    return waybills.hash_of(b"W1")


def test_a_secret_always_gives_the_same_key_and_another_a_different_one() -> None:
    assert hash_key("a secret") == ONE
    assert len({ONE.seed, ONE.check, OTHER.seed, OTHER.check, 0}) == 5
    assert hash_key("") == UNKEYED
    assert len({hashed(ONE), hashed(OTHER), hashed(UNKEYED)}) == 3


def test_a_seed_is_not_shown() -> None:
    assert str(ONE.seed) not in repr(ONE)


REFUSALS = [
    ("another key", ONE, OTHER, "with another waybill_hash_key than this worker's: set the same"),
    ("no key any more", ONE, UNKEYED, "with a waybill_hash_key, and this worker has none"),
    ("a key where there was none", UNKEYED, ONE, "without a waybill_hash_key, and this worker has"),
]


@pytest.mark.parametrize(
    ("before", "after", "told"), [r[1:] for r in REFUSALS], ids=[r[0] for r in REFUSALS]
)
def test_a_state_of_another_key_is_refused(before: HashKey, after: HashKey, told: str) -> None:
    writer = a_partition(before)
    writer.apply(batch_of([collected("10:00")]))
    deltas = writer.drain(publish=False).state
    writer.committed()
    same = a_partition(before)
    for delta in deltas:
        same.restore_delta(delta)
    assert same.open_parcels == 1
    other = a_partition(after)
    with pytest.raises(ValueError, match=told):
        other.restore_delta(deltas[0])
    with pytest.raises(ValueError, match=told):
        other.restore_snapshot(list(writer.snapshot()))
    assert other.open_parcels == 0


def test_a_state_from_before_there_were_keys_goes_on_without_one_alone() -> None:
    writer = a_partition(UNKEYED)
    writer.apply(batch_of([collected("10:00")]))
    [now] = writer.drain(publish=False).state
    fields = msgspec.msgpack.decode(now)
    assert fields[0] == state.FORMAT
    before = msgspec.msgpack.encode([2, fields[1], fields[2][:5], *fields[3:]])
    reader = a_partition(UNKEYED)
    reader.restore_delta(before)
    assert reader.open_parcels == 1
    with pytest.raises(ValueError, match="unset it"):
        a_partition(ONE).restore_delta(before)
