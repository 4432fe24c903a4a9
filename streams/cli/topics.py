"""`realname topics`: make a cluster agree with the topic catalogue."""

import typer

from streams.cli.exits import Exit
from streams.cli.run import ANSWER_TIMEOUT_S, Json, Run, command
from streams.cli.show import show

app = typer.Typer(no_args_is_help=True, help="Topics: create, check, correct, list.")

_ALL = (Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER)


@command(app, "create", examples=["realname topics create"])
def create(run: Run) -> None:
    """Create the topics that do not exist yet; those that do are left as they are.

    Partition counts are settings, under partitions in the TOML file; they cannot be changed later
    without starting from empty topics.
    """
    from streams.cli.enterprise_topics import all_topics
    from streams.kafka.topics import create_topics

    with run.err.status("Creating topics ..."):
        report = create_topics(
            run.admin,
            all_topics(run),
            replication_factor=run.settings.replication,
            timeout_s=ANSWER_TIMEOUT_S,
        )
    run.say(f"{len(report.created)} topics created, {len(report.existing)} were there already.")


@command(app, "check", examples=["realname topics check"], exits=_ALL)
def check(run: Run, *, json: Json = False) -> Exit:
    """Compare the cluster's topics with the catalogue; exit code 1 when they differ.

    Looks at existence, partition counts and the settings that matter, and changes nothing.
    """
    from dataclasses import asdict

    from streams.cli.enterprise_topics import all_topics
    from streams.kafka.topics import check_topics

    with run.err.status("Looking at topics ..."):
        drifts = check_topics(run.admin, all_topics(run), timeout_s=ANSWER_TIMEOUT_S)
    if json:
        show(run, [asdict(drift) for drift in drifts], json=True, columns=(), empty="")
    for drift in () if json else drifts:
        run.say(str(drift))
    if not drifts:
        run.say("All topics are as they should be.")
    return Exit.UNMET if drifts else Exit.OK


@command(app, "correct", examples=["realname topics correct"], exits=_ALL)
def correct(run: Run) -> Exit:
    """Set topic settings that differ as the catalogue has them.

    Missing topics and other partition counts are not touched; exit code 1 when such remain.
    """
    from streams.cli.enterprise_topics import all_topics
    from streams.kafka.topics import check_topics, correct_topics

    with run.err.status("Correcting topics ..."):
        drifts = check_topics(run.admin, all_topics(run), timeout_s=ANSWER_TIMEOUT_S)
        correct_topics(run.admin, drifts)
    corrected = [drift for drift in drifts if drift.kind == "config"]
    remaining = [drift for drift in drifts if drift.kind != "config"]
    run.say(f"{len(corrected)} settings corrected.")
    for drift in remaining:
        run.say(str(drift))
    return Exit.UNMET if remaining else Exit.OK


@command(
    app,
    "list",
    examples=["realname topics list", "realname topics list --json"],
    exits=(Exit.OK, Exit.USAGE),
)
def list_(run: Run, *, json: Json = False) -> None:
    """List the topics of the catalogue: what is in them, who writes and who reads them.

    Needs no Kafka.
    """
    rows = [
        {
            "topic": topic.name,
            "key": topic.key,
            "partitions": topic.partitions,
            "cleanup": topic.config["cleanup.policy"],
            "producers": topic.producers,
            "consumers": topic.consumers,
            "personal_data": topic.personal_data,
            "description": topic.description,
        }
        for topic in run.settings.topics().values()
    ]
    columns = ("topic", "partitions", "cleanup", "key", "description")
    show(run, rows, json=json, columns=columns, empty="")
