"""Compliance stages to play with: published records by default, and what is told of them."""

import json
from collections.abc import Mapping, Sequence
from copy import deepcopy
from typing import Any, NamedTuple

from streams.domain.policy import Policy
from streams.records.topics import PARTITIONS_DEFAULT
from streams.reference.types import Reference, ReferenceHistory, Source
from streams.resources import schema_dir
from streams.stages.compliance.partition import CompliancePartition, make_teller
from streams.stages.stage import Batch, Output
from tests.builders import a_period, an_outlet

OUTLET = "150105-ZT-0031"
ENTERPRISE = "91150100MA0ZT"
HOUR_MS = 3_600_000

Record = tuple[str, dict[str, Any] | None]
"""Key and value of an input record."""


class Event(NamedTuple):
    """An event as a reader has it."""

    topic: str
    key: str
    attributes: dict[str, str]
    data: dict[str, Any] | None

    @property
    def type(self) -> str:
        return self.attributes["type"]


def event_of(output: Output) -> Event:
    assert output.key is not None
    assert output.headers is not None
    headers = {name: (value or b"").decode() for name, value in output.headers}
    attributes = {
        name.removeprefix("ce_"): value for name, value in headers.items() if name[:3] == "ce_"
    }
    data = None if output.value is None else json.loads(output.value)
    return Event(output.topic, output.key.decode(), attributes, data)


def a_history() -> ReferenceHistory:
    """One enterprise with an outlet and a source, another with one of each, and an event period."""
    outlets = [
        an_outlet(OUTLET, 0, "150105", ENTERPRISE),
        an_outlet("150202-YD-0001", 1, "150202", "E2"),
    ]
    sources = [Source("zto-app", ENTERPRISE, "ENTERPRISE_EDITION"), Source("yd-app", "E2", "")]
    return ReferenceHistory(
        [
            Reference(
                version=1,
                outlets={outlet.outlet_id: outlet for outlet in outlets},
                counties=("150105", "150202"),
                enterprises=(ENTERPRISE, "E2"),
                sources={source.source: source for source in sources},
                periods=(a_period(),),
            )
        ]
    )


def a_stage(topic: str, history: ReferenceHistory | None = None) -> CompliancePartition:
    shares = PARTITIONS_DEFAULT.get(topic, 1)
    teller = make_teller(topic, Policy(), history or a_history(), share=0, shares=shares)
    return CompliancePartition(teller)


def example(path: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((schema_dir() / f"examples/{path}.json").read_text("utf8"))
    return found


def changed(record: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """Return a record with fields changed; `a.b` is the field b of a."""
    made = deepcopy(dict(record))
    for path, value in changes.items():
        *above, field = path.split(".")
        inner = made
        for name in above:
            inner = inner[name]
        inner[field] = value
    return made


def batch(records: Sequence[Record], *, offset: int = 0, timestamp_ms: int = 0) -> Batch:
    return Batch(
        range(offset, offset + len(records)),
        [key.encode() for key, _ in records],
        [None if value is None else json.dumps(value).encode() for _, value in records],
        [timestamp_ms] * len(records),
    )


def told_of(stage: CompliancePartition, records: Sequence[Record]) -> list[Event]:
    """Have the records taken in, in one transaction; return what is told."""
    assert not stage.apply(batch(records, offset=stage.next_offset))
    outputs = stage.drain(publish=False).outputs
    stage.committed()
    return [event_of(output) for output in outputs]
