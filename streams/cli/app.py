"""The command line as a whole: which commands there are."""

from typing import Annotated

import typer

from streams.cli import (
    access,
    alerts,
    alerts_ack,
    alerts_test,
    broker,
    compliance,
    config,
    demo,
    dlq,
    doctor,
    gateway,
    keys,
    load,
    missing,
    notify,
    rates,
    reference,
    replay,
    serve,
    setup,
    simulate,
    state,
    topics,
    wait,
    worker,
)

app = typer.Typer(
    name="realname",
    no_args_is_help=True,
    rich_markup_mode="rich",
    add_completion=False,
    # A traceback may show values of records, which are personal data.
    pretty_exceptions_show_locals=False,
    help=(
        "Real-name registration rates of courier parcels, from Kafka.\n\n"
        "\b\nFrom nothing to first figures:\n"
        "  realname broker start\n"
        "  realname setup\n"
        "  realname worker\n\n"
        "Every command has --help with examples and exit codes."
    ),
)


def _version(wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version

        typer.echo(f"realname {version('realname-streams')}")
        raise typer.Exit


@app.callback()
def realname(
    version: Annotated[
        bool,
        typer.Option("--version", callback=_version, is_eager=True, help="Show the version."),
    ] = False,
) -> None:
    """Take the options that stand before any command."""
    del version


# In the order of the help: from a first start to the figures, then what operators need.
for group, name in (
    (demo.app, None),
    (broker.app, "broker"),
    (access.app, "access"),
    (topics.app, "topics"),
    (setup.app, None),
    (reference.outlets_app, "outlets"),
    (reference.periods_app, "periods"),
    (reference.agreements_app, "agreements"),
    (reference.sources_app, "sources"),
    (worker.app, None),
    (notify.app, None),
    (serve.app, None),
    (gateway.app, None),
    (keys.app, "keys"),
    (load.app, None),
    (simulate.app, None),
    (wait.app, None),
    (rates.app, None),
    (alerts.app, "alerts"),
    (missing.app, None),
    (compliance.app, "compliance"),
    (replay.app, None),
    (dlq.app, "dlq"),
    (doctor.app, None),
    (state.app, "state"),
    (config.app, "config"),
):
    app.add_typer(group, name=name)

for more in (alerts_ack.app, alerts_test.app):
    alerts.app.add_typer(more)
