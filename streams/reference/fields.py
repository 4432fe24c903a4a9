"""Single fields of reference files: each reader returns the value, or None and a noted mistake."""

import re
from collections.abc import Iterable
from datetime import date, datetime
from difflib import get_close_matches
from typing import Final

from streams.domain.window import PANE_MS, day_from_text, day_start_ms, instant_from_text
from streams.reference.mistakes import Mistakes

ID: Final = re.compile(r"[^\s|\x00-\x1f\x7f]{1,64}")
"""Ids stand in keys, where `|` parts the pieces, and in records, where they have 64 characters."""

SOURCE: Final = re.compile(r"[^\s\x00-\x1f\x7f]{1,128}")
ENTERPRISE: Final = re.compile(r"[A-Za-z0-9._-]{1,64}")
"""An enterprise's id is the end of its compliance topic's name, so Kafka's alphabet holds."""

BRAND: Final = re.compile(r"[A-Z0-9_]{1,16}")
NAME: Final = re.compile(r"[^\x00-\x1f\x7f]{1,200}")

FORMS: Final = {
    ID: "1 to 64 characters without blanks and `|`",
    SOURCE: "1 to 128 characters without blanks",
    ENTERPRISE: "1 to 64 of the characters A-Z a-z 0-9 . _ -",
    BRAND: "1 to 16 of the characters A-Z 0-9 _",
    NAME: "1 to 200 characters on one line",
}

_EXAMPLE: Final = "2017-09-06T00:00:00+08:00"
_DATE: Final = re.compile(r"\d{4}-\d\d-\d\d")
_BOOLEANS: Final = {"true": True, "false": False, "1": True, "0": False}


class FieldReader:
    """Reads the fields of one row or table, and notes what is wrong with them."""

    def __init__(self, mistakes: Mistakes, line: int) -> None:
        """Note mistakes at this line, unless a reading method is told another."""
        self._mistakes = mistakes
        self._line = line

    def reject(self, message: str, line: int | None = None) -> None:
        """Note a mistake."""
        self._mistakes.add(line or self._line, message)

    def text(
        self, name: str, value: str, form: re.Pattern[str], *, line: int | None = None
    ) -> str | None:
        """Return the value when it has the form."""
        if not value:
            self.reject(f"{name} is empty; it needs {FORMS[form]}", line)
        elif form.fullmatch(value) and value == value.strip():
            return value
        else:
            self.reject(f"{name} {value!r} must be {FORMS[form]}", line)
        return None

    def choice(
        self, name: str, value: str, allowed: Iterable[str], *, line: int | None = None
    ) -> str | None:
        """Return the value when it is one of the allowed ones."""
        allowed = tuple(allowed)
        if value in allowed:
            return value
        close = get_close_matches(value.upper(), allowed, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        self.reject(f"{name} {value!r} must be one of {', '.join(allowed)}{hint}", line)
        return None

    def boolean(self, name: str, value: str) -> bool | None:
        """Return the truth of `true` or `false` (or `1` or `0`), in any case."""
        if (truth := _BOOLEANS.get(value.lower())) is None:
            self.reject(f"{name} {value!r} must be true or false")
        return truth

    def instant(self, name: str, value: object, *, line: int | None = None) -> int | None:
        """Return the instant of an RFC 3339 text or a TOML time, which must have an offset."""
        text = value.isoformat() if isinstance(value, date) else value
        if not isinstance(text, str) or not text:
            self.reject(f"{name} has no time; write it like {_EXAMPLE}", line)
            return None
        try:
            if datetime.fromisoformat(text).tzinfo is None:
                self.reject(f"{name} {text} has no offset; write it like {_EXAMPLE}", line)
                return None
            return instant_from_text(text)
        except (ValueError, OverflowError):
            self.reject(f"{name} {text!r} is not a time; write it like {_EXAMPLE}", line)
            return None

    def boundary(self, name: str, value: object, *, line: int | None = None) -> int | None:
        """Return an instant that must lie between two panes."""
        instant_ms = self.instant(name, value, line=line)
        if instant_ms is not None and instant_ms % PANE_MS:
            self.reject(f"{name} {value} must be a multiple of five minutes, like {_EXAMPLE}", line)
            return None
        return instant_ms

    def first_instant(self, name: str, value: str) -> int | None:
        """Return an instant, or of a date (a business day) the first one."""
        if (day := self._day(name, value)) is not None:
            return day_start_ms(day)
        return None if _DATE.fullmatch(value) else self.instant(name, value)

    def last_instant(self, name: str, value: str) -> int | None:
        """Return an instant, or of a date (a business day) the last one."""
        if (day := self._day(name, value)) is not None:
            return day_start_ms(day + 1) - 1
        return None if _DATE.fullmatch(value) else self.instant(name, value)

    def _day(self, name: str, value: str) -> int | None:
        if not _DATE.fullmatch(value):
            return None
        try:
            return day_from_text(value)
        except ValueError:
            self.reject(f"{name} {value!r} is not a date of the calendar")
            return None
