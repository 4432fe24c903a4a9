"""The Alertmanager configuration that ships: valid, complete, and routed as it says."""

import json
import re
import shutil
import subprocess
from pathlib import Path

import pytest

from streams.notify.names import Ids
from streams.notify.notices import ALL, LABELS, labels_of, watchdog
from streams.notify.texts import Links, annotations_of
from streams.reference.areas import shipped_areas
from streams.settings import NotifySettings, duration_ms
from tests.notify.builders import raised_as, record

pytestmark = pytest.mark.usefixtures("alertmanager_package")

FOLDER = Path(__file__).parent.parent.parent / "deploy/alertmanager"
CONFIG = FOLDER / "alertmanager.yml"
ROBOT_BYTES_MAX = 2048  # Of a WeCom robot, the least of them.


def amtool(*arguments: str) -> str:
    command = [shutil.which("amtool") or "amtool", *arguments]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def receivers(text: str) -> list[str]:
    return re.findall(r"^  - name: (\S+)", text.partition("\nreceivers:\n")[2], re.MULTILINE)


def test_it_is_valid() -> None:
    assert "1 templates" in amtool("check-config", str(CONFIG))


def test_it_is_valid_with_every_receiver_of_the_examples(tmp_path: Path) -> None:
    text = CONFIG.read_text("utf8")
    examples = (FOLDER / "receivers.example.yml").read_text("utf8")
    filled = re.sub(r"<[^<>\n]+>", "x", examples)
    assert set(receivers(filled)) < set(receivers(text))
    rest = [name for name in receivers(text) if name not in receivers(filled)]
    lines = [text.partition("\nreceivers:\n")[0], filled, *(f"  - name: {name}" for name in rest)]
    path = tmp_path / "alertmanager.yml"
    path.write_text("\n".join(lines).replace("templates/*", f"{FOLDER}/templates/*"))
    amtool("check-config", str(path))


def test_every_city_has_its_officer() -> None:
    cities = {county.city_code for county in shipped_areas().counties.values()}
    named = {name.removeprefix("duty-") for name in receivers(CONFIG.read_text("utf8"))}
    assert cities <= named


def test_rules_name_labels_that_alerts_have() -> None:
    text = CONFIG.read_text("utf8").partition("\nreceivers:\n")[0]
    matched = set(re.findall(r"'(\w+)(?:=~|!~|!=|=)\"", text))
    grouped = {
        name.strip()
        for names in re.findall(r"(?:equal|group_by): \[(.+?)\]", text)
        for name in names.split(",")
    }
    assert matched | grouped <= set(LABELS)


def test_notify_knows_how_long_pages_wait() -> None:
    (pages,) = re.findall(
        r'severity="page"\'\]\n(?:.*\n)*?\s+group_wait: (\w+)', CONFIG.read_text("utf8")
    )[:1]
    assert duration_ms(pages.replace("m", "min")) == NotifySettings().group_wait_ms


HOHHOT, ORDOS = "150100", "150600"
# What an alert is, and who is told.
ROUTES: list[tuple[str, dict[str, str], str]] = [
    ("a page of an L2 event goes to its city's officer", {}, f"duty-{HOHHOT}"),
    ("wherever that is", {"city": ORDOS}, f"duty-{ORDOS}"),
    ("a city without an officer is the region's", {"city": "999900"}, "duty-region"),
    ("the region's own is the region's", {"level": "region", "city": ALL}, "duty-region"),
    ("an enterprise's is the region's", {"level": "enterprise", "city": ALL}, "duty-region"),
    ("of L1 the command post hears, too", {"event_level": "L1"}, f"command-post,duty-{HOHHOT}"),
    ("L3 is the officer's", {"event_level": "L3"}, f"duty-{HOHHOT}"),
    ("and so is what has no event", {"event_level": "ROUTINE", "event": ALL}, f"duty-{HOHHOT}"),
    ("a ticket is nobody's night", {"severity": "ticket"}, "tickets"),
    ("a ticket of L1 is a ticket", {"severity": "ticket", "event_level": "L1"}, "tickets"),
    ("what is for information disturbs nobody", {"severity": "none"}, "nobody"),
]


@pytest.mark.parametrize(
    ("changes", "told"), [case[1:] for case in ROUTES], ids=[case[0] for case in ROUTES]
)
def test_an_alert_goes_to(changes: dict[str, str], told: str) -> None:
    labels = labels_of(record(raised=raised_as()), "page") | changes
    pairs = [f"{name}={value}" for name, value in labels.items()]
    assert amtool("config", "routes", "test", f"--config.file={CONFIG}", *pairs).strip() == told


@pytest.mark.parametrize(
    ("labels", "told"),
    [
        (watchdog({}, starts_ms=0, ahead_ms=1, url="").labels, "watchdog"),
        ({"alertname": "Watchdog", "severity": "none"}, "watchdog"),
        ({"alertname": "RealNameNotEvaluated", "severity": "page"}, "operations"),
    ],
    ids=["our watchdog", "Prometheus' watchdog", "the platform's alerts"],
)
def test_what_is_not_about_parcels_goes_to(labels: dict[str, str], told: str) -> None:
    pairs = [f"{name}={value}" for name, value in labels.items()]
    assert amtool("config", "routes", "test", f"--config.file={CONFIG}", *pairs).strip() == told


def test_the_templates_tell_what_alerts_say(tmp_path: Path) -> None:
    """A group of thousands is counted, and the first are told."""
    texts = annotations_of(record(), Ids(), Links("runbooks", "http://board/"))
    alert = {"status": "firing", "labels": labels_of(record(), "page"), "annotations": texts}
    group = {"status": "firing", "externalURL": "http://alertmanager/", "alerts": [alert] * 2500}
    data = tmp_path / "data.json"
    data.write_text(json.dumps(group))
    shown = {
        name: amtool(
            *("template", "render", f"--template.glob={FOLDER}/templates/*.tmpl"),
            *(f"--template.data={data}", f'--template.text={{{{ template "{name}" . }}}}'),
        ).strip()
        for name in ("realname.title", "realname.title.en", "realname.text", "realname.short")
    }
    assert shown["realname.title"] == f"[2500] {texts['summary_zh']} 等 2500 项"
    assert shown["realname.title.en"] == f"[2500] {texts['summary']} and 2500 in all"
    assert shown["realname.text"].count(texts["description"]) == 20
    assert shown["realname.text"].endswith("2500 in all: http://alertmanager/")
    assert len(shown["realname.short"].encode()) < ROBOT_BYTES_MAX
