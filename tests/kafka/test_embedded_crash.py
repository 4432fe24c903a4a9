"""What is done after a crash of the embedded broker, without one."""

import time
from pathlib import Path

import pytest

from streams.kafka.broker import server_properties
from streams.kafka.embedded_crash import controller_alone, has_crashed, wait_fenced


@pytest.mark.parametrize(
    ("files", "crashed"),
    [
        ([], False),
        (["meta.properties"], True),
        (["meta.properties", ".kafka_cleanshutdown"], False),
    ],
)
def test_a_broker_has_crashed_that_ran_and_left_no_mark_of_its_end(
    tmp_path: Path, files: list[str], crashed: bool
) -> None:
    for name in files:
        (tmp_path / name).touch()
    assert has_crashed(tmp_path) is crashed


def test_the_controller_alone_listens_to_no_client() -> None:
    properties = server_properties(
        data_dir=Path("/data"), port=9092, controller_port=29093, proxies={40_001: 29_094}
    )
    alone = controller_alone(properties)
    assert alone["process.roles"] == "controller"
    assert alone["listeners"] == "CONTROLLER://127.0.0.1:29093"
    assert alone["log.dirs"] == properties["log.dirs"]


OLD = b"... fenced=1 ...\n"
ACTIVATED = b"WARN QuorumController: Performing controller activation.\n"


@pytest.mark.parametrize(
    ("said", "runs", "returns_s"),
    [
        (ACTIVATED + b"... fenced=1 ...\n", True, 0.0),
        (OLD + ACTIVATED, True, 2.0),  # It had been fenced before.
        (OLD, False, 0.0),  # It ended by itself.
    ],
)
def test_waiting_ends_when_the_log_says_so_or_will_say_no_more(
    tmp_path: Path, said: bytes, runs: bool, returns_s: float
) -> None:
    log = tmp_path / "server.log"
    log.write_bytes(b"from before" + said)
    begun_s = time.monotonic()
    wait_fenced(log, begin=len(b"from before"), runs=lambda: runs)
    took_s = time.monotonic() - begun_s
    assert returns_s <= took_s < returns_s + 1.5
