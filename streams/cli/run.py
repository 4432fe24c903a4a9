"""What every command has: common options, settings, two consoles, errors without traceback."""

import functools
import inspect
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import (
    TYPE_CHECKING,
    Annotated,
    Any,
    Concatenate,
    Final,
    Literal,
    ParamSpec,
    get_type_hints,
)

import typer
from rich.console import Console

from streams.cli.exits import MEANINGS, BadInput, Exit

if TYPE_CHECKING:
    from confluent_kafka.admin import AdminClient

    from streams.kafka.errors import ClusterError
    from streams.settings import Loaded, Settings

P = ParamSpec("P")
_PANEL: Final = "Settings"
_PIPE_COLUMNS: Final = 1_000  # A file has no edge to wrap or cut a table at.

ANSWER_TIMEOUT_S: Final = 10.0
"""How long a command waits for a broker that may not be there. A person is waiting, too."""

Json = Annotated[bool, typer.Option("--json", help="One JSON object per line, for programs.")]
ShowWaybills = Annotated[
    bool, typer.Option("--show-waybills", help="Whole waybills: personal information, handle so.")
]

_COMMON: Final[Mapping[str, Any]] = {
    "config": Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="TOML file with settings; otherwise ./realname.toml, if there is one.",
            rich_help_panel=_PANEL,
        ),
    ],
    "bootstrap": Annotated[
        str | None,
        typer.Option(
            metavar="HOST:PORT,...",
            help="Kafka's brokers; otherwise the embedded one.",
            rich_help_panel=_PANEL,
        ),
    ],
    "prefix": Annotated[
        str | None,
        typer.Option(
            metavar="TEXT", help="Begins the name of every topic.", rich_help_panel=_PANEL
        ),
    ],
    "data_dir": Annotated[
        Path | None,
        typer.Option(
            metavar="DIR", help="Where the embedded broker keeps its data.", rich_help_panel=_PANEL
        ),
    ],
    "kafka": Annotated[
        list[str] | None,
        typer.Option(
            metavar="NAME=VALUE",
            help="Property of the Kafka client, such as security.protocol=SASL_SSL; repeatable.",
            rich_help_panel=_PANEL,
        ),
    ],
    "log_level": Annotated[
        Literal["debug", "info", "warning", "error"] | None,
        typer.Option(help="Least level that is logged.", rich_help_panel=_PANEL),
    ],
}


class Run:
    """One run of one command: what it was told, and where it writes.

    Data go to `out` (standard output), everything said to a person to `err`, so that a pipe gets
    nothing but data.
    """

    def __init__(self, *, config: Path | None = None, **overrides: object) -> None:
        """Take the common options as they were given, None where they were not."""
        self._config = config
        self._overrides = overrides
        self.out = Console(highlight=False)
        if not self.out.is_terminal:
            self.out = Console(highlight=False, width=_PIPE_COLUMNS)
        self.err = Console(stderr=True, highlight=False)

    def override(self, **settings: object) -> None:
        """Let options of one command set settings, before their first use; None is not said."""
        self._overrides |= {name: value for name, value in settings.items() if value is not None}

    @cached_property
    def loaded(self) -> "Loaded":
        """The settings and where each came from; raises SettingsError."""
        from streams.settings import load_settings

        return load_settings(self._overrides, config=self._config)

    @property
    def settings(self) -> "Settings":
        """The settings; raises SettingsError."""
        return self.loaded.settings

    @property
    def client(self) -> dict[str, Any]:
        """What to give a Kafka client; a new dict each time, for the caller to add to."""
        from streams.kafka.client import client_config

        settings = self.settings
        return client_config(settings.bootstrap, client_id="realname-cli", extra=settings.kafka)

    @property
    def admin(self) -> "AdminClient":
        """A new administrator's client, not connected yet; raises SettingsError and BadInput."""
        from confluent_kafka import KafkaException
        from confluent_kafka.admin import AdminClient

        try:
            return AdminClient(self.client)
        except KafkaException as error:
            raise _bad_client(error.args[0].str()) from error

    def say(self, text: str) -> None:
        """Tell a person, on standard error."""
        self.err.print(text, markup=False, soft_wrap=True)


def _bad_client(reason: str) -> BadInput:
    return BadInput(f"the Kafka client does not take its settings: {reason}; correct --kafka")


