"""The TOML files: sources and event periods."""

import re
import tomllib
from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Final, TypeVar

from streams.domain.category import Category
from streams.domain.cell import SCOPE_BITS
from streams.domain.period import (
    ANY_CATEGORY,
    EventLevel,
    EventPeriod,
    EventPhase,
    Granularity,
    Phase,
    Target,
)
from streams.domain.window import instant_text
from streams.reference.areas import Areas, is_area_code
from streams.reference.fields import ENTERPRISE, ID, NAME, SOURCE, FieldReader
from streams.reference.listing import Periods, Row, Sources
from streams.reference.mistakes import Mistakes
from streams.reference.toml_lines import Path, lines_of
from streams.reference.types import Source

CHANNELS: Final = (
    "ENTERPRISE_EDITION",
    "ANYIDI_PUBLIC",
    "REGIONAL_HQ_REPORT",
    "NATIONAL_HQ_REPORT",
    "SUPERVISION_CENTRE",
    "BACKFILL",
)
EVENT_LEVELS: Final = tuple(level.value for level in EventLevel if level is not EventLevel.ROUTINE)
PHASES_MAX: Final = 16
TARGETS_MAX: Final = 100
ANY: Final = "*"

_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")

ItemT = TypeVar("ItemT")


class _Table:
    """One table of a document: reads its keys and notes mistakes at their lines."""

    def __init__(
        self, found: Mapping[str, object], path: Path, lines: Mapping[Path, int], mistakes: Mistakes
    ) -> None:
        self.found = found
        self.path = path
        self.lines = lines
        self.mistakes = mistakes
        self.read = FieldReader(mistakes, self.line())

    def line(self, *rest: str | int) -> int:
        """Return the line of a key, or of the nearest thing around it that has one."""
        path = (*self.path, *rest)
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)

    def reject(self, message: str, *rest: str | int) -> None:
        self.mistakes.add(self.line(*rest), message)

    def only(self, *known: str) -> None:
        for key in self.found:
            if key not in known:
                self.reject(f"unknown key {key!r}; known are {', '.join(known)}", key)

    def text(self, key: str, form: re.Pattern[str]) -> str | None:
        value = self._string(key)
        return None if value is None else self.read.text(key, value, form, line=self.line(key))

    def choice(self, key: str, allowed: Sequence[str]) -> str | None:
        value = self._string(key)
        return None if value is None else self.read.choice(key, value, allowed, line=self.line(key))

    def _string(self, key: str) -> str | None:
        value = self.found.get(key)
        if isinstance(value, str):
            return value
        wrong = "must be a text in quotes" if key in self.found else "is missing"
        self.reject(f"{key} {wrong}", key)
        return None

    def texts(self, key: str) -> tuple[str, ...]:
        value = self.found.get(key, [])
        if isinstance(value, list) and all(isinstance(text, str) for text in value):
            return tuple(value)
        self.reject(f'{key} must be a list of texts in quotes, like ["150600"]', key)
        return ()

    def boundary(self, key: str) -> int | None:
        if key not in self.found:
            self.reject(f"{key} is missing; a phase needs a start and an end", key)
            return None
        return self.read.boundary(key, self.found[key], line=self.line(key))

    def tables(self, key: str) -> Iterator["_Table"]:
        value = self.found.get(key, [])
        if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
            self.reject(f"{key} must be a list of tables", key)
            return
        for index, item in enumerate(value):
            yield _Table(item, (*self.path, key, index), self.lines, self.mistakes)


def _document(text: str, mistakes: Mistakes, key: str) -> _Table | None:
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        message = str(error)
        place = _LINE.search(message)
        last = text.rstrip().count("\n") + 1
        mistakes.add(
            int(place[1]) if place else last, f"not readable as TOML: {_LINE.sub('', message)}"
        )
        return None
    document = _Table(found, (), lines_of(text), mistakes)
    document.only(key)
    if key not in found:
        mistakes.add(1, f"nothing is listed; write [[{key}]] tables, or {key} = [] for none")
    return document


