"""The example subscriber with kcat: it prints its own enterprise's alert, and is refused others'."""

import re
import shutil
import subprocess
import threading
from pathlib import Path

import confluent_kafka
import pytest

from tests.access.conftest import Secured, secured
from tests.access.test_subscribing import OURS, THEIRS, USER, told

__all__ = ["secured", "told"]

KCAT = shutil.which("kcat")

pytestmark = [
    pytest.mark.kafka,
    pytest.mark.skipif(KCAT is None, reason="kcat is not installed"),
]

NONCE_MENDED = (2, 6, 1)
"""Older clients cannot log in to Kafka 4 by SCRAM (librdkafka pull request 4895)."""
SCRIPT = Path(__file__).parent.parent.parent / "examples/subscriber/subscribe.sh"


@pytest.fixture(scope="module")
def environment(tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """kcat's own client where that is new enough, else the one of the Python package."""
    assert KCAT is not None
    said = subprocess.run([KCAT, "-V"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"librdkafka (\d+)\.(\d+)\.(\d+)", said)
    assert found is not None, said
    here = {"PATH": "/usr/local/bin:/usr/bin:/bin"}
    if tuple(map(int, found.groups())) >= NONCE_MENDED:
        return here
    bundled = Path(confluent_kafka.__file__).parent.parent / "confluent_kafka.libs"
    folder = tmp_path_factory.mktemp("librdkafka")
    (folder / "librdkafka.so.1").symlink_to(next(bundled.glob("librdkafka-*.so.1")))
    return {**here, "LD_LIBRARY_PATH": str(folder)}


def start(told: Secured, enterprise: str, environment: dict[str, str]) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [str(SCRIPT), str(told.users / f"{USER}.conf"), enterprise],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )


def test_it_prints_the_alert_of_its_own_enterprise(
    told: Secured, environment: dict[str, str]
) -> None:
    kcat = start(told, OURS, environment)
    watchdog = threading.Timer(120, kcat.kill)
    watchdog.start()
    assert kcat.stdout is not None
    headers, data = kcat.stdout.readline(), kcat.stdout.readline()
    watchdog.cancel()
    kcat.kill()
    _, said = kcat.communicate()
    assert "ce_type=alert.raised" in headers, said
    assert '"alert_kind":"RATE_BELOW_TARGET"' in data


def test_it_is_refused_what_is_another_enterprises(
    told: Secured, environment: dict[str, str]
) -> None:
    kcat = start(told, THEIRS, environment)
    try:
        out, said = kcat.communicate(timeout=60)
    except subprocess.TimeoutExpired:
        kcat.kill()
        out, said = kcat.communicate()
    assert not out
    assert "authorization failed" in said.lower()
