"""`realname alerts test`: sends a page that means nothing, and says who is told."""

import asyncio
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Annotated, Final, Literal

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.notify import NOBODY
from streams.cli.run import Json, Run, command
from streams.cli.show import show

if TYPE_CHECKING:
    from aiohttp import ClientSession

    from streams.notify.notices import Notice
    from streams.records.published import AlertRecord
    from streams.settings import NotifySettings

app = typer.Typer()

TEST_EVENT: Final = "TEST"
"""The event of a test page without one: its own group, which no real alert inhibits or joins."""
ANSWER_S: Final = 10.0
COLUMNS: Final = ("alertmanager", "state", "receivers", "held_back_by")

SeverityName = Literal["critical", "major", "minor", "info"]
LevelName = Literal["ROUTINE", "L3", "L2", "L1"]
KindName = Literal["RATE_BELOW_TARGET", "RATE_AT_RISK", "CHANNEL_SILENT"]


@dataclass(frozen=True, slots=True)
class _Place:
    """Where a test page is about."""

    granularity: str
    city_code: str | None = None
    county_code: str | None = None
    enterprise_id: str | None = None
    duty_group: str | None = None


@command(
    app,
    "test",
    examples=[
        "realname alerts test --scope 150100 --severity critical",
        "realname alerts test --scope 150102-DB-0001 --severity minor --event-level L1 --dry-run",
    ],
    exits=(Exit.OK, Exit.UNMET, Exit.USAGE, Exit.CLUSTER),
)
def send_test(
    run: Run,
    *,
    scope: Annotated[
        str,
        typer.Option(metavar="ID", help="Region, city or county code, outlet or enterprise id."),
    ],
    severity: Annotated[SeverityName, typer.Option(help="How bad it pretends to be.")] = "critical",
    kind: Annotated[KindName, typer.Option(help="What it pretends to be.")] = "RATE_BELOW_TARGET",
    event_level: Annotated[LevelName, typer.Option(help="Level of its event.")] = "ROUTINE",
    minutes: Annotated[
        int, typer.Option(min=1, max=60, metavar="N", help="How long it fires.")
    ] = 5,
    alertmanager: Annotated[
        list[str] | None, typer.Option(metavar="URL", help="Whom to tell; otherwise the settings'.")
    ] = None,
    dry_run: Annotated[
        bool,
        typer.Option("--dry-run", help="Post nothing: ask amtool where each would route it."),
    ] = False,
    json: Json = False,
) -> Exit:
    """Send a test page through the whole chain, and say which receivers are told.

    It has the labels of a real alert of that scope, but of an event of its own; it says in its texts that
    it is a test, and ends by itself. Receivers are asked of each Alertmanager; that a time interval mutes
    one of them it does not tell. The page comes when the group's `group_wait` is over.

    Exit code 1 means that some Alertmanager did not take it, or holds it back.
    """
    run.override(notify={"alertmanagers": alertmanager} if alertmanager else None)
    table = run.settings.notify
    if not table.alertmanagers:
        raise BadInput(NOBODY)
    notice = _notice(
        _record(
            scope,
            _place(run, scope),
            kind=kind,
            severity=severity.upper(),
            event_level=event_level,
        ),
        minutes,
        table,
    )
    if dry_run:
        rows = [_route(address, notice) for address in table.alertmanagers]
    else:
        rows = asyncio.run(_post_to_all(table.alertmanagers, notice))
    show(run, rows, json=json, columns=COLUMNS, empty="")
    told = all(row["receivers"] and not row["held_back_by"] for row in rows)
    return Exit.OK if told else Exit.UNMET


def _place(run: Run, scope: str) -> _Place:
    if len(scope) == 6 and scope.isdigit():  # noqa: PLR2004 (GB/T 2260 codes have six digits)
        if scope.endswith("0000"):
            return _Place("REGION")
        city = f"{scope[:4]}00"
        return _Place("CITY", city) if scope == city else _Place("COUNTY", city, scope)
    from streams.kafka.reference import ReferenceTopic
    from streams.records.topics import REFERENCE
    from streams.reference.history import assemble

    topic = ReferenceTopic(run.client, run.settings.topics()[REFERENCE].name)
    latest = assemble(topic.read().records.items()).latest
    outlet = latest.outlets.get(scope)
    if outlet is not None:
        county = outlet.county_code
        group = outlet.duty_group or None
        return _Place("OUTLET", f"{county[:4]}00", county, outlet.enterprise_id, group)
    if scope in latest.enterprises:
        return _Place("ENTERPRISE", enterprise_id=scope)
    raise BadInput(
        f"--scope: {scope} is no area code, and no outlet or enterprise in the reference data"
    )


