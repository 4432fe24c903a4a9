"""Answers: JSON or CSV from the same records, with a strong ETag of their content.

The content makes the tag, so that all replicas give the same for the same, and a restart changes none.
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import fields, is_dataclass
from typing import Final, TypeGuard, get_args, get_origin, get_type_hints

import orjson
from fastapi import Request, Response

JSON_TYPE: Final = "application/json"
CSV_TYPE: Final = "text/csv; charset=utf-8"
_FORMULA: Final = ("=", "+", "-", "@", "\t", "\r")


def wants_csv(request: Request, asked: str | None) -> bool:
    """Return whether a request wants CSV: by its `format`, or else by Accept, the first named."""
    if asked is not None:
        return asked == "csv"
    for part in request.headers.get("accept", "").split(","):
        kind = part.partition(";")[0].strip().lower()
        if kind in ("text/csv", JSON_TYPE):
            return kind == "text/csv"
    return False


def tagged(request: Request, body: bytes, media_type: str) -> Response:
    """Return a body with its ETag; 304 without it where the client has it already."""
    tag = f'"{hashlib.blake2b(body, digest_size=12).hexdigest()}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Accept, Authorization"}
    known = [part.strip() for part in request.headers.get("if-none-match", "").split(",")]
    # A proxy that compresses makes a strong tag weak; the content is still the same.
    if "*" in known or any(part.removeprefix("W/") == tag for part in known):
        return Response(status_code=304, headers=headers)
    return Response(body, headers=headers, media_type=media_type)


def listed(
    request: Request,
    items: Sequence[bytes],
    next_cursor: str | None,
    *,
    columns: Sequence[str],
    asked: str | None,
) -> Response:
    """Return a page of records, each of them JSON already, in the form that is asked for.

    CSV has the cursor of the next page in the header `Link`, as JSON has it in `next_cursor`.
    """
    if wants_csv(request, asked):
        response = tagged(request, csv_of(items, columns), CSV_TYPE)
    else:
        body = b'{"items":[%b],"next_cursor":%b}' % (b",".join(items), orjson.dumps(next_cursor))
        response = tagged(request, body, JSON_TYPE)
    if next_cursor is not None:
        url = request.url.include_query_params(cursor=next_cursor)
        response.headers["Link"] = f'<{url.path}?{url.query}>; rel="next"'
    return response


def with_fields(record: bytes, fields: bytes) -> bytes:
    """Return a JSON object with more fields, themselves JSON as in an object without its braces."""
    return b"%b,%b}" % (record[:-1], fields)


def columns_of(kind: type, more: Sequence[str] = ()) -> Sequence[str]:
    """Return the columns of a record's CSV: a nested record's fields as `today.rate`, then `more`."""
    return [*_columns(kind), *more]


def _columns(kind: type, above: str = "") -> Iterator[str]:
    hints = get_type_hints(kind)
    for field in fields(kind):
        nested = [
            part for part in (hints[field.name], *get_args(hints[field.name])) if is_record(part)
        ]
        if nested and get_origin(hints[field.name]) is not list:
            yield from _columns(nested[0], f"{above}{field.name}.")
        else:
            yield above + field.name


def is_record(kind: object) -> TypeGuard[type]:
    """Return whether an annotation is a record of its own."""
    return isinstance(kind, type) and is_dataclass(kind)


def csv_of(items: Iterable[bytes], columns: Sequence[str]) -> bytes:
    """Return records as CSV with these columns; lists and tables by name are JSON in one column."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\r\n")
    writer.writerow(columns)
    paths = [column.split(".") for column in columns]
    for item in items:
        record = orjson.loads(item)
        writer.writerow([_cell(_at(record, path)) for path in paths])
    return out.getvalue().encode()


def _at(record: object, path: Sequence[str]) -> object:
    for name in path:
        if not isinstance(record, dict):
            return None
        record = record.get(name)
    return record


def _cell(value: object) -> object:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list | dict):
        return orjson.dumps(value).decode()
    if isinstance(value, str) and value.startswith(_FORMULA):
        return f"'{value}"  # A spreadsheet would compute it.
    return value
