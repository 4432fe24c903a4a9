"""Finds out why no broker answers: the client says only that time ran out."""

from __future__ import annotations

import socket
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from confluent_kafka import KafkaError
from confluent_kafka.admin import AdminClient

from streams.kafka.errors import AuthorizationFailed, ClusterError, KafkaRefused, KafkaUnavailable

if TYPE_CHECKING:
    from collections.abc import Mapping

# A login that fails is told after Kafka's own pause of some 0.3 s, a certificate at once.
TIMEOUT_S: Final = 5.0
_POLL_S: Final = 0.1
_CONNECT_TIMEOUT_S: Final = 1.0


def why_unavailable(
    client: Mapping[str, Any], error: KafkaUnavailable, *, timeout_s: float = TIMEOUT_S
) -> ClusterError:
    """Return what is behind a KafkaUnavailable; that error itself if nothing more can be said.

    Connects once more, with the same settings, for up to `timeout_s` seconds. AuthorizationFailed is
    a login that Kafka does not accept; KafkaRefused is a certificate that we do not, and a port at
    which something listens and does not speak as we do.
    """
    heard: list[KafkaError] = []
    settings: dict[str, Any] = {**client, "error_cb": heard.append}
    admin = AdminClient(settings)
    deadline = time.monotonic() + timeout_s
    while time.monotonic() < deadline:
        admin.poll(_POLL_S)
        for told in heard:
            if told.code() == KafkaError._AUTHENTICATION:  # noqa: SLF001 (a public code)
                return AuthorizationFailed(
                    f"authentication failed: Kafka does not accept the login ({_reason(told)}); "
                    "check sasl.username, sasl.password and sasl.mechanism",
                )
            if told.code() == KafkaError._SSL:  # noqa: SLF001
                return KafkaRefused(
                    f"no secure connection to Kafka ({_reason(told)}); check ssl.ca.location, the "
                    "certificates' validity and the host name in bootstrap",
                )
        # Brokers that are down are told once, logins each time: those are waited for a little.
        if heard and not _listens(str(client["bootstrap.servers"])):
            return error
    if _listens(str(client["bootstrap.servers"])):
        return KafkaUnavailable(
            f"something listens at {client['bootstrap.servers']} and hangs up on us; check "
            "security.protocol: with TLS and logins it is SASL_SSL",
        )
    return error


def _reason(error: KafkaError) -> str:
    """Return librdkafka's text without the address in front and the timing behind."""
    text = error.str().partition(": ")[2] or error.str()
    return text.rpartition(" (after ")[0] or text


def _listens(bootstrap: str) -> bool:
    for address in bootstrap.split(","):
        host, _, port = address.rpartition(":")
        with (
            suppress(OSError),
            socket.create_connection((host.strip("[]"), int(port)), _CONNECT_TIMEOUT_S),
        ):
            return True
    return False
