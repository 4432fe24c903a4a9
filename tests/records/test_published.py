"""Published records, and what travels in `totals`, survive their encoding."""

from dataclasses import fields

import numpy as np
import pytest

from streams.domain.category import Category
from streams.domain.policy import Policy
from streams.domain.verdict import Line, judge_line
from streams.records import changes, published, verdicts
from streams.records.changes import Header, Rows, no_rows
from streams.records.published import AlertRecord, Evidence, FirstIssue, Raised
from streams.records.verdicts import VerdictChange

ALERT = AlertRecord(
    id="RATE_BELOW_TARGET:OUTLET:O-1",
    alert_id="RATE_BELOW_TARGET:OUTLET:O-1",
    episode=2,
    alert_kind="RATE_BELOW_TARGET",
    severity="MAJOR",
    state="firing",
    reason="raised",
    granularity="OUTLET",
    scope_id="O-1",
    city_code="150100",
    county_code="150105",
    enterprise_id="E-1",
    duty_group="150100-duty",
    observed=0.75,
    target=0.9,
    parcel_category="*",
    n=60,
    evidence=Evidence(
        window="TODAY",
        date="2017-09-08",
        covered=45,
        missing=15,
        pending=7,
        wilson_upper=0.8798,
        z=3.09,
    ),
    event_period_id="EP2017-COP13",
    first_at="2017-09-08T14:20:00+08:00",
    last_at="2017-09-08T14:20:00+08:00",
    duration_s=None,
    caliber_id="c1",
    raised=Raised(
        severity="MAJOR",
        event_period_id="EP2017-COP13",
        event_level="L1",
        city_code="150100",
        county_code="150105",
        enterprise_id="E-1",
        duty_group="150100-duty",
    ),
    severity_highest="MAJOR",
)


def test_a_record_survives_json_and_unknown_fields_are_ignored() -> None:
    value = published.encode(ALERT)
    assert published.decode(value, AlertRecord) == ALERT
    assert published.decode(value[:-1] + b',"new":1}', AlertRecord) == ALERT


@pytest.mark.parametrize("value", [b"", b"{}", b"[]", b'{"eligible": "many"}'])
def test_what_is_no_record_is_refused(value: bytes) -> None:
    with pytest.raises(ValueError, match="not a FirstIssue"):
        published.decode(value, FirstIssue)  # type: ignore[type-var]  # A part of a record.


def test_keys_are_granularity_scope_and_date_or_episode() -> None:
    assert published.rate_key("OUTLET", "O-1") == b"OUTLET|O-1"
    assert published.day_key("ENTERPRISE_CITY", "E|150100", "2017-09-08") == (
        b"ENTERPRISE_CITY|E|150100|2017-09-08"
    )
    assert published.alert_key(ALERT.id, 2) == b"RATE_BELOW_TARGET:OUTLET:O-1|2"


def test_a_struct_of_a_record_is_encoded_as_the_record_is() -> None:
    figures = (3, 2, 1, 0, 0, 0, None)
    part = published.PartFigures(*figures)
    assert published.encode(published.struct_of(published.PartFigures)(*figures)) == (
        published.encode(part)  # type: ignore[arg-type]  # A part of a record.
    )
    names = [field.name for field in fields(AlertRecord)]
    alert = published.struct_of(AlertRecord)(*(getattr(ALERT, name) for name in names))
    assert published.encode(alert) == published.encode(ALERT)


def many_rows(count: int) -> Rows:
    numbers = np.arange(count)
    return Rows(
        numbers.astype(np.int32),
        numbers.astype(np.int64) << 40,
        (numbers % 11).astype(np.int8),
        numbers.astype(np.int32),
    )


def test_a_verdict_survives_its_travel() -> None:
    line = Line(0.9, 20, Category.LOOSE, "EP", l1_core=True)
    for covered in (0, 14, 17, 20):
        verdict = judge_line(line, n=20, covered=covered, policy=Policy())
        change = VerdictChange(
            tick=25_000_000,
            outlet=7,
            day=17_417,
            pending=3,
            rank=verdict.rank,
            severity=verdicts.NONE if verdict.severity is None else int(verdict.severity),
            target=verdict.target,
            category=verdicts.NONE if verdict.category is None else int(verdict.category),
            event_period_id=verdict.event_period_id,
            n=verdict.n,
            covered=verdict.covered,
            bound=verdict.bound,
            bound_z=verdict.bound_z,
            clear=verdict.clear,
        )
        assert verdicts.decode(list(verdicts.encode([change]))) == [change]
        assert change.verdict == verdict


@pytest.mark.parametrize(
    ("rows", "extras", "parts"),
    [
        (0, 0, 1),  # A record without changes carries the watermark all the same.
        (0, 1, 1),
        (100, 1, 1),  # A small extra goes with the last rows,
        (100, 3, 3),  # each further one with a part of its own.
        (changes.ROWS_MAX, 1, 2),  # There is no room beside a full part.
        (changes.ROWS_MAX + 1, 0, 2),
    ],
)
def test_extras_and_rows_are_cut_into_parts_that_kafka_takes(
    rows: int, extras: int, parts: int
) -> None:
    header = Header(changes.FORMAT, 3, 1, 10, 20, 0, 0, 1_000)
    beside = [bytes([n]) * 1_000 for n in range(1, extras + 1)]
    values = changes.encode(header, many_rows(rows), beside)
    found = [changes.decode(value) for value in values]
    assert len(found) == parts
    assert [(c.header.part, c.header.parts) for c in found] == [(n, parts) for n in range(parts)]
    assert sum(len(c.rows) for c in found) == rows
    assert [c.extra for c in found if c.extra] == beside
    assert max(len(value) for value in values) < 900_000
    assert len(no_rows()) == 0
