"""`realname outlets|periods|agreements|sources`: apply a file, list what is known."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput
from streams.cli.run import Json, Run, command
from streams.cli.show import Row, show
from streams.reference.listing import Kind

if TYPE_CHECKING:
    from streams.kafka.reference import ReferenceTopic
    from streams.reference.history import Apply
    from streams.reference.listing import AnyListing
    from streams.reference.types import Reference

EffectiveAt = Annotated[
    str | None,
    typer.Option(
        metavar="TIME",
        help="From when it is used, such as 2017-09-06T00:00:00+08:00; "
        "by default two minutes from now.",
    ),
]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Check the file, and write nothing.")]
BeginsWith = Annotated[
    str, typer.Option("--id", metavar="TEXT", help="Only those whose id begins like this.")
]
File = Annotated[Path, typer.Argument(metavar="FILE", show_default=False)]

_COLUMNS: Final[Mapping[Kind, tuple[str, ...]]] = {
    Kind.OUTLETS: ("outlet_id", "name", "brand_code", "enterprise_id", "county_code", "duty_group"),
    Kind.AGREEMENTS: (
        *("agreement_id", "agreement_kind", "filed_by", "complete"),
        *("valid_from", "valid_to", "recorded_at"),
    ),
    Kind.SOURCES: ("source", "enterprise_id", "channel"),
    Kind.PERIODS: (
        *("event_period_id", "event_level", "start", "end"),
        *("origin_codes", "destination_codes", "name_zh"),
    ),
}


def _app(kind: Kind, *, one: str, help_: str) -> typer.Typer:
    """Make the sub-commands of one kind; they differ in words only."""
    from streams.reference.files import FILE_NAMES

    app = typer.Typer(no_args_is_help=True, help=help_)

    def apply(
        run: Run, file: File, *, effective_at: EffectiveAt = None, dry_run: DryRun = False
    ) -> None:
        apply_file(run, kind, file, effective_at=effective_at, dry_run=dry_run)

    def list_(run: Run, *, id_: BeginsWith = "", json: Json = False) -> None:
        show_known(run, kind, begins_with=id_, json=json)

    name = FILE_NAMES[kind]
    apply.__doc__ = (
        f"Replace the known {kind.value} by those of a file.\n\n"
        "The file is checked whole first: each mistake is told with its line, and nothing is "
        "applied while there is one. A file that says what is known already changes nothing. "
        "Workers need no restart."
    )
    list_.__doc__ = (
        f"List the {kind.value} as last applied, also where that is not in effect yet.\n\n"
        f"With --json, one {one} per line."
    )
    command(
        app,
        "apply",
        examples=[
            f"realname {kind.value} apply {name}",
            f"realname {kind.value} apply {name} --dry-run",
        ],
    )(apply)
    command(app, "list", examples=[f"realname {kind.value} list --json"])(list_)
    return app


def apply_file(
    run: Run, kind: Kind, file: Path, *, effective_at: str | None, dry_run: bool
) -> None:
    """Apply one file, and tell what changed.

    Raises:
        ReferenceFileError: The file has mistakes, or contradicts what is known; it was not applied.
        BadInput: `effective_at` is not a time.
        ClusterError: Kafka cannot be reached, or refuses.
    """
    from streams.cli.enterprise_topics import create_for
    from streams.kafka.clock import now_ms
    from streams.reference.areas import shipped_areas
    from streams.reference.files import read_file

    effective_at_ms = None if effective_at is None else _instant_ms(effective_at)
    listing = read_file(kind, file, shipped_areas())
    topic = _topic(run)
    with run.err.status(f"Applying {kind.value} ..."):
        if dry_run:
            planned = topic.plan([listing], now_ms=now_ms(), effective_at_ms=effective_at_ms)
            made = planned[0] if planned else None
        else:
            create_for(run, [listing])
            made = topic.apply(listing, now_ms=now_ms(), effective_at_ms=effective_at_ms)
    told = _told(kind, listing, made)
    run.say(f"Nothing was written. {told}" if dry_run else told)


def setup_reference(run: Run, files: Mapping[Kind, Path]) -> None:
    """Apply several files, none of them when one has a mistake.

    Without any file, each kind that nobody has applied yet gets the demonstration's; so running it
    again never replaces somebody's own data.

    Raises:
        ReferenceFileError: With the mistakes of all files; nothing was applied.
        ClusterError: Kafka cannot be reached, or refuses; what was told before was applied.
    """
    from streams.cli.enterprise_topics import create_for
    from streams.kafka.clock import now_ms
    from streams.reference.areas import shipped_areas
    from streams.reference.files import FILE_NAMES, read_files
    from streams.resources import config_dir

    topic = _topic(run)
    with run.err.status("Applying reference data ..."):
        if not files:
            known = topic.newest()
            for kind, snapshot in known.items():
                run.say(f"{kind.value}: kept as applied before, version {snapshot.version}.")
            folder = config_dir()
            files = {kind: folder / FILE_NAMES[kind] for kind in Kind if kind not in known}
        listings = read_files(files, shipped_areas())
        topic.plan(listings.values(), now_ms=now_ms())  # Raises what is wrong with any of them.
        create_for(run, listings.values())
        for kind, listing in listings.items():
            run.say(_told(kind, listing, topic.apply(listing, now_ms=now_ms())))


def show_known(run: Run, kind: Kind, *, begins_with: str, json: bool) -> None:
    """List one kind's data as last applied.

    Raises:
        ClusterError: Kafka cannot be reached, or a record of the topic cannot be read.
    """
    with run.err.status(f"Reading {kind.value} ..."):
        reference = _topic(run).history().latest
    columns = _COLUMNS[kind]
    rows = (row for row in _rows(kind, reference) if str(row[columns[0]]).startswith(begins_with))
    empty = f"No {kind.value} are known here; apply a file with `realname {kind.value} apply FILE`."
    if begins_with:
        empty = f"None of the {kind.value} begins with {begins_with!r}."
    show(run, rows, json=json, columns=columns, empty=empty)


def _topic(run: Run) -> "ReferenceTopic":
    from streams.kafka.reference import ReferenceTopic
    from streams.records.topics import REFERENCE

    return ReferenceTopic(run.client, run.settings.topics()[REFERENCE].name)


def _instant_ms(text: str) -> int:
    from streams.domain.window import instant_from_text

    try:
        return instant_from_text(text)
    except ValueError:
        raise BadInput(
            f"--effective-at {text!r} is not a time with an offset; "
            "write it like 2017-09-06T00:00:00+08:00"
        ) from None


def _told(kind: Kind, listing: "AnyListing", made: "Apply | None") -> str:
    from streams.domain.window import instant_text

    if made is None:
        return f"{kind.value}: nothing changed; {listing.file} says what is known already."
    changes = made.changes
    when = "from the beginning"
    if made.effective_at_ms:
        when = f"from {instant_text(made.effective_at_ms)}"
    return (
        f"{kind.value}: version {made.version}, {changes.added} added, {changes.changed} changed, "
        f"{changes.removed} removed, in effect {when}."
    )


def _rows(kind: Kind, reference: "Reference") -> Iterator[Row]:
    match kind:
        case Kind.OUTLETS:
            yield from (_outlet_rows(reference))
        case Kind.AGREEMENTS:
            yield from (_agreement_rows(reference))
        case Kind.SOURCES:
            for source in reference.sources.values():
                yield {
                    "source": source.source,
                    "enterprise_id": source.enterprise_id,
                    "channel": source.channel,
                }
        case Kind.PERIODS:
            yield from (_period_rows(reference))


def _outlet_rows(reference: "Reference") -> Iterator[Row]:
    for outlet in reference.outlets.values():
        yield {
            "outlet_id": outlet.outlet_id,
            "name": outlet.name,
            "brand_code": outlet.brand_code,
            "enterprise_id": outlet.enterprise_id,
            "county_code": outlet.county_code,
            "duty_group": outlet.duty_group,
            "number": outlet.number,
        }


def _agreement_rows(reference: "Reference") -> Iterator[Row]:
    from streams.domain.window import instant_text

    for filings in reference.agreements.values():
        for filing in filings:
            yield {
                "agreement_id": filing.agreement_id,
                "agreement_kind": filing.agreement_kind,
                "customer_token": filing.customer_token,
                "org_code_present": filing.org_code_present,
                "responsible_id_present": filing.responsible_id_present,
                "complete": filing.org_code_present and filing.responsible_id_present,
                "valid_from": instant_text(filing.valid_from_ms),
                "valid_to": instant_text(filing.valid_to_ms),
                "filed_by": filing.filed_by,
                "recorded_at": instant_text(filing.recorded_at_ms),
            }


def _period_rows(reference: "Reference") -> Iterator[Row]:
    from streams.domain.window import instant_text

    for period in reference.periods:
        yield {
            "event_period_id": period.event_period_id,
            "name_zh": period.name_zh,
            "name_en": period.name_en,
            "event_level": period.event_level.value,
            "start": instant_text(period.start_ms),
            "end": instant_text(period.end_ms),
            "origin_codes": period.origin_codes,
            "destination_codes": period.destination_codes,
            "phases": [
                {
                    "event_phase": phase.event_phase.value,
                    "start": instant_text(phase.start_ms),
                    "end": instant_text(phase.end_ms),
                }
                for phase in period.phases
            ],
            "targets": [
                {
                    "granularity": target.granularity.value,
                    "parcel_category": target.category.name if target.category is not None else "*",
                    "target_rate": target.rate,
                    "min_n": target.n_min,
                }
                for target in period.targets
            ],
        }


outlets_app: Final = _app(
    Kind.OUTLETS, one="outlet", help_="Outlets: where parcels are collected, and whose they are."
)
agreements_app: Final = _app(
    Kind.AGREEMENTS, one="filing", help_="Agreements: filings that cover batch mail."
)
sources_app: Final = _app(
    Kind.SOURCES, one="source", help_="Sources: which system belongs to which enterprise."
)
periods_app: Final = _app(
    Kind.PERIODS, one="period", help_="Event periods: when, where and which targets hold."
)
