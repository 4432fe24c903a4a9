"""`realname notify`: tells Alertmanagers of alerts."""

import logging
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Run, command

if TYPE_CHECKING:
    from streams.notify.service import NotifyConfig
    from streams.settings import Settings

app = typer.Typer()

LOGGER: Final = logging.getLogger(__name__)
NOTIFY: Final = "notify"
"""What `agents` calls it."""
NOBODY: Final = (
    'no Alertmanager is named; write `alertmanagers = ["http://HOST:9093"]` under [notify] into the '
    "TOML file, or give --alertmanager"
)


@command(
    app,
    "notify",
    examples=[
        "realname notify --alertmanager http://127.0.0.1:9093",
        "realname notify --config realname.toml",
    ],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER),
)
def notify(
    run: Run,
    *,
    alertmanager: Annotated[
        list[str] | None,
        typer.Option(metavar="URL", help="Whom to tell; repeatable, each is told everything."),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Port of /live, /ready and /metrics; 0 picks a free one."
        ),
    ] = None,
) -> Exit:
    """Post alerts to every Alertmanager, each minute while they fire, and their ends.

    It keeps nothing: it reads the alerts anew at each start, so it may be killed, moved, or run twice.
    A worker does the same unless its --agents leave `notify` out. Ctrl-C or SIGTERM ends it; what
    fires goes on firing at the Alertmanagers for an hour.
    """
    import asyncio

    from streams import logs

    table: dict[str, object] = {}
    if alertmanager:
        table["alertmanagers"] = alertmanager
    if http_port is not None:
        table["http_port"] = http_port
    run.override(notify=table or None)
    settings = run.settings
    config = notify_config(settings)
    if config is None:
        raise BadInput(NOBODY)
    logs.configure(settings.log_level)
    return asyncio.run(_run(config, settings.http_host, settings.notify.http_port))


def notify_config(settings: "Settings") -> "NotifyConfig | None":
    """Return how `notify` runs with these settings, or None when nobody is to be told."""
    from streams.kafka.client import client_config
    from streams.notify.service import NotifyConfig
    from streams.notify.texts import Links

    table = settings.notify
    if not table.alertmanagers:
        return None
    return NotifyConfig(
        client=client_config(settings.bootstrap, client_id="realname-notify", extra=settings.kafka),
        prefix=settings.prefix,
        alertmanagers=table.alertmanagers,
        links=Links(table.runbook_url, table.dashboard_url),
        resend_ms=table.resend_ms,
        ahead_ms=table.ahead_ms,
        ended_ms=table.ended_ms,
        group_wait_ms=table.group_wait_ms,
        timeout_s=table.timeout_ms / 1000,
    )


async def _run(config: "NotifyConfig", host: str, port: int) -> Exit:
    import asyncio
    import signal

    from streams.agents.http import HealthServer
    from streams.kafka.errors import ClusterError
    from streams.metrics import Metrics
    from streams.notify.service import NotifyService

    metrics = Metrics()
    service = NotifyService(config, metrics)
    server = HealthServer({"notify": service}, metrics)
    try:
        await server.start(host, port)
    except OSError as error:
        raise BadInput(
            f"cannot listen on {host}:{port} ({error.strerror}); give --http-port"
        ) from error
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    try:
        await service.run(stop)
    except ClusterError as error:
        LOGGER.critical("%s", error)
        return Exit.CLUSTER
    finally:
        await server.stop()
    return Exit.OK
