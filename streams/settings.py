"""Settings: read in one place, once, all mistakes told together; passed down as plain values.

Precedence: command line, environment (`REALNAME_...`), TOML file, defaults. This is the only module
that looks at the environment.
"""

import difflib
import os
import re
import sys
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Annotated, Any, Final, Literal, get_args

import platformdirs
from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    SecretStr,
    ValidationError,
)
from pydantic_core import ErrorDetails
from pydantic_settings import (
    BaseSettings,
    EnvSettingsSource,
    NoDecode,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
)
from pydantic_settings import SettingsError as SourceError

from streams.domain.policy import Policy
from streams.records.topics import PREFIX_DEFAULT, Topic, catalogue

ENV_PREFIX: Final = "REALNAME_"
ENV_NESTED: Final = "__"
ENV_CONFIG: Final = f"{ENV_PREFIX}CONFIG"
CONFIG_DEFAULT: Final = Path("realname.toml")
BOOTSTRAP_DEFAULT: Final = "127.0.0.1:9092"  # Where the embedded broker is, unless told otherwise.
REDACTED: Final = "(secret)"
SECRET_CHARACTERS_MIN: Final = 32

Clock = Literal["wall", "data"]
AgentName = Literal["match", "rate", "rollup", "compliance", "notify"]
LogLevel = Literal["debug", "info", "warning", "error"]
Language = Literal["en", "zh"]
ClientValue = str | int | float | bool

AGENTS: Final[tuple[AgentName, ...]] = get_args(AgentName)

_DURATION: Final = re.compile(r"(\d+)\s*(ms|s|min|h|d)")
_UNIT_MS: Final = {"ms": 1, "s": 1_000, "min": 60_000, "h": 3_600_000, "d": 86_400_000}


def has_desktop() -> bool:
    """Return whether a window that is opened here comes up before the person at this terminal."""
    if os.environ.get("SSH_CONNECTION"):
        return False
    return sys.platform == "darwin" or any(map(os.environ.get, ("DISPLAY", "WAYLAND_DISPLAY")))


def duration_ms(value: object) -> object:
    """Return milliseconds for a text like `250ms`, `90s`, `30min`, `2h`, `3d`; else the value."""
    if isinstance(value, str) and (found := _DURATION.fullmatch(value.strip())):
        return int(found.group(1)) * _UNIT_MS[found.group(2)]
    return value


def _client_properties(value: object) -> object:
    """Write names as Kafka clients do: `sasl_mechanism`, or a nested table, as `sasl.mechanism`."""
    return dict(_flat(value)) if isinstance(value, Mapping) else value


def _flat(table: Mapping[str, object], above: str = "") -> Iterator[tuple[str, object]]:
    for key, value in table.items():
        name = f"{above}{key.replace('_', '.')}"
        if isinstance(value, Mapping):
            yield from _flat(value, f"{name}.")
        else:
            yield name, value


def _listed(value: object) -> object:
    if isinstance(value, str):
        return tuple(part.strip() for part in value.split(",") if part.strip())
    return value


def _known_topics(value: dict[str, int]) -> dict[str, int]:
    catalogue(partitions=value)
    return value


def _policy_figures(value: object) -> object:
    if not isinstance(value, Mapping):
        return value
    known = [f.name for f in fields(Policy) if f.init]
    unknown = [name for name in value if name not in known]
    if unknown:
        raise ValueError("; ".join(_unknown(name, known) for name in unknown))
    return {
        name: duration_ms(figure) if name.endswith("_ms") else figure
        for name, figure in value.items()
    }


def _unknown(name: str, known: Sequence[str]) -> str:
    near = difflib.get_close_matches(name, known, n=1)
    instead = f"did you mean {near[0]}?" if near else f"there are {', '.join(known)}"
    return f"{name} is not known; {instead}"


