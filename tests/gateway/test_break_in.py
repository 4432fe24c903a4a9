"""Tries to break in: with every token and none, on every route, and by what is not quite HTTP.

Against the real server and real sockets; only Kafka is played.
"""

import gzip
import http.client
import json
import logging
import socket
import time
from collections.abc import Iterator, Mapping
from contextlib import closing
from dataclasses import dataclass

import pytest

from streams.gateway.batches import PACKED_BYTES_MAX
from streams.gateway.protocol import HEAD_BYTES_MAX, GatewayProtocol
from streams.tokens import hash_of
from tests.gateway.setting import (
    COLLECTED,
    GRANTS,
    IDENTITY,
    NAME,
    PHONE,
    KeptWriter,
    KnownAll,
    encoded,
    gateway,
    served,
)

PATH = "/v1/shipments"
OWN = "rns_zt"
BATCH = encoded(COLLECTED)
JSON = "application/json"
NDJSON = "application/x-ndjson"


@dataclass
class Answer:
    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass
class Door:
    """A running gateway, and what came through it."""

    port: int
    writer: KeptWriter
    known: KnownAll

    def send(
        self,
        token: str | None = OWN,
        *,
        body: bytes = BATCH,
        path: str = PATH,
        method: str = "POST",
        **more: str,
    ) -> Answer:
        headers = {"Content-Type": NDJSON} | {k.replace("_", "-"): v for k, v in more.items()}
        if token is not None:
            headers.setdefault("Authorization", f"Bearer {token}")
        with closing(http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)) as connection:
            connection.request(method, path, body, headers)
            answer = connection.getresponse()
            return Answer(answer.status, dict(answer.getheaders()), answer.read())

    def raw(self, data: bytes, *, wait_s: float = 10.0) -> bytes:
        """Send bytes as they are; return all that comes back until the end or a silence."""
        with socket.create_connection(("127.0.0.1", self.port), timeout=wait_s) as connection:
            connection.sendall(data)
            came = b""
            try:
                while piece := connection.recv(65_536):
                    came += piece
                    connection.settimeout(1.0)
            except TimeoutError:
                pass
            except ConnectionResetError:
                pass
            return came


@pytest.fixture(scope="module")
def running() -> Iterator[Door]:
    writer, known = KeptWriter(), KnownAll()
    with served(gateway(writer, known=known)) as port:
        yield Door(port, writer, known)


@pytest.fixture
def door(running: Door) -> Door:
    running.writer.written.clear()
    return running


TOKENS: list[tuple[str, str | None, int, int]] = [
    # who, token, status, records written of our own
    ("an enterprise", "rns_zt", 200, 1),
    ("another enterprise", "rns_yt", 200, 0),
    ("one of another brand", "rns_zx", 200, 0),
    ("nobody", None, 401, 0),
    ("an empty token", "", 401, 0),
    ("a forged token", "rns_zT", 401, 0),
    ("a token's hash", hash_of("rns_zt"), 401, 0),
    ("an expired token", "rns_old", 401, 0),
    ("a token of another connection", "rns_bound", 401, 0),
    ("a token in other letters", "rns_\xe4", 401, 0),
    ("a token that reads", "rns_reader", 403, 0),
    ("a token of the region", "rns_region", 403, 0),
]


@pytest.mark.parametrize(
    ("who", "token", "status", "written"), TOKENS, ids=[case[0] for case in TOKENS]
)
def test_who_may_write_what(
    door: Door, who: str, token: str | None, status: int, written: int
) -> None:
    answer = door.send(token)
    assert answer.status == status, who
    assert len(door.writer.written) == written
    if status == 200:
        assert json.loads(answer.body)["accepted"] == written
    else:
        assert answer.headers["content-type"] == "application/problem+json"
    if status == 401:
        assert answer.headers["www-authenticate"] == "Bearer"


def test_a_wrong_token_is_answered_alike_whatever_is_wrong_with_it(door: Door) -> None:
    bodies = {door.send(token).body for token in ("rns_zT", "rns_old", "rns_bound")}
    assert len(bodies) == 1


ROUTES = [
    # what, method, path, status
    ("another enterprise in the path", "POST", "/v1/E-YT/shipments", 404),
    ("another enterprise in a parameter", "POST", f"{PATH}?enterprise_id=E-YT", 400),
    ("any parameter", "POST", f"{PATH}?x", 400),
    ("a slash more", "POST", f"{PATH}/", 404),
    ("two slashes", "POST", f"/{PATH}", 404),
    ("a way round", "POST", "/v1/x/../shipments", 404),
    ("reading", "GET", PATH, 405),
    ("deleting", "DELETE", PATH, 405),
    ("the library's own pages", "GET", "/docs", 404),
    ("their document elsewhere", "GET", "/openapi.json", 404),
]


