"""The reference workload: one day of a region as records of `shipments`, and its exact truth.

Parcels spread over outlets by Zipf's law (exponent 0.8); the busiest twenty-fifth of the outlets, with
some 45 % of the volume, lie in one city. Records come in the order in which a regional feed uploads them.
Of the parcels 8 % are never registered, 6 % a minute before their collection, the rest after an
exponential delay of 40 minutes; 1 % of those registered are registered twice. At the end each partition
gets heartbeats, so that the last records' ticks pass; they have no key and count for nothing.
"""

import csv
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime, timedelta, timezone
from pathlib import Path
from typing import Any, Final, NamedTuple

import numpy as np
import numpy.typing as npt
import orjson

from bench.truth import Figures, Truth, read_truth
from streams.kafka.loading import Loader, heartbeat_value
from streams.reference.areas import shipped_areas

DATE: Final = "2017-09-08"
DAY_START_MS: Final = 1_504_800_000_000
"""Midnight of DATE in Shanghai."""
COLLECTING_MS: Final = 80_000_000
GRACE_MS: Final = 7_200_000
EARLY_MS: Final = 60_000
DELAY_MEAN_MS: Final = 2_400_000
AGAIN_MS: Final = 600_000
HEARTBEAT_MS: Final = 600_000
"""From the last upload to the last heartbeat."""
BRANDS: Final = ("YTO", "ZTO", "STO", "YUNDA", "SF", "JD", "EMS", "JT", "DB")
CATEGORIES: Final = ("LOOSE", "AGREEMENT", "ECOMMERCE", "TEMP_BATCH")
CATEGORY_SHARES: Final = (0.5, 0.25, 0.2, 0.05)
CAPITAL: Final = "1501"
CAPITAL_SHARE: Final = 170 / 4200
ZIPF_EXPONENT: Final = 0.8

_EPOCH: Final = datetime.fromtimestamp(0, timezone(timedelta(hours=8)))

Ints = npt.NDArray[np.int64]


@dataclass(frozen=True, slots=True)
class Size:
    """What makes a workload: the same size is the same workload, byte for byte."""

    parcels: int
    outlets: int = 4200
    seed: int = 7

    @property
    def name(self) -> str:
        """A name for folders and topics."""
        return f"{self.parcels}-{self.outlets}-{self.seed}"


class Record(NamedTuple):
    """One record as it is produced."""

    key: bytes
    value: bytes


class Workload:
    """A drawn workload. Small against its records, which `records` makes one after the other."""

    def __init__(self, size: Size) -> None:
        rng = np.random.default_rng(size.seed)
        n = size.parcels
        self.size = size
        self.outlet_rows = _outlets(size.outlets)
        self.outlet_ids = [row["outlet_id"] for row in self.outlet_rows]
        weight = 1 / np.arange(1, size.outlets + 1) ** ZIPF_EXPONENT
        self._outlet: Ints = rng.choice(size.outlets, n, p=weight / weight.sum())
        within = np.sort(rng.beta(4, 3, n)) * COLLECTING_MS
        self._collected: Ints = DAY_START_MS + within.astype(np.int64)
        early = rng.random(n) < 0.06
        delay = rng.exponential(DELAY_MEAN_MS, n).astype(np.int64)
        self._registered: Ints = np.where(early, -EARLY_MS, delay) + self._collected
        self._never = rng.random(n) < 0.08
        self._twice = (rng.random(n) < 0.01) & ~self._never
        self._category: Ints = rng.choice(len(CATEGORIES), n, p=CATEGORY_SHARES)

        some, again = np.flatnonzero(~self._never), np.flatnonzero(self._twice)
        upload = np.concatenate(
            [self._collected + 1_000, self._registered[some], self._registered[again] + AGAIN_MS]
        )
        order = np.argsort(upload, kind="stable")
        self._upload: Ints = upload[order]
        self._kind: Ints = np.repeat([0, 1, 2], [n, len(some), len(again)])[order]
        self._parcel: Ints = np.concatenate([np.arange(n), some, again])[order]

    def __len__(self) -> int:
        return len(self._upload)

    def records(self) -> Iterator[Record]:
        """Yield the records in the order of their upload."""
        columns = zip(
            self._upload.tolist(), self._kind.tolist(), self._parcel.tolist(), strict=True
        )
        outlets, collected = self._outlet.tolist(), self._collected.tolist()
        categories = self._category.tolist()
        for uploaded_ms, kind, parcel in columns:
            outlet = outlets[parcel]
            waybill = f"YT{parcel * 7919 % 10_000_000_000_000:013d}"
            common = {
                "id": f"{parcel}-{kind}",
                "source": f"/enterprise/{self.outlet_rows[outlet]['brand_code']}",
                "recorded_at": rfc3339(uploaded_ms),
                "waybill_no": waybill,
                "outlet_id": self.outlet_ids[outlet],
            }
            if kind == 0:
                value = _collection(common, parcel, outlet, collected[parcel])
                value["parcel_category"] = CATEGORIES[categories[parcel]]
            else:
                value = _registration(common, f"r{parcel}-{kind}", outlet, uploaded_ms - 5_000)
            yield Record(waybill.encode(), orjson.dumps(value))

    def heartbeat(self) -> bytes:
        """Return the value that lets the ticks of all records pass."""
        return heartbeat_value(rfc3339(int(self._upload[-1]) + HEARTBEAT_MS))

    def truth(self) -> Truth:
        """Return the figures, counted from how the parcels were drawn."""
        on_time = ~self._never & (self._registered - self._collected <= GRACE_MS)
        everyone = np.ones(self.size.parcels, np.bool_)
        masks = (everyone, on_time, ~self._never & ~on_time, self._twice)
        columns = [np.bincount(self._outlet, mask, self.size.outlets).astype(int) for mask in masks]
        rows = zip(self.outlet_ids, *(column.tolist() for column in columns), strict=True)
        return Truth(len(self), {outlet: Figures(*row) for outlet, *row in rows if row[0]})