def _hard_to_guess(value: SecretStr) -> SecretStr:
    secret = value.get_secret_value()
    if secret and (
        len(secret) < SECRET_CHARACTERS_MIN or not secret.isprintable() or " " in secret
    ):
        raise ValueError(
            f"has under {SECRET_CHARACTERS_MIN} characters, or spaces or line ends; "
            "`openssl rand -base64 32` makes one"
        )
    return value


DurationMs = Annotated[int, BeforeValidator(duration_ms)]


_HTTP_ADDRESS: Final = r"^https?://[^\s/,]+(/[^\s,]*)?$"
_PASSWORD: Final = re.compile(r"(?<=//)([^/@:]*):[^/@]*@")


_PLACES: Final = ("granularity", "scope_id", "city", "enterprise", "alert_id")


def _known_places(value: str) -> str:
    try:
        value.format_map(dict.fromkeys(_PLACES, ""))
    except (KeyError, ValueError, IndexError) as error:
        raise ValueError(f"names a place that is not known: {error}") from error
    return value


class NotifySettings(BaseModel):
    """The table `notify`: whom to tell of alerts, and how often."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    alertmanagers: Annotated[
        tuple[Annotated[str, Field(pattern=_HTTP_ADDRESS)], ...],
        NoDecode,
        BeforeValidator(_listed),
    ] = Field(
        (),
        description="Addresses of Alertmanagers, http://host:port; each is told everything",
    )
    runbook_url: str = Field(
        "deploy/runbooks",
        description="Folder or address that the runbooks are under",
    )
    dashboard_url: Annotated[str, AfterValidator(_known_places)] = Field(
        "",
        pattern=r"^(https?://\S+)?$",
        description=(
            "Address that shows an alert's scope, with {granularity}, {scope_id}, {city}, "
            "{enterprise} or {alert_id} in it"
        ),
    )
    resend_ms: DurationMs = Field(
        60_000, ge=1_000, le=180_000, description="Time between two posts of an alert"
    )
    ahead_ms: DurationMs = Field(
        3_600_000,
        ge=240_000,
        le=86_400_000,
        description="How long an Alertmanager that hears no more keeps an alert firing",
    )
    ended_ms: DurationMs = Field(
        900_000, ge=300_000, le=3_600_000, description="How long the end of an alert is posted"
    )
    group_wait_ms: DurationMs = Field(
        120_000,
        ge=0,
        le=3_600_000,
        description=(
            "The group_wait of the Alertmanagers' routes for pages; an alert that is first posted later "
            "than that waits for others, too"
        ),
    )
    timeout_ms: DurationMs = Field(
        10_000, ge=100, le=60_000, description="How long one request to an Alertmanager may take"
    )
    http_port: int = Field(
        8341,
        ge=0,
        le=65_535,
        description="Port of /live, /ready and /metrics of `realname notify`; 0 picks a free one",
    )

    def shown(self) -> Iterator[tuple[str, object]]:
        """Return every entry with its value, without passwords."""
        for name in type(self).model_fields:
            value = getattr(self, name)
            if name == "alertmanagers":
                value = ",".join(_PASSWORD.sub(rf"\1:{REDACTED}@", address) for address in value)
            yield name, value


class Settings(BaseSettings):
    """What one run of the program was told. Immutable; `load_settings` makes it.

    The descriptions are shown by `realname config show`.
    """

    model_config = SettingsConfigDict(
        env_prefix=ENV_PREFIX,
        env_nested_delimiter=ENV_NESTED,
        extra="forbid",
        frozen=True,
    )

    bootstrap: str = Field(
        BOOTSTRAP_DEFAULT,
        pattern=r"^[^\s,:/]+:\d{1,5}(,[^\s,:/]+:\d{1,5})*$",
        description="Brokers, host:port[,host:port]; by default the embedded one",
    )
    prefix: str = Field(
        PREFIX_DEFAULT,
        pattern=r"^[A-Za-z0-9._-]{0,64}$",
        description="Begins the name of every topic, consumer group and transactional id",
    )
    data_dir: Path = Field(
        default_factory=lambda: Path(platformdirs.user_data_path("realname-streams")),
        description="Where the embedded broker keeps everything that it writes",
    )
    kafka: Annotated[dict[str, ClientValue], BeforeValidator(_client_properties)] = Field(
        default_factory=dict,
        description="Properties of librdkafka, for SASL and TLS: security.protocol, sasl.mechanism",
    )
    partitions: Annotated[
        dict[str, Annotated[int, Field(ge=1, le=1000)]],
        BeforeValidator(_client_properties),
        AfterValidator(_known_topics),
    ] = Field(
        default_factory=dict,
        description="Partition counts by topic, where they differ from the catalogue's",
    )
    replication: int = Field(
        -1,
        ge=-1,
        le=15,
        description="Replicas of a created topic; -1 leaves it to the broker",
    )
    clock: Clock = Field(
        "wall",
        description="When a record was received: wall is its Kafka timestamp, data its received_at",
    )
    agents: Annotated[tuple[AgentName, ...], NoDecode, BeforeValidator(_listed)] = Field(
        AGENTS,
        min_length=1,
        description="Agents that a worker runs",
    )
    processes: int = Field(1, ge=1, le=64, description="Processes of a worker")
    slot: str = Field(
        "0",
        pattern=r"^[A-Za-z0-9_-]{1,32}$",
        description="Name of this worker's place; of two workers with one name the older is fenced",
    )
    flush_ms: DurationMs = Field(
        500,
        ge=50,
        le=5_000,
        description="Time between two transactions of a stage",
    )
    flush_records: int = Field(
        200_000,
        ge=1,
        le=1_000_000,
        description="Records after which a transaction ends earlier",
    )
    http_host: str = Field("127.0.0.1", description="Address of a worker's /live, /ready, /metrics")
    http_port: int = Field(
        8321,
        ge=0,
        le=65_535,
        description="Port of the same, the next ones for further processes; 0 picks free ones",
    )
    broker_heap_mb: int = Field(
        512,
        ge=256,
        le=65_536,
        description="Memory of the embedded broker, in MiB",
    )
    java_home: str | None = Field(
        default_factory=lambda: os.environ.get("JAVA_HOME"),
        description="Java for the embedded broker, where the extra `embedded` brings none",
    )
    notify: NotifySettings = Field(
        default_factory=NotifySettings,
        description="Whom to tell of alerts, and how often",
    )
    log_level: LogLevel = Field("info", description="Least level that is logged")
    language: Language = Field("en", description="Language of headings and labels")
    policy: Annotated[Policy, BeforeValidator(_policy_figures)] = Field(
        default_factory=Policy,
        description="Figures of the rule book; all workers of one deployment must agree on them",
    )
    waybill_hash_key: Annotated[SecretStr, AfterValidator(_hard_to_guess)] = Field(
        SecretStr(""),
        description=(
            "Secret by which closed parcels are remembered; all workers must have the same, and for as "
            "long as their states are kept. Without one, whoever reads match.state can try waybills out"
        ),
    )

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        *others: PydanticBaseSettingsSource,
        **named: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Take only what `load_settings` has put together, which knows where each value is from."""
        del settings_cls, others, named
        return (init_settings,)

    def topics(self) -> Mapping[str, Topic]:
        """Return the topic catalogue by short name, with this prefix and these partition counts."""
        return catalogue(self.prefix, self.partitions)

    def group(self, stage: str) -> str:
        """Return the consumer group that commits a stage's input offsets."""
        return f"{self.prefix}{stage}"


