import re
from collections import defaultdict

import orjson
from prometheus_client.parser import text_string_to_metric_families

from streams.metrics import CATALOGUE as WORKERS
from streams.serve.metrics import CATALOGUE, OUTLETS_MAX, ServeMetrics
from streams.serve.rows import Incoming
from streams.serve.view import View
from tests.serve.conftest import ROUTINE_TARGET, FakeFeed, client_of, filled
from tests.serve.test_summary import rates_of
from tests.serve.test_view import record_of

Samples = dict[tuple[str, ...], float]


def exposed(view: View) -> str:
    feed = FakeFeed(lag={"rates": 3}, records={"rates": 17})
    metrics = ServeMetrics(view, feed, routine_target=ROUTINE_TARGET)
    metrics.answered("/api/v1/rates", 200, 0.01)
    metrics.streams(2)
    return metrics.expose().decode()


def samples(text: str, name: str) -> Samples:
    """Return a metric's values by its labels, in the catalogue's order."""
    (metric,) = [metric for metric in CATALOGUE if metric.name == name]
    return {
        tuple(sample.labels[label] for label in metric.labels): sample.value
        for family in text_string_to_metric_families(text)
        for sample in family.samples
        if sample.name == name
    }


def test_what_is_shown_is_what_the_catalogue_says(view: View) -> None:
    families = {
        family.name: family
        for family in text_string_to_metric_families(exposed(view))
        if family.name.startswith("realname_")
    }
    for metric in CATALOGUE:
        family = families.pop(metric.name.removesuffix("_total"), None)
        assert family is not None, f"{metric.name} is not shown"
        assert (family.type, family.documentation) == (metric.kind, metric.help)
        labels = {*family.samples[0].labels} - {"le"}
        assert labels == {*metric.labels}, metric.name
    assert not families, f"not in the catalogue: {sorted(families)}"


def test_names_follow_the_conventions_and_are_no_workers() -> None:
    names = [metric.name for metric in CATALOGUE]
    assert len(names) == len(set(names))
    assert not {*names} & {metric.name for metric in WORKERS}
    for metric in CATALOGUE:
        assert re.fullmatch(r"realname_[a-z_]+", metric.name)
        assert metric.name.endswith("_total") == (metric.kind == "counter"), metric.name
        assert metric.help.endswith(".")


def test_parcels_add_up_to_the_published_day(view: View) -> None:
    text = exposed(view)
    day = record_of("days", "REGION|150000|2017-09-06")
    mature = day["covered_on_time"] + day["covered_late"] + day["missing"]
    expected = {
        "realname_parcels_eligible": day["eligible"],
        "realname_parcels_mature": mature,
        "realname_parcels_covered": day["covered_on_time"] + day["covered_late"],
        "realname_parcels_covered_on_time": day["covered_on_time"],
    }
    for name, total in expected.items():
        assert sum(samples(text, name).values()) == total, name
    loose = sum(
        value
        for labels, value in samples(text, "realname_parcels_mature").items()
        if labels[2] == "LOOSE"
    )
    part = day["by_category"]["LOOSE"]
    assert loose == part["covered_on_time"] + part["covered_late"] + part["missing"]


def test_counties_add_up_to_their_outlets(view: View) -> None:
    found = samples(exposed(view), "realname_county_parcels_mature")
    sums: dict[tuple[str, ...], float] = defaultdict(float)
    for row in view.days("2017-09-06"):
        if row.granularity == "OUTLET":
            sums[row.city_code or "", row.county_code or "", row.enterprise_id or ""] += row.mature
    assert found == sums


def test_figures_that_fall_are_shown_as_they_are() -> None:
    view = filled()
    key = "ENTERPRISE_CITY|911500000000010041|150400|2017-09-06"
    record = record_of("days", key)
    record["by_category"]["LOOSE"]["covered_on_time"] -= 5
    labels = ("150400", "911500000000010041", "LOOSE")
    before = samples(exposed(view), "realname_parcels_covered")[labels]
    view.apply([Incoming("days", key.encode(), orjson.dumps(record), 0)])
    assert samples(exposed(view), "realname_parcels_covered")[labels] == before - 5


def test_targets_are_of_active_periods_and_the_routine(view: View) -> None:
    text = exposed(view)
    targets = samples(text, "realname_rate_target_ratio")
    assert targets["EP2017-COP13", "CITY", "*"] == 0.95
    assert targets["EP2017-COP13", "CITY", "LOOSE"] == 0.92
    assert targets["routine", "*", "*"] == ROUTINE_TARGET
    assert {event for event, *_ in targets} == {"routine", "EP2017-COP13", "EP2017-COP13-TO-ORDOS"}
    active = samples(text, "realname_event_active")
    assert active["EP2017-COP13", "L2"] == 1
    assert active["EP2017-CPC19", "L1"] == 0


def test_only_the_worst_breaching_outlets_have_series_and_all_are_counted() -> None:
    view = filled()
    text = exposed(view)
    breaching = {row.scope_id for row in view.rates("OUTLET") if row.status == "BREACH"}
    assert {labels[0] for labels in samples(text, "realname_outlet_breaching")} == breaching
    verdict = {"rate_status": "BREACH", "target": 0.95}
    view.apply(
        [
            rates_of("OUTLET", f"X{n:04}", verdict={**verdict, "rate": n / 1000})
            for n in range(OUTLETS_MAX + 50)
        ]
    )
    shown = samples(exposed(view), "realname_outlet_breaching")
    assert len(shown) == OUTLETS_MAX
    assert "X0000" in {labels[0] for labels in shown}
    assert f"X{OUTLETS_MAX + 49:04}" not in {labels[0] for labels in shown}
    counted = samples(exposed(view), "realname_outlets_breaching")
    assert sum(counted.values()) == len(breaching) + OUTLETS_MAX + 50


def test_requests_are_counted_by_the_routes_pattern() -> None:
    client = client_of(filled())
    for outlet_id in ("150403-YUNDA-0003", "150403-EMS-0003"):
        client.get(f"/api/v1/outlets/{outlet_id}")
    client.get("/api/v1/outlets/nowhere")
    client.get("/nowhere")
    found = samples(client.get("/metrics").text, "realname_serve_requests_total")
    assert found["/api/v1/outlets/{outlet_id}", "200"] == 2
    assert found["/api/v1/outlets/{outlet_id}", "404"] == 1
    assert found["other", "404"] == 1


def test_without_figures_there_are_metrics_all_the_same() -> None:
    from streams.reference.areas import shipped_areas

    text = exposed(View(shipped_areas()))
    assert samples(text, "realname_view_ready") == {(): 1}
    assert samples(text, "realname_figures_timestamp_seconds") == {}
