"""`realname doctor`: what is well, what is not, and what to do about it."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import typer

from streams.cli.enterprise_topics import all_topics
from streams.cli.exits import Exit
from streams.cli.inputs import STATES, committed_of, ends_of, is_left_out
from streams.cli.run import ANSWER_TIMEOUT_S, Json, Run, cluster_trouble, command
from streams.cli.show import show

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

app = typer.Typer()

# Between brokers and us; more would make verdicts late or early by as much.
CLOCK_AHEAD_S_MAX: Final = 5
# A worker writes a heartbeat into each quiet partition after 30 s.
QUIET_S_MAX: Final = 120
_DRIFTS_SHOWN: Final = 3
ACCESS: Final = "access"
"""The check that fails when Kafka knows us, or does not, and does not let us."""

_LOG_IN: Final = (
    "log in as a user who may: --config FILE, from the folder of `realname broker status`"
)
_STYLES: Final = {"ok": "green", "warning": "yellow", "failed": "bold red"}


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check found.

    Attributes:
        check: What was looked at.
        status: `ok`, `warning` (the figures may be late or partial) or `failed`.
        detail: What was found.
        remedy: What to do; empty when nothing.

    """

    check: str
    status: str
    detail: str
    remedy: str = ""


@command(
    app,
    "doctor",
    examples=["realname doctor", "realname doctor --json"],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER),
)
def doctor(run: Run, *, json: Json = False) -> Exit:
    """Look at broker, topics, reference data, workers and clocks; each failure comes with its remedy.

    Changes nothing. Exit code 3 when Kafka or a topic is the trouble, 1 for anything else that needs
    somebody; a warning alone is 0.
    """
    findings: list[Finding] = []
    with run.err.status("Looking ..."):
        findings.extend(_findings(run))
    rows = [
        {"check": f.check, "status": f.status, "detail": f.detail, "remedy": f.remedy}
        for f in findings
    ]
    if json:
        show(run, rows, json=True, columns=(), empty="")
    else:
        for finding in findings:
            _print(run, finding)
    failed = {f.check for f in findings if f.status == "failed"}
    if failed & {"broker", "topics", ACCESS}:
        return Exit.CLUSTER
    return Exit.UNMET if failed else Exit.OK


def _print(run: Run, finding: Finding) -> None:
    from rich.text import Text

    line = Text.assemble((f"{finding.status:8}", _STYLES[finding.status]), finding.check, ": ")
    run.out.print(line + Text(finding.detail), soft_wrap=True)
    if finding.remedy:
        run.out.print(Text(f"{'':8}-> {finding.remedy}"), soft_wrap=True)


def _findings(run: Run) -> Iterator[Finding]:
    """Check in the order in which one thing needs the other; stop at what makes the rest vain."""
    from streams.kafka.errors import AuthorizationFailed, ClusterError

    settings = run.settings
    told = f"{len(run.loaded.origins)} set, the rest are defaults"
    yield Finding("settings", "ok", told)
    admin = run.admin
    try:
        yield _broker(run, admin)
        topics = _topics(run, admin)
    except ClusterError as error:
        trouble = cluster_trouble(error, run)
        if isinstance(trouble, AuthorizationFailed):
            yield Finding(ACCESS, "failed", str(trouble), _LOG_IN)
            return
        remedy = (
            "check --bootstrap and --kafka; the embedded one starts with `realname broker start`"
        )
        yield Finding("broker", "failed", f"{settings.bootstrap}: {trouble}", remedy)
        return
    yield topics
    if topics.status == "failed":
        return
    for check, look in (
        ("reference data", _reference),
        ("workers", _workers),
        ("clock", _clock),
    ):
        try:
            yield from look(run, admin)
        except AuthorizationFailed as error:
            yield Finding(ACCESS, "failed", f"{check}: {error}", _LOG_IN)
        except ClusterError as error:
            yield Finding(check, "failed", str(error), "see the broker's log")