class SettingsError(Exception):
    """Settings are wrong. `mistakes` names every one, and what to do; nothing was started."""

    def __init__(self, mistakes: Sequence[str]) -> None:
        """Take all mistakes that were found; there must be one at least."""
        assert mistakes
        self.mistakes = tuple(mistakes)
        super().__init__("\n".join(mistakes))


@dataclass(frozen=True, slots=True)
class Loaded:
    """Settings, and from where each value that is not a default came.

    Attributes:
        settings: The result.
        origins: By path, as `kafka.sasl.mechanism`: `--kafka`, `REALNAME_...` or a file's name.
        file: The TOML file that was read; None if there was none.

    """

    settings: Settings
    origins: Mapping[str, str]
    file: Path | None = None


def load_settings(
    overrides: Mapping[str, object] | None = None,
    *,
    config: Path | None = None,
) -> Loaded:
    """Put the settings together.

    Args:
        overrides: What the command line says, by setting; None is not said.
        config: The TOML file; None for REALNAME_CONFIG, or else ./realname.toml if there is one.

    Raises:
        SettingsError: With every mistake in any of the sources.

    """
    mistakes: list[str] = []
    merged: dict[str, Any] = {}
    origins: dict[str, str] = {}
    file = _file(config)
    for table, origin in (
        _from_file(file, mistakes),
        _from_environment(mistakes),
        _from_command_line(overrides or {}),
    ):
        _merge(merged, table)
        for path in _paths(table):
            origins[path] = origin(path)
    try:
        settings = Settings(**merged)
    except ValidationError as error:
        mistakes += [_explain(detail, origins) for detail in error.errors(include_url=False)]
    if mistakes:
        raise SettingsError(mistakes)
    return Loaded(settings, origins, file)


