"""Reads a story: a scenario in plain text, played through the stages and, some of them, through Kafka.

README.md beside this file is the grammar for people. A mistake in a story is told with file and line,
what is wrong, and what would be right.
"""

import difflib
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, NoReturn

from streams.domain.category import Category
from streams.domain.period import EventLevel, Granularity
from streams.domain.window import DAY_MS, HOUR_MS, MINUTE_MS
from tests.builders import DAY_ONE_MS

_TIME: Final = re.compile(r"(?:d(\d+) +)?(\d\d):(\d\d)(?::(\d\d))?")
_LINE: Final = re.compile(rf"(?P<time>{_TIME.pattern}) +(?P<rest>\S.*)")
_DURATION: Final = re.compile(r"(\d+)([mhd])")
_UNIT_MS: Final = {"m": MINUTE_MS, "h": HOUR_MS, "d": DAY_MS}
_NAME: Final = re.compile(r"[\w.-]+")


class StoryError(Exception):
    """A story that cannot be read or played. The message names file and line."""


@dataclass(frozen=True)
class Statement:
    """One line. `at_ms` is None in the setting; `words` are what stands before the first `name=`."""

    file: str
    line: int
    text: str
    at_ms: int | None
    verb: str
    words: Sequence[str]
    fields: Mapping[str, Any]

    @property
    def time_ms(self) -> int:
        assert self.at_ms is not None, "the verb needs a time"
        return self.at_ms

    @property
    def name(self) -> str:
        return self.words[0]

    def wrong(self, why: str) -> NoReturn:
        raise StoryError(f"{self.file}:{self.line}: {why}\n    {self.text.strip()}")


@dataclass(frozen=True)
class Story:
    """What a story proves, in a sentence, and its statements in the order of their times."""

    name: str
    proves: str
    statements: Sequence[Statement]


# --- values ---


def instant(text: str) -> int:
    found = _TIME.fullmatch(text)
    if not found:
        raise ValueError("is no time; write 09:30, or d2 00:05 on the second day")
    day, hours, minutes, seconds = found.groups()
    if int(hours) > 23 or int(minutes) > 59 or day == "0":
        raise ValueError("is no time of a day; days count from d1, hours go to 23")
    days_ms = (int(day or 1) - 1) * DAY_MS
    return (
        DAY_ONE_MS
        + days_ms
        + int(hours) * HOUR_MS
        + int(minutes) * MINUTE_MS
        + int(seconds or 0) * 1000
    )


def duration(text: str) -> int:
    found = _DURATION.fullmatch(text)
    if not found:
        raise ValueError("is no length of time; write 20m, 2h or 1d")
    return int(found[1]) * _UNIT_MS[found[2]]


def whole(text: str) -> int:
    if not text.isdigit():
        raise ValueError("is no whole number")
    return int(text)


def number(text: str) -> str:
    """Numbers stay text: as many digits as are written are compared."""
    if text != "none" and not re.fullmatch(r"\d+(\.\d+)?", text):
        raise ValueError("is no number; write 60 or 0.917, or none")
    return text


def day(text: str) -> int:
    if not re.fullmatch(r"d[1-9]\d*", text):
        raise ValueError("is no day; write d1 for the first")
    return int(text[1:]) - 1


def one_of(*allowed: str) -> Callable[[str], str]:
    def check(text: str) -> str:
        if text not in allowed:
            raise ValueError(f"is not known; {suggestion(text, allowed)}")
        return text

    return check


def names(text: str) -> list[str]:
    """`A, B` are two, `A1..A5` five."""
    found: list[str] = []
    for part in text.replace(",", " ").split():
        span = re.fullmatch(r"(\w*?)(\d+)\.\.\1(\d+)", part)
        if span:
            found += [f"{span[1]}{n}" for n in range(int(span[2]), int(span[3]) + 1)]
        elif _NAME.fullmatch(part) and ".." not in part:
            found.append(part)
        else:
            raise ValueError("are no names; write A, B or A1..A5")
    return found


