"""Every alert has a runbook, and what a runbook says to type can be typed."""

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

import pytest
from confluent_kafka import Producer
from typer.testing import CliRunner

from streams.cli.app import app
from streams.domain.alert import AlertKind
from streams.kafka.broker import EmbeddedBroker
from streams.notify.notices import WATCHDOG, alert_name, runbook_name
from streams.records.topics import ALERTS, Topic
from tests.notify.builders import key_value, record
from tests.notify.fake_alertmanager import FakeAlertmanager, serving

FOLDER = Path(__file__).parent.parent.parent / "deploy/runbooks"
OURS = [*(runbook_name(alert_name(kind.value)) for kind in AlertKind), WATCHDOG]
ALL = sorted(path.stem for path in FOLDER.glob("*.md"))
SECTIONS = ["Who is hurt", "What to check", "What to do", "How to silence"]


def text(name: str) -> str:
    return (FOLDER / f"{name}.md").read_text("utf8")


def commands(name: str) -> list[str]:
    return [line.strip() for line in re.findall(r"^ {4,}(realname .+)$", text(name), re.MULTILINE)]


def test_every_alert_of_ours_has_a_runbook() -> None:
    """Prometheus' alerts are paired with theirs in tests/deploy."""
    assert set(OURS) <= set(ALL)


@pytest.mark.parametrize("name", ALL)
def test_a_runbook_has_every_section(name: str) -> None:
    assert re.findall(r"^## (.+)$", text(name), re.MULTILINE) == SECTIONS
    assert text(name).startswith(f"# {name}\n")


@pytest.mark.kafka
@pytest.mark.parametrize("name", OURS)
async def test_its_commands_run_as_written(
    name: str, broker: EmbeddedBroker, topics: Mapping[str, Topic], prefix: str
) -> None:
    producer = Producer({"bootstrap.servers": broker.bootstrap})
    for alert in (
        record("150102-DB-0001"),
        record("150102-DB-0001", kind="RATE_AT_RISK"),
        record("911500000000010092", kind="CHANNEL_SILENT", granularity="ENTERPRISE"),
    ):
        key, value = key_value(alert)
        producer.produce(topics[ALERTS].name, value, key)
    assert producer.flush(10) == 0
    here = ["--bootstrap", broker.bootstrap, "--prefix", prefix]
    assert commands(name)
    async with serving(FakeAlertmanager()) as fake:
        for line in commands(name):
            if line.startswith("realname doctor"):
                continue  # Its answer is about the machine.
            there = ["--alertmanager", fake.url] if "alerts test" in line else []
            arguments = [*shlex.split(line)[1:], *there, *here]
            result = await run(arguments)
            assert result == (0, ""), line


async def run(arguments: list[str]) -> tuple[int, str]:
    """Run a command in another thread: some have a loop of their own."""
    import asyncio

    done = await asyncio.to_thread(CliRunner().invoke, app, arguments)
    return done.exit_code, done.stderr if done.exit_code else ""
