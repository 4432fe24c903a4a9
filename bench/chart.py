"""The comparison as a picture: two bars per program, records per second and CPU per record."""

from collections.abc import Sequence
from html import escape
from typing import Final, NamedTuple

from bench.outcome import Entry, Spread, spread

WIDTH: Final = 900
NAMES: Final = 290
ROW: Final = 34
TOP: Final = 56
PANEL: Final = 260
GAP: Final = 40
COLOUR: Final = "#8a94a6"
COLOUR_BASE: Final = "#1f6feb"
TEXT: Final = "#57606a"


class Bar(NamedTuple):
    """What one program is shown with."""

    name: str
    per_s: Spread
    cpu_us: Spread


def bars(entries: Sequence[Entry]) -> list[Bar]:
    """Return a bar per contender that has been right, the fastest first."""
    right = [entry for entry in entries if not entry.outcome.differing]
    made = []
    for name in dict.fromkeys(entry.contender for entry in right):
        outcomes = [entry.outcome for entry in right if entry.contender == name]
        made.append(
            Bar(name, spread(o.per_s for o in outcomes), spread(o.cpu_us for o in outcomes))
        )
    return sorted(made, key=lambda bar: -bar.per_s.median)


def svg(shown: Sequence[Bar], *, base_begins: str, caption: str) -> str:
    """Return a picture. Programs whose name begins with `base_begins` stand out.

    Bars are medians, the lines on them reach from the least to the greatest run.
    """
    height = TOP + ROW * len(shown) + 34
    fastest = max((bar.per_s.greatest for bar in shown), default=1.0)
    # What needs many times as much as most would make all other bars too short to see.
    costs = sorted(bar.cpu_us.greatest for bar in shown) or [1.0]
    dearest = min(costs[-1], 4 * costs[len(costs) // 2])
    parts = [
        (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" '
            f'font-family="system-ui, sans-serif" font-size="13" fill="{TEXT}" role="img">'
        ),
        f"<title>{escape(caption)}</title>",
        f'<text x="{NAMES}" y="24" font-weight="600">thousand records per second</text>',
        f'<text x="{NAMES + PANEL + GAP}" y="24" font-weight="600">CPU µs per record</text>',
    ]
    for number, bar in enumerate(shown):
        y = TOP + number * ROW
        colour = COLOUR_BASE if bar.name.startswith(base_begins) else COLOUR
        parts.append(
            f'<text x="{NAMES - 10}" y="{y + 14}" text-anchor="end">{escape(bar.name)}</text>'
        )
        thousands = Spread(*(value / 1000 for value in bar.per_s))
        parts += _bar(NAMES, y, thousands, fastest / 1000, colour)
        parts += _bar(NAMES + PANEL + GAP, y, bar.cpu_us, dearest, colour)
    parts.append(f'<text x="{NAMES}" y="{height - 10}" font-size="11">{escape(caption)}</text>')
    parts.append("</svg>")
    return "\n".join(parts) + "\n"


def _bar(x: float, y: float, values: Spread, most: float, colour: str) -> list[str]:
    room = PANEL - 60
    least, median, greatest = (min(value / most, 1.0) * room for value in values)
    shown = format(values.median, ",.0f" if values.median >= 100 else ".1f")
    return [
        f'<rect x="{x}" y="{y}" width="{median:.1f}" height="20" rx="2" fill="{colour}"/>',
        f'<path d="M{x + least:.1f} {y + 10}H{x + greatest:.1f}" stroke="#24292f" fill="none"/>',
        f'<text x="{x + max(median, greatest) + 6:.1f}" y="{y + 14}">{shown}</text>',
    ]
