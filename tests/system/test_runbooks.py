"""What the runbooks say to type at amtool does what they say."""

import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.system.conftest import NewAlertmanager

RUNBOOKS = Path(__file__).parent.parent.parent / "deploy/runbooks"
SHIPPED = "http://127.0.0.1:9093"


@pytest.fixture(scope="module")
def url(new_alertmanager: NewAlertmanager, tmp_path_factory: pytest.TempPathFactory) -> str:
    config = tmp_path_factory.mktemp("config") / "alertmanager.yml"
    config.write_text("route: {receiver: everybody}\nreceivers: [{name: everybody}]\n")
    alertmanager = new_alertmanager(config)
    alertmanager.start()
    return alertmanager.url


def lines() -> list[str]:
    texts = [path.read_text("utf8") for path in sorted(RUNBOOKS.glob("*.md"))]
    return [
        line for text in texts for line in re.findall(r"^ {4,}(amtool .+)$", text, re.MULTILINE)
    ]


@pytest.mark.parametrize("line", lines())
def test_amtool_takes_it(line: str, url: str) -> None:
    assert SHIPPED in line
    amtool, *arguments = shlex.split(line.replace(SHIPPED, url))
    command = [shutil.which(amtool) or amtool, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
