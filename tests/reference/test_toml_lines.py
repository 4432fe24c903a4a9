"""The scanner finds the line of everything in a valid TOML document."""

import tomllib
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.reference.toml_lines import Path, lines_of

DOCUMENT = '''\
# a comment with [brackets] and "quotes"
title = "one # two"   # three

[owner]
"quoted key" = 'its # own'
name.first = """a
"b" ""c
"""
[[periods]]
id = "A"
codes = [ # first
  "1", "]",

  "2"
]
phases = [{ start = 1, more = { deep = [1, 2] } },
          { start = 2017-01-01 00:00:00+08:00 }]
[[periods]]
id = "B"
  [[periods.targets]]
  rate = 1.0
  [[periods.targets]]
  rate = 0.5
  [periods.note]
  text = "x"
'''

LINES = [
    (("title",), 2),
    (("owner",), 4),
    (("owner", "quoted key"), 5),
    (("owner", "name", "first"), 6),
    (("periods", 0), 9),
    (("periods", 0, "codes"), 11),
    (("periods", 0, "codes", 1), 12),
    (("periods", 0, "codes", 2), 14),
    (("periods", 0, "phases", 0, "start"), 16),
    (("periods", 0, "phases", 0, "more", "deep", 1), 16),
    (("periods", 0, "phases", 1, "start"), 17),
    (("periods", 1), 18),
    (("periods", 1, "targets", 0, "rate"), 21),
    (("periods", 1, "targets", 1), 22),
    (("periods", 1, "note", "text"), 25),
]


@pytest.mark.parametrize("newline", ["\n", "\r\n"])
def test_lines_of_a_document_with_everything_in_it(newline: str) -> None:
    text = DOCUMENT.replace("\n", newline)
    tomllib.loads(text)
    lines = lines_of(text)
    assert [(path, lines.get(path)) for path, _ in LINES] == LINES


def leaves(value: object, path: Path) -> Iterator[Path]:
    if isinstance(value, dict):
        for key, inner in value.items():
            yield from leaves(inner, (*path, key))
    elif isinstance(value, list):
        for index, inner in enumerate(value):
            yield from leaves(inner, (*path, index))
    else:
        yield path


SCALARS = st.sampled_from(
    [
        *("1", "-0.5", "true", '"a#b"', "'c]d'", '"q\\"r"', '""', "''"),
        *('"""m\nn"""', "'''x'y'''", '"""z""""', "2017-09-06", "2017-09-06 00:00:00+08:00"),
    ]
)
GAPS = st.sampled_from(["", " ", "\n", " # no, ] or }\n"])


@st.composite
def values(draw: st.DrawFn, depth: int = 2) -> str:
    kind = draw(st.integers(0, 2)) if depth else 0
    if kind == 0:
        return draw(SCALARS)
    items = draw(st.lists(values(depth - 1), max_size=3))
    if kind == 1:
        return "[" + "".join(draw(GAPS) + item + draw(GAPS) + "," for item in items) + "]"
    return "{" + ", ".join(f"k{n} = {item}" for n, item in enumerate(items)) + "}"


@given(st.lists(st.lists(values(), max_size=3), max_size=3))
def test_every_value_that_the_parser_finds_has_a_line(tables: list[list[str]]) -> None:
    text = ""
    for number, table in enumerate(tables):
        text += "[[t]]\n" + "".join(f"v{number}{n} = {value}\n" for n, value in enumerate(table))
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError:
        return  # An inline table may not go over lines.
    lines = lines_of(text)
    every_line = text.split("\n")
    for path in leaves(found, ()):
        assert path in lines
    for (_, index, key, *rest), line in ((p, n) for p, n in lines.items() if len(p) > 2):
        if not rest:
            assert every_line[line - 1].startswith(f"{key} ="), (index, key)
