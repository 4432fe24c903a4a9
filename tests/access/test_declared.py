"""The declared file: every mistake is told with its line, and nothing of a wrong file is used."""

from pathlib import Path

import pytest

from streams.access.declared import AccessFileError, Role, parse_access, read_access
from streams.resources import access_file

PREFIX = "realname."


def principal(**entries: object) -> str:
    lines = [f"{name} = {value}" for name, value in entries.items()]
    return "\n".join(["[[principals]]", *lines, ""])


WORKER = principal(name='"worker"', role='"worker"')


def mistakes(text: str, prefix: str = PREFIX) -> tuple[str, ...]:
    with pytest.raises(AccessFileError) as raised:
        parse_access(text, "access.toml", prefix)
    return raised.value.mistakes


def enterprise(name: str, enterprise_id: str) -> str:
    return principal(name=f'"{name}"', role='"enterprise"', enterprise_id=f'"{enterprise_id}"')


def test_the_shipped_file_has_every_role_and_every_enterprise_of_the_demonstration() -> None:
    principals = read_access(access_file(), PREFIX)
    assert {p.role for p in principals} == set(Role)
    listed = {line.split(",")[3] for line in _outlets()[1:]}
    assert {p.enterprise_id for p in principals if p.role is Role.ENTERPRISE} == listed


def _outlets() -> list[str]:
    return (access_file().parent / "config/outlets.csv").read_text("utf8").splitlines()


def test_a_principal_may_have_quotas() -> None:
    text = principal(name='"serve"', role='"serve"', quotas="{ consumer_byte_rate = 5 }")
    (found,) = parse_access(text, "access.toml", PREFIX)
    assert found.quotas.model_dump(exclude_none=True) == {"consumer_byte_rate": 5}


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("principals = [", "access.toml:1: not readable as TOML"),
        ("", "access.toml:1: principals: field required"),
        (WORKER + WORKER, "access.toml:4: name worker is listed twice"),
        (principal(name='"worker"'), "access.toml:1: role: field required"),
        (principal(name='"w"', role='"king"'), "access.toml:3: role: input should be 'worker'"),
        (principal(name='"W_1"', role='"worker"'), "access.toml:2: name may have no other"),
        (principal(name='"admin"', role='"operator"'), "access.toml:1: admin is a name that Kafka"),
        (
            principal(name='"yto"', role='"enterprise"'),
            "access.toml:1: enterprise_id is missing",
        ),
        (
            principal(name='"serve"', role='"serve"', enterprise_id='"9115"'),
            "access.toml:1: enterprise_id does not belong to the role serve; remove it",
        ),
        (enterprise("all", "*"), "access.toml:4: enterprise_id may have no other"),
        (WORKER + "rights = 1\n", "access.toml:4: rights is not known; remove it"),
        (
            principal(name='"s"', role='"serve"', quotas="{ consumer_byte_rate = 0 }"),
            "access.toml:4: quotas.consumer_byte_rate: input should be greater than 0",
        ),
        (enterprise("s", "state"), "access.toml:1: enterprise_id state would read our own compl"),
        (enterprise("r", "realname"), "access.toml:1: enterprise_id realname would share its"),
        (
            enterprise("a", "91") + enterprise("b", "91.15"),
            "access.toml:5: enterprise_id 91.15 lies within the groups of 91",
        ),
    ],
)
def test_a_mistake_is_told_with_its_line(text: str, expected: str) -> None:
    (found,) = mistakes(text)
    assert found.startswith(expected)


def test_all_mistakes_are_told_at_once() -> None:
    text = principal(name='"W"', role='"worker"') + principal(name='"x"', role='"y"')
    assert len(mistakes(text)) == 2


def test_an_enterprise_whose_id_begins_the_prefix_is_refused() -> None:
    assert "would share its groups" in mistakes(enterprise("r", "realname"), "realname.test.")[0]


def test_a_file_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(AccessFileError, match=r"cannot be read .* check --file"):
        read_access(tmp_path / "no.toml", PREFIX)
