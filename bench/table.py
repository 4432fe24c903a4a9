"""The comparison as a Markdown table: what a person reads, on the screen and in RESULTS.md."""

from collections.abc import Sequence
from typing import Final

from bench.outcome import Entry, Spread, ratios, spread

HEADER: Final = (
    ("program", "left"),
    ("records", "right"),
    ("records/s", "right"),
    ("in the second half", "right"),
    ("base is × as fast", "right"),
    ("CPU µs/record", "right"),
    ("of which the base needs", "right"),
    ("broker µs/record", "right"),
    ("peak MB", "right"),
    ("runs", "right"),
)


def rows(entries: Sequence[Entry], base: str) -> list[list[str]]:
    """Return a row of cells per contender, in the order of their first runs.

    Entries whose figures were wrong are counted under `runs`, and nowhere else.
    """
    table = []
    for name in dict.fromkeys(entry.contender for entry in entries):
        all_runs = [entry for entry in entries if entry.contender == name]
        right = [entry for entry in all_runs if not entry.outcome.differing]
        runs = f"{len(right)} of {len(all_runs)} right"
        if not right:
            table.append([name, *[""] * (len(HEADER) - 2), runs])
            continue
        outcomes = [entry.outcome for entry in right]
        counted = [entry for entry in entries if not entry.outcome.differing]
        faster = ratios(counted, name, base)
        cheaper = ratios(counted, name, base, of="cpu_us")
        table.append(
            [
                name,
                f"{outcomes[0].records:,}",
                _of(spread(o.per_s for o in outcomes), ",.0f"),
                _of(spread(o.second_half_per_s for o in outcomes), ",.0f"),
                _of(spread(faster), ".2f") if faster else "",
                _of(spread(o.cpu_us for o in outcomes), ".2f"),
                _of(spread(100 * ratio for ratio in cheaper), ".0f") + " %" if cheaper else "",
                _of(spread(o.broker_cpu_us for o in outcomes), ".2f"),
                f"{max(o.memory_mb for o in outcomes):,.0f}",
                runs,
            ]
        )
    return table


def _of(values: Spread, form: str) -> str:
    """Return least / median / greatest, or the one value where there is only one."""
    texts = [format(value, form) for value in values]
    return " / ".join(texts) if len(set(texts)) > 1 else texts[0]


def markdown(table: Sequence[Sequence[str]]) -> str:
    """Return the rows under their header."""
    rule = ["---" if side == "left" else "---:" for _, side in HEADER]
    lines = [[name for name, _ in HEADER], rule, *table]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in lines)
