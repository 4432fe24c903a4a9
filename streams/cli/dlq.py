"""`realname dlq`: what could not be used, and why."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.run import Json, Run, command
from streams.cli.show import Row, masked, show

if TYPE_CHECKING:
    from confluent_kafka import Message

app = typer.Typer(no_args_is_help=True, help="Dead letters: list.")

SAMPLES_DEFAULT: Final = 3


@dataclass(slots=True)
class _Group:
    count: int = 0
    newest_ms: int = 0
    samples: list[str] = field(default_factory=list)


@command(app, "list", examples=["realname dlq list", "realname dlq list --samples 10 --json"])
def list_(
    run: Run,
    *,
    samples: Annotated[
        int, typer.Option(min=0, max=100, metavar="N", help="Samples of each reason.")
    ] = SAMPLES_DEFAULT,
    json: Json = False,
) -> None:
    """List why records were refused: reject code, field and source, how many, since when.

    A sample is a masked waybill and the place of the record in shipments (partition@offset), where
    those who may can look at it. The records themselves are personal data and are not shown.
    """
    with run.err.status("Reading dead letters ..."):
        rows = list(_rows(run, samples))
    show(
        run,
        rows,
        json=json,
        columns=("code", "path", "source", "count", "newest", "samples"),
        empty="No record was refused.",
    )


def _rows(run: Run, samples: int) -> Iterator[Row]:
    from streams.domain.window import instant_text
    from streams.kafka.reading import read_to_end
    from streams.records.topics import SHIPMENTS_DLQ

    groups: dict[tuple[str, str, str], _Group] = {}
    for message in read_to_end(run.client, run.settings.topics()[SHIPMENTS_DLQ].name):
        reason, place = _reason(message)
        group = groups.setdefault(reason, _Group())
        group.count += 1
        group.newest_ms = max(group.newest_ms, message.timestamp()[1])
        if len(group.samples) < samples:
            group.samples.append(f"{_masked_key(message)} {place}")
    for (code, path, source), group in sorted(groups.items(), key=lambda item: -item[1].count):
        yield {
            "code": code,
            "path": path,
            "source": source,
            "count": group.count,
            "newest": instant_text(group.newest_ms),
            "samples": group.samples,
        }


def _reason(message: "Message") -> tuple[tuple[str, str, str], str]:
    from streams.kafka import dead_letters

    headers = message.headers() or []
    assert isinstance(headers, list), "librdkafka gives pairs, since names may repeat"
    found = {
        name: value.decode(errors="replace") if isinstance(value, bytes) else value or ""
        for name, value in headers
    }
    names = (dead_letters.CODE, dead_letters.PATH, dead_letters.SOURCE)
    code, path, source = (found.get(name, "") for name in names)
    place = f"{found.get(dead_letters.PARTITION, '?')}@{found.get(dead_letters.OFFSET, '?')}"
    return (code, path, source), place


def _masked_key(message: "Message") -> str:
    key = message.key()
    if key is None:
        return "(no key)"
    return masked(bytes(key).decode(errors="replace"))
