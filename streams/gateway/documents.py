"""What the OpenAPI document says of the gateway."""

from collections.abc import Mapping
from typing import Any, Final

from streams.gateway.batches import BYTES_MAX, FORMS, PACKED_BYTES_MAX, RECORDS_MAX
from streams.gateway.checking import GatewayCode
from streams.records.rejects import RejectCode
from streams.web.problems import PROBLEM_TYPE, Problem

DESCRIPTION: Final = """\
Takes in parcel-level records of an enterprise, as `schemas/` describes them, and writes them to Kafka.

* A token is for one enterprise, and may be limited to brands. What it sends for another is rejected.
* Errors are `application/problem+json` (RFC 9457).
"""

SHIPMENTS: Final = f"""\
A batch of at most {RECORDS_MAX:,} records: a JSON array, or one JSON object per line; \
{PACKED_BYTES_MAX // 1024**2} MiB as sent, {BYTES_MAX // 1024**2} MiB unpacked, 64 KiB each record.

Every record is accepted or rejected for itself. `rejected` names the rejected ones by their place, from 0; \
all others are accepted: Kafka has them, on every replica in sync. A rejected one is written nowhere; \
mend it and send it again. To send an accepted one again is harmless: it counts once, by `source` and `id`.

429 means that nothing is promised of the batch: wait for `Retry-After` seconds, and send all of it again.

Fields that no schema names are left out, and so is `received_at`. `subject_token` is replaced by a token \
under a key of the regulator's. A record in which a field holds what looks like an identity or mobile \
number, or letters of a name, is rejected as `{GatewayCode.PERSONAL_DATA.value}`; an `id` that begins with a \
letter is never taken for one.
"""

_CODES: Final = sorted(
    {
        *(code.value for code in GatewayCode),
        *(code.value for code in RejectCode),
    }
    - {code.value for code in (RejectCode.KEY_MISMATCH, RejectCode.TOO_LATE, RejectCode.EMPTY)}
    - {RejectCode.UNKNOWN_OUTLET.value}
)

_ANSWER: Final[Mapping[str, Any]] = {
    "type": "object",
    "required": ["received", "accepted", "rejected"],
    "properties": {
        "received": {"type": "integer", "description": "Records in the batch"},
        "accepted": {"type": "integer", "description": "Records that Kafka has"},
        "rejected": {
            "type": "array",
            "items": {
                "type": "object",
                "required": ["record", "code", "path"],
                "properties": {
                    "record": {"type": "integer", "description": "Place in the batch, from 0"},
                    "code": {"type": "string", "enum": _CODES},
                    "path": {"type": "string", "description": "The field; never a value"},
                },
            },
        },
    },
    "example": {
        "received": 2,
        "accepted": 1,
        "rejected": [{"record": 1, "code": "not_yours", "path": "$.outlet_id"}],
    },
}

_PROBLEMS: Final[Mapping[int, str]] = {
    400: "The body cannot be read, or the request can be taken for another",
    401: "No token, or one that is not known, or no longer",
    403: "The token is not for writing",
    408: "The body took too long",
    413: "More bytes or records than are taken",
    415: "Another Content-Type or Content-Encoding than those that are taken",
    429: "No room now, or Kafka does not answer: send all of it again after `Retry-After` seconds",
    503: "Reference data are still being read",
}
ANSWERS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "description": "Every record was decided on",
        "content": {"application/json": {"schema": _ANSWER}},
    },
    **{
        status: {
            "description": description,
            "content": {PROBLEM_TYPE: {"schema": Problem.model_json_schema()}},
        }
        for status, description in _PROBLEMS.items()
    },
}
REQUEST: Final[dict[str, Any]] = {
    "requestBody": {
        "required": True,
        "content": {
            kind: {"schema": {"type": "array", "items": {"type": "object"}}}
            if form == "json"
            else {"schema": {"type": "string"}}
            for kind, form in FORMS.items()
        },
    }
}
