"""The board is shown in a browser where there is a desktop, and nothing fails where there is none."""

import time
from pathlib import Path

import pytest

from streams.cli.browser import open_page
from streams.settings import has_desktop

URL = "http://127.0.0.1:40123/?lang=zh"


def test_the_desktops_browser_is_asked_for_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    browser, asked = tmp_path / "browser", tmp_path / "asked"
    browser.write_text(f'#!/bin/sh\necho "$1" > {asked}.new && mv {asked}.new {asked}\n')
    browser.chmod(0o755)
    monkeypatch.setenv("BROWSER", f"{browser} %s")
    open_page(URL)
    deadline = time.monotonic() + 30
    while not asked.exists():
        assert time.monotonic() < deadline, "no browser was started"
        time.sleep(0.05)
    assert asked.read_text() == f"{URL}\n"


@pytest.mark.parametrize(
    ("variables", "there"),
    [
        ({"DISPLAY": ":0"}, True),
        ({"WAYLAND_DISPLAY": "wayland-0"}, True),
        ({"DISPLAY": ":0", "SSH_CONNECTION": "10.0.0.1 5 10.0.0.2 22"}, False),
        ({"DISPLAY": ""}, False),
        ({}, False),
    ],
    ids=["X", "Wayland", "another machine's, through ssh", "an empty name", "no display"],
)
def test_a_desktop_is_one_that_the_person_at_the_terminal_sees(
    variables: dict[str, str], there: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "SSH_CONNECTION"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert has_desktop() is there
