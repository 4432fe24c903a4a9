"""Records of missing parcels."""

import json

from streams.records.missing import FORMAT, MissingParcel, decode, encode

RECORD = MissingParcel(
    waybill_no="W1",
    outlet_id="A",
    enterprise_id="E1",
    county_code="150102",
    parcel_category="LOOSE",
    collected_at="2017-09-08T10:00:00+08:00",
    missing_since="2017-09-08T12:05:00+08:00",
)


def test_a_missing_parcel_is_one_json_object_with_its_version() -> None:
    assert json.loads(encode(RECORD))["schema_version"] == FORMAT
    assert decode(encode(RECORD)) == RECORD


def test_fields_of_a_later_version_are_ignored() -> None:
    later = {**json.loads(encode(RECORD)), "note": "n"}
    assert decode(json.dumps(later).encode()) == RECORD
