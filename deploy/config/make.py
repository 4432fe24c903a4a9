"""Makes the demonstration's outlets, agreements and sources: fictional, but like a real region.

    python deploy/config/make.py

It writes the same files each time, beside itself. No outlet, enterprise or customer in them exists.
"""  # noqa: INP001 (a script beside its data, not a package)

import csv
import io
import random
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final, TypeVar

FOLDER: Final = Path(__file__).parent
SEED: Final = 20170906

OUTLETS: Final = 4_200
AGREEMENTS: Final = 540

# Enterprise ids have the form of a unified social credit code, and none of them is anyone's.
ENTERPRISES: Final[Mapping[str, str]] = {
    "YTO": "911500000000010017",
    "ZTO": "911500000000010025",
    "STO": "911500000000010033",
    "YUNDA": "911500000000010041",
    "SF": "911500000000010050",
    "JD": "911500000000010068",
    "EMS": "911500000000010076",
    "JT": "911500000000010084",
    "DB": "911500000000010092",
}
BRAND_SHARES: Final[Mapping[str, float]] = {
    "YTO": 0.16,
    "ZTO": 0.18,
    "STO": 0.13,
    "YUNDA": 0.16,
    "SF": 0.08,
    "JD": 0.04,
    "EMS": 0.16,
    "JT": 0.06,
    "DB": 0.03,
}

# A city's share of the outlets. Hohhot's are larger, so its share of the parcels is higher still.
CITY_SHARES: Final[Mapping[str, float]] = {
    "150100": 0.26,
    "150200": 0.14,
    "150300": 0.04,
    "150400": 0.11,
    "150500": 0.08,
    "150600": 0.10,
    "150700": 0.09,
    "150800": 0.05,
    "150900": 0.05,
    "152200": 0.03,
    "152500": 0.03,
    "152900": 0.02,
}

# Cities that are planned separately have an officer of their own.
DUTY_GROUPS: Final[Mapping[str, str]] = {"150781": "150781-duty", "152501": "152501-duty"}

STREETS: Final = (
    *("新华大街", "中山路", "人民路", "建设路", "团结路", "胜利路", "民族大街", "友谊路", "和平路"),
    *("文化路", "振兴路", "草原路", "迎宾路", "光明路", "幸福路", "体育场路", "公园路", "站前街"),
    *("学府路", "工业路", "兴安路", "青山路", "锡林路", "鄂尔多斯大街", "兴盛路", "北环路"),
    *("南环路", "东风路", "解放路", "乌兰察布路"),
)
KINDS: Final = ("营业部", "营业点", "分部", "服务站")
KIND_SHARES: Final = (0.5, 0.25, 0.15, 0.1)

AGREEMENT_KINDS: Final[Mapping[str, float]] = {
    "AGREEMENT": 0.5,
    "ECOMMERCE": 0.4,
    "TEMP_LETTER": 0.1,
}

ItemT = TypeVar("ItemT")


class Lots:
    """Draws from one seed. Only `random()` is used: it is the same in every version of Python."""

    def __init__(self, seed: int) -> None:
        """Begin the sequence of this seed."""
        self._random = random.Random(seed)  # noqa: S311 (a fixed sequence is the point)

    def chance(self, share: float) -> bool:
        """Return True in this share of calls."""
        return self._random.random() < share

    def below(self, end: int) -> int:
        """Return a whole number from 0 to below `end`."""
        return int(self._random.random() * end)

    def one(self, items: Sequence[ItemT]) -> ItemT:
        """Return one of the items."""
        return items[self.below(len(items))]

    def weighted(self, items: Iterable[tuple[ItemT, float]]) -> ItemT:
        """Return one of the items, each as often as its weight says."""
        weights = list(items)
        left = self._random.random() * sum(weight for _, weight in weights)
        for item, weight in weights:
            left -= weight
            if left < 0:
                return item
        return weights[-1][0]


def county_weight(county_code: str) -> float:
    """Return how many outlets a county has, beside others of its city: districts have the most."""
    kind = county_code[4]
    return {"0": 6.0, "8": 3.0, "2": 1.0, "3": 1.0, "7": 1.5}[kind]


