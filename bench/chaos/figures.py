"""What came out of a run, and how two such outcomes differ. Pure."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from streams.records.topics import ALERTS, DAYS, PARCELS_MISSING
from tests import oracle
from tests.test_oracle_routes import differences as parted
from tests.test_oracle_routes import expected_day

SHOWN_MAX: Final = 5
"""Of each kind of difference so many are told."""

Row = Mapping[str, Any]
Letter = tuple[str, bytes | None, bytes | None]
"""Code, key and value of a dead letter."""


class Figures(NamedTuple):
    """What stands on the topics that leave the system.

    Attributes:
        days: The latest record of each scope and day.
        alerts: Every record of each alert's episode, in order, by key.
        missing: The parcels that are missing now, by waybill.
        dead_letters: Refused records, each as often as it is there.

    """

    days: Mapping[oracle.Key, Row]
    alerts: Mapping[str, Sequence[Row]]
    missing: Mapping[str, Row]
    dead_letters: Counter[Letter]


def figures_of(records: Iterable[tuple[str, bytes | None, bytes | None]]) -> Figures:
    """Return the figures that records of topics come to: topic without prefix, key, value.

    Records of one key must be in their order. Of dead letters nothing is known here.
    """
    days: dict[oracle.Key, Row] = {}
    alerts: dict[str, list[Row]] = {}
    missing: dict[str, Row] = {}
    for topic, key, value in records:
        name = (key or b"").decode()
        if topic == PARCELS_MISSING:
            if value is None:
                missing.pop(name, None)
            else:
                missing[name] = orjson.loads(value)
        elif topic == DAYS:
            row = orjson.loads(value or b"")
            days[row["granularity"], row["scope_id"], row["date"]] = row
        elif topic == ALERTS:
            alerts.setdefault(name, []).append(orjson.loads(value or b""))
    return Figures(days, alerts, missing, Counter())


def differences(expected: Figures, found: Figures) -> list[str]:
    """Return a line for each thing that is not as in an undisturbed run, the first of each kind."""
    return [
        *first("day", _rows(expected.days, found.days, _fields)),
        *first("alert", _rows(expected.alerts, found.alerts, _history)),
        *first("alert", _raised_twice(found.alerts)),
        *first("missing parcel", _rows(expected.missing, found.missing, _fields)),
        *first("dead letter", _letters(expected.dead_letters, found.dead_letters)),
    ]


def oracle_differences(truth: oracle.Truth, found: Figures) -> list[str]:
    """Return a line for each thing that the oracle says otherwise, the first of each kind.

    Scopes whose parcels have all gone elsewhere may stand with zeros.
    """
    wanted = {key for key, figures in truth.days.items() if any(figures.values())}
    days: list[str] = [
        f"{'|'.join(key)}: is not there" for key in sorted(wanted - found.days.keys())
    ]
    for key, row in sorted(found.days.items()):
        apart = parted(dict(row), expected_day(truth, key))
        days += [f"{'|'.join(key)}: {apart}, found and expected"] if apart else []
    codes = Counter[str]()
    for (code, _, _), count in found.dead_letters.items():
        codes[code] += count
    return [
        *first("oracle's day", days),
        *first(
            "oracle's missing parcel",
            _rows(dict.fromkeys(truth.missing, ""), dict.fromkeys(found.missing, ""), _fields),
        ),
        *first(
            "oracle's dead letters",
            (
                f"{code}: {truth.dead_letters[code]} expected, {codes[code]} found"
                for code in sorted(truth.dead_letters.keys() | codes.keys())
                if truth.dead_letters[code] != codes[code]
            ),
        ),
    ]


def first(kind: str, lines: Iterable[str]) -> list[str]:
    """Return the first lines of a kind, and how many more there are."""
    found = list(lines)
    shown = [f"{kind} {line}" for line in found[:SHOWN_MAX]]
    return shown if len(found) <= SHOWN_MAX else [*shown, f"and {len(found) - SHOWN_MAX} more"]


def _rows(
    expected: Mapping[Any, Any],
    found: Mapping[Any, Any],
    compare: Callable[[Any, Any], str],
) -> Iterable[str]:
    for key in sorted(expected.keys() | found.keys()):
        name = key if isinstance(key, str) else "|".join(key)
        if key not in found:
            yield f"{name}: is not there"
        elif key not in expected:
            yield f"{name}: should not be there"
        elif expected[key] != found[key]:
            yield f"{name}: {compare(expected[key], found[key])}"


def _fields(expected: Row, found: Row) -> str:
    """Say in which fields two records differ."""
    return ", ".join(
        f"{name} {expected.get(name)!r} expected, {found.get(name)!r} found"
        for name in sorted(expected.keys() | found.keys())
        if expected.get(name) != found.get(name)
    )


def _history(expected: Sequence[Row], found: Sequence[Row]) -> str:
    """Say where two histories of an alert part."""
    for number, (one, other) in enumerate(zip(expected, found, strict=False), start=1):
        if one != other:
            return f"record {number}: {_fields(one, other)}"
    return f"{len(expected)} records expected, {len(found)} found"


def _raised_twice(alerts: Mapping[str, Sequence[Row]]) -> Iterable[str]:
    raised = Counter(
        (row["id"], row["episode"])
        for history in alerts.values()
        for row in history
        if row["reason"] == "raised"
    )
    for (name, episode), count in sorted(raised.items()):
        if count > 1:
            yield f"{name}: episode {episode} was raised {count} times"


def _letters(expected: Counter[Letter], found: Counter[Letter]) -> Iterable[str]:
    for letter in sorted(expected.keys() | found.keys(), key=repr):
        if expected[letter] != found[letter]:
            code, key, value = letter
            size = "no value" if value is None else f"{len(value)} bytes"
            yield (f"{code} of {key!r}, {size}: {expected[letter]} expected, {found[letter]} found")