@pytest.mark.parametrize(
    ("what", "method", "path", "status"), ROUTES, ids=[case[0] for case in ROUTES]
)
def test_there_is_one_way_in(door: Door, what: str, method: str, path: str, status: int) -> None:
    assert door.send(path=path, method=method).status == status, what
    assert not door.writer.written


HEADERS: list[tuple[str, dict[str, str], int]] = [
    ("another enterprise's id", {"X_Enterprise_Id": "E-YT"}, 200),
    ("another address", {"X_Forwarded_For": "10.0.0.1", "Forwarded": "for=10.0.0.1"}, 200),
    ("another method", {"X_HTTP_Method_Override": "DELETE"}, 200),
    ("another path", {"X_Original_URL": "/metrics", "X_Rewrite_URL": "/metrics"}, 200),
    ("a form", {"Content_Type": "application/x-www-form-urlencoded"}, 415),
    ("no type", {"Content_Type": ""}, 415),
    ("an encoding that is not taken", {"Content_Encoding": "br"}, 415),
    ("two encodings", {"Content_Encoding": "gzip, gzip"}, 415),
    ("gzip that is none", {"Content_Encoding": "gzip"}, 400),
    ("another way to say who one is", {"Authorization": "Basic cm5zX3p0Og=="}, 401),
]


@pytest.mark.parametrize(("what", "more", "status"), HEADERS, ids=[case[0] for case in HEADERS])
def test_a_header_opens_nothing(door: Door, what: str, more: dict[str, str], status: int) -> None:
    assert door.send(OWN, body=BATCH, path=PATH, method="POST", **more).status == status, what
    assert len(door.writer.written) == (status == 200)


BODIES = [
    ("an array", JSON, b"[" + BATCH + b"]", 200),
    ("no array", JSON, BATCH, 400),
    ("too many records", NDJSON, b"1\n" * 10_001, 413),
    ("too many bytes", NDJSON, b" " * (PACKED_BYTES_MAX + 1), 413),
    ("nothing", NDJSON, b"", 200),
    ("what is no UTF-8", NDJSON, b"\xff\xfe", 200),
]


@pytest.mark.parametrize(
    ("what", "kind", "body", "status"), BODIES, ids=[case[0] for case in BODIES]
)
def test_a_body_is_measured_and_read(
    door: Door, what: str, kind: str, body: bytes, status: int
) -> None:
    assert door.send(body=body, Content_Type=kind).status == status, what


def test_a_bomb_is_refused_and_the_next_request_served(door: Door) -> None:
    bomb = gzip.compress(b"\n" * (500 * 1024 * 1024), compresslevel=1)
    assert len(bomb) < PACKED_BYTES_MAX
    began = time.monotonic()
    assert door.send(body=bomb, Content_Encoding="gzip").status == 413
    assert time.monotonic() - began < 10
    assert door.send(body=gzip.compress(BATCH), Content_Encoding="gzip").status == 200


def head(*lines: str, path: str = PATH, version: str = "1.1") -> bytes:
    shown = (
        *(f"POST {path} HTTP/{version}", "Host: localhost", "Authorization: Bearer rns_zt"),
        *(f"Content-Type: {NDJSON}", *lines),
    )
    return "\r\n".join(shown).encode() + b"\r\n\r\n"


CHUNKED = "Transfer-Encoding: chunked"
# What is hidden behind, or in, the first body: a second request, with a token that somebody else sent.
HIDDEN = head(f"Content-Length: {len(BATCH)}") + BATCH
CHUNKS = b"%x\r\n%b\r\n0\r\n\r\n" % (len(BATCH), BATCH)

