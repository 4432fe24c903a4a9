"""Who does not speak TLS, or not well enough, or not the truth about who he is, does not get in."""

import re
import socket
import ssl
import threading
import time
import warnings
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from streams.kafka.diagnosis import why_unavailable
from streams.kafka.embedded_secure import SecureFolder
from streams.kafka.errors import (
    AuthorizationFailed,
    ClusterError,
    KafkaRefused,
    KafkaUnavailable,
)
from tests.access.conftest import Secured

pytestmark = pytest.mark.kafka

YEAR_MS = 365 * 86_400_000


def trusting(secured: Secured, version: ssl.TLSVersion | None = None) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=str(secured.broker.security.authority))
    if version is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", DeprecationWarning)
            context.minimum_version = context.maximum_version = version
        # Or else OpenSSL refuses old versions by itself, and the broker is not even asked.
        context.set_ciphers("ALL:@SECLEVEL=0")
    return context


def shake_hands(context: ssl.SSLContext, port: int) -> str | None:
    with (
        socket.create_connection(("127.0.0.1", port), 10) as plain,
        context.wrap_socket(plain, server_hostname="localhost") as secure,
    ):
        # In TLS 1.3 a refusal of our certificate comes only with the first answer.
        secure.settimeout(1)
        try:
            assert secure.recv(1) != b"", "hung up"
        except TimeoutError:
            return secure.version()
    return None


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_tls_of_today_is_spoken(secured: Secured, version: ssl.TLSVersion) -> None:
    spoken = shake_hands(trusting(secured, version), secured.broker.port)
    assert spoken == version.name.replace("_", ".")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1, ssl.TLSVersion.TLSv1_1])
def test_older_tls_is_refused_by_the_broker(secured: Secured, version: ssl.TLSVersion) -> None:
    with pytest.raises(ssl.SSLError, match="alert protocol version"):
        shake_hands(trusting(secured, version), secured.broker.port)


def test_a_plaintext_client_gets_no_answer(secured: Secured) -> None:
    # ApiVersions, version 0: what every client says first.
    request = b"\x00\x12\x00\x00\x00\x00\x00\x01\x00\x04test"
    with socket.create_connection(("127.0.0.1", secured.broker.port), 10) as plain:
        plain.sendall(len(request).to_bytes(4, "big") + request)
        plain.settimeout(10)
        answer = plain.recv(100)
    # At most a TLS alert: it begins with 21, and a Kafka answer with its length.
    assert answer[:1] in (b"", b"\x15")


@pytest.mark.parametrize("version", [ssl.TLSVersion.TLSv1_2, ssl.TLSVersion.TLSv1_3])
def test_the_controller_takes_nobody_without_the_brokers_certificate(
    secured: Secured, version: ssl.TLSVersion
) -> None:
    port = int(_property(secured, "controller.quorum.voters").rpartition(":")[2])
    with pytest.raises(ssl.SSLError, match=r"(?i)certificate.required|handshake.failure"):
        shake_hands(trusting(secured, version), port)


def test_both_listeners_are_on_this_machine_alone(secured: Secured) -> None:
    for listener in _property(secured, "listeners").split(","):
        assert "//127.0.0.1:" in listener


def _property(secured: Secured, name: str) -> str:
    text = (secured.broker.data_dir / "server.properties").read_text()
    found = re.search(rf"^{re.escape(name)}=(.*)$", text, re.MULTILINE)
    assert found
    return found[1]


def trouble(client: dict[str, Any]) -> ClusterError:
    return why_unavailable(client, KafkaUnavailable("time ran out"), timeout_s=60)


