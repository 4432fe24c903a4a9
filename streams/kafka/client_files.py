"""What a Kafka user needs to connect, as files: for `realname --config`, and for kcat and others.

    worker.toml     realname --config worker.toml ..., or REALNAME_CONFIG=worker.toml
    worker.conf     kcat -F worker.conf ..., or the properties for a librdkafka client

Both hold the password, so only their owner may read them.
"""

from __future__ import annotations

import json
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from streams.kafka.private_files import private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

MECHANISM: Final = "SCRAM-SHA-512"
PROTOCOL: Final = "SASL_SSL"

PROTOCOL_PROPERTY: Final = "security.protocol"
AUTHORITY_PROPERTY: Final = "ssl.ca.location"
USER_PROPERTY: Final = "sasl.username"
PASSWORD_PROPERTY: Final = "sasl.password"  # noqa: S105 (its name, not a password)
MECHANISM_PROPERTY: Final = "sasl.mechanism"


@dataclass(frozen=True, slots=True)
class Cluster:
    """How to reach a cluster, whoever one is.

    Attributes:
        bootstrap: `host:port[,host:port]`.
        properties: Of librdkafka, without a user's own: protocol, certificates.

    """

    bootstrap: str
    properties: Mapping[str, str | int | float | bool]


def cluster_of(bootstrap: str, client: Mapping[str, str | int | float | bool]) -> Cluster:
    """Return the cluster that a client with these properties reaches, without the client's login."""
    own = (USER_PROPERTY, PASSWORD_PROPERTY, MECHANISM_PROPERTY, "sasl.mechanisms")
    properties = {name: value for name, value in client.items() if name not in own}
    return Cluster(bootstrap, {PROTOCOL_PROPERTY: PROTOCOL, **properties})


def user_properties(user: str, password: str) -> dict[str, str]:
    """Return the properties of librdkafka by which a user logs in."""
    return {
        MECHANISM_PROPERTY: MECHANISM,
        USER_PROPERTY: user,
        PASSWORD_PROPERTY: password,
    }


def write_client_files(folder: Path, user: str, password: str, cluster: Cluster) -> Path:
    """Write a user's two files in place of any that are there; return the one for `--config`.

    Makes the folder. Raises OSError.
    """
    private_folder(folder)
    properties = {**cluster.properties, **user_properties(user, password)}
    write_private(config_path(folder, user), _toml(user, cluster.bootstrap, properties))
    lines = {"bootstrap.servers": cluster.bootstrap, **properties}
    text = "".join(f"{name}={_plain(value)}\n" for name, value in lines.items())
    write_private(_plain_path(folder, user), text)
    return config_path(folder, user)


def remove_client_files(folder: Path, user: str) -> None:
    """Remove a user's two files, if they are there."""
    config_path(folder, user).unlink(missing_ok=True)
    _plain_path(folder, user).unlink(missing_ok=True)


def config_path(folder: Path, user: str) -> Path:
    """Return the path of a user's file for `--config`, there or not."""
    return folder / f"{user}.toml"


def _plain_path(folder: Path, user: str) -> Path:
    return folder / f"{user}.conf"


def read_properties(path: Path) -> Mapping[str, str]:
    """Return the Kafka properties of a file for `--config`.

    Raises OSError and ValueError when it is not there or was spoilt.
    """
    table = tomllib.loads(path.read_text("utf-8")).get("kafka", {})
    return {str(name): str(value) for name, value in table.items()}


def read_password(path: Path) -> str | None:
    """Return the password in a file for `--config`; None when there is no such file or none in it."""
    try:
        return read_properties(path).get(PASSWORD_PROPERTY)
    except (OSError, ValueError):
        return None


def _toml(user: str, bootstrap: str, properties: Mapping[str, object]) -> str:
    lines = [
        f"# How Kafka's user {user} connects: realname --config FILE ... Keep it secret.",
        f"bootstrap = {json.dumps(bootstrap)}",
        "",
        "[kafka]",
        # A JSON string without characters beyond ASCII is a TOML string.
        *(f'"{name}" = {json.dumps(value)}' for name, value in properties.items()),
    ]
    return "".join(f"{line}\n" for line in lines)


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)
