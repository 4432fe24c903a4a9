"""The complete table of who may do what to which topic, as it should be; what is not in it is refused.

R read, W write, D delete records or the topic, A alter settings or partitions, C see the settings.
Whoever may do any of these but C sees that the topic exists; nobody else does. A new topic needs a row:
somebody has to decide.
"""

from typing import Final

YTO: Final = "911500000000010017"
ZTO: Final = "911500000000010025"

FOREIGN: Final = "invoices"
"""Somebody else's topic on the same cluster, outside the prefix."""

TABLE: Final = f"""
topic             worker serve notify gateway operator enterprise-yto
shipments         RWC    -     -      W       RWDAC    -
shipments.dlq     RWC    -     -      -       RWDAC    -
reference         RC     R     R      R       RWDAC    -
counts            RWDC   -     -      -       RWDAC    -
totals            RWDC   -     -      -       RWDAC    -
match.state       RWDC   -     -      -       RWDAC    -
rate.state        RWDC   -     -      -       RWDAC    -
rollup.state      RWDC   -     -      -       RWDAC    -
compliance.state  RWDC   -     -      -       RWDAC    -
rates             RWC    R     -      -       RWDAC    -
days              RWC    R     -      -       RWDAC    -
alerts            RWC    R     R      -       RWDAC    -
alerts.acks       RC     RW    R      -       RWDAC    -
parcels.missing   RWC    R     -      -       RWDAC    -
audit             -      -     -      -       RWC      -
compliance.{YTO}  WC     -     -      -       RWDAC    R
compliance.{ZTO}  WC     -     -      -       RWDAC    -
"""


def table() -> tuple[list[str], dict[str, dict[str, str]]]:
    """Return the principals, and by topic the letters of each."""
    head, *rows = (line.split() for line in TABLE.strip().splitlines())
    principals = head[1:]
    return principals, {
        topic: {p: cell.strip("-") for p, cell in zip(principals, cells, strict=True)}
        for topic, *cells in rows
    }
