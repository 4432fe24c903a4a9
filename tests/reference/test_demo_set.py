"""The demonstration's reference data are what `make.py` makes, and look like the region."""

import csv
import runpy
from collections import Counter
from pathlib import Path

import pytest

from streams.reference.areas import shipped_areas

FOLDER = Path(__file__).parents[2] / "deploy/config"
MADE = runpy.run_path(str(FOLDER / "make.py"))["made"]()


@pytest.mark.parametrize("name", MADE)
def test_a_file_is_current(name: str) -> None:
    current = (FOLDER / name).read_text("utf-8")
    assert current == MADE[name], "run `python deploy/config/make.py`"


def test_every_county_has_outlets_and_every_city_every_brand() -> None:
    areas = shipped_areas()
    with (FOLDER / "outlets.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert {row["county_code"] for row in rows} == set(areas.counties)
    in_cities = Counter((areas.city_code(row["county_code"]), row["brand_code"]) for row in rows)
    assert len(in_cities) == 12 * 9


def test_filings_are_of_every_sort() -> None:
    with (FOLDER / "agreements.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert 550 <= len(rows) <= 650
    assert {row["filed_by"] for row in rows} == {"HQ", "OUTLET"}
    assert {row["agreement_kind"] for row in rows} == {"AGREEMENT", "ECOMMERCE", "TEMP_LETTER"}
    assert any(row["valid_to"] < "2017-08-01" for row in rows), "expired"
    assert any(row["responsible_id_present"] == "false" for row in rows), "incomplete"
    assert max(Counter(row["agreement_id"] for row in rows).values()) == 2, "filed by both"


def test_the_region_has_the_cities_of_the_standard() -> None:
    counties = shipped_areas().counties.values()
    per_city = Counter(c.city_name_en for c in counties if c.county_code[4] != "7")
    assert per_city == {
        "Hohhot": 9,
        "Baotou": 9,
        "Wuhai": 3,
        "Chifeng": 12,
        "Tongliao": 8,
        "Ordos": 9,
        "Hulunbuir": 14,
        "Bayannur": 7,
        "Ulanqab": 11,
        "Hinggan League": 6,
        "Xilingol League": 12,
        "Alxa League": 3,
    }
