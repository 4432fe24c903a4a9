"""Prints what concerns your enterprise, as it happens: subscriber.py SETTINGS ENTERPRISE_ID."""

import json
import sys
from pathlib import Path

from confluent_kafka import Consumer


def handle(event: dict[str, str], data: dict[str, object] | None) -> None:
    """Do your work here. After a crash of yours an event comes again, with the same id."""
    print(event["time"], event["type"], event["subject"], json.dumps(data), flush=True)


def main(settings: str, enterprise_id: str) -> None:
    """Begin with the present state; later, go on where you stopped."""
    lines = Path(settings).read_text("utf-8").splitlines()
    more = {
        "group.id": f"{enterprise_id}.example",  # Yours begin with your id and a dot.
        "isolation.level": "read_committed",  # What is not committed did not happen.
        "auto.offset.reset": "earliest",
        "enable.auto.commit": False,
    }
    consumer = Consumer({**dict(line.split("=", 1) for line in lines if "=" in line), **more})
    consumer.subscribe([f"realname.compliance.{enterprise_id}"])
    while True:
        message = consumer.poll(1.0)
        if message is None:
            continue
        if message.error() is not None:
            sys.exit(f"Kafka refuses: {message.error()}")
        headers = dict(message.headers() or [])
        event = {name[3:]: text.decode() for name, text in headers.items() if name[:3] == "ce_"}
        value = message.value()  # None takes back what the key said, as in parcel.retracted.
        handle(event, None if value is None else json.loads(value))
        consumer.commit(message=message, asynchronous=False)  # After the work: nothing is lost.


if __name__ == "__main__":
    main(*sys.argv[1:])
