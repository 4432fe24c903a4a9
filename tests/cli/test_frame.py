"""What all commands have in common: help, common options, errors and exit codes."""

import subprocess
import sys
from collections.abc import Iterator

import pytest
import typer
from typer.core import TyperGroup

from streams.cli.app import app
from streams.domain.personal import masked
from tests.cli.conftest import Realname

# Nobody listens on it: it is reserved, and below what is given out.
NO_BROKER = "127.0.0.1:1"


def commands(group: TyperGroup, path: tuple[str, ...] = ()) -> Iterator[tuple[str, ...]]:
    for name, command in group.commands.items():
        if isinstance(command, TyperGroup):
            yield from commands(command, (*path, name))
        else:
            yield (*path, name)


GROUP = typer.main.get_command(app)
assert isinstance(GROUP, TyperGroup)
COMMANDS = sorted(commands(GROUP))


@pytest.mark.parametrize("path", COMMANDS, ids=" ".join)
def test_every_command_teaches(path: tuple[str, ...]) -> None:
    result = Realname()(*path, "--help")
    assert result.code == 0
    assert f"realname {' '.join(path)}" in result.out.partition("Examples")[2]
    assert "Exit codes" in result.out
    assert "--bootstrap" in result.out


def test_help_is_quick_to_import() -> None:
    """Neither Kafka's client nor pydantic is loaded to show a help text."""
    program = (
        "import sys, streams.cli.app; "
        "sys.exit(any(m in sys.modules for m in ('confluent_kafka', 'pydantic', 'faust', 'numpy')))"
    )
    assert subprocess.run([sys.executable, "-c", program], check=False).returncode == 0


def test_version_is_shown() -> None:
    assert Realname().ok("--version").out.startswith("realname 0.")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        (["config", "show", "--bootstrap", "nowhere"], "--bootstrap: 'nowhere'"),
        (["config", "show", "--kafka", "sasl.password"], "--kafka takes NAME=VALUE"),
        (["config", "show", "--config", "none.toml"], "none.toml: cannot be read"),
        (["config", "show", "--log-level", "loud"], "Invalid value for '--log-level'"),
        (["broker", "start", "--bootstrap", "kafka.example:9092"], "runs on this machine"),
        (["topics", "check", "--kafka", "no.such=1"], 'No such configuration property: "no.such"'),
        (["topics", "nonsense"], "No such command"),
    ],
)
def test_a_mistake_of_the_user_is_a_line_and_exit_code_2(
    arguments: list[str], expected: str
) -> None:
    result = Realname()(*arguments)
    assert (result.code, result.out) == (2, "")
    assert expected in result.err
    assert "Traceback" not in result.err


def test_a_broker_that_does_not_answer_is_exit_code_3_with_the_remedy(realname: Realname) -> None:
    result = realname("topics", "check", "--bootstrap", NO_BROKER)
    assert (result.code, result.out) == (3, "")
    assert "realname broker start" in result.err
    assert "Traceback" not in result.err


def test_config_shows_what_was_said_and_no_secret() -> None:
    result = Realname().ok("config", "show", "--json", "--kafka", "sasl.password=hush")
    rows = {row["setting"]: row for row in result.rows}
    assert rows["kafka.sasl.password"]["value"] == "(secret)"
    assert rows["kafka.sasl.password"]["from"] == "--kafka"
    assert rows["bootstrap"]["from"] == "default"
    assert all(row["description"] for row in result.rows)
    assert "hush" not in result.out


def test_config_is_a_table_for_people() -> None:
    result = Realname().ok("config", "show")
    assert "policy.grace_alert_ms" in result.out


def test_topics_are_listed_without_kafka() -> None:
    rows = Realname().ok("topics", "list", "--json", "--prefix", "p.").rows
    assert rows[0]["topic"] == "p.shipments"
    assert rows[0]["personal_data"] is True


def test_broker_that_does_not_run_is_exit_code_1(realname: Realname) -> None:
    result = realname("broker", "status", "--json")
    assert (result.code, result.rows[0]["running"]) == (1, False)
    assert realname("broker", "status").code == 1
    assert "No broker was running" in realname.ok("broker", "stop").err


@pytest.mark.parametrize(
    ("waybill_no", "shown"),
    [
        ("ZT0000000000017", "ZT0********0017"),
        ("SF123456789", "SF1****6789"),
        ("123456789", "*********"),
        ("1", "*"),
    ],
)
def test_a_waybill_shows_its_ends_only_when_enough_stays_hidden(
    waybill_no: str, shown: str
) -> None:
    assert masked(waybill_no) == shown
