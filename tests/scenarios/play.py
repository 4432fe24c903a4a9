"""Plays a story along a route, and holds what comes out to what the story expects."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from streams.domain.window import MINUTE_MS, day_of, day_text, instant_from_text, instant_text
from streams.records.published import AlertRecord, DayRecord, RateRecord
from tests.builders import DAY_ONE_MS
from tests.scenarios.routes import Route, View
from tests.scenarios.script import Moment, Script
from tests.scenarios.story import SCOPES, Statement

DAY_ONE: Final = day_of(DAY_ONE_MS)


@dataclass
class _Seen:
    """How many changes of alerts and dead letters the moments before have accounted for."""

    alerts: int = 0
    dead_letters: int = 0


def play(script: Script, route: Route) -> None:
    """Play a story; raises AssertionError at the first moment that is not as it expects.

    Every change of an alert and every dead letter must be expected, at the first moment after it.
    """
    seen = _Seen()
    for moment in script.moments:
        route.take(moment.records)
        if moment.crash:
            route.crash()
            continue
        route.pass_time(moment.at_ms)
        view = route.view()
        faults = list(_faults(moment, view, seen))
        seen = _Seen(len(view.alerts), len(view.dead_letters))
        assert not faults, "\n".join([script.story.proves, *faults])


def _faults(moment: Moment, view: View, seen: _Seen) -> Sequence[str]:
    alerts = sorted(view.alerts[seen.alerts :], key=lambda alert: (alert.last_at, alert.id))
    codes = Counter(view.dead_letters[seen.dead_letters :])
    faults = []
    for expect in moment.expects:
        what = expect.name
        if what in ("raised", "changed", "reemitted", "ended"):
            wrong = _take_alert(expect, alerts)
        elif what == "rate":
            wrong = _compare(expect, _rate_fields(view.rates.get(_key(expect))))
        elif what == "day":
            date = day_text(DAY_ONE + expect.fields["date"])
            wrong = _compare(expect, _day_fields(view.days.get(f"{_key(expect)}|{date}")))
        elif what == "missing":
            wrong = _compare_missing(expect, view)
        elif what == "dead_letter":
            code, count = expect.fields["code"], expect.fields.get("count", 1)
            wrong = "" if codes[code] == count else f"came {codes[code]} times"
            del codes[code]
        else:
            wrong = ""  # Nothing: what is there all the same is told below.
        if wrong:
            faults.append(f"{expect.file}:{expect.line}: {expect.text.strip()}\n    but {wrong}")
    first = moment.expects[0]
    unexpected = [_told(alert) for alert in alerts]
    unexpected += [f"dead_letter code={code} count={n}" for code, n in codes.items()]
    told = f"{first.file}:{first.line}: by then there came, unexpected: "
    return [*faults, *(told + what for what in unexpected)]


def _told(alert: AlertRecord) -> str:
    """Return a change of an alert as a story would expect it."""
    change = f"ended reason={alert.reason}" if alert.state == "ended" else alert.reason
    return (
        f"{change} kind={alert.alert_kind} {alert.granularity.lower()}={alert.scope_id} "
        f"at={_clock(alert.last_at)} severity={alert.severity} observed={alert.observed} "
        f"n={alert.n} target={alert.target} period={alert.event_period_id}"
    )


def _clock(text: str) -> str:
    minutes = (instant_from_text(text) - DAY_ONE_MS) // MINUTE_MS
    days, minutes = divmod(minutes, 24 * 60)
    return f"{f'd{days + 1} ' if days else ''}{minutes // 60:02d}:{minutes % 60:02d}"


def _scope(expect: Statement) -> tuple[str, str]:
    named = [(scope, expect.fields[scope]) for scope in SCOPES if scope in expect.fields]
    if len(named) != 1:
        expect.wrong(f"needs one scope, such as outlet=A; there are {', '.join(SCOPES)}")
    return named[0]


def _key(expect: Statement) -> str:
    scope, scope_id = _scope(expect)
    return f"{scope.upper()}|{scope_id}"


def _take_alert(expect: Statement, alerts: list[AlertRecord]) -> str:
    """Find the change that a line expects and take it off the list; return what is wrong, or ""."""
    scope, scope_id = _scope(expect)
    kind = expect.fields.get("kind", "RATE_BELOW_TARGET")
    wanted = (scope.upper(), scope_id, kind, expect.name)
    for alert in alerts:
        change = "ended" if alert.state == "ended" else alert.reason
        if (alert.granularity, alert.scope_id, alert.alert_kind, change) == wanted:
            alerts.remove(alert)
            return _compare(expect, _alert_fields(alert))
    return "there was none; " + (f"there was {_told(alerts[0])}" if alerts else "nor any other")


def _alert_fields(alert: AlertRecord) -> dict[str, Any]:
    return {
        "reason": alert.reason,
        "severity": alert.severity,
        "target": alert.target,
        "observed": alert.observed,
        "n": alert.n,
        "period": alert.event_period_id or "none",
        "category": alert.parcel_category,
        "episode": alert.episode,
        "at": instant_from_text(alert.last_at),
    }


def _rate_fields(record: RateRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    verdict = record.verdict
    return {
        **_plain(record.today),
        "status": verdict.rate_status,
        "target": verdict.target,
        "n": verdict.n,
        "covered": verdict.covered,
        "period": verdict.event_period_id or "none",
    }


def _day_fields(record: DayRecord | None) -> dict[str, Any] | None:
    if record is None:
        return None
    first = record.first_issue
    return {
        **_plain(record),
        "status": record.day_status,
        "loose_rate": record.loose.rate,
        "batch_rate": record.batch.rate,
        "first_rate": None if first is None else first.rate,
        "first_missing": None if first is None else first.missing,
    }


def _plain(record: object) -> dict[str, Any]:
    return {name: getattr(record, name) for name in type(record).__dataclass_fields__}  # type: ignore[attr-defined]  # records are data classes


def _compare(expect: Statement, found: dict[str, Any] | None) -> str:
    """Return which of the line's figures are others, or "". Numbers are compared as far as written."""
    if found is None:
        return "there is no such record"
    wrong = []
    for name, wanted in expect.fields.items():
        if name in (*SCOPES, "date", "kind"):
            continue
        value = found[name]
        if isinstance(value, float) and isinstance(wanted, str):
            shown = f"{value:.{len(wanted.partition('.')[2])}f}"
        else:
            shown = "none" if value is None else value
        if str(shown) != str(wanted):
            wrong.append(f"{name} is {_clock_of(value) if name == 'at' else value}")
    return ", ".join(wrong)


def _clock_of(instant_ms: int) -> str:
    return _clock(instant_text(instant_ms))


def _compare_missing(expect: Statement, view: View) -> str:
    if not expect.words[1].isdigit():
        expect.wrong("say how many: expect missing 3")
    outlet = expect.fields.get("outlet")
    found = [p for p in view.missing.values() if outlet is None or p.outlet_id == outlet]
    return "" if len(found) == int(expect.words[1]) else f"{len(found)} are missing"
