"""Where each key and value of a TOML document stands; the standard parser does not tell.

The scanner relies on the document being valid: parse it with `tomllib` first. It reads structure
(tables, arrays, inline tables, strings, comments) and leaves the values to the parser.
"""

from bisect import bisect_right
from collections.abc import Mapping
from itertools import accumulate
from typing import Final

Path = tuple[str | int, ...]
"""Keys and array indices from the top, such as `("periods", 0, "targets", 2, "target_rate")`."""

_BLANK: Final = " \t\r\n"
_BARE_KEY: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_-")


def lines_of(text: str) -> Mapping[Path, int]:
    """Return the line, counted from 1, of every table, key and array item of a valid document."""
    scanner = _Scanner(text)
    scanner.document()
    return scanner.lines


class _Scanner:
    def __init__(self, text: str) -> None:
        self.text = text
        self.at = 0
        self.lines: dict[Path, int] = {}
        self.items: dict[Path, int] = {}  # How many tables each array of tables has so far.
        lengths = (len(line) for line in text.split("\n"))
        self.starts = list(accumulate((length + 1 for length in lengths), initial=0))

    def document(self) -> None:
        table: Path = ()
        self.skip()
        while self.at < len(self.text):
            start = self.at
            if self.text.startswith("[[", start):
                self.at += 2
                array = self.resolved(self.key())
                self.at += 2
                index = self.items.get(array, 0)
                self.items[array] = index + 1
                table = (*array, index)
                self.lines.setdefault(array, self.line(start))
                self.lines[table] = self.line(start)
            elif self.text[start] == "[":
                self.at += 1
                table = self.resolved(self.key())
                self.at += 1
                self.lines[table] = self.line(start)
            else:
                self.pair(table)
            self.skip()

    def resolved(self, keys: Path) -> Path:
        """A header's key names the last table so far of each array of tables on its way."""
        path: Path = ()
        for depth, key in enumerate(keys):
            path = (*path, key)
            if path in self.items and depth < len(keys) - 1:
                path = (*path, self.items[path] - 1)
        return path

    def line(self, at: int) -> int:
        return bisect_right(self.starts, at)

    def skip(self, extra: str = "") -> None:
        while self.at < len(self.text):
            if self.text[self.at] == "#":
                end = self.text.find("\n", self.at)
                self.at = len(self.text) if end < 0 else end
            elif self.text[self.at] in _BLANK + extra:
                self.at += 1
            else:
                return

    def key(self) -> Path:
        parts = []
        while True:
            self.skip()
            start = self.at
            if self.text[start] in "\"'":
                self.string()
                parts.append(self.text[start + 1 : self.at - 1])
            else:
                while self.at < len(self.text) and self.text[self.at] in _BARE_KEY:
                    self.at += 1
                parts.append(self.text[start : self.at])
            self.skip()
            if self.text[self.at] != ".":
                return tuple(parts)
            self.at += 1

    def pair(self, table: Path) -> None:
        start = self.at
        path = (*table, *self.key())
        self.at += 1  # The equals sign.
        self.lines[path] = self.line(start)
        self.value(path)

    def value(self, path: Path) -> None:
        self.skip()
        self.lines.setdefault(path, self.line(self.at))
        opening = self.text[self.at]
        if opening in "\"'":
            self.string()
        elif opening == "[":
            self.at += 1
            self.skip()
            index = 0
            while self.text[self.at] != "]":
                self.value((*path, index))
                index += 1
                self.skip(",")
            self.at += 1
        elif opening == "{":
            self.at += 1
            self.skip()
            while self.text[self.at] != "}":
                self.pair(path)
                self.skip(",")
            self.at += 1
        else:
            while self.at < len(self.text) and self.text[self.at] not in ",]}#\n":
                self.at += 1

    def string(self) -> None:
        quote = self.text[self.at]
        end = quote * 3 if self.text.startswith(quote * 3, self.at) else quote
        self.at += len(end)
        while not self.text.startswith(end, self.at):
            self.at += 2 if quote == '"' and self.text[self.at] == "\\" else 1
        self.at += len(end)
        while len(end) > 1 and self.text.startswith(quote, self.at):
            self.at += 1  # Up to two quotes may stand before the closing three.
