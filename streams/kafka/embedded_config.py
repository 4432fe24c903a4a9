"""What the embedded broker is told: its properties, its JVM's options, its log's format."""

from __future__ import annotations

from typing import TYPE_CHECKING

from streams.kafka.client_files import PROTOCOL
from streams.kafka.embedded_secure import LISTENER
from streams.records.topics import MESSAGE_BYTES_MAX

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

HOST = "127.0.0.1"
NODE_ID = 1

MIB = 1024 * 1024

# Half a segment must hold many of the largest messages; small ones let retention and compaction,
# which work on closed segments, be seen on a laptop.
SEGMENT_BYTES = 128 * MIB
assert SEGMENT_BYTES >= 8 * MESSAGE_BYTES_MAX

# An index is mapped at its full size. Its entries (12 bytes each, one per 4 KiB of log) must reach
# the end of a segment, or else segments roll early.
INDEX_BYTES_MAX = 1 * MIB
assert INDEX_BYTES_MAX >= 12 * SEGMENT_BYTES // 4096

# The cleaner takes this off the heap once and for all (Kafka's default: 128 MiB of a heap of
# 512). At 24 bytes a key, 90 % full, it compacts 1.2 million keys in one pass.
CLEANER_BUFFER_BYTES = 32 * MIB

# The workers' sessions and transactions time out after 6 s; Kafka's own minimum is just that.
SESSION_TIMEOUT_MS_MIN = 1_000

# Fenced after this long without a heartbeat to its own controller, which lives in the same
# process. It is also how long a broker that was killed waits before it may register again.
BROKER_SESSION_TIMEOUT_MS = 3_000
BROKER_HEARTBEAT_MS = 500
assert BROKER_SESSION_TIMEOUT_MS >= 3 * BROKER_HEARTBEAT_MS

# Records carry the time of the data: a simulated week may lie far in the past or the future.
# Kafka's default refuses what is more than an hour ahead.
TIMESTAMP_DISTANCE_MS_MAX = 2**63 - 1


def server_properties(
    *,
    data_dir: Path,
    port: int,
    controller_port: int,
    security: Mapping[str, str] | None = None,
    proxies: Mapping[int, int] | None = None,
) -> dict[str, str]:
    """The broker's `server.properties` for one node that is broker and controller.

    Pure. All listeners are bound to 127.0.0.1. Without `security` nobody is asked who they are;
    with it (the properties of `SecureFolder`) clients log in over TLS, and the controller's
    listener takes nobody but the broker. `proxies` are further listeners, for clients that come
    through something between them and the broker: by the port that they are told, which is the
    proxy's, the one that the broker has for it. They have no security, so the two exclude each other.
    """
    assert not (security and proxies), "a way in without a login"
    return {
        **_listeners(port=port, controller_port=controller_port, secured=security is not None),
        **(_proxied(port, controller_port, proxies) if proxies else {}),
        **(security or {}),
        **_single_node(),
        **_coordinators(),
        **_logs(data_dir),
        **_threads(),
    }


def _listeners(*, port: int, controller_port: int, secured: bool) -> dict[str, str]:
    name = LISTENER if secured else "PLAINTEXT"
    protocols = (PROTOCOL, "SSL") if secured else ("PLAINTEXT", "PLAINTEXT")
    return {
        "process.roles": "broker,controller",
        "node.id": str(NODE_ID),
        # A fixed set of voters, because then the controller's port may differ at every start.
        "controller.quorum.voters": f"{NODE_ID}@{HOST}:{controller_port}",
        "listeners": f"{name}://{HOST}:{port},CONTROLLER://{HOST}:{controller_port}",
        "advertised.listeners": f"{name}://{HOST}:{port}",
        "listener.security.protocol.map": f"{name}:{protocols[0]},CONTROLLER:{protocols[1]}",
        "inter.broker.listener.name": name,
        "controller.listener.names": "CONTROLLER",
        "broker.session.timeout.ms": str(BROKER_SESSION_TIMEOUT_MS),
        "broker.heartbeat.interval.ms": str(BROKER_HEARTBEAT_MS),
    }


def _proxied(port: int, controller_port: int, proxies: Mapping[int, int]) -> dict[str, str]:
    plain = _listeners(port=port, controller_port=controller_port, secured=False)
    names = {told: f"PROXY{told}" for told in proxies}
    further = {
        "listeners": [f"{name}://{HOST}:{proxies[told]}" for told, name in names.items()],
        "advertised.listeners": [f"{name}://{HOST}:{told}" for told, name in names.items()],
        "listener.security.protocol.map": [f"{name}:PLAINTEXT" for name in names.values()],
    }
    return {name: ",".join([plain[name], *more]) for name, more in further.items()}


