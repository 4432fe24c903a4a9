"""The secured broker's own certificate authority, and the certificate that it gives the broker."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from ipaddress import IPv4Address, IPv4Network
from typing import TYPE_CHECKING, Final

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from streams.kafka.private_files import write_private

if TYPE_CHECKING:
    from pathlib import Path

AUTHORITY_NAME: Final = "realname-streams embedded authority"
BROKER_NAME: Final = "realname-broker"

AUTHORITY_DAYS: Final = 3650
# What browsers and Apple's libraries accept at most; a client with either must not refuse us.
CERTIFICATE_DAYS: Final = 397
RENEW_DAYS: Final = 30
assert RENEW_DAYS < CERTIFICATE_DAYS < AUTHORITY_DAYS

# A machine whose clock was a little behind when it made the certificate must not refuse it.
_BACKDATED: Final = timedelta(hours=1)

_HOST_NAME: Final = "localhost"
_ADDRESS: Final = IPv4Address("127.0.0.1")


def ensure_certificates(*, authority: Path, authority_key: Path, broker: Path, now_ms: int) -> bool:
    """Make what is missing, and anew what ends within `RENEW_DAYS`; return whether anything was.

    Files are PEM. `authority` is public and what clients trust; `authority_key` and `broker` (its
    key, its certificate, the authority's) are readable by their owner alone. A new authority makes
    a new broker certificate, and clients that copied the old one must copy the new. Idempotent: a
    call that was interrupted is completed by the next.
    """
    now = datetime.fromtimestamp(now_ms / 1000, UTC)
    made = False
    if not authority_key.exists() or not _is_good(authority, now):
        _make_authority(authority, authority_key, now)
        made = True
    issuer = x509.load_pem_x509_certificate(authority.read_bytes())
    if made or not _is_good(broker, now, issuer):
        _make_broker(broker, issuer, _load_key(authority_key), now)
        made = True
    return made


def _is_good(path: Path, now: datetime, issuer: x509.Certificate | None = None) -> bool:
    """Whether the file's first certificate lasts, and is the issuer's where one is given."""
    try:
        found = x509.load_pem_x509_certificate(path.read_bytes())
    except (OSError, ValueError):
        return False
    if issuer is not None:
        try:
            found.verify_directly_issued_by(issuer)
        except Exception:  # noqa: BLE001 (each way of not being its issuer is an error of its own)
            return False
    return found.not_valid_after_utc - now > timedelta(days=RENEW_DAYS)


def _make_authority(path: Path, key_path: Path, now: datetime) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    name = _name(AUTHORITY_NAME)
    certificate = (
        _builder(key, subject=name, issuer=name, now=now, days=AUTHORITY_DAYS)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .add_extension(_usage(signs_certificates=True), critical=True)
        # Who comes to trust it trusts it for this machine only, even if its key is stolen.
        .add_extension(
            x509.NameConstraints(
                permitted_subtrees=[
                    x509.DNSName(_HOST_NAME),
                    x509.IPAddress(IPv4Network(f"{_ADDRESS}/32")),
                ],
                excluded_subtrees=None,
            ),
            critical=True,
        )
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .sign(key, hashes.SHA256())
    )
    write_private(key_path, _key_text(key))
    path.write_bytes(certificate.public_bytes(serialization.Encoding.PEM))


def _make_broker(
    path: Path, issuer: x509.Certificate, issuer_key: ec.EllipticCurvePrivateKey, now: datetime
) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    certificate = (
        _builder(
            key,
            subject=_name(BROKER_NAME),
            issuer=issuer.subject,
            now=now,
            days=CERTIFICATE_DAYS,
        )
        .add_extension(x509.BasicConstraints(ca=False, path_length=None), critical=True)
        .add_extension(_usage(signs_certificates=False), critical=True)
        # A client too: the broker shows it to its own controller.
        .add_extension(
            x509.ExtendedKeyUsage(
                [ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]
            ),
            critical=False,
        )
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName(_HOST_NAME), x509.IPAddress(_ADDRESS)]),
            critical=False,
        )
        .add_extension(
            x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()),
            critical=False,
        )
        .sign(issuer_key, hashes.SHA256())
    )
    pem = serialization.Encoding.PEM
    chain = certificate.public_bytes(pem) + issuer.public_bytes(pem)
    write_private(path, _key_text(key) + chain.decode())


def _builder(
    key: ec.EllipticCurvePrivateKey,
    *,
    subject: x509.Name,
    issuer: x509.Name,
    now: datetime,
    days: int,
) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=days))
    )


def _name(common_name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, common_name)])


def _usage(*, signs_certificates: bool) -> x509.KeyUsage:
    return x509.KeyUsage(
        digital_signature=not signs_certificates,
        key_cert_sign=signs_certificates,
        crl_sign=signs_certificates,
        content_commitment=False,
        key_encipherment=False,
        data_encipherment=False,
        key_agreement=False,
        encipher_only=False,
        decipher_only=False,
    )


def _key_text(key: ec.EllipticCurvePrivateKey) -> str:
    # Java reads no other form than PKCS #8.
    return key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    ).decode()


def _load_key(path: Path) -> ec.EllipticCurvePrivateKey:
    key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    assert isinstance(key, ec.EllipticCurvePrivateKey)
    return key
