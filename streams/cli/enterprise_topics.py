"""The catalogue together with the topics of the enterprises that the reference data name."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

from streams.cli.run import ANSWER_TIMEOUT_S, Run

if TYPE_CHECKING:
    from streams.records.topics import Topic
    from streams.reference.listing import AnyListing


def all_topics(run: Run) -> Mapping[str, "Topic"]:
    """Return every topic that should be there: the catalogue's, and one for each known enterprise.

    Raises:
        ClusterError: Kafka cannot be reached. That there is no reference data yet is no error.
    """
    from streams.kafka.errors import TopicMissing
    from streams.kafka.reference import ReferenceTopic
    from streams.records.topics import REFERENCE
    from streams.reference.types import known_enterprises

    topics = run.settings.topics()
    try:
        history = ReferenceTopic(run.client, topics[REFERENCE].name).history()
    except TopicMissing:
        return topics
    return {**topics, **_of(run, known_enterprises(history.latest))}


def create_for(run: Run, listings: Iterable["AnyListing"]) -> None:
    """Create the topics of the enterprises that listings name, before anything uses the listings.

    Idempotent. Raises ClusterError.
    """
    from streams.kafka.topics import create_topics

    named = {
        enterprise
        for listing in listings
        for row in listing.rows
        if (enterprise := getattr(row.item, "enterprise_id", None))
    }
    if named:
        replicas = run.settings.replication
        timeout_s = ANSWER_TIMEOUT_S
        create_topics(run.admin, _of(run, named), replication_factor=replicas, timeout_s=timeout_s)


def _of(run: Run, enterprises: Iterable[str]) -> Mapping[str, "Topic"]:
    from streams.records.topics import compliance_topics

    return compliance_topics(enterprises, run.settings.prefix, run.settings.partitions)
