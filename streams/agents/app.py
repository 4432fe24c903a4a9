"""The topology: which stage reads what, and the Faust app whose agents run them.

    shipments ──▶ match ──counts──▶ rate ──totals──▶ rollup ──▶ rates, days, alerts ──▶ compliance

Each stage has one agent, one consumer group and one transactional producer per worker. An agent takes
batches from its RecordChannel and has them applied; no rule and no number is here.
"""

from collections.abc import AsyncIterable, Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import faust
from faust.app.base import BootStrategy

from streams.agents.runner import PartitionBatch, Runner, nothing
from streams.domain.policy import Policy
from streams.kafka.channel import Delivery, RecordChannel
from streams.kafka.joint import Inputs
from streams.records.topics import (
    COMPLIANCE,
    COMPLIANCE_INPUTS,
    COUNTS,
    RATES,
    SHIPMENTS,
    TOTALS,
)
from streams.reference.types import ReferenceHistory
from streams.settings import Clock
from streams.stages.compliance.partition import CompliancePartition, make_teller
from streams.stages.match.hash_key import UNKEYED, HashKey
from streams.stages.match.partition import MatchPartition
from streams.stages.match.warm_up import warm_up
from streams.stages.rate import RatePartition
from streams.stages.rollup import RollupPartition
from streams.stages.stage import Stage


@dataclass(frozen=True, slots=True)
class StageContext:
    """What a stage may know of its surroundings.

    Attributes:
        policy: The rule book's figures.
        clock: What says when a record was received.
        partitions: Of every topic, by its name without prefix.
        hash_key: By which closed parcels are remembered.

    """

    policy: Policy
    clock: Clock
    partitions: Mapping[str, int]
    hash_key: HashKey = UNKEYED


@dataclass(frozen=True, slots=True)
class StageDefinition:
    """One stage in the topology.

    Attributes:
        input: The topic that it reads, without prefix.
        make: Gives an empty state: of a partition, in a context, with a reference history.
        heartbeats: Whether its input gets heartbeats, with `clock = wall`.
        truncates: Whether its input is read by it alone, and deleted once it is committed.
        paces: Whether its partitions wait for each other in stream time.
        prepare: What a worker does before it takes partitions.
        joins: All that it reads, where that is several topics: their partitions are numbered through.

    """

    input: str
    make: Callable[[int, StageContext, ReferenceHistory], Stage]
    heartbeats: bool = False
    truncates: bool = False
    paces: bool = False
    prepare: Callable[[], None] = nothing
    joins: tuple[str, ...] = ()

    @property
    def inputs(self) -> tuple[str, ...]:
        """All topics that it reads, without prefix."""
        return self.joins or (self.input,)


def _match(partition: int, context: StageContext, history: ReferenceHistory) -> Stage:
    return MatchPartition(
        partition,
        context.policy,
        history,
        counts_partitions=context.partitions[COUNTS],
        clock=context.clock,
        key=context.hash_key,
    )


def _rate(partition: int, context: StageContext, history: ReferenceHistory) -> Stage:
    return RatePartition(partition, context.policy, history, sources=context.partitions[SHIPMENTS])


def _rollup(partition: int, context: StageContext, history: ReferenceHistory) -> Stage:
    assert partition == 0, "totals has one partition: alerts of outlets need to know of all others"
    return RollupPartition(context.policy, history, sources=context.partitions[COUNTS])


def _compliance(number: int, context: StageContext, history: ReferenceHistory) -> Stage:
    inputs = Inputs({topic: context.partitions[topic] for topic in COMPLIANCE_INPUTS})
    topic, share = inputs.place(number)
    shares = context.partitions[topic]
    return CompliancePartition(
        make_teller(topic, context.policy, history, share=share, shares=shares)
    )


TOPOLOGY: Final[Mapping[str, StageDefinition]] = {
    "match": StageDefinition(SHIPMENTS, _match, heartbeats=True, paces=True, prepare=warm_up),
    "rate": StageDefinition(COUNTS, _rate, truncates=True),
    "rollup": StageDefinition(TOTALS, _rollup, truncates=True),
    COMPLIANCE: StageDefinition(RATES, _compliance, joins=COMPLIANCE_INPUTS),
}


class _NoKafkaOfItsOwn(BootStrategy):
    """Starts agents and services only.

    Records come through RecordChannels and reference data through a reader of ours, so Faust's own
    consumer would join a group for nothing: one more membership to time out after a crash, with
    time-outs and credentials of its own.
    """

    enable_kafka = False
    enable_web = False


class WorkerApp(faust.App):
    """The Faust app of a worker."""

    BootStrategy = _NoKafkaOfItsOwn

    async def on_first_start(self) -> None:
        """Make no folders, as Faust would: nothing here goes to the disk."""

    async def on_shutdown(self) -> None:
        """Close what Faust leaves open: each stream makes a consumer, started or not."""
        await super().on_shutdown()
        thread = getattr(self.consumer, "_thread", None)
        if thread is not None:
            thread.thread_loop.close()


def build_app(name: str, data_dir: Path) -> WorkerApp:
    """Return an app without agents. Faust wants to know a folder of its own; it makes none."""
    return WorkerApp(name, datadir=data_dir, store="memory://", web_enabled=False)


def add_agent(
    app: WorkerApp,
    name: str,
    runner: Runner,
    *,
    on_end: Callable[[BaseException | None], None],
) -> RecordChannel[Sequence[PartitionBatch]]:
    """Add the agent of a stage and the channel that feeds it; return the channel."""
    channel = RecordChannel(app, name, runner, on_end=on_end)

    @app.agent(channel.deliveries, name=name)
    async def agent(deliveries: AsyncIterable[Delivery]) -> None:
        async for delivery in deliveries:
            delivery.take()

    return channel
