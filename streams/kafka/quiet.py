"""Keeps a lost broker from filling the log: what repeats is said once in a while."""

import logging
import time
from typing import Final

LOGGERS: Final = tuple(
    f"streams.kafka.{module}" for module in ("client", "consumer", "heartbeat", "transaction")
)
EVERY_S: Final = 10.0


class Repeated(logging.Filter):
    """Lets each kind of message of a logger pass once every `EVERY_S` seconds.

    A message's kind is its template; of librdkafka's lines, which come ready-made, their first word.
    Critical ones always pass.
    """

    def __init__(self) -> None:
        super().__init__()
        self._passed_s: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a message is to be logged."""
        if record.levelno >= logging.CRITICAL:
            return True
        kind = str(record.msg) if record.args else record.getMessage()
        if record.name.endswith(".client"):
            kind = record.getMessage().partition(" ")[0]
        now_s = time.monotonic()
        if now_s - self._passed_s.get((record.name, kind), -EVERY_S) < EVERY_S:
            return False
        self._passed_s[record.name, kind] = now_s
        return True


def quiet() -> None:
    """Filter what our Kafka clients log in this process."""
    repeated = Repeated()
    for name in LOGGERS:
        logging.getLogger(name).addFilter(repeated)
