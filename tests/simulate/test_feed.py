"""The records of a feed: well formed, in order, the same again, and as many as asked for."""

import json
from collections import Counter
from itertools import islice
from typing import Any

import jsonschema_rs
import pytest

from streams.reference.types import Reference
from streams.resources import config_dir, schema_dir
from streams.simulate.feed import SimulatedRecord, open_scenario
from streams.simulate.garbage import OVERSIZED_BYTES
from streams.simulate.scenario import ScenarioError
from tests import oracle
from tests.simulate.conftest import Played

VALIDATORS = {
    path.name.removesuffix(".v1.schema.json"): jsonschema_rs.Draft202012Validator(
        json.loads(path.read_text("utf8")), validate_formats=True
    )
    for path in schema_dir().glob("*.v1.schema.json")
}


def good(records: list[SimulatedRecord]) -> list[tuple[SimulatedRecord, dict[str, Any]]]:
    """All but garbage, decoded."""
    return [
        (record, json.loads(record.value))
        for record in records
        if record.value and not record.key.startswith(b"ZZ")
    ]


def test_the_same_seed_plays_the_same_records_again(faults: Played, reference: Reference) -> None:
    assert list(faults.feed.records()) == faults.records
    same = open_scenario("faults", seed=7, reference=reference)
    assert list(islice(same.records(), 2_000)) == faults.records[:2_000]


def test_another_seed_plays_others_at_outlets_of_the_same_size(
    faults: Played, reference: Reference
) -> None:
    other = open_scenario("faults", seed=8, reference=reference)
    assert list(islice(other.records(), 100)) != faults.records[:100]
    assert other.region.sizes.tolist() == faults.feed.region.sizes.tolist()


def test_every_record_that_is_no_garbage_keeps_to_its_schema(faults: Played) -> None:
    for record, body in good(faults.records):
        VALIDATORS[body["type"]].validate(body)
        assert record.key == body["waybill_no"].encode()
        assert record.received_at_ms == oracle.instant(body["received_at"])


def test_all_five_types_all_categories_all_results_and_all_routes_occur(faults: Played) -> None:
    bodies = [body for _, body in good(faults.records)]
    assert {body["type"] for body in bodies} == set(oracle.REQUIRED)
    for name in ("parcel_category", "verification_result", "route_type"):
        seen = {body[name] for body in bodies if name in body}
        assert seen == oracle.VOCABULARIES[name] - {None}


def test_records_come_in_order_but_for_some_within_the_disorder(faults: Played) -> None:
    latest_ms, overtaken_ms = 0, []
    for record in faults.records:
        overtaken_ms.append(latest_ms - record.received_at_ms)
        latest_ms = max(latest_ms, record.received_at_ms)
    assert 30_000 < max(overtaken_ms) < 60_000
    assert faults.feed.end_ms is not None
    assert latest_ms <= faults.feed.end_ms


def test_a_record_has_one_id_and_only_re_sent_ones_repeat_it(faults: Played) -> None:
    seen: dict[tuple[str, str], dict[str, Any]] = {}
    resent = 0
    for _, body in good(faults.records):
        known = seen.setdefault((body["source"], body["id"]), body)
        resent += known is not body
        assert {**known, "received_at": None} == {**body, "received_at": None}
    assert 0.02 * len(seen) < resent < 0.04 * len(seen)


def test_a_day_has_exactly_as_many_parcels_as_asked_for_each_with_its_own_waybill(
    reference: Reference,
) -> None:
    feed = open_scenario("day", seed=3, reference=reference, parcels_per_day=5_000)
    collected = [
        (body["waybill_no"], body["id"], body["time"][:10])
        for _, body in good(list(feed.records()))
        if body["type"] == oracle.COLLECTED
    ]
    first_scans = {waybill for waybill, _, _ in collected}
    assert len(first_scans) == 5_000
    assert len(feed.region.outlets) == len(reference.outlets)
    assert Counter(day for _, _, day in collected).most_common(1)[0][0] == "2017-09-08"
    assert sum(parcels.count for parcels in feed.draw_parcels()) == 5_000


def test_fewer_parcels_mean_fewer_outlets_at_their_real_size(reference: Reference) -> None:
    feeds = [
        open_scenario("demo", seed=1, reference=reference, parcels_per_day=parcels)
        for parcels in (75_000, 150_000)
    ]
    few, more = (
        dict(zip((o.outlet_id for o in f.region.outlets), f.region.sizes, strict=True))
        for f in feeds
    )
    assert 250 <= len(few) <= 400 < len(more)
    assert few.items() <= more.items()
    assert sum(few.values()) == pytest.approx(75_000, rel=0.05)


def test_one_city_of_twelve_has_nearly_half_the_volume(reference: Reference) -> None:
    region = open_scenario("demo", seed=1, reference=reference).region
    by_city: Counter[str] = Counter()
    for outlet, size in zip(region.outlets, region.sizes, strict=True):
        by_city[outlet.county_code[:4]] += size
    assert len(by_city) == 12
    assert by_city["1501"] / region.parcels_per_day == pytest.approx(0.45, abs=0.01)


def test_garbage_is_refused_for_the_reason_that_it_was_made_for(faults: Played) -> None:
    reference = oracle.read_reference(config_dir())
    counted: Counter[str] = Counter()
    for record in faults.records:
        if record.key.startswith(b"ZZ"):
            read = oracle.parse(record.key, record.value, reference)
            counted[read if isinstance(read, str) else "too_late"] += 1
            if record.value and counted["oversized"] == 1:
                assert len(record.value) < OVERSIZED_BYTES + 1_000
    assert counted == faults.truth.dead_letters
    assert set(counted.values()) == {20, 2}


def test_a_play_without_an_end_goes_on_and_starts_at_the_rate_of_the_first_of_august(
    reference: Reference,
) -> None:
    feed = open_scenario("steady", seed=1, reference=reference, parcels_per_day=20_000)
    assert feed.end_ms is None
    records = list(islice(feed.records(), 40_000))
    hours = (records[-1].received_at_ms - records[0].received_at_ms) / 3_600_000
    assert hours > 24
    drawn = list(islice(feed.draw_parcels(), 96))
    in_base = [(int(p.covered.sum()), p.count) for p in drawn]
    covered, count = (sum(column) for column in zip(*in_base, strict=True))
    assert covered / count == pytest.approx(0.33, abs=0.03)


def test_a_region_without_outlets_cannot_be_played() -> None:
    with pytest.raises(ScenarioError, match="apply an outlets file first"):
        open_scenario("day", seed=1, reference=Reference())
