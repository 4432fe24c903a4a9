"""How a command is run in a test: as a user would, in a folder and an environment of its own."""

import json
import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from streams.cli.app import app


@dataclass(frozen=True)
class Result:
    code: int
    out: str
    err: str

    @property
    def rows(self) -> list[dict[str, Any]]:
        return [json.loads(line) for line in self.out.splitlines()]


class Realname:
    """Runs commands with the same first options each time."""

    def __init__(self, *options: str) -> None:
        self.options = options

    def __call__(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        result = CliRunner().invoke(app, [*arguments, *self.options], input=stdin)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return Result(result.exit_code, result.stdout, result.stderr)

    def ok(self, *arguments: str, stdin: str | bytes | None = None) -> Result:
        result = self(*arguments, stdin=stdin)
        assert result.code == 0, result.err
        return result

    def with_options(self, options: Sequence[str]) -> "Realname":
        return Realname(*self.options, *options)


@pytest.fixture(autouse=True)
def own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("REALNAME_"):
            monkeypatch.delenv(name)
    return tmp_path


@pytest.fixture
def realname(tmp_path: Path) -> Realname:
    return Realname("--data-dir", str(tmp_path))
