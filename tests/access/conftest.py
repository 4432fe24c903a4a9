"""A secured broker, started once for all tests here as a user starts it: `realname broker start --secure`."""

import os
import shutil
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from confluent_kafka.admin import AdminClient

from streams.kafka.broker import EmbeddedBroker
from streams.kafka.client import client_config
from streams.kafka.client_files import read_properties
from streams.kafka.embedded_secure import ADMIN
from tests.cli.conftest import Realname, Result


@dataclass(frozen=True)
class Secured:
    """The broker, and everything that any command has told so far: no password may be in it."""

    broker: EmbeddedBroker
    said: list[str] = field(default_factory=list)

    @property
    def users(self) -> Path:
        return self.broker.security.users

    def config(self, user: str) -> Path:
        return self.users / f"{user}.toml"

    def client(self, user: str, **settings: Any) -> dict[str, Any]:  # noqa: ANN401 (as librdkafka)
        extra = {**read_properties(self.config(user)), **settings}
        return client_config(self.broker.bootstrap, client_id=f"tests-{user}", extra=extra)

    def admin(self, user: str = ADMIN) -> AdminClient:
        return AdminClient(self.client(user))

    def run(self, user: str, *arguments: str) -> Result:
        """Run a command as a user of Kafka."""
        result = Realname("--config", str(self.config(user)))(*arguments)
        self.said.extend((result.out, result.err))
        return result

    def ok(self, user: str, *arguments: str) -> Result:
        result = self.run(user, *arguments)
        assert result.code == 0, result.err
        return result

    def passwords(self) -> Mapping[str, str]:
        files = {path.stem: read_properties(path) for path in self.users.glob("*.toml")}
        own = (self.broker.security.folder / "broker.password").read_text()
        return {"broker": own, **{user: found["sasl.password"] for user, found in files.items()}}


@pytest.fixture(autouse=True)
def _no_settings_of_the_callers(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    for name in list(os.environ):
        if name.startswith("REALNAME_"):
            monkeypatch.delenv(name)


@pytest.fixture(scope="session")
def secured(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Secured]:
    data_dir = tmp_path_factory.mktemp("secured")
    # Port 0: a free one.
    here = Realname("--data-dir", str(data_dir), "--bootstrap", "127.0.0.1:0")
    broker = EmbeddedBroker(data_dir / "broker", port=0)
    result = here("broker", "start", "--secure")
    assert result.code == 0, result.err
    yield Secured(broker, [result.out, result.err])
    broker.kill()
    shutil.rmtree(broker.data_dir / "kafka", ignore_errors=True)
