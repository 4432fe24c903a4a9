"""The stages as commands look at them from outside: their order, and what each reads."""

from typing import Final

from streams.records.topics import COMPLIANCE, COMPLIANCE_INPUTS, COUNTS, SHIPMENTS, TOTALS

INPUTS: Final = (("match", SHIPMENTS), ("rate", COUNTS), ("rollup", TOTALS))
"""The stages in the order of the flow, with the topic that each reads, without prefix."""

STATES: Final = (*((name, (topic,)) for name, topic in INPUTS), (COMPLIANCE, COMPLIANCE_INPUTS))
"""Every stage with a state, and all that it reads: partitions of several topics are numbered through."""
