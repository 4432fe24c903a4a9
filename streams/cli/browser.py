"""Opens a page in the desktop's browser."""

import sys
from contextlib import suppress
from subprocess import DEVNULL, run
from threading import Thread


def open_page(url: str) -> None:
    """Ask the desktop to show a page, and return at once; nothing happens where that cannot be done.

    In a process of its own: some browsers make their caller wait, others write to its terminal. They
    stay when we end.
    """
    Thread(target=_ask, args=(url,), name="browser", daemon=True).start()


def _ask(url: str) -> None:
    with suppress(OSError):
        run(
            [sys.executable, "-m", "webbrowser", url],
            stdin=DEVNULL,
            stdout=DEVNULL,
            stderr=DEVNULL,
            start_new_session=True,
            check=False,
        )
