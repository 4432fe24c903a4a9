"""`realname topics` against a broker."""

from collections.abc import Mapping

import pytest
from confluent_kafka.admin import AdminClient

from streams.kafka.broker import EmbeddedBroker
from streams.records.topics import Topic, catalogue
from tests.cli.conftest import Realname

pytestmark = pytest.mark.kafka


@pytest.fixture
def here(broker: EmbeddedBroker, prefix: str) -> Realname:
    return Realname("--bootstrap", broker.bootstrap, "--prefix", prefix)


def test_topics_are_created_once_and_then_found_right(
    here: Realname, own_folder: object, admin: AdminClient, prefix: str
) -> None:
    missing = here("topics", "check")
    assert missing.code == 1
    assert f"topic {prefix}shipments does not exist; run `realname topics create`" in missing.err
    known = len(catalogue())
    assert f"{known} topics created, 0 were there" in here.ok("topics", "create").err
    assert f"0 topics created, {known} were there" in here.ok("topics", "create").err
    assert "as they should be" in here.ok("topics", "check").err
    admin.delete_topics([t for t in admin.list_topics().topics if t.startswith(prefix)])


def test_topics_that_differ_are_named_and_not_repaired_by_guessing(
    here: Realname, topics: Mapping[str, Topic]
) -> None:
    """The topics have fewer partitions than these settings say."""
    result = here("topics", "check", "--json")
    assert result.code == 1
    drift = next(row for row in result.rows if row["topic"] == topics["shipments"].name)
    assert (drift["kind"], drift["actual"], drift["expected"]) == ("partitions", "2", "24")
    corrected = here("topics", "correct")
    assert corrected.code == 1
    assert "0 settings corrected" in corrected.err
