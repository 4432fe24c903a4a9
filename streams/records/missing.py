"""Records of `parcels.missing`: a parcel that was mature and not covered; a tombstone takes it back."""

from typing import Final

import msgspec

FORMAT: Final = 1


class MissingParcel(msgspec.Struct, frozen=True):
    """One missing parcel, keyed by its waybill. Times are RFC 3339 in Shanghai time.

    Attributes:
        waybill_no: Whole: the enterprise must find the parcel. Personal information.
        missing_since: When its pane became mature.

    """

    waybill_no: str
    outlet_id: str
    enterprise_id: str
    county_code: str
    parcel_category: str
    collected_at: str
    missing_since: str
    schema_version: int = FORMAT


encode: Final = msgspec.json.Encoder().encode
decode: Final = msgspec.json.Decoder(MissingParcel).decode
