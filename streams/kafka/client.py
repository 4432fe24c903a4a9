"""The settings that every Kafka client of ours has in common."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any, Final

# librdkafka writes to standard error unless it is given a logger. Structlog renders what the
# standard library's loggers get, so this is where its lines join ours.
LOGGER: Final = logging.getLogger("streams.kafka.client")

# librdkafka's is 15 minutes, and a broker that moved would be looked up late.
METADATA_REFRESH_MS = 60_000

# After a broker restart the first try must not be ten seconds off.
RECONNECT_BACKOFF_MS_MAX = 1_000


def client_config(
    bootstrap: str,
    *,
    client_id: str,
    extra: Mapping[str, str | int | float | bool] | None = None,
) -> dict[str, Any]:
    """What to give a Consumer, Producer or AdminClient; a new dict, for the caller to add to.

    `bootstrap` is `host:port[,host:port]`. `extra` goes to librdkafka as it is
    (`security.protocol`, `sasl.mechanisms`, `ssl.ca.location` ...) and wins over what stands here.
    The client logs to `LOGGER`; a consumer must be polled for its lines to appear.
    """
    return {
        "bootstrap.servers": bootstrap,
        "client.id": client_id,
        "topic.metadata.refresh.interval.ms": METADATA_REFRESH_MS,
        "reconnect.backoff.max.ms": RECONNECT_BACKOFF_MS_MAX,
        # A statement about the connection, not about our health: brokers close idle ones.
        "log.connection.close": False,
        **(extra or {}),
        "logger": LOGGER,
    }
