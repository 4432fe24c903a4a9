"""The CSV files: outlets and agreements."""

import csv
import io
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from difflib import get_close_matches
from typing import Final

from streams.reference.areas import Areas
from streams.reference.fields import BRAND, ENTERPRISE, ID, NAME, FieldReader
from streams.reference.listing import Agreements, ListedOutlet, Outlets, Row
from streams.reference.mistakes import Mistakes
from streams.reference.types import COUNTIES_MAX, ENTERPRISES_MAX, OUTLETS_MAX, Filing

OUTLET_COLUMNS: Final = tuple(column.name for column in fields(ListedOutlet))
AGREEMENT_COLUMNS: Final = (
    "agreement_id",
    "agreement_kind",
    "customer_token",
    "org_code_present",
    "responsible_id_present",
    "valid_from",
    "valid_to",
    "filed_by",
    "recorded_at",
)
AGREEMENT_KINDS: Final = ("AGREEMENT", "ECOMMERCE", "TEMP_LETTER")
FILERS: Final = ("HQ", "OUTLET")


@dataclass(frozen=True, slots=True)
class _Record:
    line: int
    values: dict[str, str]


def outlets_from_csv(text: str, mistakes: Mistakes, areas: Areas) -> Outlets:
    """Return the outlets of a file; what is wrong is added to `mistakes`, and its rows left out."""
    rows: list[Row[ListedOutlet]] = []
    first_lines: dict[str, int] = {}
    for record in _records(text, mistakes, required=OUTLET_COLUMNS[:-1], optional=("duty_group",)):
        outlet = _outlet(record, mistakes, areas)
        _note_repeated(mistakes, first_lines, record, f"outlet {record.values['outlet_id']}")
        if outlet is not None:
            rows.append(Row(record.line, outlet))
    if not rows and not len(mistakes):
        mistakes.add(0, "no outlet is listed; without outlets every record would be refused")
    _limit(mistakes, "outlets", OUTLETS_MAX, [(r.line, r.item.outlet_id) for r in rows])
    _limit(mistakes, "counties", COUNTIES_MAX, [(r.line, r.item.county_code) for r in rows])
    _limit(mistakes, "enterprises", ENTERPRISES_MAX, [(r.line, r.item.enterprise_id) for r in rows])
    return Outlets(mistakes.file, tuple(rows))


def _outlet(record: _Record, mistakes: Mistakes, areas: Areas) -> ListedOutlet | None:
    read = FieldReader(mistakes, record.line)
    values = record.values
    outlet_id = read.text("outlet_id", values["outlet_id"], ID)
    name = read.text("name", values["name"], NAME)
    brand_code = read.text("brand_code", values["brand_code"], BRAND)
    enterprise_id = read.text("enterprise_id", values["enterprise_id"], ENTERPRISE)
    county_code = values["county_code"]
    known = county_code in areas.counties
    if not known:
        message = f"unknown county code {county_code!r}"
        if areas.contains(county_code):
            message += ": it names a city or province; give the county's"
        read.reject(f"{message}; the six-digit codes that exist are in counties.csv")
    duty_group: str | None = values.get("duty_group", "")
    if not duty_group and known:
        duty_group = f"{areas.city_code(county_code)}-duty"
    elif duty_group:
        duty_group = read.text("duty_group", duty_group, ID)
    if outlet_id and name and brand_code and enterprise_id and duty_group and known:
        return ListedOutlet(outlet_id, name, brand_code, enterprise_id, county_code, duty_group)
    return None


def agreements_from_csv(text: str, mistakes: Mistakes) -> Agreements:
    """Return the filings of a file; what is wrong is added to `mistakes`, and its rows left out.

    A date instead of a time stands for the whole business day: `valid_to` is its last instant.
    """
    rows: list[Row[Filing]] = []
    first_lines: dict[str, int] = {}
    for record in _records(text, mistakes, required=AGREEMENT_COLUMNS):
        values = record.values
        filing = _filing(record, mistakes)
        what = f"agreement {values['agreement_id']} filed by {values['filed_by']}"
        _note_repeated(mistakes, first_lines, record, what)
        if filing is not None:
            rows.append(Row(record.line, filing))
    return Agreements(mistakes.file, tuple(rows))


