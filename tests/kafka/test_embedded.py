"""What the embedded broker is made of, as far as it needs no broker."""

import signal
from pathlib import Path

import pytest

from streams.kafka.broker import BrokerError, server_properties
from streams.kafka.embedded_config import properties_text
from streams.kafka.embedded_java import java_of_home
from streams.kafka.embedded_process import is_alive, send, spawn_daemon, wait_gone


def test_every_listener_is_on_the_loopback_address() -> None:
    properties = server_properties(
        data_dir=Path("/data"), port=9092, controller_port=29093, proxies={40_001: 29_094}
    )
    for setting in ("listeners", "advertised.listeners"):
        for listener in properties[setting].split(","):
            assert listener.split("://")[1].startswith("127.0.0.1:"), listener


def test_a_client_that_comes_through_a_proxy_is_told_the_proxys_port() -> None:
    properties = server_properties(
        data_dir=Path("/data"), port=9092, controller_port=29093, proxies={40_001: 29_094}
    )
    assert "PROXY40001://127.0.0.1:29094" in properties["listeners"].split(",")
    assert "PROXY40001://127.0.0.1:40001" in properties["advertised.listeners"].split(",")
    assert "PROXY40001:PLAINTEXT" in properties["listener.security.protocol.map"].split(",")


def test_nothing_is_copied_to_a_second_node() -> None:
    properties = server_properties(data_dir=Path("/data"), port=9092, controller_port=29093)
    factors = {name: value for name, value in properties.items() if "replication.factor" in name}
    assert len(factors) == 4
    assert set(factors.values()) == {"1"}


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("plain", "plain"),
        ("C:\\data", "C:\\\\data"),
        ("/home/王/data", "/home/\\u738b/data"),
        ("/😀", "/\\ud83d\\ude00"),
    ],
)
def test_properties_are_escaped_for_java(value: str, written: str) -> None:
    assert properties_text({"log.dirs": value}) == f"log.dirs={written}\n"


@pytest.mark.parametrize(
    ("release", "found"),
    [
        ('JAVA_VERSION="1.8.0_412"', "JAVA_HOME is Java 8"),
        ('IMPLEMENTOR="X"\nJAVA_VERSION="11.0.2"\n', "JAVA_HOME is Java 11"),
    ],
)
def test_an_old_java_is_refused(tmp_path: Path, release: str, found: str) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    (tmp_path / "release").write_text(release)
    with pytest.raises(BrokerError, match=f"{found}.*set JAVA_HOME to a later one"):
        java_of_home(str(tmp_path))


@pytest.mark.parametrize("release", ['JAVA_VERSION="17.0.15"', 'JAVA_VERSION="25"', "", None])
def test_a_java_that_is_new_or_does_not_say_is_taken(tmp_path: Path, release: str | None) -> None:
    (tmp_path / "bin").mkdir()
    (tmp_path / "bin" / "java").touch()
    if release is not None:
        (tmp_path / "release").write_text(release)
    assert java_of_home(str(tmp_path)) == tmp_path / "bin" / "java"


@pytest.mark.parametrize("java_home", [None, "", "/nowhere"])
def test_without_java_the_remedy_is_named(java_home: str | None) -> None:
    with pytest.raises(BrokerError, match=r"realname-streams\[embedded\]"):
        java_of_home(java_home)


def test_a_daemon_is_alive_from_its_first_moment_to_its_last(tmp_path: Path) -> None:
    # For a moment after the start the kernel shows no command line: in 1 of 200 on a busy machine.
    for _ in range(100):
        daemon = spawn_daemon(["/bin/sleep", "60"], output=tmp_path / "out", marker="60")
        assert is_alive(daemon)
        send(daemon, signal.SIGKILL)
        assert wait_gone(daemon, timeout_s=10)


def test_a_program_that_does_not_exist_is_an_os_error(tmp_path: Path) -> None:
    with pytest.raises(OSError, match="nothing"):
        spawn_daemon([str(tmp_path / "nothing")], output=tmp_path / "out", marker="nothing")
