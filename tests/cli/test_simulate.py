"""`realname simulate`: to a file, and to Kafka."""

import json
from collections.abc import Iterator, Mapping
from datetime import datetime, timedelta
from pathlib import Path
from time import monotonic

import pytest

from streams.cli.pace import Beat, paced, quick_nights, uniform, with_beats
from streams.domain.window import instant_from_text
from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.reading import read_to_end
from streams.records.topics import SHIPMENTS, Topic
from streams.simulate.feed import SimulatedRecord
from tests.cli.conftest import Realname

FEW = ("--parcels-per-day", "6000")


def test_scenarios_are_listed(realname: Realname) -> None:
    rows = realname.ok("simulate", "--list", "--json").rows
    assert {"demo", "day", "faults", "steady"} <= {row["scenario"] for row in rows}
    assert all(row["text"] and row["start"].endswith("+08:00") for row in rows)


class TestToFile:
    def test_the_same_seed_gives_the_same_lines_and_another_gives_others(
        self, realname: Realname, tmp_path: Path
    ) -> None:
        for name, seed in (("a", "5"), ("b", "5"), ("c", "6")):
            realname.ok("simulate", "demo", "--to", name, "--seed", seed, *FEW)
        a, b, c = ((tmp_path / name).read_bytes() for name in "abc")
        assert a == b
        assert a != c

    def test_lines_are_in_order_of_receipt_within_a_minute(
        self, realname: Realname, tmp_path: Path
    ) -> None:
        told = realname.ok("simulate", "demo", "--to", "a.jsonl", *FEW).err
        lines = (tmp_path / "a.jsonl").read_bytes().splitlines()
        assert f"{len(lines):,} lines; " in told
        assert "left out" in told
        received = []
        for line in lines:
            try:
                received.append(datetime.fromisoformat(json.loads(line)["received_at"]))
            except (ValueError, TypeError):
                continue  # Garbage belongs to it.
        assert len(received) > 2_000
        latest = received[0]
        for moment in received:
            latest = max(latest, moment)
            assert latest - moment < timedelta(minutes=1)

    def test_standard_output_is_a_file_too(self, realname: Realname, tmp_path: Path) -> None:
        realname.ok("simulate", "demo", "--to", "a", *FEW)
        piped = realname.ok("simulate", "demo", "--to", "-", *FEW)
        assert len(piped.out) > 100_000
        assert (
            piped.out.encode("utf8", "surrogateescape")[:5_000]
            == ((tmp_path / "a").read_bytes()[:5_000])
        )


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ([], "name a SCENARIO"),
        (["nothing", "--to", "-"], "no scenario nothing; there are"),
        (["nothing.toml", "--to", "-"], "no scenario nothing.toml"),
        (["demo", "--to", "."], "cannot be written"),
        (["demo", "--to", "-", "--parcels-per-day", "200"], "no place left"),
    ],
)
def test_what_cannot_be_played_is_exit_code_2(
    realname: Realname, arguments: list[str], expected: str
) -> None:
    result = realname("simulate", *arguments)
    assert result.code == 2
    assert expected in result.err


@pytest.mark.kafka
class TestToKafka:
    @pytest.fixture
    def here(self, broker: EmbeddedBroker, prefix: str, topics: Mapping[str, Topic]) -> Realname:
        assert topics, "made for the commands to find"
        return Realname("--bootstrap", broker.bootstrap, "--prefix", prefix)

    def test_without_outlets_nothing_can_be_played(self, here: Realname) -> None:
        result = here("simulate", "demo")
        assert result.code == 2
        assert "run `realname setup` first" in result.err

    def test_each_partition_ends_with_the_end_of_the_play(
        self, here: Realname, broker: EmbeddedBroker, topics: Mapping[str, Topic]
    ) -> None:
        here.ok("setup")
        told = here.ok("simulate", "demo", *FEW).err
        client = client_config(broker.bootstrap, client_id="tests")
        last: dict[int | None, bytes | str | None] = {}
        keyed = beats = 0
        for message in read_to_end(client, topics[SHIPMENTS].name):
            last[message.partition()] = message.value()
            keyed += message.key() is not None
            beats += message.key() is None
        assert f"{keyed:,} records sent, {beats:,} heartbeats" in told
        assert beats >= 36 * 60 * topics[SHIPMENTS].partitions
        end = b'{"type":"stream.heartbeat","received_at":"2017-09-07T10:00:00+08:00"}'
        assert last == dict.fromkeys(range(topics[SHIPMENTS].partitions), end)


class TestPace:
    def played(self, *received_ms: int) -> Iterator[SimulatedRecord]:
        yield from (SimulatedRecord(b"", b"", at) for at in received_ms)

    def test_a_beat_comes_each_minute_before_what_was_received_later(self) -> None:
        records = self.played(59_000, 60_000, 61_000, 190_000, 150_000)
        items = list(with_beats(records, start_ms=60_000, end_ms=250_000))
        beats = [item.received_at_ms for item in items if isinstance(item, Beat)]
        assert beats == [60_000, 120_000, 180_000, 240_000, 250_000]
        order = [60_000, 60_000, 61_000, 120_000, 180_000, 190_000, 150_000, 240_000, 250_000]
        assert [item.received_at_ms for item in items] == [59_000, *order]

    def test_a_play_without_an_end_has_no_last_beat(self) -> None:
        items = list(with_beats(self.played(60_000), start_ms=0, end_ms=None))
        assert [item.received_at_ms for item in items] == [0, 60_000, 60_000]

    def test_items_come_no_earlier_than_they_are_received(self) -> None:
        begun = monotonic()
        records = self.played(-5_000, 0, 20_000, 30_000)
        came = [
            (record.received_at_ms, monotonic() - begun)
            for record in paced(records, uniform(0, 100))
        ]
        for received_ms, after_s in came:
            assert after_s >= received_ms / 1000 / 100 - 0.02
        assert came[-1][1] < 5

    def test_nights_go_by_faster_than_days(self) -> None:
        hour_ms = 3_600_000
        evening_ms = instant_from_text("2017-09-05T21:30:00+08:00")
        due_s = quick_nights(evening_ms, evening_ms + 12 * hour_ms, speed=600)
        passed = [due_s(evening_ms + half * hour_ms // 2) for half in (0, 1, 2, 19, 20, 21)]
        assert passed == pytest.approx([0, 3, 3.5, 12, 15, 18])
        assert due_s(evening_ms - hour_ms) <= 0
