"""`realname dlq`: what could not be used, why, and what becomes of it."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput
from streams.cli.run import Json, Run, command
from streams.cli.show import Row, show

if TYPE_CHECKING:
    from collections.abc import Callable

    from streams.kafka.letters import Doing, Letter, LetterBox, Selection, Settled, Settler, State

app = typer.Typer(no_args_is_help=True, help="Dead letters: list, show, replay, drop.")

SAMPLES_DEFAULT: Final = 3
LIMIT_DEFAULT: Final = 1_000
LIMIT_MAX: Final = 1_000_000
ATTEMPTS_DEFAULT: Final = 3
SHOWN_MAX: Final = 100

Codes = Annotated[
    list[str] | None, typer.Option("--code", metavar="CODE", help="Only this reject code.")
]
Sources = Annotated[
    list[str] | None, typer.Option("--source", metavar="SOURCE", help="Only this source.")
]
Since = Annotated[
    str | None, typer.Option(metavar="TIME", help="Only what was refused at or after it.")
]
Until = Annotated[str | None, typer.Option(metavar="TIME", help="Only what was refused before it.")]
Letters = Annotated[
    list[str] | None,
    typer.Option("--letter", metavar="PLACE", help="Only this letter, as list shows its place."),
]
Limit = Annotated[
    int, typer.Option(min=1, max=LIMIT_MAX, metavar="N", help="At most so many letters.")
]
All = Annotated[bool, typer.Option("--all", help="All letters, where no other option chooses.")]
Reason = Annotated[str, typer.Option(metavar="TEXT", help="Why, for the audit.")]
By = Annotated[
    str | None,
    typer.Option(
        metavar="ACCOUNT",
        help="Who does it, for the audit; otherwise the Kafka user, or this machine's.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")]


@dataclass(slots=True)
class _Group:
    count: int = 0
    states: dict[str, int] = field(default_factory=dict)
    attempt: int = 0
    newest_ms: int = 0
    samples: list[str] = field(default_factory=list)


@command(
    app,
    "list",
    examples=[
        "realname dlq list",
        "realname dlq list --code unknown_outlet --since 2017-09-08T00:00:00+08:00",
        "realname dlq list --samples 10 --json",
    ],
)
def list_(
    run: Run,
    *,
    samples: Annotated[
        int, typer.Option(min=0, max=100, metavar="N", help="Samples of each reason.")
    ] = SAMPLES_DEFAULT,
    code: Codes = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
    by: By = None,
    json: Json = False,
) -> None:
    """List why records were refused: reject code, field and source, how many, since when.

    Open letters are those that were neither replayed nor dropped. A sample is a masked waybill and the
    letter's place, partition@offset, by which `dlq show`, `replay` and `drop` take it. The records
    themselves are personal data and are not shown.
    """
    selection = _selection(code, source, since=since, until=until)
    doing, box = _doing(run, selection, by), _box(run)
    with run.err.status("Reading dead letters ..."):
        groups = _groups(box.letters(selection), box.states(), samples)
        box.note("dlq.listed", doing, (), sum(group.count for group in groups.values()))
    show(
        run,
        _rows(groups),
        json=json,
        columns=("code", "path", "source", "count", "open", "attempt", "newest", "samples"),
        empty="No record was refused.",
    )


@command(app, "show", examples=["realname dlq show 0@17", "realname dlq show 0@17 3@4 --json"])
def show_(
    run: Run,
    *,
    places: Annotated[
        list[str], typer.Argument(metavar="PLACE...", help="Letters, as list shows their places.")
    ],
    by: By = None,
    json: Json = False,
) -> None:
    """Show letters: where they came from, why they were refused, and what the record looks like.

    Its codes are shown as they are; waybills are masked, and of everything else only the length is
    told. That somebody looked is recorded in the audit.
    """
    selection = _selection(None, None, places=places)
    if len(places) > SHOWN_MAX:
        raise BadInput(f"at most {SHOWN_MAX} letters are shown at once; name fewer")
    doing, box = _doing(run, selection, by), _box(run)
    with run.err.status("Reading dead letters ..."):
        found = list(box.letters(selection))
        states = box.states()
    _require_all(places, found)
    box.note("dlq.shown", doing, [letter.place for letter in found], len(found))
    rows = [_shown(letter, states.get(letter.place, "open")) for letter in found]
    if json:
        show(run, rows, json=True, columns=(), empty="")
        return
    for row in rows:
        show(
            run,
            [{"name": name, "value": value} for name, value in _flat(row)],
            json=False,
            columns=("name", "value"),
            empty="",
        )


@command(
    app,
    "replay",
    examples=[
        'realname dlq replay --code unknown_outlet --reason "outlets of 8 September applied"',
        "realname dlq replay --letter 0@17",
        "realname dlq replay --all --limit 10000 --dry-run",
    ],
)
def replay(
    run: Run,
    *,
    code: Codes = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
    letter: Letters = None,
    all_: All = False,
    limit: Limit = LIMIT_DEFAULT,
    attempts_max: Annotated[
        int,
        typer.Option(
            min=1, max=99, metavar="N", help="Pass over letters that were refused so often."
        ),
    ] = ATTEMPTS_DEFAULT,
    reason: Reason = "",
    by: By = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Send letters to shipments once more, after what made them unusable has been mended.

    Byte for byte, with the header `attempt`, and each letter once, whatever interrupts the command: the
    records, the audit and the mark that they were replayed are one transaction. A record that is
    refused again comes back as a new letter with a higher attempt, which this run leaves alone, and
    which no run takes once it has been refused --attempts-max times.

    A record counts from when it is replayed: with `clock = wall` a registration that is replayed
    more than 15 minutes after its upload is late, and a collection of more than three days ago is
    refused as too_late.
    """
    selection = _chosen(_selection(code, source, since=since, until=until, places=letter), all_)
    doing = _doing(run, selection, by, reason)

    def settle(settler: "Settler") -> "Settled":
        return settler.replay(doing, limit=limit, attempts_max=attempts_max)

    if dry_run:
        _tell_what_would_be(run, selection, limit=limit, attempts_max=attempts_max, json=json)
    else:
        _settle(run, settle, "replayed", json=json)


