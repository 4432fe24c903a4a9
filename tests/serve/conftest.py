"""A view filled with what the stages published of the demo scenario, and clients of its web server."""

import gzip
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import orjson
import pytest
from fastapi.testclient import TestClient

from streams.reference.areas import shipped_areas
from streams.reference.files import FILE_NAMES, read_files
from streams.reference.history import plan_all
from streams.resources import config_dir
from streams.serve.access import Access, Tokens
from streams.serve.api import Service, build_app
from streams.serve.metrics import ServeMetrics
from streams.serve.rows import Incoming
from streams.serve.stream import Summaries
from streams.serve.summary import Summarist
from streams.serve.view import View
from streams.tokens import hash_of

ROUTINE_TARGET = 0.90
RECORDED_AT_MS = 1_504_672_800_000

CHIFENG = "150400"
EMS = "911500000000010076"
TOKENS = {
    "region": Access("region"),
    "chifeng": Access("chifeng", city_code=CHIFENG),
    "ems": Access("ems", enterprise_id=EMS),
    "ems-chifeng": Access("ems in chifeng", city_code=CHIFENG, enterprise_id=EMS),
}

Client = Callable[[str | None], TestClient]


@dataclass
class FakeFeed:
    """What fills a view, where nothing does."""

    ready: bool = True
    alive: bool = True
    trouble: str | None = None
    lag: Mapping[str, int] = field(default_factory=dict)
    records: Mapping[str, int] = field(default_factory=dict)


@cache
def recorded() -> list[Incoming]:
    lines = gzip.decompress((Path(__file__).parent / "recorded.jsonl.gz").read_bytes()).splitlines()
    return [
        Incoming(
            topic, key.encode(), None if value is None else orjson.dumps(value), RECORDED_AT_MS
        )
        for topic, key, value in map(orjson.loads, lines)
    ]


@cache
def reference_records() -> list[Incoming]:
    files = {kind: config_dir() / name for kind, name in FILE_NAMES.items()}
    listings = read_files(files, shipped_areas()).values()
    return [Incoming("reference", a.key, a.value, 0) for a in plan_all({}, listings, now_ms=0)]


def filled() -> View:
    """A view that a test may change."""
    view = View(shipped_areas())
    view.apply(reference_records())
    view.apply(recorded())
    return view


@pytest.fixture(scope="session")
def view() -> View:
    """The view that tests share; it must not be changed."""
    return filled()


def client_of(
    view: View,
    *,
    feed: FakeFeed | None = None,
    tokens: Tokens | None = None,
    secret: str | None = None,
) -> TestClient:
    feed = feed or FakeFeed()
    service = Service(
        view=view,
        feed=feed,
        summaries=Summaries(Summarist(view, ROUTINE_TARGET)),
        observer=ServeMetrics(view, feed, routine_target=ROUTINE_TARGET),
        tokens=tokens,
    )
    app = build_app(service, loopback_only=tokens is None)
    headers = {"Authorization": f"Bearer {secret}"} if secret is not None else {}
    return TestClient(app, base_url="http://localhost", headers=headers)


@pytest.fixture
def client(view: View) -> TestClient:
    """Of a server without tokens."""
    return client_of(view)


@pytest.fixture
def client_with(view: View) -> Client:
    """Of a server with tokens; takes one of `TOKENS`, or anything else, or None for none."""
    tokens = Tokens({hash_of(name): access for name, access in TOKENS.items()})
    return lambda secret: client_of(view, tokens=tokens, secret=secret)
