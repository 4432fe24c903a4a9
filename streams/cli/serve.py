"""`realname serve`: the board, the JSON API and the metrics of what is published."""

from pathlib import Path
from typing import Annotated, Final

import typer

from streams.cli.exits import BadInput, Exit
from streams.cli.run import Run, command

app = typer.Typer()

ADDRESS_DEFAULT: Final = "127.0.0.1:8080"


@command(
    app,
    "serve",
    examples=[
        "realname serve",
        "realname serve --http 0.0.0.0:8080 --tokens tokens.toml",
        'realname serve --new-token "Ordos duty desk"',
    ],
    exits=(Exit.OK, Exit.USAGE),  # A cluster that is away is waited for.
)
def serve(
    run: Run,
    *,
    http: Annotated[
        str, typer.Option(metavar="HOST:PORT", help="Where to listen; port 0 picks a free one.")
    ] = ADDRESS_DEFAULT,
    tokens: Annotated[
        Path | None,
        typer.Option(metavar="FILE", help="TOML file that says which bearer token may see what."),
    ] = None,
    open_: Annotated[
        bool,
        typer.Option(
            "--open",
            help="Let everybody who reaches the address see everything: for a container's inside.",
        ),
    ] = False,
    new_token: Annotated[
        str | None,
        typer.Option(metavar="NAME", help="Make a token and its lines for the file, and end."),
    ] = None,
) -> None:
    """Serve the board at /, the JSON API below /api/v1, and /live, /ready, /metrics.

    It follows the published topics into memory and belongs to no consumer group: as many may run as
    you like, and none writes anything. Its API is described at /api/v1/openapi.json.

    Without --tokens it is open, and listens on this machine only. A token's city or enterprise limits
    all that it sees, also on the board: open /#token=... there, or type it in.
    """
    if new_token is not None:
        _show_new_token(run, new_token)
        return
    _serve(run, http, tokens, open_=open_)


def _show_new_token(run: Run, name: str) -> None:
    import orjson

    from streams.tokens import hash_of, new_token

    token = new_token()
    run.say("The token, which is shown only now; give it to whom it is for:")
    run.out.print(token, markup=False)
    # A JSON string is a TOML string, too.
    quoted = orjson.dumps(name).decode()
    run.say(
        "\nFor the file of --tokens, with one of the scopes:\n\n"
        f'[[tokens]]\nname = {quoted}\nsha256 = "{hash_of(token)}"\n'
        'region = true                # or city_code = "150600", or enterprise_id = "..."'
    )


def _serve(run: Run, http: str, tokens: Path | None, *, open_: bool) -> None:
    from streams.records.topics import ALERTS_ACKS
    from streams.serve.access import read_tokens
    from streams.serve.server import ServeConfig, serve
    from streams.serve.view import FOLLOWED
    from streams.tokens import TokensFileError
    from streams.web.server import is_loopback

    host, port = _address(http)
    if tokens is not None and open_:
        raise BadInput("--open and --tokens contradict one another; give one of them")
    if tokens is None and not open_ and not is_loopback(host):
        raise BadInput(
            f"--http {http} can be reached by others, so say who may see what: give --tokens FILE"
        )
    try:
        known = read_tokens(tokens) if tokens is not None else None
    except TokensFileError as error:
        raise BadInput(*error.mistakes) from error
    settings = run.settings
    catalogue = settings.topics()
    config = ServeConfig(
        client=run.client,
        topics={short: catalogue[short].name for short in (*FOLLOWED, ALERTS_ACKS)},
        host=host,
        port=port,
        tokens=known,
        loopback_only=known is None and not open_,
        routine_target=settings.policy.routine_target,
    )
    try:
        serve(config, listening=lambda url: run.say(f"Serving on {url}, until Ctrl-C"))
    except OSError as error:
        raise BadInput(
            f"--http {http}: cannot listen there ({error.strerror}); choose another port"
        ) from error


def _address(text: str) -> tuple[str, int]:
    from streams.web.server import parsed_address

    address = parsed_address(text)
    if address is None:
        raise BadInput(f"--http {text}: is not HOST:PORT; write it like {ADDRESS_DEFAULT}")
    return address
