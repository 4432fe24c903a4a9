"""What one process of the gateway takes in a second, and how much of its core a record costs.

Clients post batches of the reference workload, of one enterprise, over kept connections: NDJSON, each
answered once Kafka has it all. The gateway has a core to itself if the machine has two.
"""

import http.client
import os
import re
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import cycle, islice
from pathlib import Path
from typing import Final

import psutil

from bench.cluster import PARTITIONS, Cluster, Scene
from bench.workload import Size, Workload, write_files
from streams.gateway.subjects import SubjectKeys, new_key
from streams.kafka.clock import now_ms
from streams.kafka.private_files import write_private
from streams.kafka.reading import end_offsets
from streams.kafka.reference import ReferenceTopic
from streams.kafka.topics import create_topics
from streams.records import topics
from streams.reference.areas import shipped_areas
from streams.reference.files import read_file
from streams.reference.listing import Kind
from streams.tokens import hash_of

BRAND: Final = "YTO"
TOKEN: Final = "bench"
BATCH_RECORDS: Final = 1_000
BATCHES: Final = 60
CLIENTS: Final = 4
WARM_S: Final = 3.0
MEASURED_S: Final = 15.0
TARGET: Final = 20_000
"""Records a second that one core must hold."""
SIZE: Final = Size(120_000, outlets=600)


@dataclass(slots=True)
class Taken:
    """What the clients have had answered, all of it accepted."""

    records: int = 0
    waits: int = 0
    lock: threading.Lock = field(default_factory=threading.Lock)


@dataclass(frozen=True, slots=True)
class Measured:
    """Figures of one measurement.

    Attributes:
        records: That were accepted in it.
        seconds: How long it took.
        cpu_s: CPU time of the gateway's process.
        waits: Answers of 429.
        body_bytes: Mean size of a record as it was sent.

    """

    records: int
    seconds: float
    cpu_s: float
    waits: int
    body_bytes: float


def measure(cluster: Cluster) -> Measured:
    """Start a gateway over an empty topic, and post to it."""
    files = write_files(SIZE, cluster.data_dir / "workloads")
    scene = Scene(cluster, SIZE, files, name=f"gateway-{now_ms()}")
    create_topics(cluster.admin, scene.topics, replication_factor=1)
    scene._apply_outlets()
    workload = Workload(SIZE)
    folder = cluster.data_dir / "gateway"
    folder.mkdir(parents=True, exist_ok=True)
    _apply_sources(scene, workload, folder)
    bodies = _bodies(workload)
    with _gateway(scene, workload, folder) as (process, port):
        taken, stop = Taken(), threading.Event()
        clients = [
            threading.Thread(target=_post, args=(port, bodies, taken, stop)) for _ in range(CLIENTS)
        ]
        for client in clients:
            client.start()
        time.sleep(WARM_S)
        began, cpu_s, records = time.perf_counter(), _cpu_s(process), taken.records
        time.sleep(MEASURED_S)
        measured = Measured(
            records=taken.records - records,
            seconds=time.perf_counter() - began,
            cpu_s=_cpu_s(process) - cpu_s,
            waits=taken.waits,
            body_bytes=sum(map(len, bodies)) / len(bodies) / BATCH_RECORDS,
        )
        stop.set()
        for client in clients:
            client.join()
    written = sum(end_offsets(cluster.admin, scene.records_topic).values())
    scene._delete([topic.name for topic in scene.topics.values()])
    assert written == taken.records, f"answered {taken.records:,}, written {written:,}"
    return measured


def report(measured: Measured) -> str:
    """Return the figures for people."""
    rate = measured.records / measured.seconds
    cpu_us = measured.cpu_s / measured.records * 1e6
    return (
        f"{rate:,.0f} records/s of {measured.body_bytes:.0f} bytes, in batches of {BATCH_RECORDS:,}, "
        f"each answered when Kafka had it; {measured.waits} were told to wait\n"
        f"{cpu_us:.1f} µs of CPU a record: {1e6 / cpu_us:,.0f} records/s of a whole core "
        f"(to hold: {TARGET:,})"
    )


