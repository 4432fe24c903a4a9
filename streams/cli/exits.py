"""Exit codes, the same for every command, and the errors of a user that end in one."""

from collections.abc import Sequence
from enum import IntEnum
from typing import Final


class Exit(IntEnum):
    """What the process says when it ends. Scripts rely on it: a code never changes its meaning."""

    OK = 0
    UNMET = 1
    USAGE = 2
    CLUSTER = 3
    FATAL = 4
    INTERRUPTED = 130  # As shells have it: 128 + SIGINT.


MEANINGS: Final = {
    Exit.OK: "done",
    Exit.UNMET: "the condition is not met, or time ran out",
    Exit.USAGE: "the command line, a setting or an input file is wrong; nothing was done",
    Exit.CLUSTER: "Kafka cannot be reached, refuses, or lacks a topic",
    Exit.FATAL: "another process took this one's place, or its state cannot be trusted",
}


class BadInput(Exception):  # noqa: N818 (what happened, as it is caught)
    """What the user gave is wrong. Each mistake is one line that ends in what to do."""

    def __init__(self, *mistakes: str) -> None:
        """Take all mistakes that were found; there must be one at least."""
        assert mistakes
        self.mistakes: Sequence[str] = mistakes
        super().__init__("\n".join(mistakes))