def _broker(run: Run, admin: "AdminClient") -> Finding:
    from confluent_kafka import KafkaException

    from streams.kafka.errors import cluster_error

    try:
        found = admin.list_topics(timeout=ANSWER_TIMEOUT_S)
    except KafkaException as error:
        raise cluster_error(error.args[0], doing="asking for the brokers") from error
    return Finding("broker", "ok", f"{run.settings.bootstrap} answers, {len(found.brokers)} in all")


def _topics(run: Run, admin: "AdminClient") -> Finding:
    from streams.kafka.topics import check_topics

    topics = run.settings.topics()
    drifts = check_topics(admin, topics, timeout_s=ANSWER_TIMEOUT_S)
    if not drifts:
        # Only who may see ours can read in the reference data whom there are topics for.
        topics = all_topics(run)
        drifts = check_topics(admin, topics, timeout_s=ANSWER_TIMEOUT_S)
    if not drifts:
        return Finding("topics", "ok", f"{len(topics)} as they should be")
    if hidden := [drift.topic for drift in drifts if drift.kind == "hidden"]:
        detail = f"authorisation failed: this user may not see {', '.join(hidden)}"
        return Finding(ACCESS, "failed", detail, _LOG_IN)
    told = "; ".join(str(drift) for drift in drifts[:_DRIFTS_SHOWN])
    more = len(drifts) - _DRIFTS_SHOWN
    detail = f"{told}; and {more} more" if more > 0 else told
    status = "warning" if all(drift.kind == "config" for drift in drifts) else "failed"
    return Finding("topics", status, detail, "see `realname topics check`")


def _reference(run: Run, admin: "AdminClient") -> Iterator[Finding]:
    from streams.kafka.reference import ReferenceTopic
    from streams.records.topics import REFERENCE

    del admin
    latest = ReferenceTopic(run.client, run.settings.topics()[REFERENCE].name).history().latest
    detail = (
        f"version {latest.version}: {len(latest.outlets):,} outlets, {len(latest.periods)} periods, "
        f"{len(latest.agreements):,} agreements, {len(latest.sources)} sources"
    )
    if latest.outlets:
        yield Finding("reference data", "ok", detail)
    else:
        remedy = "run `realname setup`: without outlets every record is refused"
        yield Finding("reference data", "failed", detail, remedy)


def _workers(run: Run, admin: "AdminClient") -> Iterator[Finding]:
    from streams.kafka.reading import members

    for stage, sources in STATES:
        ends, committed = ends_of(run, sources), committed_of(run, stage, sources)
        if is_left_out(stage, committed) and stage not in run.settings.agents:
            continue
        count = members(admin, run.settings.group(stage))
        lag = sum(max(0, end - (committed.get(p) or 0)) for p, end in ends.items())
        detail = f"{count} running, {lag:,} records behind"
        if count:
            yield Finding(f"worker: {stage}", "ok", detail)
        else:
            yield Finding(f"worker: {stage}", "warning", detail, "start one: `realname worker`")


def _clock(run: Run, admin: "AdminClient") -> Iterator[Finding]:
    """Compare our clock with the newest timestamp that a broker has given."""
    from streams.kafka.clock import now_ms
    from streams.kafka.reading import newest_timestamp_ms
    from streams.records.topics import SHIPMENTS

    newest_ms = newest_timestamp_ms(admin, run.settings.topics()[SHIPMENTS].name)
    if newest_ms is None:
        yield Finding("clock", "ok", "no record yet to compare it with")
        return
    age_s = (now_ms() - newest_ms) / 1000
    if age_s < -CLOCK_AHEAD_S_MAX:
        detail = f"the broker's clock is {-age_s:.0f} s ahead of this machine's"
        yield Finding("clock", "failed", detail, "synchronise the clocks of both machines (NTP)")
    elif age_s > QUIET_S_MAX and run.settings.clock == "wall":
        detail = f"the newest record came {age_s:,.0f} s ago, not even a heartbeat since"
        remedy = "check that a worker runs, and its clock against the broker's"
        yield Finding("clock", "warning", detail, remedy)
    else:
        yield Finding("clock", "ok", f"the newest record came {max(age_s, 0):,.0f} s ago")