def _single_node() -> dict[str, str]:
    return {
        "auto.create.topics.enable": "false",
        "default.replication.factor": "1",
        "min.insync.replicas": "1",
        "offsets.topic.replication.factor": "1",
        "offsets.topic.num.partitions": "4",
        "transaction.state.log.replication.factor": "1",
        "transaction.state.log.min.isr": "1",
        "transaction.state.log.num.partitions": "4",
        "share.coordinator.state.topic.replication.factor": "1",
        "share.coordinator.state.topic.min.isr": "1",
        "share.coordinator.state.topic.num.partitions": "1",
    }


def _coordinators() -> dict[str, str]:
    return {
        # There is no fleet of members to wait for.
        "group.initial.rebalance.delay.ms": "0",
        "group.min.session.timeout.ms": str(SESSION_TIMEOUT_MS_MIN),
        # Kafka looks for dead transactions every 10 s; read-committed readers wait that long.
        "transaction.abort.timed.out.transaction.cleanup.interval.ms": "1000",
    }


def _logs(data_dir: Path) -> dict[str, str]:
    return {
        "log.dirs": str(data_dir / "kafka"),
        "message.max.bytes": str(MESSAGE_BYTES_MAX),
        "replica.fetch.max.bytes": str(MESSAGE_BYTES_MAX),
        "log.segment.bytes": str(SEGMENT_BYTES),
        "log.index.size.max.bytes": str(INDEX_BYTES_MAX),
        "log.retention.check.interval.ms": "60000",
        "log.cleaner.enable": "true",
        "log.cleaner.dedupe.buffer.size": str(CLEANER_BUFFER_BYTES),
        "log.message.timestamp.before.max.ms": str(TIMESTAMP_DISTANCE_MS_MAX),
        "log.message.timestamp.after.max.ms": str(TIMESTAMP_DISTANCE_MS_MAX),
    }


def _threads() -> dict[str, str]:
    # Kafka's defaults are for a machine of its own.
    return {
        "num.network.threads": "2",
        "num.io.threads": "4",
        "background.threads": "4",
        "num.recovery.threads.per.data.dir": "2",
    }


def properties_text(properties: Mapping[str, str]) -> str:
    """The text of a Java properties file. Keys and values are ASCII or escaped; order is kept."""
    return "".join(f"{key}={_escaped(value)}\n" for key, value in properties.items())


def _escaped(value: str) -> str:
    # A properties file is read as Latin-1, and a backslash escapes what follows it.
    escaped = value.replace("\\", "\\\\")
    units = escaped.encode("utf-16-be")
    pairs = [
        units[at : at + 2].decode("utf-16-be", "surrogatepass") for at in range(0, len(units), 2)
    ]
    return "".join(pair if pair.isascii() else f"\\u{ord(pair):04x}" for pair in pairs)


def jvm_options(*, data_dir: Path, heap_mb: int, brief: bool = False) -> Sequence[str]:
    """The JVM's options for the broker, and for its tools: small, quiet, and within `data_dir`."""
    return (
        # What the second compiler costs in the first minutes is earned back in hours.
        *(("-XX:TieredStopAtLevel=1",) if brief else ()),
        f"-Xmx{heap_mb}m",
        # With two cores and half a gigabyte its pauses are short, and G1 costs threads and memory.
        "-XX:+UseSerialGC",
        "-XX:+ExitOnOutOfMemoryError",
        # The compression libraries unpack their native halves into the temporary folder.
        f"-Djava.io.tmpdir={data_dir / 'tmp'}",
        f"-XX:ErrorFile={data_dir / 'logs' / 'crash-%p.log'}",
        # Otherwise each JVM leaves a file in the machine's temporary folder.
        "-XX:-UsePerfData",
        "-Djava.awt.headless=true",
        "-Dfile.encoding=UTF-8",
        "--enable-native-access=ALL-UNNAMED",
        f"-Dlog4j2.configurationFile={data_dir / 'log4j2.properties'}",
    )


def log4j2_text(data_dir: Path) -> str:
    """The broker's logging: `logs/server.log`, four files of 10 MB at most, never more."""
    logs = data_dir / "logs"
    return properties_text(
        {
            "status": "error",
            "appender.file.type": "RollingFile",
            "appender.file.name": "file",
            "appender.file.fileName": str(logs / "server.log"),
            "appender.file.filePattern": str(logs / "server.log.%i"),
            "appender.file.layout.type": "PatternLayout",
            "appender.file.layout.pattern": "%d{ISO8601} %p %c{1}: %m%n",
            "appender.file.policies.type": "Policies",
            "appender.file.policies.size.type": "SizeBasedTriggeringPolicy",
            "appender.file.policies.size.size": "10MB",
            "appender.file.strategy.type": "DefaultRolloverStrategy",
            "appender.file.strategy.max": "3",
            "rootLogger.level": "info",
            "rootLogger.appenderRef.file.ref": "file",
        },
    )