def _collection(
    common: Mapping[str, str], parcel: int, outlet: int, collected_ms: int
) -> dict[str, Any]:
    return {
        "type": "shipment.collected",
        "time": rfc3339(collected_ms),
        **common,
        "courier_id": f"c{outlet * 3 + parcel % 3:05d}",
        "parcel_category": "",
        "agreement_id": None,
        "destination_code": "110101",
        "route_type": "OUTBOUND",
    }


def _registration(
    common: Mapping[str, str], registration_id: str, outlet: int, time_ms: int
) -> dict[str, Any]:
    return {
        "type": "realname.registered",
        "time": rfc3339(time_ms),
        **common,
        "registration_id": registration_id,
        "registration_mode": "INDIVIDUAL_ID",
        "id_doc_type": "RESIDENT_ID",
        "verification_result": "MATCHED",
        "channel": "ENTERPRISE_EDITION" if outlet % 4 else "ANYIDI_PUBLIC",
    }


def rfc3339(instant_ms: int) -> str:
    """Return an instant in Shanghai time, always with milliseconds."""
    moment = _EPOCH + timedelta(milliseconds=instant_ms)
    return moment.isoformat(timespec="milliseconds")


def _outlets(count: int) -> list[dict[str, str]]:
    """Return the rows of `outlets.csv`, the busiest first."""
    counties = sorted(shipped_areas().counties)
    capital = [county for county in counties if county.startswith(CAPITAL)]
    others = [county for county in counties if not county.startswith(CAPITAL)]
    rows = []
    for number in range(count):
        near = capital if number < count * CAPITAL_SHARE else others
        county, brand = near[number % len(near)], BRANDS[number % len(BRANDS)]
        rows.append(
            {
                "outlet_id": f"{county}-{brand}-{number:05d}",
                "name": f"{brand} {number}",
                "brand_code": brand,
                "enterprise_id": f"9115{BRANDS.index(brand):014d}",
                "county_code": county,
            }
        )
    return rows


class Files(NamedTuple):
    """Where a workload's small parts are kept."""

    outlets: Path
    truth: Path


def write_files(size: Size, folder: Path) -> Files:
    """Write outlets and truth of a workload, unless they are there."""
    files = Files(folder / size.name / "outlets.csv", folder / size.name / "truth.json")
    if not files.truth.exists():
        workload = Workload(size)
        files.outlets.parent.mkdir(parents=True, exist_ok=True)
        with files.outlets.open("w", newline="") as file:
            writer = csv.DictWriter(file, list(workload.outlet_rows[0]))
            writer.writeheader()
            writer.writerows(workload.outlet_rows)
        workload.truth().write(files.truth)
    return files


def produce(size: Size, client: Mapping[str, Any], topic: str) -> None:
    """Write a workload into a topic, which should be empty."""
    workload = Workload(size)
    loader = Loader(client, topic)
    for record in workload.records():
        loader.put(record.key, record.value)
    loader.beat(workload.heartbeat())
    loader.finish()


def truth_of(files: Files) -> Truth:
    """Return the truth of a workload that was written."""
    return read_truth(files.truth)
