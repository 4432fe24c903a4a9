"""Who sees what: every token against every route and filter. What is not theirs never comes out."""

from pathlib import Path
from typing import Any

import pytest
from fastapi.testclient import TestClient

from streams.records.acks import AlertAck, encode
from streams.serve.access import Access, Tokens, read_tokens
from streams.serve.rows import Incoming
from streams.tokens import TokensFileError, hash_of, new_token
from tests.serve.conftest import CHIFENG, EMS, TOKENS, Client, client_of, filled

API = "/api/v1"
HASH = hash_of("secret")

OTHERS_OUTLET = {  # An outlet that the token must not see.
    "chifeng": "150702-EMS-0004",
    "ems": "150403-YUNDA-0003",
    "ems-chifeng": "150403-YUNDA-0003",
}
OWN_OUTLET = {
    "region": "150403-YUNDA-0003",
    "chifeng": "150403-YUNDA-0003",
    "ems": "150702-EMS-0004",
    "ems-chifeng": "150403-EMS-0003",
}


def everything(client: TestClient, path: str) -> list[dict[str, Any]]:
    answer = client.get(f"{API}/{path}", params={"limit": 20_000})
    assert answer.status_code == 200, answer.text
    items: list[dict[str, Any]] = answer.json()["items"]
    return items


def is_for(access: Access, item: dict[str, Any]) -> bool:
    return access.city_code in (None, item["city_code"]) and access.enterprise_id in (
        None,
        item["enterprise_id"],
    )


@pytest.mark.parametrize("path", ["rates", "days", "alerts"])
@pytest.mark.parametrize("token", TOKENS)
def test_a_token_sees_all_that_is_its_own_and_nothing_else(
    client: TestClient, client_with: Client, token: str, path: str
) -> None:
    whole = everything(client, path)
    mine = everything(client_with(token), path)
    wanted = [item for item in whole if is_for(TOKENS[token], item)]
    assert wanted
    if token.startswith("ems"):
        # Of small cells it is told that they are there; see test_small_cells.
        mine, wanted = named(mine), named(wanted)
    assert strip(mine) == strip(wanted)


