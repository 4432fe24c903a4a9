"""Logging: readable on a terminal, JSON lines elsewhere; to standard error, never into data."""

import logging
import sys
from typing import Final, TextIO

import structlog
from structlog.typing import EventDict, Processor, WrappedLogger

PERSONAL: Final = frozenset({"waybill", "waybill_no", "subject_token", "customer_token", "record"})
"""Names under which nothing is ever logged: what they hold is personal information."""

# They tell of every connection and rebalance at INFO, which is our own log's business.
_CHATTY: Final = ("aiokafka", "faust", "mode", "kafka")

# By default it shows local variables, and those hold records.
_TRACEBACKS: Final = structlog.processors.ExceptionRenderer(
    structlog.tracebacks.ExceptionDictTransformer(show_locals=False)
)


def configure(level: str, stream: TextIO | None = None) -> None:
    """Send every log of this process, also those of libraries, to `stream` in one form.

    Idempotent; a later call replaces the earlier. `level` is debug, info, warning or error;
    `stream` is standard error unless given, and its being a terminal chooses the form.
    """
    out = stream or sys.stderr
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_logger_name,
        structlog.stdlib.add_log_level,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    rendering: list[Processor] = (
        [structlog.dev.ConsoleRenderer(exception_formatter=structlog.dev.plain_traceback)]
        if out.isatty()
        else [_TRACEBACKS, structlog.processors.JSONRenderer()]
    )
    structlog.configure(
        processors=[*shared, _withhold, structlog.stdlib.ProcessorFormatter.wrap_for_formatter],
        wrapper_class=structlog.stdlib.BoundLogger,
        logger_factory=structlog.stdlib.LoggerFactory(),
        cache_logger_on_first_use=False,
    )
    handler = logging.StreamHandler(out)
    handler.setFormatter(
        structlog.stdlib.ProcessorFormatter(
            foreign_pre_chain=[*shared, structlog.stdlib.ExtraAdder(), _withhold],
            processors=[structlog.stdlib.ProcessorFormatter.remove_processors_meta, *rendering],
        )
    )
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in _CHATTY:
        logging.getLogger(name).setLevel(max(root.level, logging.WARNING))


def _withhold(logger: WrappedLogger, method: str, event: EventDict) -> EventDict:
    """Replace what stands under a personal name: a slip in a log call must not reach a file."""
    del logger, method
    for name in PERSONAL & event.keys():
        event[name] = "(withheld)"
    return event
