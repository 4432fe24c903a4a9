"""Checks of the code's own shape: what no linter sees. After TigerBeetle's src/tidy.zig."""

import ast
import re
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.sharing import LONGEST

ROOT = Path(__file__).parent.parent
MODULES = sorted((ROOT / "streams").rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("*.py"))
DOMAIN = sorted((ROOT / "streams/domain").rglob("*.py"))

POSITIONAL_MAX = 4
FUNCTION_LINES_MAX = 70
CLOCK = "streams/kafka/clock.py"
SETTINGS = "streams/settings.py"

# What is banned, the one module where it is allowed all the same, and what to use instead.
Ban = tuple[str, str | None, str]
BANS: list[Ban] = [
    (r"\btime\.time(_ns)?\(", CLOCK, "the instant passed in, or streams.kafka.clock.now_ms"),
    (r"\bdatetime\.(now|utcnow|today)\(", CLOCK, "the instant passed in"),
    (r"\bdate\.today\(", CLOCK, "the instant passed in"),
    (r"\bos\.(environ|getenv)\b", SETTINGS, "the settings passed in"),
    (r"(?<![\w.])print\(", None, "a logger, or in the CLI the console's print"),
]
BANS_EVERYWHERE: list[Ban] = [
    (r"# type: ignore(?!\[[a-z, -]+\]\s+#\s*\S)", None, "# type: ignore[code]  # the reason"),
    ("TO" + "DO", None, "an issue, or do it"),
    ("FIX" + "ME", None, "the fix: it may not reach main"),
    (r"\bmock\.patch\b|\bmonkeypatch\.setattr\b", None, "a fake, passed in"),
]

# Who may import streams.settings and streams.metrics.
EDGE = (
    *("streams/agents/", "streams/cli/", "streams/kafka/", "streams/settings", "streams/metrics"),
    *("streams/serve/metrics", "streams/gateway/metrics"),
)

# The parts of the standard library that read a clock, draw lots, or touch the world.
IMPURE = {
    *("asyncio", "concurrent", "ctypes", "http", "io", "logging", "multiprocessing", "os"),
    *("pathlib", "random", "secrets", "shutil", "signal", "socket", "sqlite3", "subprocess"),
    *("tempfile", "threading", "time", "urllib", "uuid", "warnings"),
}
PURE = sys.stdlib_module_names - IMPURE

Function = ast.FunctionDef | ast.AsyncFunctionDef


def relative(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def functions(tree: ast.Module) -> Iterator[Function]:
    for node in ast.walk(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield node


def imports(path: Path) -> Iterator[tuple[int, str]]:
    for node in ast.walk(ast.parse(path.read_text("utf8"))):
        if isinstance(node, ast.ImportFrom):
            for alias in node.names:
                yield node.lineno, f"{node.module or ''}.{alias.name}"
        elif isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name


def banned(path: Path, bans: list[Ban]) -> Iterator[str]:
    for number, line in enumerate(path.read_text("utf8").splitlines(), start=1):
        for pattern, allowed_in, instead in bans:
            found = re.search(pattern, line)
            if found and relative(path) != allowed_in:
                yield f"{relative(path)}:{number}: {found.group()} is banned, use {instead}"


def positional_count(function: Function) -> int:
    names = [argument.arg for argument in function.args.posonlyargs + function.args.args]
    return len(names[1:] if names[:1] in (["self"], ["cls"]) else names)


def is_compiled(function: Function) -> bool:
    """Return whether a function is machine code, which is called by position."""
    return any(isinstance(of, ast.Name) and of.id == "compiled" for of in function.decorator_list)


def line_count(function: Function) -> int:
    """Count without the docstring: a longer contract makes no function harder to read."""
    assert function.end_lineno is not None
    lines = function.end_lineno - function.lineno + 1
    if ast.get_docstring(function):
        docstring = function.body[0]
        assert docstring.end_lineno is not None
        lines -= docstring.end_lineno - docstring.lineno + 1
    return lines


def without_docstring(path: Path, tree: ast.Module) -> Iterator[str]:
    if not ast.get_docstring(tree):
        yield f"{relative(path)}: no module docstring"
    for node in tree.body:
        if not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
            continue
        if not node.name.startswith("_") and not ast.get_docstring(node):
            yield f"{relative(path)}:{node.lineno} {node.name}: public and without a docstring"


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_module_is_tidy(path: Path) -> None:
    tree = ast.parse(path.read_text("utf8"))
    untidy = [*banned(path, BANS), *banned(path, BANS_EVERYWHERE), *without_docstring(path, tree)]
    for function in functions(tree):
        where = f"{relative(path)}:{function.lineno} {function.name}"
        if positional_count(function) > POSITIONAL_MAX and not is_compiled(function):
            untidy.append(f"{where}: more than {POSITIONAL_MAX} positional parameters")
        if line_count(function) > FUNCTION_LINES_MAX:
            untidy.append(f"{where}: more than {FUNCTION_LINES_MAX} lines")
    assert not untidy, "\n".join(untidy)


@pytest.mark.parametrize("path", TESTS, ids=relative)
def test_test_is_tidy(path: Path) -> None:
    if path == Path(__file__):
        pytest.skip("names what it bans")
    untidy = list(banned(path, BANS_EVERYWHERE))
    assert not untidy, "\n".join(untidy)


@pytest.mark.parametrize("path", DOMAIN, ids=relative)
def test_domain_is_pure(path: Path) -> None:
    impure = [
        f"{relative(path)}:{line}: imports {module}, which the domain may not"
        for line, module in imports(path)
        if module.split(".")[0] not in PURE and not module.startswith("streams.domain")
    ]
    assert not impure, "\n".join(impure)


@pytest.mark.parametrize("path", MODULES, ids=relative)
def test_settings_and_metrics_are_read_at_the_edge_and_passed_down(path: Path) -> None:
    read = [
        f"{relative(path)}:{line}: imports {module}; take its values as arguments"
        for line, module in imports(path)
        if module.startswith(("streams.settings", "streams.metrics"))
    ]
    assert relative(path).startswith(EDGE) or not read, "\n".join(read)


def test_every_domain_module_has_its_test() -> None:
    modules = {path.stem for path in DOMAIN} - {"__init__"}
    tested = {p.stem.removeprefix("test_") for p in (ROOT / "tests/domain").glob("test_*.py")}
    assert modules <= tested, f"without a test: {sorted(modules - tested)}"


def test_what_begins_first_is_there() -> None:
    assert [share for share in LONGEST if not (ROOT / share).exists()] == []
