"""`realname missing`: parcels that are mature and not covered."""

from collections.abc import Iterator
from typing import Annotated

import typer

from streams.cli.run import Json, Run, ShowWaybills, command
from streams.cli.show import Row, show
from streams.domain.personal import masked

app = typer.Typer()


@command(
    app,
    "missing",
    examples=[
        "realname missing --outlet 150105-ZT-0031",
        "realname missing --outlet 150105-ZT-0031 --show-waybills --json",
    ],
)
def missing(
    run: Run,
    *,
    outlet: Annotated[
        str, typer.Option(metavar="ID", help="Only this outlet's parcels.", show_default=False)
    ] = "",
    show_waybills: ShowWaybills = False,
    json: Json = False,
) -> None:
    """List parcels that should be registered by now and are not, by outlet and time of collection.

    Of a waybill only the first three and the last four characters are shown. A parcel leaves the
    list when it is covered, and after seven days.
    """
    with run.err.status("Reading parcels.missing ..."):
        rows = sorted(
            (row for row in _rows(run) if outlet in ("", row["outlet_id"])),
            key=lambda row: (str(row["outlet_id"]), str(row["collected_at"])),
        )
    if not show_waybills:
        rows = [{**row, "waybill_no": masked(str(row["waybill_no"]))} for row in rows]
    columns = ("outlet_id", "waybill_no", "parcel_category", "collected_at", "missing_since")
    count = show(run, rows, json=json, columns=columns, empty="No parcel is missing here.")
    if count and not json:
        run.say(f"{count:,} parcels")


def _rows(run: Run) -> Iterator[Row]:
    import msgspec

    from streams.kafka.reading import latest_values
    from streams.records.missing import decode
    from streams.records.topics import PARCELS_MISSING

    for value in latest_values(run.client, run.settings.topics()[PARCELS_MISSING].name).values():
        yield msgspec.to_builtins(decode(value))
