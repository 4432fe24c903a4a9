"""TLS: whom the gateway lets connect, and that a token can be bound to a certificate."""

import http.client
import socket
import ssl
import warnings
from collections.abc import Iterator
from contextlib import closing
from dataclasses import replace
from pathlib import Path

import pytest

from streams.gateway.server import Tls
from tests.gateway.certificates import Authority, Pair
from tests.gateway.setting import COLLECTED, GRANTS, KeptWriter, encoded, gateway, served


class Place:
    """A gateway that asks for certificates, and clients with and without."""

    def __init__(self, folder: Path) -> None:
        ours, others = Authority(folder, "ours"), Authority(folder, "others")
        self.trusted = ours.certificate
        server = ours.pair("server")
        self.tls = Tls(server.certificate, server.key, ours.certificate)
        self.clients: dict[str, Pair | None] = {
            "none": None,
            "ours": ours.pair("zt"),
            "another of ours": ours.pair("yt"),
            "of another authority": others.pair("zt-of-others"),
        }
        self.port = 0

    def status(self, client: str, token: str, *, at_most: ssl.TLSVersion | None = None) -> int:
        context = ssl.create_default_context(cafile=str(self.trusted))
        pair = self.clients[client]
        if pair is not None:
            context.load_cert_chain(pair.certificate, pair.key)
        if at_most is not None:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", DeprecationWarning)
                context.minimum_version = ssl.TLSVersion.TLSv1
                context.maximum_version = at_most
            context.set_ciphers("DEFAULT:@SECLEVEL=0")
        headers = {"Authorization": f"Bearer {token}", "Content-Type": "application/x-ndjson"}
        connection = http.client.HTTPSConnection(
            "127.0.0.1", self.port, timeout=30, context=context
        )
        with closing(connection):
            connection.request("POST", "/v1/shipments", encoded(COLLECTED), headers)
            return connection.getresponse().status


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Place]:
    place = Place(tmp_path_factory.mktemp("tls"))
    ours = place.clients["ours"]
    assert ours is not None
    bound = replace(GRANTS[-1], certificate_sha256=ours.sha256)
    made = gateway(KeptWriter())
    made = replace(made, grants={**made.grants, bound.sha256: bound})
    with served(made, tls=place.tls) as place.port:
        yield place


CLIENTS: list[tuple[str, str, int | None]] = [
    # certificate, token, status; None is refused before a request
    ("ours", "rns_zt", 200),
    ("ours", "rns_bound", 200),
    ("another of ours", "rns_zt", 200),
    ("another of ours", "rns_bound", 401),
    ("ours", "rns_forged", 401),
    ("none", "rns_zt", None),
    ("of another authority", "rns_zt", None),
]


@pytest.mark.parametrize(("client", "token", "status"), CLIENTS)
def test_who_may_connect_and_with_which_token(
    place: Place, client: str, token: str, status: int | None
) -> None:
    if status is None:
        with pytest.raises((ssl.SSLError, ConnectionError, http.client.RemoteDisconnected)):
            place.status(client, token)
    else:
        assert place.status(client, token) == status


@pytest.mark.parametrize(
    ("at_most", "spoken"),
    [
        (ssl.TLSVersion.TLSv1_3, True),
        (ssl.TLSVersion.TLSv1_2, True),
        (ssl.TLSVersion.TLSv1_1, False),
        (ssl.TLSVersion.TLSv1, False),
    ],
)
def test_no_older_tls_is_spoken(place: Place, at_most: ssl.TLSVersion, spoken: bool) -> None:
    if spoken:
        assert place.status("ours", "rns_zt", at_most=at_most) == 200
    else:
        with pytest.raises((ssl.SSLError, ConnectionError)):
            place.status("ours", "rns_zt", at_most=at_most)


def test_nothing_is_told_without_tls(place: Place) -> None:
    with socket.create_connection(("127.0.0.1", place.port), timeout=30) as connection:
        connection.sendall(b"GET /live HTTP/1.1\r\nHost: localhost\r\n\r\n")
        try:
            came = connection.recv(65_536)
        except ConnectionResetError:
            came = b""
    assert b"HTTP" not in came