def outlets(counties: Sequence[Mapping[str, str]]) -> list[list[str]]:
    """Return the rows of outlets.csv: every county has some, and every brand is in every city."""
    lots = Lots(SEED)
    placed: list[tuple[str, str]] = []
    for county in counties:
        placed += [
            (county["county_code"], brand) for brand in ("EMS", "ZTO", "YTO", "YUNDA", "STO")
        ]
    for city_code in CITY_SHARES:
        first = next(c["county_code"] for c in counties if c["city_code"] == city_code)
        placed += [(first, brand) for brand in ENTERPRISES]
    while len(placed) < OUTLETS:
        city_code = lots.weighted(CITY_SHARES.items())
        choices = [c["county_code"] for c in counties if c["city_code"] == city_code]
        county_code = lots.weighted((code, county_weight(code)) for code in choices)
        placed.append((county_code, lots.weighted(BRAND_SHARES.items())))

    names = {county["county_code"]: county["name"] for county in counties}
    numbers: Counter[tuple[str, str]] = Counter()
    used: Counter[tuple[str, str]] = Counter()
    rows = []
    for county_code, brand in sorted(placed):
        numbers[county_code, brand] += 1
        outlet_id = f"{county_code}-{brand}-{numbers[county_code, brand]:04}"
        kind = lots.weighted(zip(KINDS, KIND_SHARES, strict=True))
        name = f"{names[county_code]}{lots.one(STREETS)}"
        used[name, brand] += 1
        ordinal = "" if used[name, brand] == 1 else f"第{used[name, brand]}"
        duty_group = DUTY_GROUPS.get(county_code, "")
        enterprise_id = ENTERPRISES[brand]
        rows.append(
            [outlet_id, f"{name}{ordinal}{kind}", brand, enterprise_id, county_code, duty_group]
        )
    return rows


def agreements() -> list[list[str]]:
    """Return the rows of agreements.csv: most filed once, some twice, expired or incomplete."""
    lots = Lots(SEED + 1)
    rows = []
    for number in range(1, AGREEMENTS + 1):
        kind = lots.weighted(AGREEMENT_KINDS.items())
        token = f"c{lots.below(1 << 30):08x}{lots.below(1 << 30):08x}"
        starts = date(2016, 7, 1) + timedelta(days=lots.below(390))
        days = 30 + lots.below(60) if kind == "TEMP_LETTER" else 365 * (1 + lots.below(2))
        if lots.chance(0.06):
            starts, days = date(2016, 1, 1) + timedelta(days=lots.below(180)), 180 + lots.below(180)
        ends = starts + timedelta(days=days)
        filed_by = lots.weighted([(("HQ",), 0.55), (("OUTLET",), 0.34), (("HQ", "OUTLET"), 0.11)])
        for filer in filed_by:
            org_code = not lots.chance(0.02)
            responsible = not lots.chance(0.07)
            filed = starts + timedelta(days=lots.below(10) - 5)
            hour, minute = 8 + lots.below(10), lots.below(60)
            recorded_at = f"{filed}T{hour:02}:{minute:02}:00+08:00"
            rows.append(
                [
                    *(f"AG{starts.year}-{number:05}", kind, token),
                    *(str(org_code).lower(), str(responsible).lower()),
                    *(starts.isoformat(), ends.isoformat(), filer, recorded_at),
                ]
            )
    return rows


def sources_toml() -> str:
    """Return sources.toml: each brand's own system, and the two that are the regulator's."""
    tables: list[tuple[str, str | None, str]] = [
        ("/supervision-centre", None, "SUPERVISION_CENTRE"),
        ("/anyidi", None, "ANYIDI_PUBLIC"),
    ]
    for brand, enterprise_id in ENTERPRISES.items():
        tables.append((f"/enterprise/{brand}", enterprise_id, "ENTERPRISE_EDITION"))
    lines = ["# Which system sends what. Made by make.py.", ""]
    for source, owner, channel in tables:
        lines += ["[[sources]]", f'source = "{source}"']
        lines += [f'enterprise_id = "{owner}"'] if owner else []
        lines += [f'channel = "{channel}"', ""]
    return "\n".join(lines[:-1]) + "\n"


def csv_text(header: str, rows: Iterable[Sequence[str]]) -> str:
    """Return a CSV file of a header and rows."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(header.split(","))
    writer.writerows(rows)
    return text.getvalue()


def made() -> Mapping[str, str]:
    """Return the files by name, as they must stand beside this script."""
    with (FOLDER / "counties.csv").open(encoding="utf-8") as file:
        counties = list(csv.DictReader(file))
    outlet_header = "outlet_id,name,brand_code,enterprise_id,county_code,duty_group"
    agreement_header = (
        "agreement_id,agreement_kind,customer_token,org_code_present,responsible_id_present,"
        "valid_from,valid_to,filed_by,recorded_at"
    )
    return {
        "outlets.csv": csv_text(outlet_header, outlets(counties)),
        "agreements.csv": csv_text(agreement_header, agreements()),
        "sources.toml": sources_toml(),
    }


if __name__ == "__main__":
    for name, text in made().items():
        (FOLDER / name).write_text(text, encoding="utf-8", newline="\n")
