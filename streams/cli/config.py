"""`realname config`: what the settings are, and where each comes from."""

import typer

from streams.cli.exits import Exit
from streams.cli.run import Json, Run, command
from streams.cli.show import show

app = typer.Typer(no_args_is_help=True, help="Settings: show.")


@command(
    app,
    "show",
    examples=["realname config show", "realname config show --config prod.toml --json"],
    exits=(Exit.OK, Exit.USAGE),
)
def show_(run: Run, *, json: Json = False) -> None:
    """Show every setting with its value and where it comes from; secrets are redacted.

    A setting is looked for on the command line, then in the environment (REALNAME_HTTP_PORT,
    REALNAME_POLICY__GRACE_ALERT_MS), then in the TOML file (http_port, policy.grace_alert_ms); else
    the default counts.
    """
    from streams.settings import Settings, shown

    rows = [
        {
            "setting": path,
            "value": value,
            "from": run.loaded.origins.get(path, "default"),
            "description": Settings.model_fields[path.partition(".")[0]].description,
        }
        for path, value in shown(run.settings)
    ]
    show(run, rows, json=json, columns=("setting", "value", "from"), empty="")
