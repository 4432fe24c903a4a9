"""Runs the gateway until it is told to stop."""

import ssl
from collections.abc import Callable, Mapping, Sequence
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import uvicorn

from streams.gateway.app import BUDGET_BYTES, Gateway, build_app
from streams.gateway.budget import Budget
from streams.gateway.checking import Checker
from streams.gateway.known import ReferenceThread
from streams.gateway.metrics import GatewayMetrics
from streams.gateway.protocol import HEAD_BYTES_MAX, GatewayProtocol
from streams.gateway.subjects import SubjectKeys
from streams.gateway.writer import Writer
from streams.kafka.clock import now_ms
from streams.tokens import Grant
from streams.web.server import Server, listening_socket, shown_address

CONNECTIONS_MAX: Final = 1_000
IDLE_S: Final = 15
_GRACE_S: Final = 20
"""How long answers may take to end: longer than Kafka may take to acknowledge."""


@dataclass(frozen=True, slots=True)
class Tls:
    """Certificates.

    Attributes:
        certificate: PEM file with the server's, and those between it and its authority.
        key: PEM file with its key.
        client_authority: PEM file with the authority whose clients may connect, and no others may;
            None lets everybody connect.

    """

    certificate: Path
    key: Path
    client_authority: Path | None = None


@dataclass(frozen=True, slots=True)
class GatewayConfig:
    """How to take in.

    Attributes:
        client: Settings of a Kafka client.
        shipments: Full name of the topic to write to.
        reference: The same of the reference data.
        host: Where to listen.
        port: The same; 0 picks a free one.
        grants: What each token is for.
        subjects: Keys of subjects' tokens; without them no subject is written.
        tls: Certificates; None speaks plainly.
        wall_clock: Whether records are received when Kafka has them, or have a time of their own.
        clock_skew_ms: How far a record's times may lie ahead of its receipt.

    """

    client: Mapping[str, Any]
    shipments: str
    reference: str
    host: str
    port: int
    grants: Sequence[Grant]
    subjects: SubjectKeys | None
    tls: Tls | None
    wall_clock: bool
    clock_skew_ms: int


def run_gateway(config: GatewayConfig, *, listening: Callable[[str], None]) -> None:
    """Take in until SIGINT or SIGTERM; `listening` is told the address once there is one.

    Raises:
        OSError: The address cannot be listened on, or a certificate cannot be read.
        ssl.SSLError: A certificate is none, or its key is another's; nothing was started.
    """
    with closing(listening_socket(config.host, config.port)) as listener:
        known = ReferenceThread(config.client, config.reference)
        writer = Writer(config.client, config.shipments)
        server = Server(server_config(config, _gateway(config, known, writer)))
        known.start()
        writer.start()
        try:
            scheme = "http" if config.tls is None else "https"
            listening(f"{scheme}://{shown_address(listener)}/")
            server.run(sockets=[listener])
        finally:
            writer.stop()
            known.stop(timeout_s=5.0)


def _gateway(config: GatewayConfig, known: ReferenceThread, writer: Writer) -> Gateway:
    clock = now_ms if config.wall_clock else None
    return Gateway(
        grants={grant.sha256: grant for grant in config.grants},
        checker=Checker(
            known.at(clock),
            subjects=config.subjects,
            received=clock,
            now_ms=now_ms,
            clock_skew_ms=config.clock_skew_ms,
        ),
        writer=writer,
        known=known,
        metrics=GatewayMetrics(),
        budget=Budget(BUDGET_BYTES),
        now_ms=now_ms,
    )


def server_config(config: GatewayConfig, gateway: Gateway) -> uvicorn.Config:
    """Return how the server is to run a gateway; raises as `run_gateway` for its certificates."""
    made = uvicorn.Config(
        build_app(gateway),
        http=GatewayProtocol,
        ws="none",
        lifespan="off",
        log_config=None,
        access_log=False,
        server_header=False,
        # What a client says of where it comes from is not believed.
        proxy_headers=False,
        h11_max_incomplete_event_size=HEAD_BYTES_MAX,
        limit_concurrency=CONNECTIONS_MAX,
        timeout_keep_alive=IDLE_S,
        timeout_graceful_shutdown=_GRACE_S,
    )
    made.load()
    if config.tls is not None:
        made.ssl = _tls_context(config.tls)
    return made


def _tls_context(tls: Tls) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.load_cert_chain(tls.certificate, tls.key)
    if tls.client_authority is not None:
        context.load_verify_locations(tls.client_authority)
        context.verify_mode = ssl.CERT_REQUIRED
    return context