@command(
    app,
    "drop",
    examples=['realname dlq drop --code not_json --reason "a test of the producer, as agreed"'],
)
def drop(
    run: Run,
    *,
    code: Codes = None,
    source: Sources = None,
    since: Since = None,
    until: Until = None,
    letter: Letters = None,
    all_: All = False,
    limit: Limit = LIMIT_DEFAULT,
    reason: Reason = "",
    by: By = None,
    dry_run: DryRun = False,
    json: Json = False,
) -> None:
    """Set letters aside: they are never replayed, and `list` counts them as dropped.

    The letters themselves stay until the topic's retention deletes them; Kafka deletes none before
    its time. A reason is required.
    """
    selection = _chosen(_selection(code, source, since=since, until=until, places=letter), all_)
    if not reason:
        raise BadInput("drop needs a reason, for the audit: add --reason TEXT")
    doing = _doing(run, selection, by, reason)
    if dry_run:
        _tell_what_would_be(run, selection, limit=limit, attempts_max=None, json=json)
    else:
        _settle(run, lambda settler: settler.drop(doing, limit=limit), "dropped", json=json)


def _box(run: Run) -> "LetterBox":
    from streams.kafka.letters import LetterBox
    from streams.records.topics import AUDIT, SHIPMENTS_DLQ

    topics = run.settings.topics()
    return LetterBox(run.client, dlq=topics[SHIPMENTS_DLQ].name, audit=topics[AUDIT].name)


def _selection(
    codes: Sequence[str] | None,
    sources: Sequence[str] | None,
    *,
    since: str | None = None,
    until: str | None = None,
    places: Sequence[str] | None = None,
) -> "Selection":
    from streams.domain.window import instant_from_text
    from streams.kafka.letters import Selection
    from streams.records.rejects import RejectCode

    mistakes = []
    known = [code.value for code in RejectCode]
    mistakes += [
        f"--code {code}: there is no such code; take one of {', '.join(known)}"
        for code in codes or ()
        if code not in known
    ]
    mistakes += [
        f"{place}: is no place of a letter; take one that `realname dlq list` shows, like 0@17"
        for place in places or ()
        if not all(part.isascii() and part.isdigit() for part in place.split("@", 1))
        or "@" not in place
    ]
    instants: list[int | None] = []
    for name, text in (("--since", since), ("--until", until)):
        try:
            instants.append(None if text is None else instant_from_text(text))
        except ValueError:
            mistakes.append(
                f"{name} {text!r} is not a time with an offset; write it like "
                "2017-09-08T00:00:00+08:00"
            )
    if mistakes:
        raise BadInput(*mistakes)
    return Selection(tuple(codes or ()), tuple(sources or ()), tuple(places or ()), *instants)


def _chosen(selection: "Selection", everything: bool) -> "Selection":
    if not selection and not everything:
        raise BadInput(
            "say which letters: --code, --source, --since, --until or --letter; or --all"
        )
    if selection and everything:
        raise BadInput("--all and a choice contradict one another; give one of them")
    return selection


