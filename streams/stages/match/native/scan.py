"""Reads the ordinary records of a batch from their bytes: a row of numbers for each, no object.

Ordinary is a collection, a registration or a scan whose JSON holds nothing but the known fields, each once,
in plain ASCII without escapes. What is not, be it right or wrong, is left to the decoder of
`records.shipments`, whose types this module reads its tables from: nothing is accepted here that is refused
there, and a property test compares the two.
"""

from typing import Any, Final, NamedTuple

import msgspec.inspect as types
import numpy as np
import numpy.typing as npt

from streams.records.shipments import TYPE_OF, VALUE_BYTES_MAX, Collected, Registered, Scanned
from streams.stages.match.native.compiled import compiled
from streams.stages.match.native.entries import Bytes, same

Matrix = npt.NDArray[Any]

UNREAD: Final = 0
"""A row that the decoder must see to."""
SCANNED: Final = 1
COLLECTED: Final = 2
REGISTERED: Final = 3
_STRUCTS: Final = {SCANNED: Scanned, COLLECTED: Collected, REGISTERED: Registered}

# The columns, each one row of the matrix.
KIND: Final = 0
TIME: Final = 1
RECORDED: Final = 2
RECEIVED: Final = 3
"""-1 where the record does not say."""
CATEGORY: Final = 4
"""Place among the decoder's names of categories."""
MATCHED: Final = 5
OWN_KEY: Final = 6
"""Whether the Kafka key is the waybill."""
# Where texts lie: first byte, then length in the column behind it; length 0 for none.
WAYBILL: Final = 7
OUTLET: Final = 9
SOURCE: Final = 11
ID: Final = 13
"""A registration's id, and of everything else the record's."""
AGREEMENT: Final = 15
DESTINATION: Final = 17
COLUMNS: Final = 19


class _Field(NamedTuple):
    name: str
    shortest: int
    longest: int
    words: tuple[str, ...]
    boolean: bool


def _field(name: str, of: types.Type) -> _Field:
    match of:
        case types.StrType():
            return _Field(name, of.min_length or 0, of.max_length or VALUE_BYTES_MAX, (), False)
        case types.LiteralType():
            words = tuple(str(value) for value in of.values)
            return _Field(name, 0, 0, words, False)
        case types.BoolType():
            return _Field(name, 0, 0, (), True)
    raise TypeError(f"no way to read field {name} of type {of}")


def _fields() -> tuple[list[_Field], npt.NDArray[np.int64]]:
    """Return all fields of the ordinary records, and masks by kind: allowed, required, nullable."""
    tags = tuple(TYPE_OF[struct] for struct in _STRUCTS.values())
    found = {"type": _Field("type", 0, 0, tags, False)}
    masks = np.zeros((3, max(_STRUCTS) + 1), np.int64)
    masks[:2] = 1  # The type.
    for kind, struct in _STRUCTS.items():
        info = types.type_info(struct)
        assert isinstance(info, types.StructType)
        for field in info.fields:
            of, nullable = field.type, False
            if isinstance(of, types.UnionType):
                nullable = of.includes_none
                (of,) = (one for one in of.types if not isinstance(one, types.NoneType))
            known = _field(field.encode_name, of)
            assert found.setdefault(known.name, known) == known, f"{known.name} has two meanings"
            bit = 1 << list(found).index(known.name)
            masks[0, kind] |= bit
            masks[1, kind] |= bit * field.required
            masks[2, kind] |= bit * nullable
    return list(found.values()), masks


def _table(texts: list[str]) -> tuple[Bytes, Matrix]:
    table = np.zeros((len(texts), max(map(len, texts))), np.uint8)
    for at, text in enumerate(texts):
        table[at, : len(text)] = list(text.encode())
    return table, np.array(list(map(len, texts)), np.int64)


_FIELDS, _MASKS = _fields()
_NAMES: Final = [field.name for field in _FIELDS]
_NAME_TEXTS, _NAME_LENGTHS = _table(_NAMES)
_SHORTEST: Final = np.array([field.shortest for field in _FIELDS], np.int64)
_LONGEST: Final = np.array([field.longest for field in _FIELDS], np.int64)
_BOOLEAN: Final = np.array([field.boolean for field in _FIELDS], np.int64)
_WORDS: Final = [word for field in _FIELDS for word in field.words]
_WORD_TEXTS, _WORD_LENGTHS = _table(_WORDS)
_WORDS_END: Final = np.cumsum([len(field.words) for field in _FIELDS])
_WORDS_START: Final = _WORDS_END - [len(field.words) for field in _FIELDS]

