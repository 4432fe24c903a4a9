"""Where settings come from, which of two wins, and how mistakes are told."""

import json
from collections.abc import Mapping
from pathlib import Path

import pytest

from streams.cli.worker import worker_config, writes_unkeyed
from streams.settings import REDACTED, SettingsError, load_settings, shown


@pytest.fixture(autouse=True)
def _own_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("REALNAME_CONFIG", raising=False)


def mistakes(overrides: Mapping[str, object] | None = None, config: Path | None = None) -> str:
    with pytest.raises(SettingsError) as caught:
        load_settings(overrides, config=config)
    return "\n".join(caught.value.mistakes)


def test_without_being_told_anything_the_embedded_broker_is_meant() -> None:
    loaded = load_settings()
    assert loaded.settings.bootstrap == "127.0.0.1:9092"
    assert loaded.settings.group("match") == "realname.match"
    assert loaded.settings.topics()["shipments"].name == "realname.shipments"
    assert loaded.origins == {}


def test_command_line_beats_environment_beats_file_beats_default(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("realname.toml").write_text('slot = "file"\nprocesses = 2\nflush_ms = "250ms"\n')
    monkeypatch.setenv("REALNAME_SLOT", "environment")
    monkeypatch.setenv("REALNAME_PROCESSES", "3")
    loaded = load_settings({"slot": "command", "processes": None})
    settings = loaded.settings
    assert (settings.slot, settings.processes, settings.flush_ms) == ("command", 3, 250)
    assert settings.replication == -1
    assert loaded.origins == {
        "slot": "--slot",
        "processes": "REALNAME_PROCESSES",
        "flush_ms": "realname.toml: flush_ms",
    }


def test_kafka_properties_are_overridden_one_by_one_however_they_are_written(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    Path("realname.toml").write_text(
        '[kafka]\nsecurity_protocol = "SASL_SSL"\nsasl.mechanism = "PLAIN"\n"sasl.username" = "u"\n'
    )
    monkeypatch.setenv("REALNAME_KAFKA__SASL_MECHANISM", "SCRAM-SHA-512")
    settings = load_settings({"kafka": {"sasl.username": "v"}}).settings
    assert settings.kafka == {
        "security.protocol": "SASL_SSL",
        "sasl.mechanism": "SCRAM-SHA-512",
        "sasl.username": "v",
    }


def test_policy_figures_take_durations_and_name_the_set(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("realname.toml").write_text('[policy]\ngrace_alert_ms = "3h"\nroutine_target = 0.92\n')
    monkeypatch.setenv("REALNAME_POLICY__N_MIN_OUTLET", "30")
    policy = load_settings().settings.policy
    assert policy.grace_alert_ms == 3 * 3_600_000
    assert (policy.routine_target, policy.n_min_outlet) == (0.92, 30)
    assert (
        policy.caliber_id
        != load_settings({"policy": {"n_min_outlet": 31}}).settings.policy.caliber_id
    )


def test_partition_counts_reach_the_catalogue(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALNAME_PARTITIONS__SHIPMENTS_DLQ", "3")
    settings = load_settings({"partitions": {"shipments": 4}, "prefix": "p."}).settings
    topics = settings.topics()
    assert {name: topics[name].partitions for name in ("shipments", "shipments.dlq")} == {
        "shipments": 4,
        "shipments.dlq": 3,
    }
    assert topics["match.state"].partitions == 4


def test_agents_are_listed_with_commas(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("REALNAME_AGENTS", "match, rollup")
    assert load_settings().settings.agents == ("match", "rollup")


def test_a_file_can_be_named_in_the_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "other.toml"
    path.write_text('slot = "other"\n')
    monkeypatch.setenv("REALNAME_CONFIG", str(path))
    assert load_settings().settings.slot == "other"


def test_all_mistakes_of_all_sources_are_told_together(monkeypatch: pytest.MonkeyPatch) -> None:
    Path("realname.toml").write_text(
        "procesess = 2\nhttp_port = 70000\n[policy]\nn_min_outlets = 3\n"
    )
    monkeypatch.setenv("REALNAME_BOOTSTRP", "x:1")
    monkeypatch.setenv("REALNAME_CLOCK", "lunar")
    told = mistakes({"bootstrap": "kafka"})
    for expected in (
        "REALNAME_BOOTSTRP: there is no such setting; did you mean REALNAME_BOOTSTRAP?",
        "realname.toml: procesess: there is no such setting; did you mean processes?",
        "realname.toml: http_port: 70000: ",
        "realname.toml: policy.n_min_outlets: n_min_outlets is not known; did you mean",
        "REALNAME_CLOCK: 'lunar': input should be 'wall' or 'data'",
        "--bootstrap: 'kafka': is not of its form",
    ):
        assert expected in told


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("slot = \n", "is not TOML"),
        ("[policy]\ngrace_alert_ms = 7\n", "a pane matures at a tick"),
        ("[policy]\nbulletin_ms = '100h'\n", "policy.bulletin_ms"),
        ("[partitions]\nshipment = 4\n", "there is no topic shipment"),
        ("[partitions]\ntotals = 4\n", "totals always has one partition"),
        ("[partitions]\nshipments = 0\n", "greater than or equal to 1"),
        ("prefix = 'real name'\n", "prefix: 'real name': is not of its form"),
        ("agents = []\n", "agents"),
        ("kafka = 3\n", "kafka"),
    ],
)
def test_a_mistake_in_the_file_names_its_place(text: str, expected: str) -> None:
    path = Path("mine.toml")
    path.write_text(text)
    told = mistakes(config=path)
    assert told.startswith("mine.toml: ")
    assert expected in told


def test_a_file_that_is_named_must_be_there() -> None:
    assert mistakes(config=Path("nowhere.toml")) == (
        "nowhere.toml: cannot be read (No such file or directory); check --config"
    )


def test_a_table_as_one_variable_is_explained_without_its_value(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("REALNAME_KAFKA", "sasl.password=hush")
    told = mistakes()
    assert told == ("REALNAME_KAFKA: is a table; give its entries as REALNAME_KAFKA__NAME=VALUE")


def test_secrets_are_neither_shown_nor_quoted() -> None:
    secrets = {
        "sasl.password": "hush",
        "ssl.key.password": "hush",
        "ssl.key.pem": "hush",
        "sasl.oauthbearer.client.secret": "hush",
        "sasl.oauthbearer.config": "hush",
    }
    loaded = load_settings({"kafka": {**secrets, "sasl.username": "u"}})
    values = dict(shown(loaded.settings))
    assert "hush" not in json.dumps(values)
    assert values["kafka.sasl.password"] == REDACTED
    assert values["kafka.sasl.username"] == "u"
    assert "hush" not in mistakes({"kafka": {"sasl.password": ["hush"]}})


HASH_KEY = "hush" * 8

HASH_KEYS_REFUSED = [
    ("too short", "hush" * 7),
    ("with a line end, as files have one", f"{HASH_KEY}\n"),
    ("with a space", f"{HASH_KEY} {HASH_KEY}"),
    ("no text", ["hush"]),
]


@pytest.mark.parametrize(
    "given", [r[1] for r in HASH_KEYS_REFUSED], ids=[r[0] for r in HASH_KEYS_REFUSED]
)
def test_a_hash_key_that_is_refused_is_not_quoted(given: object) -> None:
    told = mistakes({"waybill_hash_key": given})
    assert told.startswith("--waybill-hash-key: ")
    assert "hush" not in told


def test_a_hash_key_is_taken_from_file_and_environment_and_never_shown(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert dict(shown(load_settings().settings))["waybill_hash_key"] == ""
    Path("realname.toml").write_text(f'waybill_hash_key = "{HASH_KEY}"\n')
    for environment in (None, "shush" * 8):
        if environment is not None:
            monkeypatch.setenv("REALNAME_WAYBILL_HASH_KEY", environment)
        settings = load_settings().settings
        assert settings.waybill_hash_key.get_secret_value() == (environment or HASH_KEY)
        assert dict(shown(settings))["waybill_hash_key"] == REDACTED
        assert "hush" not in repr(settings)
        assert "hush" not in repr(worker_config(settings))


LOGIN = {"kafka": {"security.protocol": "SASL_SSL"}}

UNKEYED_WORKERS = [
    ("on this machine, where anybody may do anything", {}, False),
    ("on a cluster with logins", LOGIN, True),
    ("there with a key", {**LOGIN, "waybill_hash_key": HASH_KEY}, False),
    ("there, but other agents only", {**LOGIN, "agents": "rate,rollup"}, False),
]


@pytest.mark.parametrize(
    ("given", "expected"), [u[1:] for u in UNKEYED_WORKERS], ids=[u[0] for u in UNKEYED_WORKERS]
)
def test_a_worker_without_a_hash_key_is_warned_of(
    given: Mapping[str, object], *, expected: bool
) -> None:
    assert writes_unkeyed(worker_config(load_settings(given).settings)) == expected
