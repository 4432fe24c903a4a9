"""`realname state`: the state logs, from which a worker restores what it knows."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.inputs import INPUTS, STATES, committed_of, ends_of
from streams.cli.run import ANSWER_TIMEOUT_S, Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from confluent_kafka.admin import AdminClient

    from streams.kafka.state_log import LogReader

app = typer.Typer(no_args_is_help=True, help="State logs: list, verify, rebuild.")

StageOption = Annotated[
    str | None,
    typer.Option("--stage", metavar="NAME", help="match, rate, rollup or compliance; else all."),
]
PartitionOption = Annotated[
    int | None, typer.Option("--partition", metavar="N", help="Of the stage's input; else all.")
]

_REBUILT: Final = ("match.state", "rate.state", "rollup.state", "counts", "totals")
_GONE_TIMEOUT_S: Final = 30.0


@command(app, "list", examples=["realname state list", "realname state list --stage match --json"])
def list_(run: Run, *, stage: StageOption = None, json: Json = False) -> None:
    """List each stage's partitions: what its log holds, what it has committed, how far it is behind.

    Reads no record, so it is quick whatever the logs hold.
    """
    from streams.kafka.reading import begin_offsets, end_offsets

    topics, admin = run.settings.topics(), run.admin
    rows = []
    for name, sources in _stages(stage):
        ends, committed = ends_of(run, sources), committed_of(run, name, sources)
        log_begins = begin_offsets(admin, topics[f"{name}.state"].name)
        log_ends = end_offsets(admin, topics[f"{name}.state"].name)
        rows += [
            {
                "stage": name,
                "partition": partition,
                "log_records": log_ends[partition] - log_begins[partition],
                "committed": committed.get(partition),
                "input_end": end,
                "behind": max(0, end - (committed.get(partition) or 0)),
            }
            for partition, end in sorted(ends.items())
        ]
    show(run, rows, json=json, columns=tuple(rows[0]), empty="")


@command(
    app,
    "verify",
    examples=["realname state verify", "realname state verify --stage match --partition 3"],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER),
)
def verify(
    run: Run,
    *,
    stage: StageOption = None,
    partition: PartitionOption = None,
    json: Json = False,
) -> Exit:
    """Read state logs to their end and say whether a worker could restore from them.

    A log is sound when nothing is missing in it and it reaches as far as its group has committed.
    Exit code 1 when one is not. Changes nothing, and may run beside a worker.
    """
    findings: list[_Verified] = []
    with run.err.status("Reading state logs ..."):
        for name, sources in _stages(stage):
            findings += _verify(run, name, sources, partition)
    rows = [
        {
            "stage": f.stage,
            "partition": f.partition,
            "sound": not f.problem,
            "reaches": f.reaches,
            "committed": f.committed,
            "records": f.records,
            "bytes": f.bytes,
            "problem": f.problem,
        }
        for f in findings
    ]
    if not rows:
        raise BadInput(f"there is no partition {partition}; see `realname state list`")
    show(run, rows, json=json, columns=tuple(rows[0]), empty="")
    unsound = [f for f in findings if f.problem]
    if unsound:
        run.say(
            f"{len(unsound)} of {len(findings)} logs are not sound; see `state rebuild --help`."
        )
    return Exit.UNMET if unsound else Exit.OK


@command(
    app,
    "rebuild",
    examples=["realname state rebuild --yes", "realname state rebuild --stage compliance --yes"],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER),
)
def rebuild(
    run: Run,
    *,
    stage: Annotated[
        Literal["compliance"] | None,
        typer.Option(help="Only this one, on which no other stage builds; else all others."),
    ] = None,
    yes: Annotated[bool, typer.Option("--yes", help="Do it: all states are deleted.")] = False,
    from_what_is_left: Annotated[
        bool,
        typer.Option(
            "--from-what-is-left", help="Also when the first records of shipments are gone."
        ),
    ] = False,
) -> Exit:
    """Delete the states of all stages, so that the next worker builds them anew from shipments.

    All of them, since what a stage has sent on cannot be taken back from the next one's state. Only
    while no worker runs. What is published stays and is overwritten as the figures come again; alerts
    are raised anew, beginning at episode 1.

    Records that shipments no longer holds cannot be counted again: the figures of their days would
    become wrong. Exit code 1, and nothing is done, when that is so and --from-what-is-left is not
    given.

    With --stage compliance only what enterprises have been told is forgotten: they are told again
    what the topics still hold, days and alerts with the ids that they had.
    """
    from streams.kafka.reading import begin_offsets, members
    from streams.records.topics import SHIPMENTS

    admin, topics = run.admin, run.settings.topics()
    stages = [name for name, _ in INPUTS] if stage is None else [stage]
    busy = [name for name in stages if members(admin, run.settings.group(name))]
    if busy:
        run.say(
            f"Workers still run {', '.join(busy)}; stop them all, then try again in ten seconds."
        )
        return Exit.UNMET
    gone = [p for p, begin in begin_offsets(admin, topics[SHIPMENTS].name).items() if begin > 0]
    if stage is None and gone and not from_what_is_left:
        run.say(
            f"shipments has lost its first records in {len(gone)} partitions, so the days that they "
            "belong to would come out too low. To accept that: --from-what-is-left"
        )
        return Exit.UNMET
    if not yes:
        raise BadInput(f"this deletes the states of {stage or 'all stages'}; to do it, add --yes")
    with run.err.status("Deleting states ..."):
        _delete(run, admin, stages, _REBUILT if stage is None else (f"{stage}.state",))
    run.say("The states are gone. Start the workers: they count everything from the beginning.")
    return Exit.OK


def _stages(only: str | None) -> "Sequence[tuple[str, Sequence[str]]]":
    found = [(name, sources) for name, sources in STATES if only in (None, name)]
    if not found:
        raise BadInput(f"--stage {only!r} is none; take match, rate, rollup or compliance")
    return found


@dataclass(slots=True)
class _Verified:
    """What reading one state log has found; `problem` is empty when it is sound."""

    stage: str
    partition: int
    committed: int | None
    reaches: int | None = None
    records: int = 0
    bytes: int = 0
    problem: str = ""


class _NoState:
    """Takes in what a log gives and keeps nothing of it."""

    def restore_snapshot(self, chunks: "Sequence[bytes]") -> None:
        """Forget it."""

    def restore_delta(self, payload: bytes) -> None:
        """Forget it."""


def _verify(
    run: Run, stage: str, sources: "Sequence[str]", only: int | None
) -> "Iterator[_Verified]":
    from streams.kafka.reading import begin_offsets, end_offsets, read_to_end
    from streams.kafka.state_log import LogReader, StateDamaged

    topics, admin = run.settings.topics(), run.admin
    log = topics[f"{stage}.state"].name
    # Before the log is read: a commit that comes between would look like a log behind its group.
    committed = committed_of(run, stage, sources)
    begins, ends = begin_offsets(admin, log), end_offsets(admin, log)
    wanted = [p for p in sorted(begins) if only in (None, p)]
    found = {p: _Verified(stage, p, committed.get(p)) for p in wanted}
    readers = {p: LogReader(_NoState(), truncated=begins[p] > 0) for p in wanted}
    for message in read_to_end(run.client, log, wanted) if wanted else ():
        partition = message.partition() or 0
        verified = found[partition]
        verified.records += 1
        verified.bytes += len(message)
        if not verified.problem:
            try:
                readers[partition].take(message.value())
            except StateDamaged as damage:
                verified.problem = f"at offset {message.offset()}: {damage}"
    for partition, verified in found.items():
        _conclude(verified, readers[partition], emptied=begins[partition] == ends[partition] > 0)
        yield verified


def _conclude(verified: _Verified, reader: "LogReader", *, emptied: bool) -> None:
    from streams.kafka.state_log import StateDamaged

    verified.reaches = reader.next_offset
    if verified.problem:
        return
    try:
        reader.finish()
    except StateDamaged as damage:
        verified.problem = str(damage)
        return
    if emptied:
        verified.problem = "all its records have been deleted"
    elif verified.committed and (verified.reaches is None or verified.reaches < verified.committed):
        verified.problem = (
            f"it reaches input offset {verified.reaches}, and the group has committed "
            f"{verified.committed}: records would be counted twice"
        )


def _delete(
    run: Run, admin: "AdminClient", stages: "Sequence[str]", emptied: "Sequence[str]"
) -> None:
    """Delete the groups of stages, and topics; create the topics again, empty."""
    from streams.kafka.reading import patiently
    from streams.kafka.topics import create_topics

    topics = {name: topic for name, topic in run.settings.topics().items() if name in emptied}
    names = [topic.name for topic in topics.values()]
    groups = [run.settings.group(name) for name in stages]
    doing = "deleting groups and topics"
    patiently(lambda: _await(admin.delete_consumer_groups(groups)), doing=doing)
    patiently(
        lambda: _await(admin.delete_topics(names, operation_timeout=_GONE_TIMEOUT_S)), doing=doing
    )
    _await_gone(admin, names)
    create_topics(
        admin,
        topics,
        replication_factor=run.settings.replication,
        timeout_s=ANSWER_TIMEOUT_S,
    )


def _await(futures: "Mapping[str, Any]") -> None:
    """Wait for each; what does not exist is as good as deleted."""
    from confluent_kafka import KafkaError, KafkaException

    from streams.kafka.errors import cluster_error

    absent = (KafkaError.GROUP_ID_NOT_FOUND, KafkaError.UNKNOWN_TOPIC_OR_PART)
    for name, future in futures.items():
        try:
            future.result()
        except KafkaException as error:
            if error.args[0].code() not in absent:
                raise cluster_error(error.args[0], doing=f"deleting {name}") from error


def _await_gone(admin: "AdminClient", names: "Sequence[str]") -> None:
    import time

    from streams.kafka.errors import KafkaUnavailable
    from streams.kafka.reading import patiently

    def there() -> set[str]:
        listed = patiently(
            lambda: admin.list_topics(timeout=ANSWER_TIMEOUT_S), doing="listing the topics"
        )
        return set(names) & listed.topics.keys()

    deadline = time.monotonic() + _GONE_TIMEOUT_S
    while there():
        if time.monotonic() > deadline:
            raise KafkaUnavailable(
                "the topics were not deleted in time; check delete.topic.enable and the brokers' "
                "logs, then run it again"
            )
        time.sleep(0.1)
