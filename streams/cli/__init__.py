"""The console command `realname`: one file per command."""


def main() -> None:
    """Run the command line, and end the process with the command's exit code."""
    from streams.cli.app import app

    app()