def command(
    app: typer.Typer,
    name: str,
    *,
    examples: Sequence[str],
    exits: Sequence[Exit] = (Exit.OK, Exit.USAGE, Exit.CLUSTER),
) -> Callable[[Callable[Concatenate[Run, P], Exit | None]], Callable[Concatenate[Run, P], None]]:
    """Register a function as a command; its docstring, the examples and exit codes are its help.

    The function gets a `Run` and its own options, and returns its exit code, None for OK. What is
    registered has the common options besides.
    """

    def register(
        function: Callable[Concatenate[Run, P], Exit | None],
    ) -> Callable[Concatenate[Run, P], None]:
        hints = get_type_hints(function, include_extras=True)
        own = list(inspect.signature(function).parameters.values())[1:]
        common = [
            inspect.Parameter(option, inspect.Parameter.KEYWORD_ONLY, default=None, annotation=hint)
            for option, hint in _COMMON.items()
        ]
        keyword_only = [p.replace(kind=inspect.Parameter.KEYWORD_ONLY) for p in own]

        @functools.wraps(function)
        def entry(**given: Any) -> None:  # noqa: ANN401 - each command has options of its own
            options = {option: given.pop(option) for option in _COMMON}
            raise typer.Exit(_guarded(function, options, given))

        entry.__signature__ = inspect.Signature([*keyword_only, *common])  # type: ignore[attr-defined]  # what typer reads
        entry.__annotations__ = {p.name: hints[p.name] for p in own} | dict(_COMMON)
        app.command(name, help=_help(function.__doc__ or "", examples, exits))(entry)
        return function  # type: ignore[return-value]  # a caller in Python has no use for the code

    return register


def _help(text: str, examples: Sequence[str], exits: Sequence[Exit]) -> str:
    paragraphs = [" ".join(part.split()) for part in inspect.cleandoc(text).split("\n\n")]
    shown = ["\b\nExamples", *(f"  {example}" for example in examples)]
    codes = ["\b\nExit codes", *(f"  {code.value}  {MEANINGS[code]}" for code in exits)]
    return "\n\n".join([*paragraphs, "\n".join(shown), "\n".join(codes)])


def _guarded(
    function: Callable[..., Exit | None],
    options: dict[str, Any],
    given: dict[str, Any],
) -> Exit:
    """Run a command; what a user can put right is told in a line each, and only a bug is raised."""
    err = Console(stderr=True, highlight=False)
    run = None
    try:
        options["kafka"] = _pairs(options["kafka"])
        run = Run(**options)
        err = run.err
        _log(options["log_level"])
        return function(run, **given) or Exit.OK
    except KeyboardInterrupt:
        return Exit.INTERRUPTED
    except Exception as error:
        known = _known(error, run)
        if known is None:
            raise
        code, lines = known
        for line in lines:
            err.print(f"[bold red]error:[/] {_escaped(line)}", soft_wrap=True)
        return code


def _known(error: Exception, run: Run | None) -> tuple[Exit, Sequence[str]] | None:
    """Return the exit code and the lines to show for an error that is not a bug of ours."""
    from streams.kafka.errors import ClusterError
    from streams.reference.mistakes import ReferenceFileError
    from streams.settings import SettingsError

    if isinstance(error, BadInput | SettingsError):
        return Exit.USAGE, error.mistakes
    if isinstance(error, ReferenceFileError):
        return Exit.USAGE, [str(mistake) for mistake in error.mistakes]
    if isinstance(error, ClusterError):
        return Exit.CLUSTER, [str(cluster_trouble(error, run))]
    return None


def cluster_trouble(error: "ClusterError", run: Run | None) -> "ClusterError":
    """Return what is wrong with Kafka, after a closer look where the error alone says little.

    Time runs out alike for a broker that is down and for one that does not accept our login.
    """
    from streams.kafka.diagnosis import why_unavailable
    from streams.kafka.errors import ACCESS_COMMAND, KafkaUnavailable, TopicMissing

    if run is None:
        return error
    if isinstance(error, KafkaUnavailable):
        found = why_unavailable(run.client, error)
        start = "the embedded one starts with `realname broker start`"
        return KafkaUnavailable(f"{error}; {start}") if found is error else found
    if isinstance(error, TopicMissing) and "sasl.username" in run.settings.kafka:
        hint = f"if it exists, this user may not see it: `{ACCESS_COMMAND}`"
        return TopicMissing(f"{error}; {hint}")
    return error


def _escaped(text: str) -> str:
    from rich.markup import escape

    return escape(text)


def _pairs(given: Sequence[str] | None) -> dict[str, str] | None:
    if not given:
        return None
    wrong = [text for text in given if "=" not in text]
    if wrong:
        # What stands before an equals sign is a name; without one it may be a secret.
        raise BadInput("--kafka takes NAME=VALUE, such as --kafka security.protocol=SASL_SSL")
    return dict(text.split("=", maxsplit=1) for text in given)


def _log(level: str | None) -> None:
    """Log warnings only, unless told otherwise: a command says itself what it does."""
    import logging

    from streams import logs

    logs.configure(level or "warning")
    if level != "debug":
        # The client repeats every refused connection; we say it once, with the remedy.
        logging.getLogger("streams.kafka.client").setLevel(logging.CRITICAL)
