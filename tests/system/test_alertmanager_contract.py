"""A real Alertmanager keeps the contract that the fake keeps."""

from pathlib import Path

import pytest

from tests.notify.contract import AlertmanagerContract
from tests.system.conftest import NewAlertmanager

CONFIG = """
route: {receiver: everybody}
receivers: [{name: everybody}]
"""


@pytest.fixture(scope="module")
def url(new_alertmanager: NewAlertmanager, tmp_path_factory: pytest.TempPathFactory) -> str:
    config: Path = tmp_path_factory.mktemp("config") / "alertmanager.yml"
    config.write_text(CONFIG)
    alertmanager = new_alertmanager(config)
    alertmanager.start()
    return alertmanager.url


class TestRealAlertmanager(AlertmanagerContract):
    """Nothing but the contract."""
