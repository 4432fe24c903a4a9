"""Records what the stages publish of the demo scenario, for the tests of `serve`.

    python -m tests.serve.record

It writes `recorded.jsonl.gz` beside itself: of noon on 6 September 2017, when faults are under way, the
latest record of each key of some scopes, all alerts, and the region's and cities' records on the way
there. Run it anew when a record's form changes; it takes a minute.
"""

import gzip
from collections.abc import Iterator
from itertools import islice
from pathlib import Path

import orjson

from streams.domain.policy import Policy
from streams.domain.window import instant_from_text
from streams.reference.areas import shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.history import history_of
from streams.resources import config_dir
from streams.simulate.feed import open_scenario
from streams.stages.pipeline import LogRecord, Pipeline
from streams.stages.stage import Output

FILE = Path(__file__).parent / "recorded.jsonl.gz"
UNTIL_MS = instant_from_text("2017-09-06T12:40:00+08:00")
STEP_RECORDS = 3_000
CURVES = ("REGION|", "CITY|")
OUTLETS = 60


def outputs() -> Iterator[Output]:
    files = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
    history = history_of(read_files(files, shipped_areas()).values())
    feed = open_scenario("demo", seed=5, reference=history.latest)
    records = (record for record in feed.records() if record.received_at_ms <= UNTIL_MS)
    pipeline = Pipeline(Policy(), history)
    while step := list(islice(records, STEP_RECORDS)):
        yield from pipeline.take(LogRecord(record.key, record.value) for record in step)
    yield from pipeline.pass_time(UNTIL_MS)


def kept(found: list[Output]) -> Iterator[Output]:
    """Leave out what a later record replaces, and most outlets, but for those in trouble."""
    wanted = [output for output in found if output.topic in ("rates", "days", "alerts")]
    last = {(output.topic, output.key): output for output in wanted}
    breaching: list[str] = []
    others: list[str] = []
    for output in last.values():
        if output.topic == "rates" and text(output.key).startswith("OUTLET|"):
            in_trouble = b'"rate_status":"BREACH"' in (output.value or b"")
            (breaching if in_trouble else others).append(text(output.key).partition("|")[2])
    outlets = {*breaching, *sorted(others)[:OUTLETS]}
    for output in wanted:
        key = text(output.key)
        if key.startswith("OUTLET|") and key.split("|")[1] not in outlets:
            continue
        curve = output.topic == "rates" and key.startswith(CURVES)
        if curve or last[output.topic, output.key] is output:
            yield output


def text(key: bytes | None) -> str:
    assert key is not None
    return key.decode()


def main() -> None:
    lines = [
        orjson.dumps([output.topic, text(output.key), output.value and orjson.loads(output.value)])
        for output in kept(list(outputs()))
    ]
    FILE.write_bytes(gzip.compress(b"\n".join(lines), mtime=0))


if __name__ == "__main__":
    main()
