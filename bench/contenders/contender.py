"""What is measured side by side, whatever it is made of."""

import subprocess
from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from bench.cluster import Scene
from bench.outcome import Outcome, parse

RUN_TIMEOUT_S: Final = 400.0


class RunFailed(Exception):  # noqa: N818 (it states what has happened)
    """A run came to nothing; the message says why."""


class Contender(Protocol):
    """A program that can work off the records of a scene."""

    name: str

    def lacks(self) -> str | None:
        """Return what this machine lacks for it, in words; None if nothing."""
        ...

    def run(self, scene: Scene) -> Outcome:
        """Work off the records once, from the beginning.

        Raises:
            RunFailed: It did not finish.

        """
        ...


def run_to_result(
    command: Sequence[str],
    *,
    env: Mapping[str, str] | None = None,
    timeout_s: float = RUN_TIMEOUT_S,
) -> Outcome:
    """Run a program that measures itself, and return what it says.

    Raises:
        RunFailed: It ended without a result, or not in time.

    """
    try:
        done = subprocess.run(
            command, env=env, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as expired:
        raise RunFailed(f"no result after {timeout_s:.0f} s") from expired
    outcome = parse(done.stdout)
    if outcome is None:
        tail = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise RunFailed(f"ended with {done.returncode} and without a result:\n{tail}")
    return outcome