def _record(
    scope: str, place: _Place, *, kind: str, severity: str, event_level: str
) -> "AlertRecord":
    from streams.domain.window import instant_text
    from streams.kafka.clock import now_ms
    from streams.records.published import AlertRecord, Evidence, Raised

    at_ms = now_ms()
    raised = Raised(
        severity=severity,
        event_period_id=TEST_EVENT,
        event_level=event_level,
        city_code=place.city_code,
        county_code=place.county_code,
        enterprise_id=place.enterprise_id,
        duty_group=place.duty_group,
    )
    alert_id = f"{TEST_EVENT}:{kind}:{place.granularity}:{scope}"
    return AlertRecord(
        id=alert_id,
        alert_id=alert_id,
        # Each test is an alert of its own.
        episode=at_ms // 1000,
        alert_kind=kind,
        severity=severity,
        state="firing",
        reason="raised",
        granularity=place.granularity,
        scope_id=scope,
        city_code=place.city_code,
        county_code=place.county_code,
        enterprise_id=place.enterprise_id,
        duty_group=place.duty_group,
        observed=0.5,
        target=0.95,
        parcel_category="*",
        n=100,
        evidence=Evidence(window="TEST", covered=50, missing=50),
        event_period_id=TEST_EVENT,
        first_at=instant_text(at_ms),
        last_at=instant_text(at_ms),
        duration_s=None,
        caliber_id=TEST_EVENT,
        raised=raised,
        severity_highest=severity,
    )


def _notice(record: "AlertRecord", minutes: int, table: "NotifySettings") -> "Notice":
    from streams.notify.names import Ids
    from streams.notify.notices import notices_of
    from streams.notify.texts import Links, annotations_of, rehearsed

    links = Links(table.runbook_url, table.dashboard_url)
    texts = rehearsed(annotations_of(record, Ids(), links), record.first_at)
    (notice,) = notices_of(record, texts, url=links.of(record), ahead_ms=minutes * 60_000)
    return notice


async def _post_to_all(addresses: Sequence[str], notice: "Notice") -> list[dict[str, object]]:
    import aiohttp

    async with aiohttp.ClientSession() as session:
        return await asyncio.gather(*(_post(session, address, notice) for address in addresses))


async def _post(session: "ClientSession", address: str, notice: "Notice") -> dict[str, object]:
    from streams.kafka.clock import now_ms
    from streams.notify.alertmanager import Alertmanager, Answer, Post, PostFailedError

    client = Alertmanager(session, address, timeout_s=ANSWER_S)
    key = notice.key
    try:
        if await client.post([Post(notice, notice.starts_ms)], now_ms()) is not Answer.TAKEN:
            return _row(client.name, "refused", (), ["its log says why"])
        held = await client.held([f'alert_id="{key.alert_id}"', f'episode="{key.episode}"'])
    except PostFailedError as error:
        return _row(client.name, "failed", (), [str(error)])
    if not held:
        return _row(client.name, "lost", (), ["it took the alert and does not have it"])
    found = held[0]
    silences = [f"silence {name}" for name in found.silenced_by]
    inhibitions = [f"alert {name}" for name in found.inhibited_by]
    return _row(client.name, found.state, found.receivers, [*silences, *inhibitions])


def _row(
    name: str, state: str, receivers: Sequence[str], held_back_by: Sequence[str]
) -> dict[str, object]:
    return {
        "alertmanager": name,
        "state": state,
        "receivers": list(receivers),
        "held_back_by": list(held_back_by),
    }


def _route(address: str, notice: "Notice") -> dict[str, object]:
    """Ask amtool, which asks the Alertmanager for its configuration."""
    import shutil

    from streams.notify.alertmanager import shown_address

    amtool = shutil.which("amtool")
    if amtool is None:
        raise BadInput(
            "--dry-run needs amtool, which comes with Alertmanager; install it or leave it out"
        )
    labels = [f"{name}={value}" for name, value in notice.labels.items()]
    asked = subprocess.run(
        [amtool, "config", "routes", "test", f"--alertmanager.url={address}", *labels],
        capture_output=True,
        text=True,
        timeout=ANSWER_S,
        check=False,
    )
    name = shown_address(address)
    if asked.returncode:
        return _row(name, "failed", (), [" ".join(asked.stderr.split())[:200]])
    return _row(name, "not posted", asked.stdout.strip().split(","), ())