def _rows(
    document: _Table, key: str, name: str, read: Callable[[_Table], ItemT | None]
) -> Iterator[Row[ItemT]]:
    """Yield what `read` makes of each table, and note tables of one name."""
    first_lines: dict[object, int] = {}
    for table in document.tables(key):
        item = read(table)
        named = table.found.get(name)
        if isinstance(named, str):
            first_line = first_lines.setdefault(named, table.line())
            if first_line != table.line():
                message = f"{name} {named} is listed twice, first in line {first_line}; keep one"
                table.reject(message, name)
        if item is not None:
            yield Row(table.line(), item)


def sources_from_toml(text: str, mistakes: Mistakes) -> Sources:
    """Return the sources of a file; what is wrong is added to `mistakes`, and left out."""
    document = _document(text, mistakes, "sources")
    if document is None:
        return Sources(mistakes.file, ())
    return Sources(mistakes.file, tuple(_rows(document, "sources", "source", _source)))


def _source(table: _Table) -> Source | None:
    table.only("source", "enterprise_id", "channel")
    source = table.text("source", SOURCE)
    channel = table.choice("channel", CHANNELS)
    named = "enterprise_id" in table.found
    enterprise_id = table.text("enterprise_id", ENTERPRISE) if named else None
    return Source(source, enterprise_id, channel) if source and channel else None


def periods_from_toml(text: str, mistakes: Mistakes, areas: Areas) -> Periods:
    """Return the periods of a file by start and id; what is wrong is added to `mistakes`."""
    document = _document(text, mistakes, "periods")
    if document is None:
        return Periods(mistakes.file, ())

    def read(table: _Table) -> EventPeriod | None:
        return _period(table, areas)

    rows = sorted(
        _rows(document, "periods", "event_period_id", read),
        key=lambda row: (row.item.start_ms, row.item.event_period_id),
    )
    scoped = sorted(row.line for row in rows if row.item.destination_codes)
    if len(scoped) > SCOPE_BITS:
        mistakes.add(
            scoped[SCOPE_BITS],
            f"more than {SCOPE_BITS} periods with destination_codes, which is the limit; "
            "remove ended ones",
        )
    return Periods(mistakes.file, tuple(rows))


def _period(table: _Table, areas: Areas) -> EventPeriod | None:
    before = len(table.mistakes)
    table.only(
        *("event_period_id", "name_zh", "name_en", "event_level", "origin_codes"),
        *("destination_codes", "phases", "targets", "bulletin_times", "source_ref"),
    )
    event_period_id = table.text("event_period_id", ID)
    name_zh = table.text("name_zh", NAME)
    name_en = table.text("name_en", NAME)
    event_level = table.choice("event_level", EVENT_LEVELS)
    origin_codes = table.texts("origin_codes")
    destination_codes = table.texts("destination_codes")
    _check_codes(table, "origin_codes", origin_codes, areas)
    _check_codes(table, "destination_codes", destination_codes, areas)
    phases = _phases(table)
    targets = _targets(table)
    if len(table.mistakes) > before:
        return None
    assert event_period_id and name_zh and name_en and event_level and phases  # noqa: PT018
    return EventPeriod(
        event_period_id=event_period_id,
        name_zh=name_zh,
        name_en=name_en,
        event_level=EventLevel(event_level),
        origin_codes=origin_codes,
        destination_codes=destination_codes,
        phases=phases,
        targets=targets,
        scope_bit=None,
    )


