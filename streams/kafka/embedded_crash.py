"""What has to happen after the embedded broker has crashed, before it is started again.

A broker that comes back finds itself registered as alive, since nobody has fenced the one that crashed. So
its transaction coordinators go to work at once; a session later the controller fences the old registration,
and no partition has a leader until the new one is through. Marks that end transactions are dropped in
between: Kafka 4.3 takes a partition without a leader for a deleted one (TransactionMarkerChannelManager
over KRaftMetadataCache.getPartitionLeaderEndpoint). Such a transaction stays open for ever, and whoever
reads what is committed waits for ever behind it.

Hence the controller runs alone until it has fenced the old registration. It costs no time: a new broker
would wait just as long to be registered.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

FENCED_TIMEOUT_S = 30.0
# The only broker that could keep its registration alive is not running.
SESSION_TIMEOUT_MS = 500
HEARTBEAT_MS = 100
AFTER_ACTIVATION_S = 2.0
"""From then on it is fenced, also where it was before: then no line says so."""

_CLEAN = ".kafka_cleanshutdown"
_ACTIVATED = b"Performing controller activation"
_FENCED = b"fenced=1"
_POLL_S = 0.05


def has_crashed(log_dir: Path) -> bool:
    """Whether a broker has run on this folder, and has not ended in good order."""
    return (log_dir / "meta.properties").exists() and not (log_dir / _CLEAN).exists()


def controller_alone(properties: Mapping[str, str]) -> dict[str, str]:
    """The properties of the node without its broker, which fences that broker as soon as it can."""
    listeners = properties["listeners"].split(",")
    alone = {
        **properties,
        "process.roles": "controller",
        "listeners": next(each for each in listeners if each.startswith("CONTROLLER:")),
        "broker.session.timeout.ms": str(SESSION_TIMEOUT_MS),
        "broker.heartbeat.interval.ms": str(HEARTBEAT_MS),
    }
    del alone["advertised.listeners"], alone["inter.broker.listener.name"]
    return alone


def wait_fenced(log: Path, *, begin: int, runs: Callable[[], bool]) -> None:
    """Return when the controller has fenced the broker; at last when `FENCED_TIMEOUT_S` are over.

    `begin` is where its lines begin in the log. Returns too when it does not run any more.
    """
    deadline_s = time.monotonic() + FENCED_TIMEOUT_S
    while runs() and time.monotonic() < deadline_s:
        time.sleep(_POLL_S)
        if not log.exists():
            continue
        with log.open("rb") as file:
            file.seek(begin)
            _, activated, after = file.read().partition(_ACTIVATED)
        if _FENCED in after:
            return
        if activated:
            deadline_s = min(deadline_s, time.monotonic() + AFTER_ACTIVATION_S)
