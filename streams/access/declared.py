"""The declared file `access.toml`: who there is, and as what.

    [[principals]]
    name = "enterprise-yto"
    role = "enterprise"
    enterprise_id = "911500000000010017"
    quotas = { consumer_byte_rate = 1_048_576 }

What each role may do is not in the file but in `roles.py`: it follows from what the program does.
"""

import re
import tomllib
from collections.abc import Iterator, Sequence
from enum import StrEnum
from itertools import permutations
from pathlib import Path
from typing import Annotated, Final, Self

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from streams.records.topics import catalogue, compliance_topic
from streams.reference.fields import ENTERPRISE
from streams.reference.toml_lines import lines_of

# Also a Kubernetes name and a file name.
NAME_PATTERN: Final = r"^[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?$"

RESERVED: Final = frozenset({"admin", "broker", "anonymous"})
"""The embedded broker's own, who may do everything, and what Kafka calls a nameless client."""

PRINCIPALS_MAX: Final = 1_000

_LINE: Final = re.compile(r" \(at line (\d+), column \d+\)$")


class Role(StrEnum):
    """What a principal is there for."""

    WORKER = "worker"
    SERVE = "serve"
    NOTIFY = "notify"
    GATEWAY = "gateway"
    OPERATOR = "operator"
    ENTERPRISE = "enterprise"


class Quotas(BaseModel):
    """How much a user may take of each broker; what is None is not limited."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    producer_byte_rate: Annotated[int, Field(gt=0)] | None = None
    consumer_byte_rate: Annotated[int, Field(gt=0)] | None = None
    request_percentage: Annotated[int, Field(gt=0)] | None = None
    controller_mutation_rate: Annotated[float, Field(gt=0)] | None = None


class Principal(BaseModel):
    """One user of Kafka. Its name is the user's; `enterprise_id` is that of an enterprise's only."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, Field(pattern=NAME_PATTERN)]
    role: Role
    enterprise_id: Annotated[str, Field(pattern=f"^{ENTERPRISE.pattern}$")] | None = None
    quotas: Quotas = Quotas()

    @model_validator(mode="after")
    def _is_one_or_the_other(self) -> Self:
        if self.name in RESERVED:
            raise ValueError(f"{self.name} is a name that Kafka or its broker uses; take another")
        if (self.role is Role.ENTERPRISE) != (self.enterprise_id is not None):
            raise ValueError(
                "enterprise_id is missing; an enterprise's principal needs it"
                if self.role is Role.ENTERPRISE
                else f"enterprise_id does not belong to the role {self.role}; remove it"
            )
        return self


class _File(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    principals: Annotated[tuple[Principal, ...], Field(max_length=PRINCIPALS_MAX)]


class AccessFileError(Exception):
    """The declared file is wrong. `mistakes` names every one, and what to do; nothing was changed."""

    def __init__(self, *mistakes: str) -> None:
        """Take all mistakes that were found; there must be one at least."""
        assert mistakes
        self.mistakes = mistakes
        super().__init__("\n".join(mistakes))


def read_access(path: Path, prefix: str) -> Sequence[Principal]:
    """Read the file and check it whole; `prefix` begins our own topics and groups.

    Raises:
        AccessFileError: It cannot be read or is wrong.
    """
    try:
        text = path.read_text("utf8")
    except OSError as error:
        raise AccessFileError(f"{path}: cannot be read ({error.strerror}); check --file") from error
    except UnicodeDecodeError as error:
        raise AccessFileError(f"{path}: is not UTF-8; save it as UTF-8") from error
    return parse_access(text, str(path), prefix)


def parse_access(text: str, file: str, prefix: str) -> Sequence[Principal]:
    """Return the principals of a file's text, in its order. Raises as `read_access` does."""
    try:
        found = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        place = _LINE.search(str(error))
        # What is not closed is noticed at the end, which has no line in the message.
        line_number = place[1] if place else text.rstrip().count("\n") + 1
        where = f"{file}:{line_number}"
        raise AccessFileError(
            f"{where}: not readable as TOML: {_LINE.sub('', str(error))}"
        ) from error
    lines = lines_of(text)

    def line(path: tuple[str | int, ...]) -> int:
        while path and path not in lines:
            path = path[:-1]
        return lines.get(path, 1)

    try:
        principals = _File.model_validate(found).principals
    except ValidationError as error:
        raise AccessFileError(
            *(
                f"{file}:{line(detail['loc'])}: {_said(detail['loc'], detail['msg'], detail['type'])}"
                for detail in error.errors(include_url=False, include_context=False)
            )
        ) from error
    mistakes = [
        f"{file}:{line(('principals', index))}: {mistake}"
        for index, mistake in _between(principals, prefix)
    ]
    if mistakes:
        raise AccessFileError(*mistakes)
    return principals


def _said(location: tuple[str | int, ...], message: str, kind: str) -> str:
    name = ".".join(
        str(part) for part in location if isinstance(part, str) and part != "principals"
    )
    if kind == "extra_forbidden":
        return f"{name} is not known; remove it"
    if kind == "string_pattern_mismatch":
        return f"{name} may have no other characters than a-z, 0-9 and - (an id: also A-Z . _)"
    said = message.removeprefix("Value error, ")
    return (
        f"{name or 'principals'}: {said[:1].lower()}{said[1:]}" if kind != "value_error" else said
    )


def _between(principals: Sequence[Principal], prefix: str) -> Iterator[tuple[int, str]]:
    """Yield what is wrong with principals beside each other, with the index of the later one."""
    first: dict[str, int] = {}
    for index, principal in enumerate(principals):
        if first.setdefault(principal.name, index) != index:
            yield index, f"name {principal.name} is listed twice; give each its own"
        own = principal.enterprise_id
        if own and compliance_topic(own) in catalogue():
            yield (
                index,
                f"enterprise_id {own} would read our own {compliance_topic(own)}; change one",
            )
        if own and (f"{own}.".startswith(prefix) or prefix.startswith(f"{own}.")):
            yield index, f"enterprise_id {own} would share its groups with {prefix}*; change one"
    ids = {p.enterprise_id: index for index, p in enumerate(principals) if p.enterprise_id}
    for (shorter, _), (longer, index) in permutations(ids.items(), 2):
        # An ACL on groups reaches everything that begins so.
        if longer.startswith(f"{shorter}."):
            yield index, f"enterprise_id {longer} lies within the groups of {shorter}; change one"
