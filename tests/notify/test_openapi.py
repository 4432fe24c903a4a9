"""What notify posts and asks is what Alertmanager's OpenAPI file takes, whatever the alert."""

from collections.abc import Iterable
from typing import Any

import orjson
import pytest

from streams.notify.alertmanager import ALERTS_PATH, Post, postable
from streams.notify.names import Ids
from streams.notify.notices import Notice, notices_of, watchdog
from streams.notify.texts import Links, annotations_of, watchdog_annotations
from streams.records.acks import AlertAck
from streams.records.published import AlertRecord
from tests.notify.builders import MINUTE_MS, RAISED_MS, ended, raised_as, record
from tests.notify.openapi import DOCUMENT, POSTABLE, fields_of

NOW_MS = RAISED_MS + 10 * MINUTE_MS
LINKS = Links("https://ops.example/runbooks", "https://board.example/?scope={scope_id}&city={city}")
# Without addresses, as by default.
BARE = Links("deploy/runbooks", "")
ACK = AlertAck(
    "any", 1, "值班台 <a@example>", "called\nthe enterprise", "2017-09-08T14:30:00+08:00"
)

RECORDS: list[tuple[str, AlertRecord]] = [
    ("a breach of an outlet", record()),
    ("a region's", record("15", granularity="REGION")),
    ("one with characters of addresses in its id", record("150105-Ä&?/ -1")),
    ("one that is silent", record("x|y", kind="CHANNEL_SILENT", granularity="ENTERPRISE_CITY")),
    ("one outside event periods", record(raised=raised_as(event_period_id=None))),
    ("a ticket", record(kind="RATE_AT_RISK", raised=raised_as(severity="MINOR"))),
    ("one that has ended", ended(record(), RAISED_MS + MINUTE_MS)),
    ("one that began at no time before it ended", ended(record(), RAISED_MS)),
    ("one that is ahead of the clock", record(raised_ms=NOW_MS + 60 * MINUTE_MS)),
]


def bodies(alert: AlertRecord, links: Links, ack: AlertAck | None) -> list[dict[str, Any]]:
    """Return what is posted of an alert, as it is read at the other end."""
    texts = annotations_of(alert, Ids(), links, ack)
    notices = notices_of(alert, texts, url=links.of(alert), ahead_ms=60 * MINUTE_MS)
    return sent(notices)


def sent(notices: Iterable[Notice]) -> list[dict[str, Any]]:
    posted = [postable(Post(notice, notice.starts_ms), NOW_MS) for notice in notices]
    return orjson.loads(orjson.dumps(posted))  # type: ignore[no-any-return]  # a list of ours


@pytest.mark.parametrize("links", [LINKS, BARE], ids=["linked", "bare"])
@pytest.mark.parametrize("ack", [None, ACK], ids=["open", "taken on"])
@pytest.mark.parametrize("alert", [a for _, a in RECORDS], ids=[name for name, _ in RECORDS])
def test_what_is_posted_is_postable(alert: AlertRecord, ack: AlertAck | None, links: Links) -> None:
    posted = bodies(alert, links, ack)
    assert posted
    POSTABLE.validate(posted)
    assert all(set(one) <= fields_of("postableAlert") for one in posted)


@pytest.mark.parametrize("links", [LINKS, BARE], ids=["linked", "bare"])
def test_the_watchdog_is_postable(links: Links) -> None:
    url = links.runbook("Watchdog") if links is LINKS else ""
    notice = watchdog(watchdog_annotations(links), starts_ms=NOW_MS, ahead_ms=1, url=url)
    POSTABLE.validate(sent([notice]))


WRONG: list[tuple[str, dict[str, Any]]] = [
    ("no labels", {"labels": None}),
    ("a label that is a number", {"labels": {"episode": 1}}),
    ("an annotation that is nothing", {"annotations": {"rate": None}}),
    ("an instant without a zone", {"startsAt": "2017-09-08T14:20:00"}),
    ("an instant as a number", {"endsAt": RAISED_MS}),
    ("an address that is none", {"generatorURL": ""}),
]


@pytest.mark.parametrize("wrong", [w for _, w in WRONG], ids=[name for name, _ in WRONG])
def test_the_file_refuses_what_is_wrong(wrong: dict[str, Any]) -> None:
    (posted,) = bodies(record(), LINKS, None)
    assert not POSTABLE.is_valid([{**posted, **wrong}])


def test_it_is_posted_and_asked_for_where_the_file_says() -> None:
    path = "/" + ALERTS_PATH.removeprefix(DOCUMENT["basePath"].strip("/")).strip("/")
    there = DOCUMENT["paths"][path]
    assert {"get", "post"} <= set(there)
    assert DOCUMENT["consumes"] == ["application/json"]
    (parameter,) = [one for one in there["get"]["parameters"] if one.get("name") == "filter"]
    assert (parameter["in"], parameter["collectionFormat"]) == ("query", "multi")
