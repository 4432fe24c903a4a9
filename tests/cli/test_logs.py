"""Logs: one form per reader, and no personal data."""

import io
import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from streams import logs


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture(autouse=True)
def _logging_as_before() -> Iterator[None]:
    root = logging.getLogger()
    handlers, level = root.handlers[:], root.level
    yield
    root.handlers[:] = handlers
    root.setLevel(level)
    structlog.reset_defaults()


def test_off_a_terminal_each_line_is_an_object_whoever_logs() -> None:
    out = io.StringIO()
    logs.configure("info", out)
    structlog.get_logger("streams.test").info("flushed", records=3)
    logging.getLogger("library").warning("slow by %d ms", 7, extra={"partition": 2})
    logging.getLogger("library").debug("not told")
    first, second = [json.loads(line) for line in out.getvalue().splitlines()]
    assert (first["event"], first["records"], first["level"]) == ("flushed", 3, "info")
    assert first["logger"] == "streams.test"
    assert (second["event"], second["partition"]) == ("slow by 7 ms", 2)
    assert second["timestamp"].endswith("Z")


def test_on_a_terminal_lines_are_for_people() -> None:
    out = Terminal()
    logs.configure("info", out)
    structlog.get_logger("streams.test").info("flushed", records=3)
    assert "flushed" in out.getvalue()
    assert not out.getvalue().startswith("{")


def test_a_waybill_that_slips_into_a_log_call_is_withheld() -> None:
    out = io.StringIO()
    logs.configure("info", out)
    structlog.get_logger("streams.test").info("refused", waybill_no="ZT0000000000017")
    logging.getLogger("library").info("refused", extra={"waybill_no": "ZT0000000000017"})
    assert "ZT0000000000017" not in out.getvalue()
    assert out.getvalue().count("(withheld)") == 2


def test_an_exception_is_told_without_the_values_of_variables() -> None:
    out = io.StringIO()
    logs.configure("info", out)

    def fail(waybill_no: str) -> None:
        raise ValueError("a bug" if waybill_no else "")

    waybill_no = "ZT" + "0000000000017"
    try:
        fail(waybill_no)
    except ValueError:
        structlog.get_logger("streams.test").exception("failed")
    assert "a bug" in out.getvalue()
    assert "ZT0000000000017" not in out.getvalue()


def test_configuring_again_does_not_log_twice() -> None:
    logs.configure("info", io.StringIO())
    out = io.StringIO()
    logs.configure("warning", out)
    logging.getLogger("library").warning("once")
    logging.getLogger("library").info("not at all")
    assert len(out.getvalue().splitlines()) == 1