def _doing(run: Run, selection: "Selection", by: str | None, reason: str = "") -> "Doing":
    import getpass

    from streams.domain.personal import is_code
    from streams.kafka.clock import now_ms
    from streams.kafka.letters import Doing
    from streams.records.audit import ACCOUNT, REASON_CHARS_MAX

    kafka = run.settings.kafka
    user = kafka.get("sasl.username") or kafka.get("sasl.user")
    account = by or (str(user) if user else getpass.getuser())
    mistakes = []
    if not ACCOUNT.fullmatch(account):
        mistakes.append("--by takes an account of letters, digits, . _ @ and -; correct it")
    if len(reason) > REASON_CHARS_MAX:
        mistakes.append(f"--reason takes {REASON_CHARS_MAX} characters; shorten it")
    if not all(is_code(word) for word in reason.split() if word.isascii()):
        mistakes.append("--reason holds what looks like a number of a person; leave it out")
    if mistakes:
        raise BadInput(*mistakes)
    # Whole seconds: for people.
    return Doing(now_ms() // 1000 * 1000, account, selection, reason)


def _settle(run: Run, settle: "Callable[[Settler], Settled]", done: "State", *, json: bool) -> None:
    from streams.kafka.letters import Settler
    from streams.records.topics import SHIPMENTS

    settings = run.settings
    settler = Settler(
        _box(run),
        shipments=settings.topics()[SHIPMENTS].name,
        transactional_id=f"{settings.prefix}dlq",
    )
    with run.err.status("Settling dead letters ..."):
        settled = settle(settler)
    row: Row = {
        done: settled.done,
        "settled_before": settled.before,
        "refused_too_often": settled.exhausted,
        "more": settled.left,
    }
    show(run, [row], json=json, columns=tuple(row), empty="")
    if settled.left:
        run.say("There are more; give the command again, or a higher --limit.")
    if settled.exhausted:
        run.say(
            f"{settled.exhausted:,} letters were refused too often: mend their cause, then raise "
            "--attempts-max, or drop them."
        )


def _tell_what_would_be(
    run: Run, selection: "Selection", *, limit: int, attempts_max: int | None, json: bool
) -> None:
    box = _box(run)
    with run.err.status("Reading dead letters ..."):
        states = box.states()
        wanted = sum(
            1
            for letter in box.letters(selection)
            if letter.place not in states
            and (attempts_max is None or letter.attempt < attempts_max)
        )
    row: Row = {"would_settle": min(wanted, limit), "more": wanted > limit}
    show(run, [row], json=json, columns=tuple(row), empty="")


def _groups(
    letters: "Iterable[Letter]", states: "Mapping[str, State]", samples: int
) -> Mapping[tuple[str, str, str], _Group]:
    from streams.domain.personal import code_or_mask

    groups: dict[tuple[str, str, str], _Group] = {}
    for letter in letters:
        # A source is what the record says, which may be anything.
        reason = letter.code, letter.path, code_or_mask(letter.source)
        group = groups.setdefault(reason, _Group())
        state = states.get(letter.place, "open")
        group.count += 1
        group.states[state] = group.states.get(state, 0) + 1
        group.attempt = max(group.attempt, letter.attempt)
        group.newest_ms = max(group.newest_ms, letter.refused_ms)
        if len(group.samples) < samples:
            group.samples.append(f"{_masked_key(letter)} {letter.place}")
    return groups


def _rows(groups: Mapping[tuple[str, str, str], _Group]) -> Iterable[Row]:
    from streams.domain.window import instant_text

    for (code, path, source), group in sorted(groups.items(), key=lambda item: -item[1].count):
        yield {
            "code": code,
            "path": path,
            "source": source,
            "count": group.count,
            **{state: group.states.get(state, 0) for state in ("open", "replayed", "dropped")},
            "attempt": group.attempt,
            "newest": instant_text(group.newest_ms),
            "samples": group.samples,
        }


def _require_all(places: Sequence[str], found: "Sequence[Letter]") -> None:
    missing = sorted(set(places) - {letter.place for letter in found})
    if missing:
        raise BadInput(
            f"there is no letter at {', '.join(missing)}; `realname dlq list` shows what there is"
        )


def _shown(letter: "Letter", state: str) -> Row:
    from streams.cli.dlq_masking import masked_record
    from streams.domain.personal import code_or_mask
    from streams.domain.window import instant_text
    from streams.kafka.dead_letters import told_and_kept

    _, others = told_and_kept(letter.message)
    received_ms = letter.received_ms
    return {
        "letter": letter.place,
        "state": state,
        "code": letter.code,
        "path": letter.path,
        "source": code_or_mask(letter.source),
        "stage": letter.stage,
        "attempt": letter.attempt,
        "refused_at": instant_text(letter.refused_ms),
        "shipments": letter.from_place,
        "received_at": None if received_ms is None else instant_text(received_ms),
        "key": _masked_key(letter),
        "bytes": len(letter.value),
        "headers": [code_or_mask(name) for name, _ in others],
        "record": masked_record(letter.value),
    }


def _flat(row: Row) -> Iterable[tuple[str, object]]:
    for name, value in row.items():
        if isinstance(value, dict):
            yield from ((f"{name}.{inner}", shown) for inner, shown in value.items())
        else:
            yield name, value


def _masked_key(letter: "Letter") -> str:
    from streams.domain.personal import masked

    key = letter.message.key()
    return "(no key)" if key is None else masked(bytes(key).decode(errors="replace"))
