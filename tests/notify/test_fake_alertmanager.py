"""The fake Alertmanager keeps the contract; tests/system holds a real one to the same."""

from collections.abc import AsyncIterator

import pytest

from tests.notify.contract import AlertmanagerContract
from tests.notify.fake_alertmanager import FakeAlertmanager, serving


class TestFakeAlertmanager(AlertmanagerContract):
    @pytest.fixture
    async def url(self) -> AsyncIterator[str]:
        async with serving(FakeAlertmanager()) as fake:
            yield fake.url
