"""The two ways that a story can go: through the stages in this process, and through Kafka and a worker."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Protocol, Self

from streams.cli.inputs import INPUTS
from streams.domain.policy import Policy
from streams.domain.window import instant_text
from streams.kafka.dead_letters import CODE
from streams.kafka.loading import Loader, heartbeat_value
from streams.kafka.reference import ReferenceTopic
from streams.records import published
from streams.records.missing import MissingParcel
from streams.records.missing import decode as decode_missing
from streams.records.published import AlertRecord, DayRecord, RateRecord
from streams.records.topics import (
    ALERTS,
    DAYS,
    PARCELS_MISSING,
    RATES,
    REFERENCE,
    SHIPMENTS,
    SHIPMENTS_DLQ,
)
from streams.reference.history import assemble
from streams.stages.pipeline import LogRecord, Pipeline
from tests.scenarios.outputs import Outputs
from tests.scenarios.worker import Cluster, WorkerProcess

ReferenceRecords = Sequence[tuple[bytes, bytes | None]]


@dataclass
class View:
    """What stands on the topics: all changes of alerts and codes of dead letters so far, the rest now."""

    alerts: list[AlertRecord] = field(default_factory=list)
    rates: dict[str, RateRecord] = field(default_factory=dict)
    days: dict[str, DayRecord] = field(default_factory=dict)
    missing: dict[str, MissingParcel] = field(default_factory=dict)
    dead_letters: list[str] = field(default_factory=list)


class Route(Protocol):
    """Takes records in; shows what has come out."""

    def take(self, records: Sequence[LogRecord]) -> None: ...

    def pass_time(self, until_ms: int) -> None:
        """Let everything up to an instant be judged."""
        ...

    def crash(self) -> None: ...

    def view(self) -> View: ...


class StagesRoute:
    """Through the stages as `realname replay` drives them."""

    def __init__(self, reference: ReferenceRecords, policy: Policy) -> None:
        self.pipeline = Pipeline(policy, assemble(reference))
        self._latest: dict[str, dict[bytes, bytes]] = {RATES: {}, DAYS: {}, PARCELS_MISSING: {}}
        self._alerts: list[bytes] = []

    def take(self, records: Sequence[LogRecord]) -> None:
        self._see(records)

    def pass_time(self, until_ms: int) -> None:
        self._see(until_ms)

    def _see(self, what: Sequence[LogRecord] | int) -> None:
        pipeline = self.pipeline
        outputs = pipeline.pass_time(what) if isinstance(what, int) else pipeline.take(what)
        for topic, key, value, *_ in outputs:
            assert key is not None
            if topic == ALERTS:
                assert value is not None
                self._alerts.append(value)
            elif value is None:
                del self._latest[topic][key]
            else:
                self._latest[topic][key] = value

    def crash(self) -> None:
        """Nothing: there is no process to kill. The story must go on as if there had been none."""

    def view(self) -> View:
        codes = [letter.reject.code.value for letter in self.pipeline.dead_letters]
        return view_of(self._alerts, self._latest, codes)


def view_of(
    alerts: Sequence[bytes], latest: dict[str, dict[bytes, bytes]], codes: Sequence[str]
) -> View:
    return View(
        alerts=[published.decode(value, AlertRecord) for value in alerts],
        rates={k.decode(): published.decode(v, RateRecord) for k, v in latest[RATES].items()},
        days={k.decode(): published.decode(v, DayRecord) for k, v in latest[DAYS].items()},
        missing={k.decode(): decode_missing(v) for k, v in latest[PARCELS_MISSING].items()},
        dead_letters=list(codes),
    )


class KafkaRoute:
    """Through the topics of a cluster, and one worker process. All reading is read committed.

    A context: on leaving it the worker is killed if it still runs.
    """

    def __init__(
        self, cluster: Cluster, reference: ReferenceRecords, policy: Policy, log_dir: Path
    ) -> None:
        topic = cluster.topics[REFERENCE].name
        ReferenceTopic(cluster.client, topic).write(list(reference))
        self._policy = policy
        self._cluster = cluster
        self._loader = Loader(cluster.client, cluster.topics[SHIPMENTS].name)
        self._outputs = Outputs(cluster)
        self.worker = WorkerProcess(cluster, log_dir)

    def __enter__(self) -> Self:
        self.worker.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.worker.kill()
        self._outputs.close()

    def take(self, records: Sequence[LogRecord]) -> None:
        for record in records:
            assert record.key is not None
            self._loader.put(record.key, record.value)
        self._loader.finish()

    def pass_time(self, until_ms: int) -> None:
        beat = heartbeat_value(instant_text(self._policy.beat_ms(until_ms)))
        self._loader.beat(beat)
        self._loader.finish()
        self.worker.wait_until_all_is_committed(INPUTS)

    def crash(self) -> None:
        self.worker.kill()
        self.worker.start()

    def view(self) -> View:
        self._outputs.read()
        latest = {name: dict(self._outputs.latest(name)) for name in (RATES, DAYS, PARCELS_MISSING)}
        alerts = [value for _, value, _ in self._outputs.records[ALERTS] if value is not None]
        letters = [headers[CODE] for _, _, headers in self._outputs.records[SHIPMENTS_DLQ]]
        return view_of(alerts, latest, [code.decode() for code in letters])
