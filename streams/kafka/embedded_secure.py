"""The secured broker's folder `secure/`: certificates, users, and what the broker is told of them.

ca.pem          what clients trust
ca.key          the authority's key, kept to renew the broker's certificate
broker.pem      the broker's key and certificates
broker.password how the broker logs in to itself
users/          of each user one file for `realname --config` and one for kcat
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from streams.kafka.client_files import (
    AUTHORITY_PROPERTY,
    MECHANISM,
    PROTOCOL,
    PROTOCOL_PROPERTY,
    Cluster,
    config_path,
    read_password,
    read_properties,
    write_client_files,
)
from streams.kafka.private_files import new_password, private_folder, write_private

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

ADMIN: Final = "admin"
"""May do everything, and is meant for `realname access` alone."""

BROKER: Final = "broker"
"""As whom the broker speaks to itself. Nobody else has its password or certificate."""

SUPER_USERS: Final = (ADMIN, BROKER)

LISTENER: Final = "SECURED"

_LOGIN: Final = "org.apache.kafka.common.security.scram.ScramLoginModule required"


class SecureFolder:
    """What a secured broker has on the disk, below its data folder. Whoever has it is the broker.

    That it exists is what makes the broker of a data folder a secured one, for all its life.
    """

    def __init__(self, data_dir: Path) -> None:
        self.folder: Final = data_dir / "secure"
        self.authority: Final = self.folder / "ca.pem"
        self.users: Final = self.folder / "users"
        self._authority_key = self.folder / "ca.key"
        self._broker = self.folder / "broker.pem"
        self._broker_password = self.folder / "broker.password"

    @property
    def exists(self) -> bool:
        """Whether it was ever prepared."""
        return self.folder.is_dir()

    def prepare(self, *, bootstrap: str, now_ms: int) -> None:
        """Make what is missing, renew what is about to end, and write where the broker now is.

        Idempotent; passwords stay. Raises OSError.
        """
        from streams.kafka.embedded_certificates import ensure_certificates

        private_folder(self.folder.parent)
        private_folder(self.folder)
        private_folder(self.users)
        ensure_certificates(
            authority=self.authority,
            authority_key=self._authority_key,
            broker=self._broker,
            now_ms=now_ms,
        )
        if not self._broker_password.exists():
            write_private(self._broker_password, new_password())
        cluster = self.cluster(bootstrap)
        known = {path.stem: read_password(path) for path in self.users.glob("*.toml")}
        for user, password in {ADMIN: None, **known}.items():
            write_client_files(self.users, user, password or new_password(), cluster)

    def cluster(self, bootstrap: str) -> Cluster:
        """Return how the broker is reached, whoever one is."""
        return Cluster(
            bootstrap, {PROTOCOL_PROPERTY: PROTOCOL, AUTHORITY_PROPERTY: str(self.authority)}
        )

    def config(self, user: str) -> Path:
        """Return the settings file of a user, for `--config`."""
        return config_path(self.users, user)

    def client(self, user: str) -> Mapping[str, str]:
        """Return the Kafka properties by which a user connects; the user must have files here.

        Raises OSError.
        """
        return read_properties(self.config(user))

    def first_users(self) -> Sequence[str]:
        """Return the `--add-scram` values for the format: who must be known before anybody is.

        They hold passwords, so they belong on no command line.
        """
        passwords = {
            ADMIN: read_password(self.config(ADMIN)) or "",
            BROKER: self._broker_password.read_text("utf-8"),
        }
        assert all(passwords.values()), "prepare comes first"
        return [f"{MECHANISM}=[name={user},password={p}]" for user, p in passwords.items()]

    def server_properties(self) -> Mapping[str, str]:
        """Return the broker's properties for TLS, logins and the authorizer. They hold a password."""
        password = self._broker_password.read_text("utf-8")
        login = f'{_LOGIN} username="{BROKER}" password="{password}";'
        client = f"listener.name.{LISTENER.lower()}"
        controller = "listener.name.controller"
        return {
            "ssl.enabled.protocols": "TLSv1.2,TLSv1.3",
            "ssl.keystore.type": "PEM",
            "ssl.keystore.location": str(self._broker),
            "ssl.truststore.type": "PEM",
            "ssl.truststore.location": str(self.authority),
            f"{client}.sasl.enabled.mechanisms": MECHANISM,
            f"{client}.{MECHANISM.lower()}.sasl.jaas.config": login,
            "sasl.enabled.mechanisms": MECHANISM,
            "sasl.mechanism.inter.broker.protocol": MECHANISM,
            # Logins by SCRAM are of no use there: credentials are what the controllers hold. So
            # it takes only a certificate of this authority, of which there is one: the broker's.
            f"{controller}.ssl.client.auth": "required",
            "ssl.principal.mapping.rules": f"RULE:^CN=realname-broker$/{BROKER}/",
            "authorizer.class.name": "org.apache.kafka.metadata.authorizer.StandardAuthorizer",
            "allow.everyone.if.no.acl.found": "false",
            "super.users": ";".join(f"User:{user}" for user in SUPER_USERS),
        }
