"""What a server's routes know of the thread that follows topics for it."""

from typing import Protocol


class Following(Protocol):
    """What a server's probes ask of what follows topics for it."""

    @property
    def ready(self) -> bool:
        """Whether everything that was there at the start has been read."""
        ...

    @property
    def alive(self) -> bool:
        """Whether it makes progress, if only in trying again."""
        ...

    @property
    def trouble(self) -> str | None:
        """What keeps it from reading, for people; None while nothing does."""
        ...
