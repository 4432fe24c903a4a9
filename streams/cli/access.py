"""`realname access`: who may do what in Kafka."""

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from streams.access.acls import Acl
    from streams.access.declared import Principal
    from streams.access.plan import Actual, Plan
    from streams.kafka.client_files import Cluster
    from streams.records.topics import Topic

app = typer.Typer(no_args_is_help=True, help="Users and ACLs of Kafka: plan, grant, revoke, list.")

_ALL: Final = (Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER)

FileOption = Annotated[
    Path | None,
    typer.Option(
        "--file", metavar="FILE", help="Declared principals; otherwise those of the demonstration."
    ),
]
CredentialsOption = Annotated[
    Path | None,
    typer.Option(
        "--credentials",
        metavar="DIR",
        help="Where the users' settings files are; otherwise beside your own.",
    ),
]
Yes = Annotated[bool, typer.Option("--yes", help="Do it without asking.")]
Names = Annotated[list[str] | None, typer.Argument(metavar="[NAME]...", show_default=False)]


@command(
    app,
    "plan",
    examples=[
        "realname access plan --config admin.toml",
        "realname access plan --file access.toml --json",
        "realname access plan --strimzi realname > users.yaml",
        "realname access plan --quotas",
    ],
    exits=_ALL,
)
def plan(
    run: Run,
    *,
    file: FileOption = None,
    strimzi: Annotated[
        str | None,
        typer.Option(metavar="CLUSTER", help="Print Strimzi's KafkaUsers instead; needs no Kafka."),
    ] = None,
    quotas: Annotated[
        bool, typer.Option("--quotas", help="Print the commands that set quotas; needs no Kafka.")
    ] = False,
    json: Json = False,
) -> Exit:
    """Show what differs between the declared principals and Kafka; exit code 1 when something does.

    Changes nothing. `+` is what `grant` makes, `-` what it removes with --prune, and `!` an ACL that
    reaches further than our topics, which no command touches.
    """
    from streams.access.strimzi import kafka_users, quota_commands

    principals = _declared(run, file)
    if strimzi is not None:
        topics, prefix = run.settings.topics(), run.settings.prefix
        run.out.file.write(kafka_users(principals, topics, prefix=prefix, cluster=strimzi))
        return Exit.OK
    if quotas:
        for line in quota_commands(principals, run.settings.bootstrap):
            run.out.file.write(f"{line}\n")
        return Exit.OK
    found = _planned(run, principals, _actual(run, run.admin))
    _show(run, found, json=json)
    return Exit.OK if found.is_empty else Exit.UNMET


@command(
    app,
    "grant",
    examples=[
        "realname access grant --config admin.toml",
        "realname access grant worker serve --yes",
        "realname access grant --prune",
        "realname access grant enterprise-zto --new-password",
    ],
)
def grant(
    run: Run,
    *,
    names: Names = None,
    file: FileOption = None,
    credentials: CredentialsOption = None,
    prune: Annotated[
        bool, typer.Option("--prune", help="Also remove users and ACLs that are not declared.")
    ] = False,
    new_password: Annotated[
        bool, typer.Option("--new-password", help="Give the named users new passwords.")
    ] = False,
    yes: Yes = False,
) -> None:
    """Make the declared users and their ACLs, all or those named, after showing the plan.

    A new user gets a random password, in files that only you may read: one for --config, one for kcat.
    What is there and not declared stays, unless --prune is given. Running it again is harmless.
    """
    from streams.access.apply import give_passwords, withdraw
    from streams.access.apply import grant as apply_grant

    principals = _declared(run, file)
    chosen = [p for p in principals if not names or p.name in names]
    if unknown := sorted(set(names or ()) - {p.name for p in principals}):
        raise BadInput(f"not declared: {', '.join(unknown)}; add them to the file, or correct them")
    if prune and names:
        raise BadInput("--prune looks at everybody; leave out the names")
    if new_password and not names:
        raise BadInput("--new-password is for those who are named; name them")
    admin, folder, cluster = run.admin, _credentials(run, credentials), _cluster(run)
    actual = _actual(run, admin)
    found = _planned(run, chosen, actual)
    renewed = sorted(set(names or ()) & actual.users) if new_password else []
    _show(run, found, prune=prune, renewed=renewed)
    strays = prune and bool(found.stray_users or found.stray_acls)
    if not (found.new_users or found.new_acls or renewed or strays):
        return
    _ask(run, yes=yes)
    apply_grant(admin, found, folder=folder, cluster=cluster)
    give_passwords(admin, renewed, folder=folder, cluster=cluster)
    if prune:
        withdraw(admin, found, folder=folder)
    if found.new_users or renewed:
        run.say(f"The users' settings files are in {folder}: hand each to its user alone.")
    run.say("Done.")


@command(
    app,
    "revoke",
    examples=["realname access revoke enterprise-zto --config admin.toml"],
    exits=_ALL,
)
def revoke(
    run: Run,
    *,
    names: Annotated[list[str], typer.Argument(metavar="NAME...", show_default=False)],
    credentials: CredentialsOption = None,
    yes: Yes = False,
) -> Exit:
    """Take every right from users, declared or not: their passwords, and all ACLs that they hold.

    ACLs end at once, for open connections, too. Whoever is still declared comes back with the next
    `grant`. Exit code 1 when there was nothing to take.
    """
    from streams.access.apply import withdraw
    from streams.access.declared import RESERVED
    from streams.access.plan import plan_revoking

    if reserved := sorted(RESERVED & set(names)):
        raise BadInput(f"{', '.join(reserved)} cannot be revoked: without it nobody could grant")
    admin, folder = run.admin, _credentials(run, credentials)
    found = plan_revoking(names, _actual(run, admin))
    if found.is_empty:
        run.say(f"Kafka knows no user and no ACL of {', '.join(names)}.")
        return Exit.UNMET
    _show(run, found, prune=True)
    _ask(run, yes=yes)
    withdraw(admin, found, folder=folder)
    run.say("Done.")
    return Exit.OK


