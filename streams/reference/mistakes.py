"""Mistakes in a reference file: all of them at once, each with its line and what to do."""

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, order=True)
class Mistake:
    """One thing to correct.

    Attributes:
        file: Name of the file, as the user gave it.
        line: Counted from 1; 0 where the mistake has no line, as in a file that cannot be read.
        message: What is wrong and what to do, without the place.

    """

    file: str
    line: int
    message: str

    def __str__(self) -> str:
        """Return the mistake as editors and terminals understand it: `file:line: message`."""
        place = f"{self.file}:{self.line}" if self.line else self.file
        return f"{place}: {self.message}"


class ReferenceFileError(Exception):
    """A reference file was refused. Nothing of it was applied; trying again needs another file."""

    def __init__(self, mistakes: Sequence[Mistake]) -> None:
        """Take all mistakes that were found, in any order; there must be one at least."""
        assert mistakes
        self.mistakes = tuple(sorted(mistakes))
        super().__init__("\n".join(str(mistake) for mistake in self.mistakes))


class Mistakes:
    """Collects the mistakes of one file, so that one run shows them all."""

    def __init__(self, file: str) -> None:
        """Collect for the file of this name."""
        self.file = file
        self._found: list[Mistake] = []

    def __len__(self) -> int:
        """Return how many were found so far."""
        return len(self._found)

    def add(self, line: int, message: str) -> None:
        """Note one more."""
        self._found.append(Mistake(self.file, line, message))

    def raise_if_any(self) -> None:
        """Raise ReferenceFileError with all of them, if there is one."""
        if self._found:
            raise ReferenceFileError(self._found)