SMUGGLED: list[tuple[str, bytes]] = [
    (
        "both lengths: who counts by the first, hides a request in the body",
        head(f"Content-Length: {5 + len(HIDDEN)}", CHUNKED) + b"0\r\n\r\n" + HIDDEN,
    ),
    (
        "both lengths: who counts by the second, leaves a part behind",
        head("Content-Length: 4", CHUNKED) + CHUNKS + HIDDEN,
    ),
    (
        "two lengths",
        head("Content-Length: 0", f"Content-Length: {len(HIDDEN)}") + HIDDEN,
    ),
    ("two lengths in one", head(f"Content-Length: 0, {len(HIDDEN)}") + HIDDEN),
    ("a signed length", head(f"Content-Length: +{len(BATCH)}") + BATCH + HIDDEN),
    ("a negative length", head("Content-Length: -1") + HIDDEN),
    ("a length of other digits", head("Content-Length: 0x10") + BATCH + HIDDEN),
    ("an encoding of another name", head("Transfer-Encoding: xchunked") + CHUNKS + HIDDEN),
    ("chunked and more", head("Transfer-Encoding: chunked, identity") + CHUNKS + HIDDEN),
    ("chunked twice", head(CHUNKED, CHUNKED) + CHUNKS + HIDDEN),
    ("chunked, tabbed", head("Transfer-Encoding:\tchunked\x0b") + CHUNKS + HIDDEN),
    ("a blank before the colon", head("Transfer-Encoding : chunked") + CHUNKS + HIDDEN),
    ("chunked of HTTP 1.0", head(CHUNKED, version="1.0") + CHUNKS + HIDDEN),
    ("a chunk of another size", head(CHUNKED) + b"-1\r\n" + BATCH + b"\r\n0\r\n\r\n" + HIDDEN),
    ("a chunk with a prefix", head(CHUNKED) + b"0x5\r\n" + BATCH + b"\r\n0\r\n\r\n" + HIDDEN),
    ("a chunk longer than any", head(CHUNKED) + b"f" * 30 + b"\r\n" + BATCH),
    ("a header without a name", head(": x", "Content-Length: 0") + HIDDEN),
    ("a line break in a header", head("X: a\x00b", "Content-Length: 0") + HIDDEN),
    ("no host", b"POST /v1/shipments HTTP/1.1\r\nContent-Length: 0\r\n\r\n" + HIDDEN),
    ("two hosts", head("Host: elsewhere", "Content-Length: 0") + HIDDEN),
    ("two tokens", head("Authorization: Bearer rns_yt", f"Content-Length: {len(BATCH)}") + BATCH),
    ("another protocol", b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + HIDDEN),
    ("no HTTP", b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + HIDDEN),
    ("a head without end", b"POST / HTTP/1.1\r\nX: " + b"a" * (2 * HEAD_BYTES_MAX)),
]


@pytest.mark.parametrize(("what", "data"), SMUGGLED, ids=[case[0] for case in SMUGGLED])
def test_a_request_that_can_be_taken_for_two_is_refused_and_ends_the_connection(
    door: Door, what: str, data: bytes
) -> None:
    came = door.raw(data)
    assert not door.writer.written, what
    statuses = [line.split()[1] for line in came.split(b"\r\n") if line.startswith(b"HTTP/1.1 ")]
    assert len(statuses) <= 1, "nothing behind the first request is parsed"
    assert all(status in (b"400", b"401", b"501") for status in statuses), came


def test_what_is_no_trick_is_served(door: Door) -> None:
    """The other way round, so that the tests above do not pass of something else."""
    pipelined = HIDDEN + HIDDEN
    assert door.raw(head(CHUNKED) + CHUNKS).count(b"200 OK") == 1
    assert door.raw(pipelined).count(b"200 OK") == 2
    same = f"Content-Length: {len(BATCH)}"
    assert door.raw(head(same, same) + BATCH).count(b"200 OK") == 1, "twice the same is one length"
    folded = head("X: 1\r\n Transfer-Encoding: chunked", same) + BATCH
    assert door.raw(folded).count(b"200 OK") == 1, "what is folded belongs to the header above"
    assert len(door.writer.written) == 5


def test_what_is_in_a_refused_body_is_never_a_request(door: Door) -> None:
    refused = head(f"Content-Length: {len(HIDDEN)}").replace(b"rns_zt", b"rns_no")
    came = door.raw(refused + HIDDEN)
    assert came.count(b"HTTP/1.1 ") == 1
    assert b"401" in came
    assert not door.writer.written
    assert door.raw(refused + HIDDEN + HIDDEN).count(b"HTTP/1.1 ") == 2, "what is behind it is one"


def test_a_body_that_does_not_end_ends_the_connection(door: Door) -> None:
    endless = head(f"Content-Length: {10**9}") + b" " * (PACKED_BYTES_MAX + 1)
    came = door.raw(endless)
    assert b" 413 " in came
    assert b"connection: close" in came.lower()


@pytest.fixture
def impatient() -> Iterator[Door]:
    """A gateway that waits for the head of a request for a second only."""
    patience = GatewayProtocol.head_s
    GatewayProtocol.head_s = 1.0
    writer = KeptWriter()
    try:
        with served(gateway(writer)) as port:
            yield Door(port, writer, KnownAll())
    finally:
        GatewayProtocol.head_s = patience


SLOW = [
    ("says nothing", [b""] * 6),
    ("says a letter at a time", [bytes([byte]) for byte in b"POST /v1"]),
    ("does the same after a request", [HIDDEN, *(bytes([byte]) for byte in b"POST /v1")]),
]