Form = Literal["file", "environment", "command line"]

# Where an option is not called as its setting is.
_OPTIONS: Final = {
    "notify.alertmanagers": "--alertmanager",
    "notify.http_port": "--http-port",
}


class _Origin:
    """Says how a user wrote the setting of a path."""

    def __init__(self, form: Form, file: str = "") -> None:
        self.form = form
        self.file = file

    def __call__(self, path: str) -> str:
        if self.form == "file":
            return f"{self.file}: {path}"
        head, _, rest = path.partition(".")
        if self.form == "environment":
            nested = f"{ENV_NESTED}{rest.replace('.', '_')}" if rest else ""
            return f"{ENV_PREFIX}{head}{nested}".upper()
        return _OPTIONS.get(path, f"--{head.replace('_', '-')}")


def _file(config: Path | None) -> Path | None:
    """Return the file to read: named, and to be there, or the default one if that is there."""
    if config is not None or os.environ.get(ENV_CONFIG):
        return config or Path(os.environ[ENV_CONFIG])
    return CONFIG_DEFAULT if CONFIG_DEFAULT.exists() else None


def _from_file(path: Path | None, mistakes: list[str]) -> tuple[dict[str, Any], _Origin]:
    origin = _Origin("file", str(path))
    if path is None:
        return {}, origin
    try:
        return _normalised(tomllib.loads(path.read_text("utf8"))), origin
    except OSError as error:
        mistakes.append(f"{path}: cannot be read ({error.strerror}); check --config")
    except UnicodeDecodeError:
        mistakes.append(f"{path}: is not UTF-8; save it as UTF-8")
    except tomllib.TOMLDecodeError as error:
        mistakes.append(f"{path}: is not TOML: {error}; correct that line")
    return {}, origin


def _from_environment(mistakes: list[str]) -> tuple[dict[str, Any], _Origin]:
    origin = _Origin("environment")
    known = list(Settings.model_fields)
    for name in sorted(os.environ):
        if name.startswith(ENV_PREFIX) and name != ENV_CONFIG:
            head = name.removeprefix(ENV_PREFIX).lower().partition(ENV_NESTED)[0]
            if head not in known:
                near = difflib.get_close_matches(head, known, n=1)
                instead = f"did you mean {origin(near[0])}?" if near else "unset it"
                mistakes.append(f"{name}: there is no such setting; {instead}")
    try:
        return _normalised(EnvSettingsSource(Settings)()), origin
    except SourceError as error:
        # Its text quotes no value: a table was given as one variable, and not as JSON.
        field = re.search(r'field "(\w+)"', str(error))
        name = origin(field.group(1)) if field else "the environment"
        mistakes.append(f"{name}: is a table; give its entries as {name}{ENV_NESTED}NAME=VALUE")
    return {}, origin


