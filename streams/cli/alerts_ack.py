"""`realname alerts ack`: says that somebody has taken on an alert."""

from typing import TYPE_CHECKING, Annotated, Any

import typer

from streams.cli.exits import BadInput
from streams.cli.run import Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from streams.records.acks import AlertAck

app = typer.Typer()

DELIVERY_S = 15.0


@command(
    app,
    "ack",
    examples=[
        'realname alerts ack RATE_BELOW_TARGET:CITY:150100 --by duty-150100 --note "calling them"',
        "realname alerts ack CHANNEL_SILENT:ENTERPRISE:911500000000010092 --by li --episode 2",
    ],
)
def ack(
    run: Run,
    *,
    alert_id: Annotated[
        str, typer.Argument(metavar="ID", help="The alert_id of `realname alerts`.")
    ],
    by: Annotated[str, typer.Option(metavar="NAME", help="Who takes it on.")],
    note: Annotated[str, typer.Option(metavar="TEXT", help="What there is to say.")] = "",
    episode: Annotated[
        int | None, typer.Option(metavar="N", help="Which of its raises; otherwise the newest.")
    ] = None,
    json: Json = False,
) -> None:
    """Record that somebody has taken on an alert; whoever shows the alert shows this with it.

    It changes nothing of the alert, which fires on until its rate recovers, and silences nobody: to stop
    its pages, silence it in Alertmanager. A later acknowledgement replaces an earlier one.
    """
    from streams.domain.window import instant_text
    from streams.kafka.clock import now_ms
    from streams.records.acks import BY_CHARS_MAX, NOTE_CHARS_MAX, AlertAck

    mistakes = []
    if not 0 < len(by.strip()) <= BY_CHARS_MAX:
        mistakes.append(f"--by takes 1 to {BY_CHARS_MAX} characters; shorten it")
    if len(note) > NOTE_CHARS_MAX:
        mistakes.append(f"--note takes {NOTE_CHARS_MAX} characters; shorten it")
    if mistakes:
        raise BadInput(*mistakes)
    newest = _episode(run, alert_id, episode)
    taken = AlertAck(
        alert_id=alert_id,
        episode=newest,
        by=by.strip(),
        note=note.strip(),
        # Whole seconds: for people.
        acked_at=instant_text(now_ms() // 1000 * 1000),
    )
    _write(run, taken)
    row: dict[str, Any] = {
        "alert_id": taken.alert_id,
        "episode": taken.episode,
        "acked_by": taken.by,
        "acked_at": taken.acked_at,
        "ack_note": taken.note,
    }
    show(run, [row], json=json, columns=tuple(row), empty="")


def _episode(run: Run, alert_id: str, episode: int | None) -> int:
    """Return the episode that is meant, which exists."""
    from streams.kafka.reading import latest_values
    from streams.records.topics import ALERTS

    topic = run.settings.topics()[ALERTS].name
    keys = latest_values(run.client, topic, wanted=lambda key: key.startswith(alert_id.encode()))
    known = {
        int(number)
        for name, _, number in (key.decode().rpartition("|") for key in keys)
        if name == alert_id
    }
    if not known:
        raise BadInput(f"there is no alert {alert_id}; `realname alerts --all` shows all")
    if episode is not None and episode not in known:
        raised = ", ".join(map(str, sorted(known)))
        raise BadInput(f"{alert_id} has no episode {episode}; it has {raised}")
    return max(known) if episode is None else episode


def _write(run: Run, taken: "AlertAck") -> None:
    from confluent_kafka import KafkaError, Message, Producer

    from streams.kafka.errors import cluster_error
    from streams.records.acks import encode
    from streams.records.topics import ALERTS_ACKS

    topic = run.settings.topics()[ALERTS_ACKS].name
    failed: list[KafkaError] = []

    def delivered(error: KafkaError | None, _: Message) -> None:
        if error is not None:
            failed.append(error)

    producer = Producer(
        {
            **run.client,
            "enable.idempotence": True,
            "delivery.timeout.ms": int(DELIVERY_S * 1000),
            "allow.auto.create.topics": False,
        }
    )
    producer.produce(topic, encode(taken), taken.key, on_delivery=delivered)
    producer.flush(DELIVERY_S + 1)
    if failed:
        raise cluster_error(failed[0], doing=f"writing to {topic}")