@pytest.mark.parametrize(("what", "pieces"), SLOW, ids=[case[0] for case in SLOW])
def test_nobody_holds_a_connection_by_being_slow(
    impatient: Door, what: str, pieces: list[bytes]
) -> None:
    with socket.create_connection(("127.0.0.1", impatient.port), timeout=30) as connection:
        for piece in pieces:
            try:
                connection.sendall(piece)
            except (BrokenPipeError, ConnectionResetError):
                return
            time.sleep(0.4)
        try:
            while connection.recv(65_536):
                pass
        except ConnectionResetError:
            pass


def test_health_is_open_and_metrics_are_for_who_sees_everything(door: Door) -> None:
    assert door.send(None, path="/live", method="GET", body=b"").status == 200
    assert door.send(None, path="/ready", method="GET", body=b"").status == 200
    assert door.send(None, path="/v1/openapi.json", method="GET", body=b"").status == 200
    for token, status in ((None, 401), ("rns_zt", 403), ("rns_reader", 403), ("rns_region", 200)):
        answer = door.send(token, path="/metrics", method="GET", body=b"")
        assert answer.status == status
    assert b"realname_gateway_requests_total" in answer.body


def test_no_secret_and_nothing_personal_is_told(
    door: Door, caplog: pytest.LogCaptureFixture
) -> None:
    """Log, answers and metrics are searched for all that was sent, in every way to be refused."""
    caplog.set_level(logging.DEBUG)
    batch = [
        encoded(COLLECTED, courier_id=IDENTITY),
        encoded(COLLECTED, courier_id=NAME),
        encoded(COLLECTED, outlet_id=PHONE),
        encoded(COLLECTED, source=NAME),
        encoded(COLLECTED, parcel_category=PHONE),
        encoded(COLLECTED, time=IDENTITY),
        encoded(COLLECTED, type=NAME),
        encoded(COLLECTED, sender=NAME),
        f"{NAME} {PHONE}".encode(),
    ]
    answers = [
        door.send(body=b"\n".join(batch)),
        door.send(body=f'{{"{NAME}": "{PHONE}"}}'.encode(), Content_Type=JSON),
        door.send("rns_forged"),
        door.send("rns_old"),
        door.send(path=f"/v1/{PHONE}"),
        door.send(path=f"{PATH}?id={IDENTITY}"),
        door.send(Content_Type=PHONE),
        door.send(method="PUT"),
        door.send("rns_region", path="/metrics", method="GET", body=b""),
    ]
    door.raw(head("Content-Length: x", f"X: {PHONE}"))
    told = b"\n".join(answer.body + repr(answer.headers).encode() for answer in answers).decode()
    told += "\n".join(record.getMessage() for record in caplog.records)
    secrets = [grant.name for grant in GRANTS if grant.name != "rns_zt"] + ["rns_forged"]
    for secret in (*secrets, IDENTITY, PHONE, NAME, str(COLLECTED["waybill_no"])):
        assert secret not in told
    assert json.loads(answers[0].body)["accepted"] == 1


FULL: list[tuple[str, KeptWriter, KnownAll, int, int]] = [
    # what, writer, reference data, budget, status
    ("Kafka fails", KeptWriter(fails="_MSG_TIMED_OUT"), KnownAll(), 10**6, 429),
    ("Kafka is away, and one batch finds out", KeptWriter(away=True), KnownAll(), 10**6, 429),
    ("no room", KeptWriter(), KnownAll(), 10, 429),
    ("no reference data yet", KeptWriter(), KnownAll(ready=False), 10**6, 503),
]


@pytest.mark.parametrize(
    ("what", "writer", "known", "budget", "status"), FULL, ids=[case[0] for case in FULL]
)
def test_who_must_wait_is_told_for_how_long_and_nothing_is_promised(
    what: str, writer: KeptWriter, known: KnownAll, budget: int, status: int
) -> None:
    with served(gateway(writer, known=known, budget=budget)) as port:
        answer = Door(port, writer, known).send()
    assert answer.status == status, what
    assert int(answer.headers["retry-after"]) > 0
    assert b"accepted" not in answer.body
    assert not writer.written


def test_readiness_says_when_kafka_does_not_acknowledge() -> None:
    writer = KeptWriter(trouble="Kafka did not acknowledge")
    with served(gateway(writer)) as port:
        door = Door(port, writer, KnownAll())
        assert door.send(path="/ready", method="GET", body=b"").status == 503
        assert door.send(path="/live", method="GET", body=b"").status == 200
