"""When this process has been replaced: it ends at once, and writes nothing more."""

import logging
import os
import sys
from typing import Final, NoReturn

from confluent_kafka import KafkaError

LOGGER: Final = logging.getLogger(__name__)

EXIT_FENCED: Final = 4

# `_FATAL` stands for any of them: the error comes once, as a message, and its `fatal()` may be False.
_MEMBER_FENCED: Final = frozenset({KafkaError.UNKNOWN_MEMBER_ID, KafkaError.FENCED_INSTANCE_ID})
_FENCED: Final = _MEMBER_FENCED | frozenset(
    {
        KafkaError._FENCED,  # noqa: SLF001 (librdkafka's own codes are public by that name)
        KafkaError._FATAL,  # noqa: SLF001
    }
)


def is_fenced(error: KafkaError) -> bool:
    """Tell whether an error means that another worker has our place, or that the client is lost."""
    return error.code() in _FENCED or error.fatal()


def is_member_fenced(error: KafkaError) -> bool:
    """Tell whether an error says that this worker's place in its group is another's."""
    return error.code() in _MEMBER_FENCED


def end_process(reason: str) -> NoReturn:
    """End the process with exit code 4, without flushing, closing or writing anything to Kafka.

    An exception would not do: on its way out it would pass through handlers that flush.
    """
    LOGGER.critical(
        "stopped at once, nothing more was written: %s; start this worker again", reason
    )
    for handler in logging.getLogger().handlers:
        handler.flush()
    sys.stderr.flush()
    os._exit(EXIT_FENCED)