def _apply_sources(scene: Scene, workload: Workload, folder: Path) -> None:
    file = folder / "sources.toml"
    file.write_text(
        f'[[sources]]\nsource = "/enterprise/{BRAND}"\nchannel = "ENTERPRISE_EDITION"\n'
        f'enterprise_id = "{_enterprise(workload)}"\n',
        "utf8",
    )
    listing = read_file(Kind.SOURCES, file, shipped_areas())
    reference = ReferenceTopic(scene.cluster.client, scene.topics[topics.REFERENCE].name)
    reference.apply(listing, now_ms=now_ms())


def _enterprise(workload: Workload) -> str:
    return next(r["enterprise_id"] for r in workload.outlet_rows if r["brand_code"] == BRAND)


def _bodies(workload: Workload) -> Sequence[bytes]:
    mark = f'"source":"/enterprise/{BRAND}"'.encode()
    mine = [record.value for record in workload.records() if mark in record.value]
    records = islice(cycle(mine), BATCHES * BATCH_RECORDS)
    return [b"\n".join(islice(records, BATCH_RECORDS)) for _ in range(BATCHES)]


@contextmanager
def _gateway(
    scene: Scene, workload: Workload, folder: Path
) -> Iterator[tuple[psutil.Process, int]]:
    tokens, keys = folder / "tokens.toml", folder / "keys.toml"
    tokens.write_text(
        f'[[tokens]]\nname = "bench"\nsha256 = "{hash_of(TOKEN)}"\nmay = ["write"]\n'
        f'enterprise_id = "{_enterprise(workload)}"\n',
        "utf8",
    )
    write_private(keys, SubjectKeys([new_key("k1", 0)]).text())
    options = [
        *("gateway", "--http", "127.0.0.1:0", "--tokens", str(tokens)),
        *("--subject-keys", str(keys), "--bootstrap", scene.cluster.bootstrap),
        *("--prefix", scene.prefix, "--data-dir", str(folder)),
    ]
    started = subprocess.Popen(
        [sys.executable, "-c", "from streams.cli import main; main()", *options],
        stderr=subprocess.PIPE,
        # Its reference data name these partition counts, and it must not find other settings.
        env={
            "PATH": os.defpath,
            "PYTHONPATH": str(Path(__file__).parent.parent),
            "REALNAME_CLOCK": "data",
            "REALNAME_PARTITIONS__SHIPMENTS": str(PARTITIONS[topics.SHIPMENTS]),
        },
    )
    try:
        assert started.stderr is not None
        told = started.stderr.readline().decode()
        found = re.search(r"http://127\.0\.0\.1:(\d+)/", told)
        assert found, f"it did not start: {told}"
        process = psutil.Process(started.pid)
        cores = process.cpu_affinity()
        if len(cores) > 1:
            process.cpu_affinity(cores[:1])
            os.sched_setaffinity(0, cores[1:])
        threading.Thread(target=started.stderr.read, daemon=True).start()
        yield process, int(found.group(1))
        os.sched_setaffinity(0, cores)
    finally:
        started.terminate()
        started.wait(30)


def _post(port: int, bodies: Sequence[bytes], taken: Taken, stop: threading.Event) -> None:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=60)
    headers = {"Authorization": f"Bearer {TOKEN}", "Content-Type": "application/x-ndjson"}
    for body in cycle(bodies):
        if stop.is_set():
            break
        connection.request("POST", "/v1/shipments", body, headers)
        answer = connection.getresponse()
        said = answer.read()
        if answer.status in (429, 503):
            with taken.lock:
                taken.waits += 1
            time.sleep(0.2)
            continue
        assert answer.status == 200, said
        assert f'"accepted":{BATCH_RECORDS},'.encode() in said, said[:500]
        with taken.lock:
            taken.records += BATCH_RECORDS
    connection.close()


def _cpu_s(process: psutil.Process) -> float:
    times = process.cpu_times()
    return float(times.user + times.system)
