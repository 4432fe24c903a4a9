"""schemathesis asks `realname serve` what its own OpenAPI document allows, and what it forbids."""

import asyncio
import sys
from pathlib import Path

import pytest
from confluent_kafka import Producer

from streams.kafka.broker import EmbeddedBroker
from streams.tokens import hash_of
from tests.system.test_board import Server, Topics, publish

pytestmark = pytest.mark.kafka

EXAMPLES = 80
# The board's stream never ends. A cursor is whatever a page has named, so not every text that the
# document allows is one: `positive_data_acceptance` would demand it.
OPTIONS = (
    *("--exclude-path", "/api/v1/stream", "--exclude-checks", "positive_data_acceptance"),
    *("--checks", "all", "--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES)),
    *("--seed", "1", "--no-color"),
)


async def test_it_answers_as_its_document_says_whatever_is_asked(
    broker: EmbeddedBroker, prefix: str, topics: Topics, tmp_path: Path
) -> None:
    publish(Producer({"bootstrap.servers": broker.bootstrap}), topics)
    tokens = tmp_path / "tokens.toml"
    tokens.write_text(f'[[tokens]]\nname = "all"\nsha256 = "{hash_of("secret")}"\nregion = true\n')
    server = Server(broker.bootstrap, prefix, tmp_path, ("--tokens", str(tokens)))
    await server.start()
    try:
        process = await asyncio.create_subprocess_exec(
            *(Path(sys.executable).parent / "schemathesis", "run"),
            *(f"{server.url}/api/v1/openapi.json", *OPTIONS),
            *("--header", "Authorization: Bearer secret"),
            stdout=asyncio.subprocess.PIPE,
            cwd=tmp_path,
        )
        told, _ = await process.communicate()
    finally:
        await server.stop()
    assert process.returncode == 0, told.decode()
