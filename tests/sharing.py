"""How the tests are shared out among processes: what stays together, and what begins first."""

import pytest
from xdist.scheduler import LoadScopeScheduling  # type: ignore[import-untyped]  # It has no types.

SECURED = "tests/access/"
"""These tests share a secured broker, which takes longest to start; those of a file may share one, too."""

# What takes a quarter of a minute or more, the longest first: begun last, it would keep the other
# processes waiting.
LONGEST = (
    "tests/kafka/test_runner.py",
    "tests/kafka/test_compliance.py",
    SECURED,
    "tests/kafka/test_damaged_log.py",
    "tests/test_oracle_routes.py",
    "tests/cli/test_demo.py",
    "tests/serve/test_follower.py",
    "tests/kafka/test_hash_key.py",
    "tests/kafka/test_worker.py",
    "tests/cli/test_dlq.py",
    "tests/gateway/test_kafka.py",
    "tests/cli/test_operations.py",
    "tests/test_chaos.py",
    "tests/test_scenarios.py",
    "tests/deploy/test_kubernetes_access.py",
    "tests/notify/test_service.py",
    "tests/privacy/test_scan.py",
    "tests/cli/test_data_commands.py",
    "tests/kafka/test_broker.py",
    "tests/reference/test_topic.py",
    "tests/gateway/test_break_in.py",
    "tests/cli/test_alert_commands.py",
    "tests/cli/test_frame.py",
)


def share_of(nodeid: str) -> str:
    """Return the share that a test belongs to; one process runs it from beginning to end."""
    return SECURED if nodeid.startswith(SECURED) else nodeid.partition("::")[0]


class _ByShare(LoadScopeScheduling):  # type: ignore[misc]  # As above.
    def _split_scope(self, nodeid: str) -> str:
        return share_of(nodeid)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: object) -> LoadScopeScheduling:
    """With several processes, hand out shares."""
    return _ByShare(config, log)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the longest shares first; all else stays in its order."""
    order = {share: place for place, share in enumerate(LONGEST)}
    items.sort(key=lambda item: order.get(share_of(item.nodeid), len(order)))
