"""`realname setup`: topics and reference data, in one go."""

from pathlib import Path
from typing import Annotated

import typer

from streams.cli.run import ANSWER_TIMEOUT_S, Run, command

app = typer.Typer()

_File = typer.Option(metavar="FILE", show_default=False)


@command(
    app,
    "setup",
    examples=[
        "realname setup",
        "realname setup --outlets outlets.csv --periods periods.toml",
    ],
)
def setup(
    run: Run,
    *,
    outlets: Annotated[Path | None, _File] = None,
    periods: Annotated[Path | None, _File] = None,
    agreements: Annotated[Path | None, _File] = None,
    sources: Annotated[Path | None, _File] = None,
) -> None:
    """Create the topics and apply reference data: all files, or none when one has a mistake.

    Without any file, each kind of data that nobody has applied yet gets the demonstration's: a
    fictional region of twelve cities. Running it again is harmless.
    """
    from streams.cli.reference import setup_reference
    from streams.kafka.topics import create_topics
    from streams.reference.listing import Kind

    given = {
        Kind.OUTLETS: outlets,
        Kind.PERIODS: periods,
        Kind.AGREEMENTS: agreements,
        Kind.SOURCES: sources,
    }
    with run.err.status("Creating topics ..."):
        report = create_topics(
            run.admin,
            run.settings.topics(),
            replication_factor=run.settings.replication,
            timeout_s=ANSWER_TIMEOUT_S,
        )
    run.say(f"{len(report.created)} topics created, {len(report.existing)} were there already.")
    setup_reference(run, {kind: file for kind, file in given.items() if file is not None})
    run.say("Next: realname worker")
