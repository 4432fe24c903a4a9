"""`realname gateway` and `realname keys`, as an operator gives them."""

import socket
from pathlib import Path

import pytest

from streams.gateway.subjects import read_keys
from tests.cli.conftest import Realname
from tests.gateway.setting import write_tokens

WRONG = [
    (["--http", "0.0.0.0:8350"], "can be reached by others"),
    (["--http", "8350"], "is not HOST:PORT"),
    (["--tls-key", "k.pem"], "belong together"),
    (["--tls-client-authority", "c.pem"], "needs --tls-certificate"),
    (["--tls-certificate", "none.pem", "--tls-key", "none.pem"], "cannot be used"),
    (["--tls-certificate", "tokens.toml", "--tls-key", "tokens.toml"], "is no certificate"),
    (["--tokens", "none.toml"], "cannot be read"),
    (["--tokens", "readers.toml"], "no token may write"),
    (["--subject-keys", "none.toml"], "`realname keys rotate` makes one"),
    (["--subject-keys", "tokens.toml"], "chmod 600"),
]


@pytest.mark.parametrize(("options", "told"), WRONG)
def test_wrong_options_are_refused_before_anything_starts(
    realname: Realname, own_folder: Path, options: list[str], told: str
) -> None:
    tokens = write_tokens(own_folder / "tokens.toml")
    tokens.chmod(0o644)
    (own_folder / "readers.toml").write_text(
        f'[[tokens]]\nname = "a"\nsha256 = "{"0" * 64}"\nregion = true\n'
    )
    result = realname("gateway", "--http", "127.0.0.1:0", "--tokens", "tokens.toml", *options)
    assert result.code == 2
    assert told in result.err


def test_a_port_that_is_taken_is_refused(realname: Realname, own_folder: Path) -> None:
    write_tokens(own_folder / "tokens.toml")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        address = f"127.0.0.1:{taken.getsockname()[1]}"
        result = realname("gateway", "--http", address, "--tokens", "tokens.toml")
    assert result.code == 2
    assert "choose another" in result.err


def test_keys_are_made_follow_one_another_and_are_destroyed(
    realname: Realname, own_folder: Path
) -> None:
    path = own_folder / "keys.toml"
    realname.ok("keys", "rotate", "keys.toml")
    assert path.stat().st_mode & 0o777 == 0o600
    realname.ok("keys", "rotate", "keys.toml", "--from", "2999-01-01T00:00:00+08:00")
    shown = realname.ok("keys", "list", "keys.toml", "--json")
    assert [(row["key_id"], row["state"]) for row in shown.rows] == [
        ("k1", "in use"),
        ("k2", "to come"),
    ]
    secrets = [line for line in path.read_text().splitlines() if line.startswith("secret")]
    assert len(set(secrets)) == 2
    assert not any(secret in shown.out for secret in secrets)
    assert "is in use" in realname("keys", "retire", "keys.toml", "k1", "--yes").err
    assert "add --yes" in realname("keys", "retire", "keys.toml", "k2").err
    realname.ok("keys", "retire", "keys.toml", "k2", "--yes")
    assert [key.key_id for key in read_keys(path).keys] == ["k1"]


def test_what_topics_hold_of_somebody_can_be_found(realname: Realname, own_folder: Path) -> None:
    realname.ok("keys", "rotate", "keys.toml")
    realname.ok("keys", "rotate", "keys.toml", "--from", "2999-01-01T00:00:00+08:00")
    rows = realname.ok("keys", "tokens", "keys.toml", "--json", stdin="a\n\nb\n").rows
    keys = read_keys(own_folder / "keys.toml")
    assert [(row["line"], row["token"]) for row in rows] == [
        *((1, token) for token in keys.tokens("a")),
        *((3, token) for token in keys.tokens("b")),
    ]


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (["--from", "2017-01-01T00:00:00+08:00"], "in the past"),
        (["--from", "tomorrow"], "is not a time with an offset"),
        (["--key-id", "k1"], "its own"),
        (["--key-id", "K 2"], "key_id is not"),
    ],
)
def test_a_key_that_does_not_fit_is_not_made(
    realname: Realname, own_folder: Path, options: list[str], told: str
) -> None:
    realname.ok("keys", "rotate", "keys.toml")
    before = (own_folder / "keys.toml").read_bytes()
    result = realname("keys", "rotate", "keys.toml", *options)
    assert (result.code, told in result.err) == (2, True), result.err
    assert (own_folder / "keys.toml").read_bytes() == before
