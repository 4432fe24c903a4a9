"""A gateway without Kafka: two enterprises, their tokens, and a writer that keeps what it is given."""

import asyncio
import json
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import uvicorn

from streams.gateway.app import BUDGET_BYTES, Gateway
from streams.gateway.budget import Budget
from streams.gateway.checking import Checker
from streams.gateway.metrics import GatewayMetrics
from streams.gateway.server import GatewayConfig, Tls, server_config
from streams.gateway.subjects import SubjectKey, SubjectKeys
from streams.gateway.writer import NotAcknowledged
from streams.reference.types import Move, Outlet, Reference, Source
from streams.tokens import Grant, Right, hash_of
from streams.web.server import listening_socket

NOW_MS = 1_504_848_600_000  # 8 September 2017, 13:30 in Shanghai.
MINE, OTHER = "E-ZT", "E-YT"

# All made up. The first is the example of GB 11643.
IDENTITY, PHONE, NAME = "11010519491231002X", "13800138000", "张三丰"

KEY = SubjectKey("k1", 0, bytes(range(32)))


def outlet(
    number: int, outlet_id: str, brand: str, enterprise: str, moves: tuple[Move, ...] = ()
) -> Outlet:
    return Outlet(number, outlet_id, "n", brand, enterprise, "150105", "d", moves)


REFERENCE = Reference(
    version=1,
    outlets={
        found.outlet_id: found
        for found in (
            outlet(1, "150105-ZT-0031", "ZT", MINE),
            outlet(2, "150105-ZX-0001", "ZX", MINE),
            outlet(3, "150105-YT-0001", "YT", OTHER),
            # Until 8 September 2017 it was ours.
            outlet(4, "150105-YT-0002", "ZT", OTHER, moves=(Move(17_417, MINE, "150105"),)),
        )
    },
    sources={
        found.source: found
        for found in (
            Source("/enterprise/zt", MINE, "ENTERPRISE_EDITION"),
            Source("/enterprise/yt", OTHER, "ENTERPRISE_EDITION"),
            Source("/anyidi", None, "ANYIDI_PUBLIC"),
        )
    },
)

COLLECTED: Mapping[str, Any] = {
    "type": "shipment.collected",
    "id": "c-1",
    "source": "/enterprise/zt",
    "time": "2017-09-08T10:15:30+08:00",
    "recorded_at": "2017-09-08T10:16:02+08:00",
    "waybill_no": "ZT0000000000017",
    "outlet_id": "150105-ZT-0031",
    "parcel_category": "LOOSE",
}
REGISTERED: Mapping[str, Any] = {
    "type": "realname.registered",
    "id": "r-1",
    "source": "/enterprise/zt",
    "time": "2017-09-08T10:20:00+08:00",
    "recorded_at": "2017-09-08T10:20:01+08:00",
    "waybill_no": "ZT0000000000017",
    "outlet_id": "150105-ZT-0031",
    "registration_id": "r-000017",
    "verification_result": "MATCHED",
}


def grant(token: str, enterprise_id: str | None = None, *, may: Right = "write") -> Grant:
    return Grant(token, hash_of(token), enterprise_id=enterprise_id, may=frozenset({may}))


GRANTS = [
    grant("rns_zt", MINE),
    replace(grant("rns_zx", MINE), brands=frozenset({"ZX"})),
    grant("rns_yt", OTHER),
    replace(grant("rns_old", MINE), expires_ms=NOW_MS),
    grant("rns_reader", MINE, may="read"),
    grant("rns_region", may="read"),
    replace(grant("rns_bound", MINE), certificate_sha256="0" * 64),
]


def encoded(record: Mapping[str, Any], **changes: object) -> bytes:
    """Return a record's JSON; `...` as a change takes a field out."""
    whole = {**record, **changes}
    return json.dumps({k: v for k, v in whole.items() if v is not ...}, ensure_ascii=False).encode()


def checker(*, wall: bool = True, subjects: SubjectKeys | None = None) -> Checker:
    return Checker(
        lambda: REFERENCE,
        subjects=subjects or SubjectKeys([KEY]),
        received=(lambda: NOW_MS) if wall else None,
        now_ms=lambda: NOW_MS,
        clock_skew_ms=300_000,
    )


@dataclass
class KeptWriter:
    """Keeps what it is given; fails where it is told a reason."""

    written: list[tuple[bytes, bytes]] = field(default_factory=list)
    waiting: int = 0
    trouble: str | None = None
    fails: str | None = None
    away: bool = False
    takes_s: float = 0.0

    async def write(self, keys: Sequence[bytes], values: Sequence[bytes]) -> None:
        await asyncio.sleep(self.takes_s)
        if self.fails is not None:
            raise NotAcknowledged(self.fails)
        self.written += zip(keys, values, strict=True)


@dataclass
class KnownAll:
    ready: bool = True
    alive: bool = True
    trouble: str | None = None


def gateway(
    writer: KeptWriter, *, known: KnownAll | None = None, budget: int = BUDGET_BYTES
) -> Gateway:
    return Gateway(
        grants={found.sha256: found for found in GRANTS},
        checker=checker(),
        writer=writer,
        known=known or KnownAll(),
        metrics=GatewayMetrics(),
        budget=Budget(budget),
        now_ms=lambda: NOW_MS,
    )


@contextmanager
def served(made: Gateway, *, tls: Tls | None = None) -> Iterator[int]:
    """Serve a gateway as `realname gateway` does, and give its port."""
    config = GatewayConfig(
        client={},
        shipments="",
        reference="",
        host="127.0.0.1",
        port=0,
        grants=[],
        subjects=None,
        tls=tls,
        wall_clock=True,
        clock_skew_ms=0,
    )
    with listening_socket("127.0.0.1", 0) as listener:
        server = uvicorn.Server(server_config(config, made))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        try:
            yield listener.getsockname()[1]
        finally:
            server.should_exit = True
            thread.join(30)


def write_tokens(path: Path) -> Path:
    path.write_text(
        "".join(
            f'[[tokens]]\nname = "{found.name}"\nsha256 = "{found.sha256}"\nmay = ["write"]\n'
            f'enterprise_id = "{found.enterprise_id}"\n'
            for found in GRANTS
            if "write" in found.may and found.certificate_sha256 is None and not found.expires_ms
        ),
        "utf8",
    )
    return path