def _from_command_line(overrides: Mapping[str, object]) -> tuple[dict[str, Any], _Origin]:
    said = {name: value for name, value in overrides.items() if value is not None}
    return _normalised(said), _Origin("command line")


def _normalised(table: Mapping[str, Any]) -> dict[str, Any]:
    """Give open tables one form of name, so that sources override each other entry by entry."""
    return {
        name: _client_properties(value) if name in ("kafka", "partitions") else value
        for name, value in table.items()
    }


def _merge(into: dict[str, Any], table: Mapping[str, Any]) -> None:
    for name, value in table.items():
        if isinstance(value, Mapping) and isinstance(into.get(name), dict):
            into[name] = {**into[name], **value}
        else:
            into[name] = value


def _paths(table: Mapping[str, Any]) -> Iterator[str]:
    for name, value in table.items():
        if isinstance(value, Mapping):
            yield from (f"{name}.{entry}" for entry in value)
        else:
            yield name


def _explain(detail: ErrorDetails, origins: Mapping[str, str]) -> str:
    """Return one mistake: where it was written, what is wrong, what to do. Quotes no secret."""
    location = [str(part) for part in detail["loc"]]
    name = location[0] if location else ""
    # A union's branches are part of the location; a table's entry is the longest path we know.
    ends = (".".join(location[:end]) for end in range(len(location), 0, -1))
    below = (at for at in origins if at.startswith(f"{name}."))
    path = next((at for at in (*ends, *below) if at in origins), name)
    if detail["type"] == "extra_forbidden":
        known = Settings.model_fields if len(location) == 1 else NotifySettings.model_fields
        near = difflib.get_close_matches(location[-1], known, n=1)
        instead = f"did you mean {near[0]}?" if near else "remove it"
        return f"{origins.get(path, path)}: there is no such setting; {instead}"
    what = detail["msg"].removeprefix("Value error, ").removeprefix("Assertion failed, ")
    what = what.replace("\n", "; ")
    what = what or "the figures contradict one another"
    if detail["type"] == "string_pattern_mismatch":
        what = "is not of its form"
    given = detail["input"]
    # These may hold passwords.
    secret = name in ("kafka", "waybill_hash_key") or path == "notify.alertmanagers"
    quoted = f"{given!r}: " if not secret and isinstance(given, str | int | float) else ""
    told = Settings.model_fields.get(name)
    if name == "notify" and len(location) > 1:
        told = NotifySettings.model_fields.get(location[1])
    about = None if told is None else told.description
    hint = f"; it means: {about}" if about else ""
    return f"{origins.get(path, path)}: {quoted}{what[:1].lower()}{what[1:]}{hint}"


_SECRET: Final = re.compile(r"password|secret|token|\.pem$|\.key$|oauthbearer\.config|jaas")


def shown(settings: Settings) -> Iterator[tuple[str, object]]:
    """Return every setting by path with its value, for people; secrets are redacted."""
    for name in type(settings).model_fields:
        value = getattr(settings, name)
        if isinstance(value, Policy):
            yield from ((f"{name}.{f.name}", getattr(value, f.name)) for f in fields(value))
        elif isinstance(value, NotifySettings):
            yield from ((f"{name}.{entry}", inner) for entry, inner in value.shown())
        elif isinstance(value, dict):
            for entry, inner in sorted(value.items()):
                yield f"{name}.{entry}", REDACTED if _SECRET.search(entry) else inner
        elif isinstance(value, SecretStr):
            yield name, REDACTED if value else ""
        elif isinstance(value, tuple):
            yield name, ",".join(value)
        else:
            yield name, str(value) if isinstance(value, Path) else value
