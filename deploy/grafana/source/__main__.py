"""Writes the dashboards beside the code: the same files each time."""

from collections.abc import Mapping
from pathlib import Path
from typing import Final

import orjson

from deploy.grafana.source.city import CITY
from deploy.grafana.source.enterprise import ENTERPRISE
from deploy.grafana.source.outlet import OUTLET
from deploy.grafana.source.pipeline import PIPELINE
from deploy.grafana.source.region import REGION

FOLDER: Final = Path(__file__).parent.parent / "dashboards"
DASHBOARDS: Final = (REGION, CITY, ENTERPRISE, OUTLET, PIPELINE)


def made() -> Mapping[str, bytes]:
    """Return the files, by name."""
    return {
        f"{dashboard.uid}.json": orjson.dumps(dashboard.json(), option=orjson.OPT_INDENT_2) + b"\n"
        for dashboard in DASHBOARDS
    }


if __name__ == "__main__":
    for name, content in made().items():
        (FOLDER / name).write_bytes(content)
