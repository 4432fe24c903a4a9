"""The region that ships with the program, and one play of everything that can go wrong in it."""

from dataclasses import dataclass

import pytest

from streams.reference.areas import shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.history import assemble, plan_all
from streams.reference.types import Reference
from streams.resources import config_dir
from streams.simulate.feed import Feed, SimulatedRecord, open_scenario
from tests import oracle


@dataclass(frozen=True)
class Played:
    feed: Feed
    records: list[SimulatedRecord]
    truth: oracle.Truth


@pytest.fixture(scope="session")
def reference() -> Reference:
    paths = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
    applies = plan_all({}, read_files(paths, shipped_areas()).values(), now_ms=0)
    return assemble([(apply.key, apply.value) for apply in applies]).latest


@pytest.fixture(scope="session")
def faults(reference: Reference) -> Played:
    return play(open_scenario("faults", seed=7, reference=reference))


def play(feed: Feed) -> Played:
    records = list(feed.records())
    assert feed.end_ms is not None
    truth = oracle.judge(
        [(record.key, record.value) for record in records],
        oracle.read_reference(config_dir()),
        until_ms=feed.end_ms + 3 * oracle.HOUR,
    )
    return Played(feed, records, truth)
