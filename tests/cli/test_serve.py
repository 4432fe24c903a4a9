import socket
from pathlib import Path

import pytest

from streams.serve.access import read_tokens
from streams.tokens import hash_of
from tests.cli.conftest import Realname

WRONG = [
    (["--http", "0.0.0.0:8080"], "say who may see what"),
    (["--http", "board.example:8080"], "say who may see what"),
    (["--http", "8080"], "is not HOST:PORT"),
    (["--http", "127.0.0.1:99999"], "is not HOST:PORT"),
    (["--tokens", "none.toml"], "none.toml: cannot be read"),
    (["--tokens", "empty.toml"], "empty.toml: has no [[tokens]]"),
    (["--tokens", "empty.toml", "--open"], "contradict one another"),
]


@pytest.mark.parametrize(("options", "told"), WRONG)
def test_wrong_options_are_refused_before_anything_starts(
    realname: Realname, own_folder: Path, options: list[str], told: str
) -> None:
    (own_folder / "empty.toml").write_text("")
    result = realname("serve", *options)
    assert result.code == 2
    assert told in result.err


def test_a_port_that_is_taken_is_refused(realname: Realname) -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        result = realname("serve", "--http", f"127.0.0.1:{taken.getsockname()[1]}")
    assert result.code == 2
    assert "choose another port" in result.err


def test_a_new_token_is_shown_once_and_its_lines_make_a_file(
    realname: Realname, own_folder: Path
) -> None:
    result = realname.ok("serve", "--new-token", 'Ordos "night" desk')
    token = result.out.strip()
    lines = result.err[result.err.index("[[tokens]]") :]
    assert hash_of(token) in lines
    assert token not in lines
    path = own_folder / "tokens.toml"
    path.write_text(lines, "utf8")
    access = read_tokens(path).access(token)
    assert access is not None
    assert access.name == 'Ordos "night" desk'
    assert access.everything