@command(
    app,
    "list",
    examples=["realname access list --config admin.toml", "realname access list --json"],
)
def list_(run: Run, *, file: FileOption = None, json: Json = False) -> None:
    """List the users that Kafka knows, the declared ones that it does not, and what each may do."""
    actual = _actual(run, run.admin)
    roles = {p.name: p.role.value for p in _declared(run, file)}
    users = sorted({*actual.users, *roles, *(acl.user for acl in actual.acls)})
    rows = [
        {
            "principal": user,
            "role": roles.get(user),
            "declared": user in roles,
            "password": user in actual.users,
            "allowed": _rights(acl for acl in actual.acls if acl.user == user and acl.allow),
            "denied": _rights(acl for acl in actual.acls if acl.user == user and not acl.allow),
        }
        for user in users
    ]

    def cells(row: Mapping[str, object]) -> Mapping[str, object]:
        lines = {name: row[name] for name in ("allowed", "denied")}
        return {**row, **{name: "\n".join(map(str, _listed(v))) for name, v in lines.items()}}

    columns = ("principal", "role", "password", "allowed", "denied")
    show(run, rows, json=json, columns=columns, empty="Kafka knows no user.", cells=cells)


def grant_declared(run: Run, admin: "AdminClient", *, folder: Path, cluster: "Cluster") -> int:
    """Make the demonstration's users that are not there yet; return how many were made."""
    from streams.access.apply import grant as apply_grant

    found = _planned(run, _declared(run, None), _actual(run, admin))
    apply_grant(admin, found, folder=folder, cluster=cluster)
    return len(found.new_users)


def _declared(run: Run, file: Path | None) -> "Sequence[Principal]":
    from streams.access.declared import AccessFileError, read_access
    from streams.resources import access_file

    if not run.settings.prefix:
        raise BadInput("access needs a prefix, by which our topics are told from others'; set one")
    try:
        return read_access(file or access_file(), run.settings.prefix)
    except AccessFileError as error:
        raise BadInput(*error.mistakes) from error


def _actual(run: Run, admin: "AdminClient") -> "Actual":
    from streams.access.cluster import read_actual
    from streams.cli.run import ANSWER_TIMEOUT_S

    with run.err.status("Looking at users and ACLs ..."):
        return read_actual(admin, timeout_s=ANSWER_TIMEOUT_S)


def _planned(run: Run, principals: "Sequence[Principal]", actual: "Actual") -> "Plan":
    from streams.access.plan import plan_access

    topics: Mapping[str, Topic] = run.settings.topics()
    return plan_access(principals, actual, topics, run.settings.prefix)


def _cluster(run: Run) -> "Cluster":
    from streams.kafka.client_files import cluster_of

    return cluster_of(run.settings.bootstrap, run.settings.kafka)


def _credentials(run: Run, given: Path | None) -> Path:
    """Return the folder that was named, or else the one of the administrator's own settings."""
    if given is not None:
        return given
    if run.loaded.file is None:
        raise BadInput("nothing says where the users' settings files are; give --credentials DIR")
    return run.loaded.file.absolute().parent


def _ask(run: Run, *, yes: bool) -> None:
    """Return when a person agrees; raise where there is nobody to ask, or who does not."""
    import sys

    if yes:
        return
    if not (sys.stdin.isatty() and run.err.is_terminal):
        raise BadInput("nothing was done, because nobody can be asked here; to do it, add --yes")
    if not typer.confirm("Do this?", err=True):
        raise BadInput("nothing was done")


def _show(
    run: Run,
    found: "Plan",
    *,
    json: bool = False,
    prune: bool = True,
    renewed: Sequence[str] = (),
) -> None:
    """Write a plan, a line for each change, to standard output; what is in order has no line."""
    strays = "-" if prune else "?"
    rows = [
        *(_row("+", f"user {user}", user) for user in found.new_users),
        *(_row("~", f"user {user}: a new password", user) for user in renewed),
        *(_row("+", str(acl), acl.user) for acl in found.new_acls),
        *(_row(strays, f"user {user}", user) for user in found.stray_users),
        *(_row(strays, str(acl), acl.user) for acl in found.stray_acls),
        *(_row("!", str(acl), acl.user) for acl in found.wider_acls),
    ]
    if json:
        show(run, rows, json=True, columns=(), empty="")
        return
    for row in rows:
        run.out.print(f"{row['change']} {row['what']}", markup=False, soft_wrap=True)
    counts = {sign: sum(row["change"] == sign for row in rows) for sign in "+-?!"}
    told = (
        ("+", "to add"),
        ("-", "to remove"),
        ("?", "not declared, which stay without --prune"),
        ("!", "wider than our topics, which stay: look at them"),
    )
    said = [f"{counts[sign]} {meaning}" for sign, meaning in told if counts[sign]]
    run.say("; ".join(said) + "." if said else "Everything is as declared.")


def _row(change: str, what: str, principal: str) -> Mapping[str, str]:
    return {"change": change, "principal": principal, "what": what}


def _rights(acls: "Iterable[Acl]") -> list[str]:
    """Say what ACLs are about, with the operations on each together."""
    from itertools import groupby

    return [
        f"{', '.join(acl.operation for acl in group)} {what}"
        for what, group in groupby(sorted(acls), key=lambda acl: acl.what)
    ]


def _listed(value: object) -> Sequence[object]:
    return value if isinstance(value, list) else []