def _filing(record: _Record, mistakes: Mistakes) -> Filing | None:
    read = FieldReader(mistakes, record.line)
    values = record.values
    agreement_id = read.text("agreement_id", values["agreement_id"], ID)
    kind = read.choice("agreement_kind", values["agreement_kind"], AGREEMENT_KINDS)
    customer_token = read.text("customer_token", values["customer_token"], ID)
    org_code = read.boolean("org_code_present", values["org_code_present"])
    responsible = read.boolean("responsible_id_present", values["responsible_id_present"])
    filed_by = read.choice("filed_by", values["filed_by"], FILERS)
    validity = _validity(read, values)
    recorded_at_ms = read.instant("recorded_at", values["recorded_at"])
    if (
        not (agreement_id and kind and customer_token and filed_by)
        or org_code is None
        or responsible is None
        or validity is None
        or recorded_at_ms is None
    ):
        return None
    return Filing(
        agreement_id=agreement_id,
        agreement_kind=kind,
        customer_token=customer_token,
        org_code_present=org_code,
        responsible_id_present=responsible,
        valid_from_ms=validity[0],
        valid_to_ms=validity[1],
        filed_by=filed_by,
        recorded_at_ms=recorded_at_ms,
    )


def _validity(read: FieldReader, values: Mapping[str, str]) -> tuple[int, int] | None:
    """Return the first and the last valid instant."""
    missing = [name for name in ("valid_from", "valid_to") if not values[name]]
    for name in missing:
        read.reject(f"{name} is empty: an agreement needs both dates, like 2017-09-06")
    if missing:
        return None
    first_ms = read.first_instant("valid_from", values["valid_from"])
    last_ms = read.last_instant("valid_to", values["valid_to"])
    if first_ms is None or last_ms is None:
        return None
    if last_ms < first_ms:
        read.reject(
            f"valid_to {values['valid_to']} is before valid_from {values['valid_from']}; "
            "was one mistyped?"
        )
        return None
    return first_ms, last_ms


def _note_repeated(
    mistakes: Mistakes, first_lines: dict[str, int], record: _Record, what: str
) -> None:
    first_line = first_lines.setdefault(what, record.line)
    if first_line != record.line:
        mistakes.add(record.line, f"{what} is listed twice, first in line {first_line}; keep one")


def _limit(mistakes: Mistakes, what: str, most: int, found: Sequence[tuple[int, str]]) -> None:
    distinct: set[str] = set()
    for line, name in found:
        distinct.add(name)
        if len(distinct) > most:
            mistakes.add(line, f"more than {most:,} {what}, which is the limit; split the region")
            return


def _records(
    text: str, mistakes: Mistakes, *, required: Sequence[str], optional: Sequence[str] = ()
) -> Iterator[_Record]:
    """Yield the rows below the header. A bad header is noted, and then there are none."""
    reader = csv.reader(io.StringIO(text, newline=""), strict=True)
    header: list[str] = []
    line = 1
    try:
        for cells in reader:
            values = [cell.strip() for cell in cells]
            if not header:
                header = values
                if values and not _header_is_good(values, mistakes, required, optional):
                    return
            elif len(values) == len(header):
                yield _Record(line, dict(zip(header, values, strict=True)))
            elif values:
                mistakes.add(
                    line,
                    f"{len(values)} fields where the header has {len(header)}; "
                    "quote a field that contains a comma",
                )
            line = reader.line_num + 1
    except csv.Error as error:
        mistakes.add(line, f"not readable as CSV ({error}); check the quotes of this row")


def _header_is_good(
    header: list[str], mistakes: Mistakes, required: Sequence[str], optional: Sequence[str]
) -> bool:
    before = len(mistakes)
    allowed = [*required, *optional]
    missing = [name for name in required if name not in header]
    if len(missing) == len(required):
        mistakes.add(1, f"the first line must be the header {','.join(required)}")
        return False
    if missing:
        mistakes.add(1, f"the header lacks {', '.join(missing)}")
    for name in dict.fromkeys(header):
        if name not in allowed:
            close = get_close_matches(name, allowed, n=1)
            hint = f"did you mean {close[0]}?" if close else f"allowed are {', '.join(allowed)}"
            mistakes.add(1, f"the header has an unknown column {name!r}; {hint}")
        elif header.count(name) > 1:
            mistakes.add(1, f"the header has {name} twice; keep one")
    return len(mistakes) == before