def named(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    keys = ("granularity", "scope_id", "date", "alert_id", "episode", "as_of", "name_zh")
    return [{key: item.get(key) for key in keys} for item in items]


def strip(items: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [{k: v for k, v in item.items() if not k.startswith("ack")} for item in items]


FOREIGN = [
    # token, filter, answer
    ("chifeng", {"city": "150200"}, 403),
    ("chifeng", {"county": "150202"}, 403),
    ("chifeng", {"county": "nowhere"}, 403),
    ("chifeng", {"city": CHIFENG, "county": "150202"}, 403),
    ("chifeng", {"granularity": "REGION"}, 200),
    ("chifeng", {"granularity": "ENTERPRISE"}, 200),
    ("chifeng", {"id": "150702-EMS-0004"}, 200),
    ("chifeng", {"id": "150000"}, 200),
    ("ems", {"enterprise": "911500000000010041"}, 403),
    ("ems", {"granularity": "CITY"}, 200),
    ("ems", {"id": "150403-YUNDA-0003"}, 200),
    ("ems", {"id": "911500000000010041"}, 200),
    ("ems-chifeng", {"city": "150200"}, 403),
    ("ems-chifeng", {"enterprise": "911500000000010041"}, 403),
    ("ems-chifeng", {"granularity": "ENTERPRISE"}, 200),
    ("ems-chifeng", {"granularity": "CITY"}, 200),
    ("ems-chifeng", {"id": f"{EMS}|150700"}, 200),
]


@pytest.mark.parametrize("path", ["rates", "days", "alerts"])
@pytest.mark.parametrize(("token", "params", "status"), FOREIGN)
def test_asking_for_what_is_anothers_gives_no_data(
    client_with: Client, path: str, token: str, params: dict[str, str], status: int
) -> None:
    answer = client_with(token).get(f"{API}/{path}", params=params)
    assert answer.status_code == status
    if status == 200:
        assert answer.json() == {"items": [], "next_cursor": None}
    else:
        assert answer.headers["content-type"] == "application/problem+json"
        assert "items" not in answer.json()


@pytest.mark.parametrize(("token", "outlet_id"), OTHERS_OUTLET.items())
def test_anothers_outlet_is_as_if_it_were_not_there(
    client_with: Client, token: str, outlet_id: str
) -> None:
    foreign = client_with(token).get(f"{API}/outlets/{outlet_id}")
    unknown = client_with(token).get(f"{API}/outlets/nowhere")
    assert foreign.status_code == unknown.status_code == 404
    assert foreign.content == unknown.content


@pytest.mark.parametrize(("token", "outlet_id"), OWN_OUTLET.items())
def test_ones_own_outlet_is_shown_whole(client_with: Client, token: str, outlet_id: str) -> None:
    found = client_with(token).get(f"{API}/outlets/{outlet_id}").json()
    assert found["outlet"]["outlet_id"] == outlet_id
    assert found["rate"]["scope_id"] == outlet_id
    assert found["days"]
    assert all(day["scope_id"] == outlet_id for day in found["days"])


HEADS = {
    "region": ("REGION", "150000", "CITY", 12),
    "chifeng": ("CITY", CHIFENG, "COUNTY", 12),
    "ems": ("ENTERPRISE", EMS, "ENTERPRISE_CITY", 11),
    "ems-chifeng": ("ENTERPRISE_CITY", f"{EMS}|{CHIFENG}", "OUTLET", 2),
}


@pytest.mark.parametrize("token", TOKENS)
def test_the_board_of_a_token_is_of_its_own_scope(client_with: Client, token: str) -> None:
    board = client_with(token).get(f"{API}/summary").json()
    granularity, scope_id, below, count = HEADS[token]
    assert (board["scope"]["granularity"], board["scope"]["scope_id"]) == (granularity, scope_id)
    assert board["headline"]["scope"] == board["scope"]
    assert {area["scope"]["granularity"] for area in board["areas"]} == {below}
    assert len(board["areas"]) == count
    access = TOKENS[token]
    for shown in [*board["worst"], *board["alerts"]]:
        found = client_with("region").get(f"{API}/rates", params={"id": shown["scope"]["scope_id"]})
        assert all(is_for(access, item) for item in found.json()["items"])


GUARDED = ["rates", "days", "alerts", "periods", "summary", "stream", "outlets/150403-YUNDA-0003"]


@pytest.mark.parametrize("path", [*(f"{API}/{path}" for path in GUARDED), "/metrics"])
@pytest.mark.parametrize("token", [None, "", "unknown", "rns_ä", HASH])
def test_without_a_known_token_nothing_is_answered(
    client_with: Client, path: str, token: str | None
) -> None:
    client = client_with(None)
    headers = {} if token is None else {b"Authorization": f"Bearer {token}".encode()}
    answer = client.get(path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["content-type"] == "application/problem+json"


@pytest.mark.parametrize(
    ("token", "status"), [("region", 200), ("chifeng", 403), ("ems", 403), ("ems-chifeng", 403)]
)
def test_metrics_are_for_those_who_see_everything(
    client_with: Client, token: str, status: int
) -> None:
    assert client_with(token).get("/metrics").status_code == status


@pytest.mark.parametrize("path", ["/", "/board.js", "/live", "/ready", f"{API}/openapi.json"])
def test_what_holds_no_data_needs_no_token(client_with: Client, path: str) -> None:
    assert client_with(None).get(path).status_code == 200


@pytest.mark.parametrize(
    ("host", "status"),
    [
        ("localhost", 200),
        ("localhost:8080", 200),
        ("127.0.0.1:8080", 200),
        ("[::1]:8080", 200),
        ("elsewhere.example", 421),
        ("localhost.elsewhere.example:8080", 421),
        ("", 421),
    ],
)
def test_an_open_server_answers_to_its_own_machines_names_only(
    client: TestClient, host: str, status: int
) -> None:
    assert client.get(f"{API}/rates", headers={"Host": host}).status_code == status


def test_a_server_with_tokens_answers_to_any_name(client_with: Client) -> None:
    answer = client_with("region").get(f"{API}/rates", headers={"Host": "board.example"})
    assert answer.status_code == 200


@pytest.mark.parametrize(("token", "by"), [("region", "An Officer"), ("ems", None)])
def test_an_enterprise_does_not_see_which_officer_has_taken_an_alert_on(
    token: str, by: str | None
) -> None:
    view = filled()
    row = next(row for row in view.alerts() if row.is_open and TOKENS["ems"].sees(row))
    ack = AlertAck(row.alert_id, row.episode, "An Officer", "on it", "2017-09-06T12:41:00+08:00")
    view.apply([Incoming("alerts.acks", ack.key, encode(ack), 0)])
    tokens = Tokens({hash_of(name): access for name, access in TOKENS.items()})
    client = client_of(view, tokens=tokens, secret=token)
    (listed,) = [i for i in everything(client, "alerts") if i["alert_id"] == row.alert_id]
    note = "on it" if by else None
    told = (by, ack.acked_at, note)
    assert (listed["acked_by"], listed["acked_at"], listed["ack_note"]) == told
    (shown,) = [
        a
        for a in client.get(f"{API}/summary").json()["alerts"]
        if a["scope"]["scope_id"] == row.scope_id
    ]
    assert (shown["acked_by"], shown["acked_at"], shown["ack_note"]) == told


FILES = [
    ("one for the region", f'name="a"\nsha256="{HASH}"\nregion=true', []),
    ("one for a city", f'name="a"\nsha256="{HASH}"\ncity_code="150400"', []),
    ("no scope", f'name="a"\nsha256="{HASH}"', ["has no scope"]),
    ("region = false is no scope", f'name="a"\nsha256="{HASH}"\nregion=false', ["has no scope"]),
    (
        "two scopes",
        f'name="a"\nsha256="{HASH}"\nregion=true\ncity_code="150400"',
        ["has region beside a narrower scope"],
    ),
    ("the token itself", 'name="a"\nsha256="secret"\nregion=true', ["sha256 is not 64"]),
    ("no name", f'sha256="{HASH}"\nregion=true', ["has no name"]),
    (
        "misspelt",
        f'name="a"\nsha256="{HASH}"\ncity="150400"',
        ["city is not known", "has no scope"],
    ),
    ("a number", f'name="a"\nsha256="{HASH}"\ncity_code=150400', ["city_code is no text"]),
    ("empty", f'name="a"\nsha256="{HASH}"\nenterprise_id=""', ["enterprise_id is no text"]),
    ("until then", f'name="a"\nsha256="{HASH}"\nregion=true\nexpires=2999-01-01T00:00:00Z', []),
    (
        "a time of no place",
        f'name="a"\nsha256="{HASH}"\nregion=true\nexpires=2999-01-01T00:00:00',
        ["expires is no time with an offset"],
    ),
    (
        "for writing, whose?",
        f'name="a"\nsha256="{HASH}"\nregion=true\nmay=["write"]',
        ["needs enterprise_id"],
    ),
    (
        "for writing in one city, which no record names",
        f'name="a"\nsha256="{HASH}"\ncity_code="1"\nenterprise_id="E"\nmay=["write"]',
        ["needs enterprise_id"],
    ),
    (
        "a right that there is not",
        f'name="a"\nsha256="{HASH}"\nregion=true\nmay=["read", "delete"]',
        ["may has delete"],
    ),
    (
        "brands of somebody who reads",
        f'name="a"\nsha256="{HASH}"\nenterprise_id="E"\nbrands=["ZTO"]',
        ["limit only what may be written"],
    ),
    (
        "one brand and not a list of it",
        f'name="a"\nsha256="{HASH}"\nenterprise_id="E"\nmay=["write"]\nbrands="ZTO"',
        ["brands is no list of texts"],
    ),
    (
        "half a certificate",
        f'name="a"\nsha256="{HASH}"\nregion=true\ncertificate_sha256="ab"',
        ["certificate_sha256 is not 64"],
    ),
]


@pytest.mark.parametrize(("what", "text", "mistakes"), FILES, ids=[case[0] for case in FILES])
def test_a_wrong_file_of_tokens_is_refused_with_all_its_mistakes(
    tmp_path: Path, what: str, text: str, mistakes: list[str]
) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(f"[[tokens]]\n{text}\n", "utf8")
    if not mistakes:
        access = read_tokens(path).access("secret")
        assert access is not None
        assert access.name == "a"
        assert read_tokens(path).access("other") is None
        return
    with pytest.raises(TokensFileError) as refused:
        read_tokens(path)
    assert len(refused.value.mistakes) == len(mistakes)
    for told, mistake in zip(refused.value.mistakes, mistakes, strict=True):
        assert mistake in told


@pytest.mark.parametrize("text", ["", "tokens = 1", "tokens = [1]", "[[tokens", "\x00"])
def test_a_file_without_tokens_is_refused(tmp_path: Path, text: str) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(text, "utf8")
    with pytest.raises(TokensFileError):
        read_tokens(path)


def test_a_missing_file_and_a_hash_used_twice_are_refused(tmp_path: Path) -> None:
    with pytest.raises(TokensFileError, match="cannot be read"):
        read_tokens(tmp_path / "none.toml")
    path = tmp_path / "tokens.toml"
    path.write_text(f'[[tokens]]\nname="a"\nsha256="{HASH}"\nregion=true\n' * 2, "utf8")
    with pytest.raises(TokensFileError, match="earlier one"):
        read_tokens(path)


def test_a_token_for_writing_reads_nothing(tmp_path: Path) -> None:
    path = tmp_path / "tokens.toml"
    path.write_text(
        f'[[tokens]]\nname="a"\nsha256="{HASH}"\nenterprise_id="E"\nmay=["write"]\n', "utf8"
    )
    assert read_tokens(path).access("secret") is None


@pytest.mark.parametrize(
    ("now_ms", "known"),
    [(999, True), (1_000, False), (10**15, False)],
    ids=["before", "at", "after"],
)
def test_a_token_is_known_until_it_expires(now_ms: int, known: bool) -> None:
    tokens = Tokens({HASH: Access("a", expires_ms=1_000)}, clock=lambda: now_ms)
    assert (tokens.access("secret") is not None) is known


def test_new_tokens_are_long_and_never_the_same() -> None:
    tokens = {new_token() for _ in range(100)}
    assert len(tokens) == 100
    assert all(len(token) > 40 for token in tokens)
