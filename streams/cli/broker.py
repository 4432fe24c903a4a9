"""`realname broker`: a real Kafka of one node on this machine."""

from typing import TYPE_CHECKING, Final

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from streams.kafka.broker import EmbeddedBroker

app = typer.Typer(no_args_is_help=True, help="The embedded broker: start, stop, status.")

_HERE: Final = ("127.0.0.1", "localhost")


def embedded_broker(run: Run) -> "EmbeddedBroker":
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
    )


@command(
    app,
    "start",
    examples=["realname broker start", "realname broker start --bootstrap 127.0.0.1:19092"],
)
def start(run: Run) -> None:
    """Start the embedded broker, and return when it answers.

    It is a real Apache Kafka and lives on in the background; everything that it writes is under the
    data folder. Starting one that runs does nothing. The first start fetches Kafka, about 45 MB.
    """
    broker = embedded_broker(run)
    with run.err.status("Starting Kafka ...") as status:
        broker.start(lambda step: status.update(f"Starting Kafka: {step} ..."))
    run.say(f"Kafka answers on {broker.bootstrap}. Next: realname setup")


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
    }
    show(run, [row], json=json, columns=list(row), empty="")
    if not found.running and not json:
        run.say("Start it: realname broker start")
    return Exit.OK if found.running else Exit.UNMET
