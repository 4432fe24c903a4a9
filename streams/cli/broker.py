"""`realname broker`: a real Kafka of one node on this machine."""

from typing import TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from streams.kafka.broker import EmbeddedBroker

app = typer.Typer(no_args_is_help=True, help="The embedded broker: start, stop, status.")

_HERE: Final = ("127.0.0.1", "localhost")


def embedded_broker(run: Run, *, secure: bool = False) -> "EmbeddedBroker":
    """Return the broker of the settings: its port is that of `bootstrap`.

    Raises BadInput when `bootstrap` names another machine, where nothing can be started from here.
    """
    from streams.kafka.broker import EmbeddedBroker

    settings = run.settings
    host, _, port = settings.bootstrap.rpartition(":")
    if host not in _HERE:
        raise BadInput(
            f"bootstrap is {settings.bootstrap}, and the embedded broker runs on this machine: "
            "leave it out, or give --bootstrap 127.0.0.1:PORT"
        )
    return EmbeddedBroker(
        settings.data_dir / "broker",
        port=int(port),
        heap_mb=settings.broker_heap_mb,
        java_home=settings.java_home,
        secure=secure,
    )


@command(
    app,
    "start",
    examples=[
        "realname broker start",
        "realname broker start --secure",
        "realname broker start --bootstrap 127.0.0.1:19092",
    ],
)
def start(
    run: Run,
    *,
    secure: Annotated[
        bool, typer.Option("--secure", help="Clients log in over TLS; nothing is allowed unasked.")
    ] = False,
) -> None:
    """Start the embedded broker, and return when it answers.

    It is a real Apache Kafka and lives on in the background; everything that it writes is under the
    data folder. Starting one that runs does nothing. The first start fetches Kafka, about 45 MB.

    With --secure it makes certificates of its own, and a user with a random password for each
    principal of deploy/access.toml. What was set up so stays so; what was not cannot become it.
    """
    broker = embedded_broker(run, secure=secure)
    with run.err.status("Starting Kafka ...") as status:
        broker.start(lambda step: status.update(f"Starting Kafka: {step} ..."))
    if not broker.secured:
        run.say(f"Kafka answers on {broker.bootstrap}. Next: realname setup")
        return
    if secure:
        _grant(run, broker)
    users = broker.security.users
    run.say(f"Kafka answers on {broker.bootstrap}, over TLS, to those who log in.")
    run.say(f"Each user's settings are in {users}: NAME.toml for --config, NAME.conf for kcat.")
    run.say(f"Next: export REALNAME_CONFIG={users / 'operator.toml'}; realname setup")


def _grant(run: Run, broker: "EmbeddedBroker") -> None:
    """Make the declared users, as the administrator."""
    from confluent_kafka.admin import AdminClient

    from streams.cli.access import grant_declared
    from streams.kafka.client import client_config

    client = client_config(broker.bootstrap, client_id="realname-cli", extra=broker.client())
    with run.err.status("Making users ..."):
        grant_declared(
            run,
            AdminClient(client),
            folder=broker.security.users,
            cluster=broker.security.cluster(broker.bootstrap),
        )


@command(app, "stop", examples=["realname broker stop"])
def stop(run: Run) -> None:
    """Stop the embedded broker in good order; its data stay. Does nothing when none runs."""
    broker = embedded_broker(run)
    running = broker.status().running
    with run.err.status("Stopping Kafka ..."):
        broker.stop()
    run.say("Kafka has stopped." if running else "No broker was running.")


@command(
    app,
    "status",
    examples=["realname broker status", "realname broker status --json"],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE),
)
def status(run: Run, *, json: Json = False) -> Exit:
    """Say whether the embedded broker runs, and where; exit code 1 when it does not."""
    found = embedded_broker(run).status()
    row = {
        "running": found.running,
        "bootstrap": found.bootstrap,
        "pid": found.pid,
        "version": found.version,
        "data_dir": str(found.data_dir),
        "secured": found.users is not None,
        "users": None if found.users is None else str(found.users),
    }
    show(run, [row], json=json, columns=list(row), empty="")
    if not found.running and not json:
        run.say("Start it: realname broker start")
    return Exit.OK if found.running else Exit.UNMET
