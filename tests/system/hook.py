"""A web-hook receiver, and the Alertmanager configuration that ships with it for every receiver."""

import json
import re
import shutil
import threading
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

DEPLOY = Path(__file__).parents[2] / "deploy/alertmanager"

SHORTENED = {
    "group_wait: 2m": "group_wait: 8s",
    "group_interval: 5m": "group_interval: 6s",
    "repeat_interval: 4h": "repeat_interval: 10m",
    "repeat_interval: 1h": "repeat_interval: 10m",
}
"""As shipped, and here: group_wait is longer than 5,000 alerts take to come on a busy machine."""


@dataclass
class Hook:
    """What came, in order, by the receiver's name in the address."""

    url: str = ""
    came: list[tuple[str, dict[str, Any]]] = field(default_factory=list)

    def pages(self, receiver: str, status: str = "firing") -> list[dict[str, Any]]:
        return [body for name, body in self.came if name == receiver and body["status"] == status]

    def told(self, receiver: str) -> set[str]:
        """Return the scopes that a receiver has heard of as firing."""
        return {
            alert["labels"]["alert_id"].rpartition(":")[2]
            for body in self.pages(receiver)
            for alert in body["alerts"]
            if alert["status"] == "firing"
        }

    def news(self) -> Mapping[tuple[str, str], list[str]]:
        """Return what was news of each alert, in order, by receiver and `alert_id|episode`.

        Alertmanager tells a group whole when one of it changes, so what was told before may stand beside;
        a message with nothing new in it is a second page.
        """
        found: dict[tuple[str, str], list[str]] = {}
        for name, body in self.came:
            is_new = False
            for alert in body["alerts"]:
                labels, status = alert["labels"], alert["status"]
                said = found.setdefault((name, f"{labels['alert_id']}|{labels['episode']}"), [])
                if said[-1:] != [status]:
                    said.append(status)
                    is_new = True
            assert is_new or name == "watchdog", body
        return found


@contextmanager
def listening() -> Iterator[Hook]:
    """Receive, in threads of its own."""
    hook = Hook()

    class Receiver(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            hook.came.append((self.path.strip("/"), json.loads(body)))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Write nothing to the test's output."""

    with ThreadingHTTPServer(("127.0.0.1", 0), Receiver) as server:
        hook.url = f"http://127.0.0.1:{server.server_address[1]}"
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        try:
            yield hook
        finally:
            server.shutdown()
            thread.join()


def configured(folder: Path, hook: Hook, times: Mapping[str, str] = SHORTENED) -> Path:
    """Write the configuration that ships, with other times and the hook for every receiver."""
    text = (DEPLOY / "alertmanager.yml").read_text("utf8")
    for shipped, here in times.items():
        assert shipped in text
        text = text.replace(shipped, here)
    head, receivers = text.split("\nreceivers:\n")
    receivers = re.sub(
        r"  - name: (\S+).*",
        rf"  - {{ name: \1, webhook_configs: [{{ url: '{hook.url}/\1', max_alerts: 50 }}] }}",
        receivers,
    )
    shutil.copytree(DEPLOY / "templates", folder / "templates")
    path = folder / "alertmanager.yml"
    path.write_text(f"{head}\nreceivers:\n{receivers}")
    return path
