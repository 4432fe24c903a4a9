"""`realname gateway`: takes in enterprises' own records over HTTP."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Run, command

if TYPE_CHECKING:
    from collections.abc import Sequence

    from streams.gateway.server import Tls
    from streams.gateway.subjects import SubjectKeys
    from streams.tokens import Grant

app = typer.Typer()

ADDRESS_DEFAULT: Final = "127.0.0.1:8350"


@command(
    app,
    "gateway",
    examples=[
        "realname gateway --tokens tokens.toml",
        "realname gateway --tokens tokens.toml --subject-keys keys.toml",
        "realname gateway --tokens tokens.toml --http 0.0.0.0:8443 --tls-certificate C --tls-key K",
    ],
    exits=(Exit.OK, Exit.USAGE),  # A cluster that is away is waited for.
)
def gateway(
    run: Run,
    *,
    tokens: Annotated[
        Path,
        typer.Option(metavar="FILE", help="TOML file that says which bearer token may write what."),
    ],
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 picks a free one.")
    ] = ADDRESS_DEFAULT,
    subject_keys: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE", help="Keys of subjects' tokens; without them no subject is written."
        ),
    ] = None,
    tls_certificate: Annotated[
        Path | None, typer.Option(metavar="PEM", help="The server's certificate.")
    ] = None,
    tls_key: Annotated[Path | None, typer.Option(metavar="PEM", help="Its key.")] = None,
    tls_client_authority: Annotated[
        Path | None,
        typer.Option(metavar="PEM", help="Take only clients with a certificate of this authority."),
    ] = None,
    plain: Annotated[
        bool,
        typer.Option(
            "--plain", help="Without TLS where others can reach it: behind a proxy that has it."
        ),
    ] = False,
) -> None:
    """Take in records by POST /v1/shipments, check whose they are, and write them to shipments.

    A batch is a JSON array or NDJSON, gzip if you like. Each record is answered: accepted once Kafka
    has it, or rejected with code and path. A token writes for its enterprise's sources and outlets
    only. When there is no room, or Kafka is away, the answer is 429 with Retry-After, and sending all
    of it again is harmless. /v1/openapi.json describes it; /live, /ready and /metrics are beside it.

    `realname serve --new-token NAME` makes a token, `realname keys rotate FILE` a key.
    """
    from streams.web.server import is_loopback, parsed_address

    address = parsed_address(http)
    if address is None:
        raise BadInput(f"--http {http}: is not HOST:PORT; write it like {ADDRESS_DEFAULT}")
    tls = _tls(tls_certificate, tls_key, tls_client_authority)
    if tls is None and not plain and not is_loopback(address[0]):
        raise BadInput(
            f"--http {http} can be reached by others, who would see tokens and records: give "
            "--tls-certificate and --tls-key, or --plain behind a proxy that has TLS"
        )
    _run(run, address, _grants(tokens), tls=tls, subjects=_subjects(run, subject_keys))


def _run(
    run: Run,
    address: tuple[str, int],
    grants: "Sequence[Grant]",
    *,
    tls: "Tls | None",
    subjects: "SubjectKeys | None",
) -> None:
    import ssl

    from streams.gateway.server import GatewayConfig, run_gateway
    from streams.records.topics import REFERENCE, SHIPMENTS

    settings = run.settings
    topics = settings.topics()
    config = GatewayConfig(
        client=run.client,
        shipments=topics[SHIPMENTS].name,
        reference=topics[REFERENCE].name,
        host=address[0],
        port=address[1],
        grants=grants,
        subjects=subjects,
        tls=tls,
        wall_clock=settings.clock == "wall",
        clock_skew_ms=settings.policy.clock_skew_ms,
    )
    _log_batches(settings.log_level)
    try:
        run_gateway(config, listening=lambda url: run.say(f"Taking in on {url}, until Ctrl-C"))
    except ssl.SSLError as error:
        raise BadInput(
            f"--tls-...: a file is no certificate, or the key is another's ({error.reason}); "
            "correct them"
        ) from error
    except OSError as error:
        what = error.filename or f"--http {address[0]}:{address[1]}"
        raise BadInput(f"{what}: cannot be used ({error.strerror}); choose another") from error


def _log_batches(level: str) -> None:
    """Log as `log_level` says, which is info by default: who has sent how much, by batch."""
    from streams import logs

    logs.configure(level)


def _grants(tokens: Path) -> "Sequence[Grant]":
    from streams.tokens import TokensFileError, read_grants

    try:
        grants = read_grants(tokens)
    except TokensFileError as error:
        raise BadInput(*error.mistakes) from error
    if not any("write" in grant.may for grant in grants):
        raise BadInput(f'{tokens}: no token may write; give one of them may = ["write"]')
    return grants


def _tls(certificate: Path | None, key: Path | None, client_authority: Path | None) -> "Tls | None":
    from streams.gateway.server import Tls

    if certificate is None and key is None:
        if client_authority is not None:
            raise BadInput("--tls-client-authority needs --tls-certificate and --tls-key; add them")
        return None
    if certificate is None or key is None:
        raise BadInput("--tls-certificate and --tls-key belong together; give both")
    return Tls(certificate, key, client_authority)


def _subjects(run: Run, path: Path | None) -> "SubjectKeys | None":
    from streams.gateway.subjects import SubjectKeysError, read_keys

    if path is None:
        run.say("No --subject-keys, so records are written without their subjects.")
        return None
    try:
        return read_keys(path)
    except SubjectKeysError as error:
        raise BadInput(*error.mistakes) from error
