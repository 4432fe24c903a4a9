"""`realname worker`: runs the agents."""

import logging
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Run, command

if TYPE_CHECKING:
    from streams.agents.worker import WorkerConfig
    from streams.settings import Settings

app = typer.Typer()


@command(
    app,
    "worker",
    examples=[
        "realname worker",
        "realname worker --agents match,rate --processes 2 --slot a",
        "realname worker --clock data",
    ],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER, Exit.FATAL),
)
def worker(
    run: Run,
    *,
    agents: Annotated[
        str | None, typer.Option(metavar="NAME,...", help="Agents to run; otherwise all.")
    ] = None,
    processes: Annotated[int | None, typer.Option(metavar="N", help="Processes.")] = None,
    clock: Annotated[
        Literal["wall", "data"] | None,
        typer.Option(help="When a record was received: Kafka's timestamp, or its received_at."),
    ] = None,
    slot: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="This worker's place; no two may have the same."),
    ] = None,
    http_port: Annotated[
        int | None,
        typer.Option(
            metavar="PORT", help="Port of /live, /ready and /metrics; 0 picks a free one."
        ),
    ] = None,
) -> Exit:
    """Run the agents: take in records, count, judge, publish, until told to stop.

    Ctrl-C or SIGTERM ends it in good order: it commits what it has and leaves within ten seconds. A
    worker that is killed goes on, once started again, exactly where its last transaction ended.

    Exit code 1 means that most of what came in was refused, or a bug: the log says which.
    """
    from streams.agents.worker import run_worker

    run.override(agents=agents, processes=processes, clock=clock, slot=slot, http_port=http_port)
    config = worker_config(run.settings)
    assert config.log is not None
    config.log()
    if writes_unkeyed(config):
        logging.getLogger(__name__).warning(
            "no waybill_hash_key is set: whoever may read match.state can try out which parcels have "
            "closed. Set one before records come, in all workers: later the states must be rebuilt"
        )
    return Exit(run_worker(config))


def writes_unkeyed(config: "WorkerConfig") -> bool:
    """Return whether it remembers closed parcels without a key, where Kafka has secrets to keep."""
    from streams.stages.match.hash_key import UNKEYED

    guarded = "security.protocol" in config.kafka
    return guarded and "match" in config.agents and config.hash_key == UNKEYED


def worker_config(settings: "Settings") -> "WorkerConfig":
    """Return how a worker with these settings runs. It tells Alertmanagers if any are named."""
    from streams import logs
    from streams.agents.worker import WorkerConfig
    from streams.cli.notify import NOTIFY, notify_config
    from streams.stages.match.hash_key import hash_key

    stages = tuple(agent for agent in settings.agents if agent != NOTIFY)
    if not stages:
        raise BadInput("--agents names only notify; run `realname notify` instead")
    return WorkerConfig(
        bootstrap=settings.bootstrap,
        prefix=settings.prefix,
        data_dir=Path(settings.data_dir) / "worker",
        kafka=settings.kafka,
        partitions=settings.partitions,
        agents=stages,
        notify=notify_config(settings) if NOTIFY in settings.agents else None,
        slot=settings.slot,
        processes=settings.processes,
        clock=settings.clock,
        policy=settings.policy,
        hash_key=hash_key(settings.waybill_hash_key.get_secret_value()),
        flush_s=settings.flush_ms / 1000,
        flush_records=settings.flush_records,
        http_host=settings.http_host,
        http_port=settings.http_port,
        log=partial(logs.configure, settings.log_level),
    )
