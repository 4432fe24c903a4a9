"""What the documents say of the code is so: the alert diagram, the files and the commands that they name."""

import re
from pathlib import Path

import pytest
from typer.main import get_command
from typer.testing import CliRunner

from streams.cli.app import app
from streams.domain import alert

ROOT = Path(__file__).parent.parent
ARCHITECTURE = (ROOT / "ARCHITECTURE.md").read_text("utf8")
README = (ROOT / "README.md").read_text("utf8")


def test_the_alert_diagram_is_the_transition_table() -> None:
    assert f"```mermaid\n{alert.mermaid()}\n```" in ARCHITECTURE


@pytest.mark.parametrize("path", sorted(set(re.findall(r"`([a-z_/]+(?:\.py|/))`", ARCHITECTURE))))
def test_a_file_that_architecture_names_exists(path: str) -> None:
    assert (ROOT / "streams" / path).exists()


def _commands() -> list[str]:
    """Every `realname ...` of the README's code blocks, without options and arguments."""
    blocks = re.findall(r"```console\n(.*?)```", README, re.DOTALL)
    lines = [line.strip() for block in blocks for line in block.splitlines()]
    return sorted({line.split("#")[0].strip() for line in lines if line.startswith("realname ")})


def test_the_readme_shows_commands() -> None:
    assert len(_commands()) > 5


@pytest.mark.parametrize("line", _commands())
def test_a_command_that_the_readme_shows_exists(line: str) -> None:
    words = [word for word in line.split()[1:] if re.fullmatch(r"[a-z][a-z-]*", word)]
    command = get_command(app)
    path = []
    for word in words:
        commands = getattr(command, "commands", {})
        if word not in commands:
            break
        command = commands[word]
        path.append(word)
    assert path, f"`{line}` begins with no command"
    if path == ["alerts"]:  # Lists by default.
        path.append("list")
    else:
        assert not getattr(command, "commands", {}), f"`{line}` lacks a sub-command"
    shown = CliRunner().invoke(app, [*path, "--help"], env={"COLUMNS": "200"}).output
    missing = [option for option in re.findall(r"--[a-z-]+", line) if option not in shown]
    assert not missing, f"`{line}`: no such options {missing}"


def test_every_command_is_in_the_readme() -> None:
    known = set(getattr(get_command(app), "commands", {}))
    named = set(re.findall(r"realname ([a-z]+)", README))
    assert known <= named, f"README.md does not name {sorted(known - named)}"