CATEGORIES: Final = next(field.words for field in _FIELDS if field.name == "parcel_category")
"""The names that column CATEGORY counts."""
_MATCHED_WORD: Final = _WORDS.index("MATCHED")

_BUCKETS: Final = 256
_SHORTEST_NAME: Final = min(map(len, _NAMES))


def _buckets(factor: int) -> Matrix | None:
    """Return which name is in which bucket; None where two share one."""
    found = np.full(_BUCKETS, -1, np.int64)
    for at, name in enumerate(map(str.encode, _NAMES)):
        bucket = (len(name) * factor + name[len(name) // 2] * 3 + name[-1]) % _BUCKETS
        if found[bucket] >= 0:
            return None
        found[bucket] = at
    return found


_LENGTH_FACTOR, _NAME_IN = next(
    (factor, found) for factor in range(1, _BUCKETS) if (found := _buckets(factor)) is not None
)

_F_TYPE: Final = _NAMES.index("type")
_F_TIME: Final = _NAMES.index("time")
_F_RECORDED: Final = _NAMES.index("recorded_at")
_F_RECEIVED: Final = _NAMES.index("received_at")
_F_CATEGORY: Final = _NAMES.index("parcel_category")
_F_RESULT: Final = _NAMES.index("verification_result")
_F_WAYBILL: Final = _NAMES.index("waybill_no")
_F_OUTLET: Final = _NAMES.index("outlet_id")
_F_SOURCE: Final = _NAMES.index("source")
_F_ID: Final = _NAMES.index("id")
_F_REGISTRATION: Final = _NAMES.index("registration_id")
_F_AGREEMENT: Final = _NAMES.index("agreement_id")
_F_DESTINATION: Final = _NAMES.index("destination_code")
_COUNT: Final = len(_FIELDS)

_QUOTE: Final = ord('"')
_BACKSLASH: Final = ord("\\")
_COLON: Final = ord(":")
_COMMA: Final = ord(",")
_OPEN: Final = ord("{")
_CLOSE: Final = ord("}")
_SPACE: Final = ord(" ")
_LAST: Final = ord("~")
_NULL: Final = np.frombuffer(b"null", np.uint8)
_TRUE: Final = np.frombuffer(b"true", np.uint8)
_FALSE: Final = np.frombuffer(b"false", np.uint8)

BAD: Final = -(1 << 62)
"""No instant, or none of this millennium."""
_ZERO: Final = ord("0")
_DAYS_BEFORE: Final = np.array([0, 31, 59, 90, 120, 151, 181, 212, 243, 273, 304, 334], np.int64)
_DAYS_IN: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)


@compiled
def _blank(text: Bytes, at: int, end: int) -> int:
    """Return where the next byte that is no white space lies."""
    while at < end and (text[at] == 32 or 9 <= text[at] <= 10 or text[at] == 13):
        at += 1
    return at


@compiled
def _text_end(text: Bytes, at: int, end: int) -> int:
    """Return where the text that begins at `at` ends, at its quote; -1 where it is not plain."""
    for place in range(np.uint64(at), np.uint64(end)):
        letter = text[place]
        if letter == _QUOTE:
            return np.int64(place)
        if letter < _SPACE or letter > _LAST or letter == _BACKSLASH:
            return -1
    return -1


@compiled
def _name(text: Bytes, at: int, end: int) -> int:
    """Return the field of a name; -1 for an unknown one."""
    length = end - at
    if length < _SHORTEST_NAME:
        return -1
    letters = np.int64(text[at + length // 2]) * 3 + np.int64(text[end - 1])
    field = _NAME_IN[(length * _LENGTH_FACTOR + letters) % _BUCKETS]
    if field < 0 or _NAME_LENGTHS[field] != length:
        return -1
    return field if same(text, at, _NAME_TEXTS[field], 0, length) else -1


@compiled
def _word(text: Bytes, at: int, length: int, field: int) -> int:
    """Return the place of a word in the vocabulary of a field; -1 for an unknown one."""
    for word in range(_WORDS_START[field], _WORDS_END[field]):
        if _WORD_LENGTHS[word] == length and same(text, at, _WORD_TEXTS[word], 0, length):
            return word
    return -1


@compiled
def _two(text: Bytes, at: int) -> int:
    """Return a number of two digits; less than 0 where they are none."""
    tens, ones = np.int64(text[at]) - _ZERO, np.int64(text[at + 1]) - _ZERO
    if tens < 0 or tens > 9 or ones < 0 or ones > 9:
        return -1000
    return tens * 10 + ones


@compiled
def _days(text: Bytes, at: int) -> int:
    """Return the days from 1970 to a date of this millennium; `BAD` for what is none."""
    century, year, month, day = (
        _two(text, at),
        _two(text, at + 2),
        _two(text, at + 5),
        _two(text, at + 8),
    )
    if century < 20 or century > 29 or year < 0 or month < 1 or month > 12 or day < 1:
        return BAD
    if text[at + 4] != ord("-") or text[at + 7] != ord("-"):
        return BAD
    year += century * 100
    leaps = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _DAYS_IN[month - 1] + (1 if leaps and month == 2 else 0):
        return BAD
    before = year - 1
    days = before * 365 + before // 4 - before // 100 + before // 400
    days += _DAYS_BEFORE[month - 1] + (1 if leaps and month > 2 else 0) + day
    return days - 719_163  # 0001-01-01 is day 1, 1970-01-01 is this one.


@compiled
def instant(text: Bytes, at: int, length: int) -> int:
    """Return an RFC 3339 text of the years 2000 to 2999 in epoch ms, rounded down; `BAD` for any other."""
    if length < 20:
        return BAD
    days = _days(text, at)
    hour, minute, second = _two(text, at + 11), _two(text, at + 14), _two(text, at + 17)
    if days == BAD or hour < 0 or hour > 23 or minute < 0 or minute > 59 or second < 0:
        return BAD
    if second > 59 or text[at + 10] != ord("T") or text[at + 13] != _COLON:
        return BAD
    if text[at + 16] != _COLON:
        return BAD
    found = ((days * 24 + hour) * 60 + minute) * 60_000 + second * 1000
    place, end = at + 19, at + length
    if text[place] == ord("."):
        place += 1
        worth, first = 100, place
        while place < end and _ZERO <= text[place] <= _ZERO + 9:
            found += (np.int64(text[place]) - _ZERO) * worth
            worth //= 10
            place += 1
        if place == first or place - first > 9:
            return BAD
    if place == end - 1 and text[place] == ord("Z"):
        return found
    if place != end - 6 or text[place + 3] != _COLON:
        return BAD
    hours, minutes = _two(text, place + 1), _two(text, place + 4)
    if hours < 0 or hours > 23 or minutes < 0 or minutes > 59:
        return BAD
    away = (hours * 60 + minutes) * 60_000
    if text[place] == ord("+"):
        return found - away
    return found + away if text[place] == ord("-") else BAD


@compiled
def _value(text: Bytes, at: int, end: int, field: int, spans: Matrix) -> int:
    """Read the value of a field into `spans`, and return where it ends; -1 for one that is not plain."""
    if _BOOLEAN[field]:
        if at + 4 < end and same(text, at, _TRUE, 0, 4):
            return at + 4
        return at + 5 if at + 5 < end and same(text, at, _FALSE, 0, 5) else -1
    if at >= end or text[at] != _QUOTE:
        return -1
    start = at + 1
    at = _text_end(text, start, end)
    if at < 0:
        return -1
    length = at - start
    if _WORDS_START[field] < _WORDS_END[field]:
        spans[field, 2] = _word(text, start, length, field)
        if spans[field, 2] < 0:
            return -1
    elif length < _SHORTEST[field] or length > _LONGEST[field]:
        return -1
    spans[field, 0] = start
    spans[field, 1] = length
    return at + 1


@compiled
def _read(text: Bytes, at: int, end: int, spans: Matrix) -> int:
    """Read one record into `spans`: by field where its text lies, how long it is, which word.

    Return its kind, or UNREAD.
    """
    at = _blank(text, at, end)
    if at >= end or text[at] != _OPEN:
        return UNREAD
    at = _blank(text, at + 1, end)
    seen = nulls = 0
    while True:
        if at >= end or text[at] != _QUOTE:
            return UNREAD
        name_end = _text_end(text, at + 1, end)
        if name_end < 0:
            return UNREAD
        field = _name(text, at + 1, name_end)
        if field < 0 or seen >> field & 1:
            return UNREAD
        seen |= 1 << field
        at = _blank(text, name_end + 1, end)
        if at >= end or text[at] != _COLON:
            return UNREAD
        at = _blank(text, at + 1, end)
        if at + 4 < end and same(text, at, _NULL, 0, 4):
            nulls |= 1 << field
            at += 4
        else:
            at = _value(text, at, end, field, spans)
        if at < 0:
            return UNREAD
        at = _blank(text, at, end)
        if at >= end:
            return UNREAD
        if text[at] == _CLOSE:
            break
        if text[at] != _COMMA:
            return UNREAD
        at = _blank(text, at + 1, end)
    if _blank(text, at + 1, end) != end or nulls & 1 or not seen & 1:
        return UNREAD
    kind = 1 + spans[_F_TYPE, 2] - _WORDS_START[_F_TYPE]
    if seen & ~_MASKS[0, kind] or _MASKS[1, kind] & ~seen or nulls & ~_MASKS[2, kind]:
        return UNREAD
    for field in range(_COUNT):
        if not (seen & ~nulls) >> field & 1:
            spans[field, 1] = 0
    return kind


@compiled
def scan(
    text: Bytes,
    ends: Matrix,
    keys: Bytes,
    key_ends: Matrix,
    data_clock: bool,
    rows: Matrix,
) -> None:
    """Read records that lie one behind the other in `text`, each up to its end, into columns of `rows`.

    `keys` are their Kafka keys, in the same way. With `data_clock` a record's `received_at` counts.
    """
    spans = np.zeros((_COUNT, 3), np.int64)
    start = key_start = 0
    for row in range(len(ends)):
        end, key_end = ends[row], key_ends[row]
        kind = _read(text, start, end, spans) if end - start <= VALUE_BYTES_MAX else UNREAD
        if kind != UNREAD:
            time = instant(text, spans[_F_TIME, 0], spans[_F_TIME, 1])
            recorded = instant(text, spans[_F_RECORDED, 0], spans[_F_RECORDED, 1])
            received = -1
            if data_clock and spans[_F_RECEIVED, 1] > 0:
                received = instant(text, spans[_F_RECEIVED, 0], spans[_F_RECEIVED, 1])
            if time == BAD or recorded == BAD or received == BAD:
                kind = UNREAD
            rows[TIME, row] = time
            rows[RECORDED, row] = recorded
            rows[RECEIVED, row] = received
        rows[KIND, row] = kind
        if kind != UNREAD:
            waybill, length = spans[_F_WAYBILL, 0], spans[_F_WAYBILL, 1]
            own = key_end - key_start == length and same(text, waybill, keys, key_start, length)
            rows[OWN_KEY, row] = own
            rows[WAYBILL, row], rows[WAYBILL + 1, row] = waybill, length
            rows[SOURCE, row], rows[SOURCE + 1, row] = spans[_F_SOURCE, 0], spans[_F_SOURCE, 1]
            rows[OUTLET, row], rows[OUTLET + 1, row] = spans[_F_OUTLET, 0], spans[_F_OUTLET, 1]
            of_id = _F_REGISTRATION if kind == REGISTERED else _F_ID
            rows[ID, row], rows[ID + 1, row] = spans[of_id, 0], spans[of_id, 1]
            rows[CATEGORY, row] = spans[_F_CATEGORY, 2] - _WORDS_START[_F_CATEGORY]
            rows[MATCHED, row] = spans[_F_RESULT, 2] == _MATCHED_WORD
            rows[AGREEMENT, row] = spans[_F_AGREEMENT, 0]
            rows[AGREEMENT + 1, row] = spans[_F_AGREEMENT, 1]
            rows[DESTINATION, row] = spans[_F_DESTINATION, 0]
            rows[DESTINATION + 1, row] = spans[_F_DESTINATION, 1]
        start, key_start = end, key_end