@pytest.mark.parametrize(
    ("settings", "kind", "said"),
    [
        ({"sasl.password": "wrong"}, AuthorizationFailed, "authentication failed"),
        ({"sasl.username": "nobody"}, AuthorizationFailed, "authentication failed"),
        ({"sasl.mechanism": "PLAIN"}, AuthorizationFailed, "supported mechanisms: SCRAM-SHA-512"),
        ({"ssl.ca.location": "another.pem"}, KafkaRefused, "certificate verify failed"),
    ],
)
def test_a_wrong_login_or_authority_is_told_as_what_it_is(
    secured: Secured,
    another_authority: Path,
    settings: dict[str, str],
    kind: type[ClusterError],
    said: str,
) -> None:
    if "ssl.ca.location" in settings:
        settings = {"ssl.ca.location": str(another_authority)}
    found = trouble(secured.client("worker", **settings))
    assert (type(found), said in str(found)) == (kind, True), found
    assert not any(password in str(found) for password in secured.passwords().values())


def test_without_tls_the_remedy_is_security_protocol(secured: Secured) -> None:
    client = secured.client("worker", **{"security.protocol": "SASL_PLAINTEXT"})
    found = why_unavailable(client, KafkaUnavailable("time ran out"), timeout_s=2)
    assert "hangs up on us; check security.protocol" in str(found)


def test_nothing_more_is_said_of_a_broker_that_is_down(secured: Secured) -> None:
    client = {**secured.client("worker"), "bootstrap.servers": "127.0.0.1:1"}
    error = KafkaUnavailable("time ran out")
    assert why_unavailable(client, error) is error


@pytest.fixture
def another_authority(tmp_path: Path) -> Path:
    folder = SecureFolder(tmp_path / "another")
    folder.prepare(bootstrap="127.0.0.1:1", now_ms=int(time.time() * 1000))
    return folder.authority


@pytest.fixture
def serve_tls() -> Iterator[Callable[[SecureFolder, str], int]]:
    """Serve TLS with the certificate of a folder at an address; return the port."""
    stop = threading.Event()
    threads = []

    def serve(folder: SecureFolder, host: str) -> int:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder.folder / "broker.pem")
        listener = socket.create_server((host, 0))
        listener.settimeout(0.2)
        threads.append(threading.Thread(target=_accept, args=(listener, context, stop)))
        threads[-1].start()
        return int(listener.getsockname()[1])

    yield serve
    stop.set()
    for thread in threads:
        thread.join()


def _accept(listener: socket.socket, context: ssl.SSLContext, stop: threading.Event) -> None:
    with listener:
        while not stop.is_set():
            try:
                plain, _ = listener.accept()
                plain.settimeout(5)
                with context.wrap_socket(plain, server_side=True) as secure:
                    secure.recv(1)
            except OSError:
                continue


@pytest.mark.parametrize(
    ("host", "age_years", "said"),
    [
        ("127.0.0.1", 2, "certificate has expired|certificate verify failed"),
        ("127.0.0.2", 0, "certificate verify failed"),
    ],
    ids=["expired", "another host's"],
)
def test_our_clients_refuse_a_certificate_that_does_not_hold(
    tmp_path: Path,
    serve_tls: Callable[[SecureFolder, str], int],
    host: str,
    age_years: int,
    said: str,
) -> None:
    folder = SecureFolder(tmp_path / "other")
    now_ms = int(time.time() * 1000) - age_years * YEAR_MS
    folder.prepare(bootstrap="127.0.0.1:1", now_ms=now_ms)
    port = serve_tls(folder, host)
    client = {**folder.client("admin"), "bootstrap.servers": f"{host}:{port}"}
    found = trouble(client)
    assert isinstance(found, KafkaRefused), found
    assert re.search(said, str(found))


def test_the_same_certificate_in_its_time_is_taken(
    tmp_path: Path, serve_tls: Callable[[SecureFolder, str], int]
) -> None:
    """Or else the refusals above could have another cause."""
    folder = SecureFolder(tmp_path / "other")
    folder.prepare(bootstrap="127.0.0.1:1", now_ms=int(time.time() * 1000))
    port = serve_tls(folder, "127.0.0.1")
    client = {**folder.client("admin"), "bootstrap.servers": f"127.0.0.1:{port}"}
    found = why_unavailable(client, KafkaUnavailable("time ran out"), timeout_s=2)
    assert "certificate" not in str(found)