def _check_codes(table: _Table, key: str, codes: Sequence[str], areas: Areas) -> None:
    for index, code in enumerate(codes):
        elsewhere = key == "destination_codes" and not areas.touches(code)
        if not is_area_code(code):
            table.reject(f"{key}: {code!r} must have 2, 4 or 6 digits, like 150600", key, index)
        elif not elsewhere and not areas.contains(code):
            where = "in the region; an origin must be one of its counties or cities"
            if key == "destination_codes":
                where = "there; the codes of the region are in counties.csv"
            table.reject(
                f"{key}: unknown county or city code {code}: it is not {where}", key, index
            )
        elif code in codes[:index]:
            table.reject(f"{key}: {code} is listed twice; keep one", key, index)


def _phases(table: _Table) -> tuple[Phase, ...]:
    phases: list[tuple[_Table, Phase]] = []
    tables = list(table.tables("phases"))
    if not tables:
        table.reject("phases is missing; a period needs one phase at least", "phases")
    if len(tables) > PHASES_MAX:
        table.reject(f"more than {PHASES_MAX} phases, which is the limit", "phases", PHASES_MAX)
    for row in tables:
        row.only("event_phase", "start", "end")
        event_phase = row.choice("event_phase", [phase.value for phase in EventPhase])
        start_ms, end_ms = row.boundary("start"), row.boundary("end")
        if start_ms is None or end_ms is None:
            continue
        if end_ms <= start_ms:
            row.reject(
                f"end {instant_text(end_ms)} must be after start {instant_text(start_ms)}", "end"
            )
        elif event_phase:
            phases.append((row, Phase(EventPhase(event_phase), start_ms, end_ms)))
    for (_, earlier), (row, later) in pairwise(phases):
        if later.start_ms != earlier.end_ms:
            overlaps = later.start_ms < earlier.end_ms
            wrong = "overlaps the phase before" if overlaps else "leaves a gap"
            row.reject(
                f"this phase {wrong}: phases follow one another in order of time, "
                f"so it must start at {instant_text(earlier.end_ms)}",
                "start",
            )
    return tuple(phase for _, phase in phases)


def _targets(table: _Table) -> tuple[Target, ...]:
    targets: list[Target] = []
    first: dict[tuple[str, str], tuple[int, Target]] = {}
    tables = list(table.tables("targets"))
    if not tables:
        table.reject("targets is missing; a period without targets changes nothing", "targets")
    if len(tables) > TARGETS_MAX:
        table.reject(f"more than {TARGETS_MAX} targets, which is the limit", "targets", TARGETS_MAX)
    for row in tables:
        target = _target(row)
        if target is None:
            continue
        name = (
            target.granularity.value,
            ANY if target.category is ANY_CATEGORY else target.category.name,
        )
        line, known = first.setdefault(name, (row.line(), target))
        if known is target:
            targets.append(target)
        elif known == target:
            row.reject(f"the target for {' '.join(name)} is listed twice, first in line {line}")
        else:
            row.reject(
                f"contradicts line {line}: two targets for {' '.join(name)} in one period, "
                f"{known.rate} and {target.rate}; keep one"
            )
    return tuple(targets)


def _target(row: _Table) -> Target | None:
    row.only("granularity", "parcel_category", "target_rate", "min_n")
    granularity = row.choice("granularity", [granularity.value for granularity in Granularity])
    category = row.choice("parcel_category", [ANY, *(category.name for category in Category)])
    rate = row.found.get("target_rate")
    if isinstance(rate, bool) or not isinstance(rate, int | float):
        row.reject("target_rate must be a number above 0 and at most 1, like 0.95", "target_rate")
        rate = None
    elif not 0 < rate <= 1:
        row.reject(f"target_rate {rate} must be above 0 and at most 1; 95 % is 0.95", "target_rate")
        rate = None
    n_min = row.found.get("min_n")
    if n_min is not None and (isinstance(n_min, bool) or not isinstance(n_min, int) or n_min < 1):
        row.reject("min_n must be a whole number of 1 or more, or left out", "min_n")
        return None
    if not granularity or not category or rate is None:
        return None
    return Target(
        Granularity(granularity),
        ANY_CATEGORY if category == ANY else Category[category],
        float(rate),
        n_min,
    )