def suggestion(word: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(word, known, n=1)
    return f"did you mean {near[0]}?" if near else f"there are {', '.join(sorted(known))}"


CATEGORIES: Final = tuple(category.name for category in Category)
SCOPES: Final = ("outlet", "county", "city", "enterprise", "enterprise_city", "region")
FIGURES: Final = (
    *("eligible", "covered_on_time", "covered_late", "missing", "covered_young", "pending"),
    *("rate", "on_time_rate", "rate_low", "rate_high"),
)
DAY_FIGURES: Final = (
    *("exempt", "voided", "rescans", "duplicates", "attempts_failed", "backdated", "orphans"),
    *("after_close", "loose_rate", "batch_rate", "first_rate", "first_missing", "revision"),
)

# How the value of a field is read, whatever the statement. Others are taken as they stand.
VALUES: Final[Mapping[str, Callable[[str], Any]]] = {
    **dict.fromkeys(("from", "to", "time", "recorded", "at"), instant),
    **dict.fromkeys(("after",), duration),
    **dict.fromkeys(("count", "registered", "min_n"), whole),
    **dict.fromkeys((*FIGURES, *DAY_FIGURES), number),
    **dict.fromkeys(("observed", "target", "n", "covered", "episode"), number),
    "date": day,
    "level": one_of(*EventLevel.__members__),
    "granularity": one_of(*Granularity.__members__),
    "org_code": one_of("present", "absent"),
}


# --- statements ---


@dataclass(frozen=True)
class Form:
    """What a verb takes. `words` tells what its words are, for messages; "" is none."""

    example: str
    words: str = ""
    needs: Sequence[str] = ()
    may: Sequence[str] = ()
    optional_words: bool = False


SETTING: Final[Mapping[str, Form]] = {
    "outlet": Form("outlet A, B county=150102 enterprise=E1", "names", ("county", "enterprise")),
    "period": Form(
        "period P1 from=00:00 to=d2 00:00",
        "a name",
        ("from", "to"),
        ("level", "origin", "destination"),
    ),
    "target": Form(
        "target period=P1 granularity=OUTLET rate=0.90",
        needs=("period", "granularity", "rate"),
        may=("category", "min_n"),
    ),
    "agreement": Form("agreement G1", "a name", may=("from", "to", "org_code")),
}
_WHEN: Final = ("time", "recorded")
TIMED: Final[Mapping[str, Form]] = {
    "collect": Form(
        "collect outlet=A count=60 registered=55 after=20m",
        "a waybill",
        ("outlet",),
        ("count", "registered", "after", "category", "destination", "agreement", "key", *_WHEN),
        optional_words=True,
    ),
    "register": Form("register W1", "a waybill", (), ("outlet", "id", "result", *_WHEN)),
    "late": Form("late outlet=A count=5", needs=("outlet", "count")),
    "duplicate": Form("duplicate outlet=A count=5", needs=("outlet", "count")),
    "revoke": Form("revoke W1", "a waybill", (), ("id", *_WHEN)),
    "void": Form("void W1", "a waybill", (), _WHEN),
    "scan": Form("scan W1", "a waybill", (), _WHEN),
    "rescan": Form("rescan W1 outlet=B", "a waybill", ("outlet",), _WHEN),
    "resend": Form("resend W1", "a waybill"),
    "send": Form("send key=W1 value=not json", needs=("key", "value")),
    "file": Form("file agreement=G1", needs=("agreement",), may=("from", "to", "org_code")),
    "withdraw": Form("withdraw agreement=G1", needs=("agreement",)),
    "remove": Form("remove period=P1", needs=("period",)),
    "move": Form("move outlet=A county=150203", needs=("outlet", "county"), may=("enterprise",)),
    "crash": Form("crash"),
}
_ALERT: Final = (
    *(*SCOPES, "kind", "severity", "target", "observed", "n", "period", "category"),
    *("episode", "at"),
)
EXPECT: Final[Mapping[str, Form]] = {
    "raised": Form("expect raised outlet=A", may=_ALERT),
    "changed": Form("expect changed outlet=A severity=CRITICAL", may=_ALERT),
    "reemitted": Form("expect reemitted outlet=A", may=_ALERT),
    "ended": Form("expect ended outlet=A reason=recovered", needs=("reason",), may=_ALERT),
    "rate": Form(
        "expect rate outlet=A eligible=60 rate=0.75",
        may=(*SCOPES, *FIGURES, "status", "target", "n", "covered", "period"),
    ),
    "day": Form(
        "expect day outlet=A date=d1 revision=2 status=FINAL",
        needs=("date",),
        may=(*SCOPES, *FIGURES, *DAY_FIGURES, "status"),
    ),
    "missing": Form("expect missing 3", "how many", may=("outlet",)),
    "dead_letter": Form("expect dead_letter code=schema", needs=("code",), may=("count",)),
    "nothing": Form("expect nothing"),
}


def read_story(path: Path) -> Story:
    """Read a story; raises StoryError at its first mistake."""
    return parse_story(path.name, path.read_text("utf8"))


def parse_story(file: str, text: str) -> Story:
    """Read a story from text. `file` is its name for messages."""
    lines = text.splitlines()
    if not lines or not re.fullmatch(r"# \S.*\.", lines[0]):
        raise StoryError(f"{file}:1: begin with one sentence that says what it proves: # ... .")
    statements = [
        _statement(file, number, line)
        for number, line in enumerate(lines, start=1)
        if re.sub(r"(^|\s)#.*", "", line).strip()
    ]
    _check_times(statements)
    if not any(statement.verb == "expect" for statement in statements):
        raise StoryError(f"{file}:{len(lines)}: a story without `expect` proves nothing; add one")
    return Story(file.removesuffix(".txt"), lines[0][2:], statements)


def _statement(file: str, line: int, text: str) -> Statement:
    bare = re.sub(r"(^|\s)#.*", "", text).strip()
    found = _LINE.fullmatch(bare)
    blank = Statement(file, line, text, None, "", (), {})
    if found is None and bare[:1].isdigit():
        blank.wrong("a time is followed by a statement; write 09:30  collect outlet=A")
    at_ms = None
    if found is not None:
        at_ms = _value(blank, "the time", found["time"], instant)
    verb, _, rest = (bare if found is None else found["rest"]).partition(" ")
    forms = SETTING if at_ms is None else {**TIMED, "expect": Form("expect nothing")}
    if verb not in forms:
        _wrong_verb(blank, verb, forms, timed=at_ms is not None)
    first, *pairs = re.split(r"(?:^|\s+)(?=[a-z_]+=)", rest.strip())
    words = first.split()
    form = forms[verb]
    if verb == "expect":
        what, *words = words or [""]
        if what not in EXPECT:
            blank.wrong(f"cannot expect {what or 'that'}; {suggestion(what, tuple(EXPECT))}")
        form = EXPECT[what]
    fields = _fields(blank, form, pairs, "expect " + what if verb == "expect" else verb)
    _check_words(blank, form, words, verb)
    if verb == "expect":
        words = [what, *words]
    return Statement(file, line, text, at_ms, verb, words, fields)


def _wrong_verb(blank: Statement, verb: str, forms: Mapping[str, Form], *, timed: bool) -> NoReturn:
    if verb in (SETTING if timed else {**TIMED, "expect": 0}):
        where = "before the first time" if timed else "after a time"
        blank.wrong(f"{verb} stands {where}; write it there")
    blank.wrong(f"no statement begins with {verb}; {suggestion(verb, tuple(forms))}")


def _fields(blank: Statement, form: Form, pairs: Sequence[str], what: str) -> dict[str, Any]:
    known = (*form.needs, *form.may)
    fields: dict[str, Any] = {}
    for pair in pairs:
        name, _, text = pair.partition("=")
        if name not in known:
            blank.wrong(f"{what} has no {name}; {suggestion(name, known)}")
        if name in fields:
            blank.wrong(f"{name} is given twice; give it once")
        fields[name] = _value(blank, name, text.strip(), VALUES.get(name, str))
    for name in form.needs:
        if name not in fields:
            blank.wrong(f"{what} needs {name}; write it like: {form.example}")
    return fields


def _value(blank: Statement, name: str, text: str, read: Callable[[str], Any]) -> Any:  # noqa: ANN401
    if not text:
        blank.wrong(f"{name} has no value; write one behind the =")
    try:
        return read(text)
    except ValueError as error:
        blank.wrong(f"{name}: {text!r} {error}")


def _check_words(blank: Statement, form: Form, words: Sequence[str], verb: str) -> None:
    if words and not form.words:
        blank.wrong(f"{words[0]} is not understood; write it like: {form.example}")
    if form.words and not words and not form.optional_words:
        blank.wrong(f"{verb} needs {form.words}; write it like: {form.example}")
    if len(words) > 1 and verb != "outlet":
        blank.wrong(f"{words[1]} is one word too many; write it like: {form.example}")


def _check_times(statements: Sequence[Statement]) -> None:
    last: Statement | None = None
    for statement in statements:
        if statement.at_ms is None:
            if last is not None:
                statement.wrong(f"{statement.verb} stands before the first time; write it there")
            continue
        if last is not None and statement.at_ms < last.time_ms:
            statement.wrong("is earlier than the line before; times must not go back")
        looked = last is not None and last.verb == "expect" and statement.verb != "expect"
        if looked and last is not None and statement.at_ms == last.time_ms:
            statement.wrong("comes at the time of an expect, which looks after it; go on later")
        last = statement
