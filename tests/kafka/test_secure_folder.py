"""What the secured broker has on the disk: made once, readable by its owner, renewed in time."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509

from streams.kafka.client_files import read_password, remove_client_files, write_client_files
from streams.kafka.embedded_config import server_properties
from streams.kafka.embedded_secure import ADMIN, BROKER, SecureFolder
from streams.kafka.private_files import private_folder, write_private

NOW_MS = 1_504_656_000_000  # 2017-09-06T00:00:00Z
DAY_MS = 86_400_000
BOOTSTRAP = "127.0.0.1:9092"


@pytest.fixture
def secure(tmp_path: Path) -> SecureFolder:
    folder = SecureFolder(tmp_path / "broker")
    folder.prepare(bootstrap=BOOTSTRAP, now_ms=NOW_MS)
    return folder


def contents(secure: SecureFolder) -> dict[Path, bytes]:
    return {path: path.read_bytes() for path in secure.folder.rglob("*") if path.is_file()}


def certificate(secure: SecureFolder) -> x509.Certificate:
    return x509.load_pem_x509_certificate((secure.folder / "broker.pem").read_bytes())


def test_nobody_else_may_look_into_it(secure: SecureFolder) -> None:
    public = {secure.authority}
    for path in [secure.folder.parent, secure.folder, *secure.folder.rglob("*")]:
        mode = stat.S_IMODE(path.stat().st_mode)
        if path not in public:
            assert mode == (0o700 if path.is_dir() else 0o600), path


def test_a_second_start_changes_nothing(secure: SecureFolder) -> None:
    before = contents(secure)
    secure.prepare(bootstrap=BOOTSTRAP, now_ms=NOW_MS + DAY_MS)
    assert contents(secure) == before


def test_another_port_is_told_to_every_user_and_passwords_stay(secure: SecureFolder) -> None:
    write_client_files(secure.users, "worker", "w0rd", secure.cluster(BOOTSTRAP))
    password = read_password(secure.config(ADMIN))
    secure.prepare(bootstrap="127.0.0.1:9999", now_ms=NOW_MS)
    for user, expected in (("worker", "w0rd"), (ADMIN, password)):
        assert read_password(secure.config(user)) == expected
        assert 'bootstrap = "127.0.0.1:9999"' in secure.config(user).read_text()
        kcat = secure.config(user).with_suffix(".conf").read_text()
        assert "bootstrap.servers=127.0.0.1:9999\n" in kcat
        assert f"sasl.password={expected}\n" in kcat


@pytest.mark.parametrize(
    ("days", "renewed", "sentence"),
    [
        (300, False, "far from its end it stays"),
        (397 - 29, True, "in its last month it is renewed"),
        (500, True, "ended, it is renewed"),
    ],
)
def test_the_brokers_certificate_is_renewed_by_the_same_authority(
    secure: SecureFolder, days: int, renewed: bool, sentence: str
) -> None:
    before, authority = certificate(secure), secure.authority.read_bytes()
    secure.prepare(bootstrap=BOOTSTRAP, now_ms=NOW_MS + days * DAY_MS)
    assert (certificate(secure) != before) is renewed, sentence
    assert secure.authority.read_bytes() == authority
    left = certificate(secure).not_valid_after_utc - before.not_valid_before_utc
    assert left > timedelta(days=days)


def test_an_authority_that_ends_is_replaced_with_its_certificate(secure: SecureFolder) -> None:
    before = secure.authority.read_bytes()
    secure.prepare(bootstrap=BOOTSTRAP, now_ms=NOW_MS + 3640 * DAY_MS)
    issuer = x509.load_pem_x509_certificate(secure.authority.read_bytes())
    assert secure.authority.read_bytes() != before
    certificate(secure).verify_directly_issued_by(issuer)


@pytest.mark.parametrize("name", ["ca.pem", "ca.key", "broker.pem", "users/admin.toml"])
def test_a_file_that_was_cut_short_or_lost_is_made_anew(secure: SecureFolder, name: str) -> None:
    (secure.folder / name).write_text("")
    if name == "ca.key":
        (secure.folder / name).unlink()
    secure.prepare(bootstrap=BOOTSTRAP, now_ms=NOW_MS)
    issuer = x509.load_pem_x509_certificate(secure.authority.read_bytes())
    certificate(secure).verify_directly_issued_by(issuer)
    assert read_password(secure.config(ADMIN))


def test_the_authority_vouches_for_this_machine_alone(secure: SecureFolder) -> None:
    issuer = x509.load_pem_x509_certificate(secure.authority.read_bytes())
    constraints = issuer.extensions.get_extension_for_class(x509.NameConstraints)
    assert constraints.critical
    names = certificate(secure).extensions.get_extension_for_class(x509.SubjectAlternativeName)
    assert [str(name.value) for name in names.value] == ["localhost", "127.0.0.1"]
    assert [str(n.value) for n in constraints.value.permitted_subtrees or ()] == [
        *("localhost", "127.0.0.1/32"),
    ]


def test_passwords_are_random_and_the_first_users_have_them(secure: SecureFolder) -> None:
    admin, broker = secure.first_users()
    assert admin == f"SCRAM-SHA-512=[name={ADMIN},password={read_password(secure.config(ADMIN))}]"
    assert broker.startswith(f"SCRAM-SHA-512=[name={BROKER},password=")
    passwords = {text.partition("password=")[2] for text in (admin, broker)}
    assert len(passwords) == 2
    assert all(len(password) > 32 for password in passwords)


def test_the_broker_is_told_to_deny_and_where_to_listen(secure: SecureFolder) -> None:
    properties = server_properties(
        data_dir=secure.folder.parent,
        port=9092,
        controller_port=29092,
        security=secure.server_properties(),
    )
    assert properties["allow.everyone.if.no.acl.found"] == "false"
    assert properties["super.users"] == "User:admin;User:broker"
    assert properties["ssl.enabled.protocols"] == "TLSv1.2,TLSv1.3"
    assert properties["listener.name.controller.ssl.client.auth"] == "required"
    protocols = properties["listener.security.protocol.map"].split(",")
    assert protocols == ["SECURED:SASL_SSL", "CONTROLLER:SSL"]
    assert all("//127.0.0.1:" in each for each in properties["listeners"].split(","))


def test_a_private_file_is_whole_or_as_before(tmp_path: Path) -> None:
    path = private_folder(tmp_path / "secret") / "password"
    write_private(path, "one")
    with pytest.raises(UnicodeEncodeError):
        write_private(path, "\ud800")
    assert path.read_text() == "one"
    assert list(path.parent.iterdir()) == [path]


def test_a_users_files_can_be_removed_twice(secure: SecureFolder) -> None:
    write_client_files(secure.users, "worker", "w", secure.cluster(BOOTSTRAP))
    remove_client_files(secure.users, "worker")
    remove_client_files(secure.users, "worker")
    assert {path.stem for path in secure.users.iterdir()} == {ADMIN}
