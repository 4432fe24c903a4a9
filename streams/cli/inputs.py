"""The stages as commands look at them from outside: their order, and what each reads."""

from typing import Final

from streams.records.topics import COUNTS, SHIPMENTS, TOTALS

INPUTS: Final = (("match", SHIPMENTS), ("rate", COUNTS), ("rollup", TOTALS))
"""The stages in the order of the flow, with the topic that each reads, without prefix."""
