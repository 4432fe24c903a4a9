"""Keys of subjects' tokens: what a token tells, how keys follow one another, and who may read them."""

import base64
import re
from pathlib import Path

import pytest

from streams.gateway.subjects import (
    SubjectKey,
    SubjectKeys,
    SubjectKeysError,
    new_key,
    others_may_read,
    read_keys,
)
from tests.gateway.setting import IDENTITY

A, B = SubjectKey("k1", 1_000, b"a" * 32), SubjectKey("k2", 2_000, b"b" * 32)
SECRET = base64.b64encode(b"s" * 32).decode()
FROM = "2026-11-24T00:00:00+08:00"


def test_a_token_names_its_key_and_tells_nothing_of_the_subject() -> None:
    token = A.token(IDENTITY)
    assert re.fullmatch(r"k1:[A-Za-z0-9_-]{22}", token)
    assert token == A.token(IDENTITY), "one subject has one token"
    assert A.token(IDENTITY[:-1] + "1") != token, "and no other has it"
    assert SubjectKey("k1", 0, b"c" * 32).token(IDENTITY) != token, (
        "without the key nobody makes it"
    )
    assert len(SubjectKey("k" * 16, 0, b"c" * 32).token("x" * 64)) <= 64, "it fits the schema"


@pytest.mark.parametrize(
    ("now_ms", "key_id"), [(0, "k1"), (1_000, "k1"), (1_999, "k1"), (2_000, "k2"), (10**13, "k2")]
)
def test_a_key_is_in_use_from_its_time_to_the_next_ones(now_ms: int, key_id: str) -> None:
    assert SubjectKeys([A, B]).at(now_ms).key_id == key_id


def test_a_subject_can_be_found_under_every_key_that_is_kept() -> None:
    assert SubjectKeys([A, B]).tokens("x") == [A.token("x"), B.token("x")]
    assert SubjectKeys([A, B]).without("k1", 3_000).tokens("x") == [B.token("x")]


REFUSED = [
    ("a name used twice", lambda: SubjectKeys([A]).rotated("k1", 5_000), "its own"),
    ("a time before the last", lambda: SubjectKeys([A, B]).rotated("k3", 2_000), "order"),
    ("the key in use", lambda: SubjectKeys([A, B]).without("k2", 3_000), "in use"),
    ("the only key", lambda: SubjectKeys([A]).without("k1", 3_000), "in use"),
    ("no such key", lambda: SubjectKeys([A, B]).without("k9", 3_000), "there is no key k9"),
]


@pytest.mark.parametrize("case", REFUSED, ids=[case[0] for case in REFUSED])
def test_keys_do_not_change_in_other_ways(case: tuple[str, object, str]) -> None:
    _, change, told = case
    assert callable(change)
    with pytest.raises(SubjectKeysError, match=told):
        change()


FILES = [
    ("no keys", "", "has no"),
    ("no TOML", "[[keys", "is not TOML"),
    ("no table", "keys = [1]", "is no table"),
    ("a short key", f'key_id = "k1"\nsecret = "{SECRET[:20]}"\nfrom = {FROM}', "32 bytes"),
    ("no base64", f'key_id = "k1"\nsecret = "%{SECRET}"\nfrom = {FROM}', "32 bytes"),
    ("a time of no place", f'key_id = "k1"\nsecret = "{SECRET}"\nfrom = {FROM[:19]}', "offset"),
    ("a long name", f'key_id = "{"k" * 17}"\nsecret = "{SECRET}"\nfrom = {FROM}', "key_id is not"),
    ("misspelt", f'key = "k1"\nsecret = "{SECRET}"\nfrom = {FROM}', "key is not known"),
]


@pytest.mark.parametrize(("what", "text", "told"), FILES, ids=[case[0] for case in FILES])
def test_a_wrong_file_is_refused_and_no_key_of_it_quoted(
    tmp_path: Path, what: str, text: str, told: str
) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(text if text.startswith(("[", "keys")) or not text else f"[[keys]]\n{text}\n")
    path.chmod(0o600)
    with pytest.raises(SubjectKeysError) as refused:
        read_keys(path)
    assert told in str(refused.value)
    assert SECRET[:20] not in str(refused.value)


@pytest.mark.parametrize("mode", [0o640, 0o604, 0o660, 0o644])
def test_a_file_that_others_may_read_is_refused(tmp_path: Path, mode: int) -> None:
    path = tmp_path / "keys.toml"
    path.write_text(SubjectKeys([A]).text())
    path.chmod(mode)
    with pytest.raises(SubjectKeysError, match="chmod 600"):
        read_keys(path)


@pytest.mark.parametrize(
    ("mode", "owner", "reader", "expected"),
    [
        pytest.param(0o600, 10001, 10001, False, id="the owner's alone"),
        pytest.param(0o400, 0, 0, False, id="root's alone"),
        pytest.param(0o440, 0, 10001, False, id="root's, given to a container by its group"),
        pytest.param(0o440, 0, 0, True, id="root reads it, and has no need of the group"),
        pytest.param(0o440, 10001, 10001, True, id="the owner's group reads it as well"),
        pytest.param(0o460, 0, 10001, True, id="the group may write a file of root's"),
        pytest.param(0o444, 0, 10001, True, id="everybody may read a file of root's"),
    ],
)
def test_who_may_read_a_file(mode: int, owner: int, reader: int, *, expected: bool) -> None:
    assert others_may_read(mode, owner=owner, reader=reader) is expected


def test_a_file_is_read_as_it_was_written_and_keys_show_no_secret(tmp_path: Path) -> None:
    path = tmp_path / "keys.toml"
    keys = SubjectKeys([A, B, new_key("k3", 3_000)])
    path.write_text(keys.text())
    path.chmod(0o600)
    assert read_keys(path).keys == keys.keys
    assert "secret" not in repr(keys.keys)
    assert new_key("k", 0).secret != new_key("k", 0).secret
