"""What looks like personal information where none should be, and how little of a text is shown instead.

An identity number (GB 11643) is known by its birthday and check digit and a mobile number by its form,
so both are found in any text. A name is not: but the fields of our records are codes of ASCII
characters, so a text of others is taken for one.
"""

import re
from datetime import date
from typing import Final

CODE_CHARS_MAX: Final = 128
"""The longest code of any record: the name of a source."""

_CODE: Final = re.compile(r"[\x21-\x7e](?:[\x20-\x7e]*[\x21-\x7e])?")
# Whole: a run of digits inside a longer word is part of a number of another kind.
_IDENTITY: Final = re.compile(r"(?<![0-9A-Za-z])([1-8][0-9]{16}[0-9Xx])(?![0-9A-Za-z])")
_MOBILE: Final = re.compile(
    r"(?<![0-9A-Za-z])(?:\+?86[- ]?)?1[3-9][0-9][- ]?[0-9]{4}[- ]?[0-9]{4}(?![0-9A-Za-z])"
)
_WEIGHTS: Final = (7, 9, 10, 5, 8, 4, 2, 1, 6, 3, 7, 9, 10, 5, 8, 4, 2)
_CHECK_DIGITS: Final = "10X98765432"
_BORN_FIRST, _BORN_LAST = 1900, 2099
_WAYBILL_SHOWN: Final = (3, 4)  # Leading and trailing characters: enough to compare, not to trace.


def is_identity_number(text: str) -> bool:
    """Return whether a text is the number of a resident's identity card, by birthday and check digit.

    One in some sixty thousand other numbers of 18 digits is taken for one.
    """
    if not _IDENTITY.fullmatch(text):
        return False
    year, month, day = int(text[6:10]), int(text[10:12]), int(text[12:14])
    try:
        date(year, month, day)
    except ValueError:
        return False
    total = sum(int(digit) * weight for digit, weight in zip(text, _WEIGHTS, strict=False))
    return _BORN_FIRST <= year <= _BORN_LAST and text[17].upper() == _CHECK_DIGITS[total % 11]


def holds_identity_number(text: str) -> bool:
    """Return whether an identity number stands anywhere in a text, as a word of its own."""
    return any(is_identity_number(found) for found in _IDENTITY.findall(text))


def holds_mobile_number(text: str) -> bool:
    """Return whether a mobile number of the mainland stands anywhere in a text, as a word of its own."""
    return _MOBILE.search(text) is not None


def is_code(text: str) -> bool:
    """Return whether a text is a code: printable ASCII, without an identity or mobile number in it."""
    return (
        len(text) <= CODE_CHARS_MAX
        and _CODE.fullmatch(text) is not None
        and not holds_identity_number(text)
        and not holds_mobile_number(text)
    )


def masked(waybill_no: str) -> str:
    """Return a waybill with only its first three and last four characters.

    A short one, of which little would remain hidden, is hidden whole.
    """
    head, tail = _WAYBILL_SHOWN
    hidden = len(waybill_no) - head - tail
    if hidden < tail:
        return "*" * len(waybill_no)
    return f"{waybill_no[:head]}{'*' * hidden}{waybill_no[-tail:]}"


def code_or_mask(text: str) -> str:
    """Return a code as it is, and of any other text only its length."""
    return text if is_code(text) or not text else f"<{len(text)} characters>"
