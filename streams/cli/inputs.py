"""The stages as commands look at them from outside: their order, what each reads, how far it is."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Final, TypeVar

from streams.records.topics import COMPLIANCE, COMPLIANCE_INPUTS, COUNTS, SHIPMENTS, TOTALS

if TYPE_CHECKING:
    from streams.cli.run import Run

INPUTS: Final = (("match", SHIPMENTS), ("rate", COUNTS), ("rollup", TOTALS))
"""The stages in the order of the flow, with the topic that each reads, without prefix."""

STATES: Final = (*((name, (topic,)) for name, topic in INPUTS), (COMPLIANCE, COMPLIANCE_INPUTS))
"""Every stage with a state, and all that it reads: partitions of several topics are numbered through."""

_Offset = TypeVar("_Offset", int, int | None)


def ends_of(run: "Run", sources: Sequence[str]) -> dict[int, int]:
    """Return where the partitions that a stage reads end now, numbered through.

    Raises:
        ClusterError: No answer, a topic is missing, or Kafka refuses.
    """
    from streams.kafka.reading import end_offsets

    topics = run.settings.topics()
    return _numbered([end_offsets(run.admin, topics[source].name) for source in sources])


def committed_of(run: "Run", stage: str, sources: Sequence[str]) -> dict[int, int | None]:
    """Return a stage's committed offset of each of these partitions, None where it has none.

    Raises:
        ClusterError: As `ends_of`.
    """
    from streams.kafka.reading import committed_offsets

    group, topics = run.settings.group(stage), run.settings.topics()
    return _numbered([committed_offsets(run.client, group, topics[s].name) for s in sources])


def is_left_out(stage: str, committed: Mapping[int, int | None]) -> bool:
    """Return whether a stage is one that a region may do without, and no worker has ever run it."""
    return stage == COMPLIANCE and all(offset is None for offset in committed.values())


def _numbered(by_topic: Sequence[Mapping[int, _Offset]]) -> dict[int, _Offset]:
    rows = [offsets[partition] for offsets in by_topic for partition in sorted(offsets)]
    return dict(enumerate(rows))
