"""The programs of `bench/peers`, on Kafka Streams and on Flink. They need Java 17 and Maven."""

import shutil
import subprocess
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Final

from bench.cluster import Scene
from bench.contenders.contender import RUN_TIMEOUT_S, RunFailed, run_to_result
from bench.outcome import Outcome

SOURCES: Final = Path(__file__).parent.parent / "peers"
JAVA_MIN: Final = 17
BUILD_TIMEOUT_S: Final = 900.0
MEMORY: Final = ("-Xms3g", "-Xmx3g", "-XX:+UseParallelGC")
"""Much memory, and the collector that was fastest with both."""
OPENED: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.util", "java.lang", "java.util.concurrent")
)
"""What Flink asks for on Java 17."""


@dataclass(frozen=True, slots=True)
class Engine:
    """One of the programs."""

    module: str
    main: str
    options: Sequence[str] = ()


KAFKA_STREAMS: Final = Engine("kafka-streams", "bench.streams.KafkaStreamsPeer")
FLINK: Final = Engine("flink", "bench.flink.FlinkPeer", OPENED)


class OnJvm:
    """A program of `bench/peers` with one kind of store."""

    def __init__(self, name: str, engine: Engine, *, store: str) -> None:
        self.name = name
        self._engine = engine
        self._store = store

    def lacks(self) -> str | None:
        """Return what is missing of Java and Maven."""
        return lacking()

    def run(self, scene: Scene) -> Outcome:
        """Work off the records once, under a new group's name."""
        data_dir = scene.cluster.data_dir
        group = f"bench-{self._engine.module}-{time.monotonic_ns()}"
        java = shutil.which("java")
        assert java is not None
        with tempfile.TemporaryDirectory(dir=data_dir) as state:
            try:
                return run_to_result(
                    [
                        *(java, *MEMORY, *self._engine.options),
                        f"-Dbootstrap={scene.cluster.bootstrap}",
                        f"-Dtopic={scene.records_topic}",
                        f"-Dgroup={group}",
                        f"-Dtruth={scene.files.truth}",
                        f"-Dstate={state}",
                        f"-Dbroker.pid={scene.cluster.broker_pid}",
                        f"-Dstore={self._store}",
                        f"-Dtimeout={RUN_TIMEOUT_S - 30:.0f}",
                        "-Dorg.slf4j.simpleLogger.defaultLogLevel=error",
                        *("-cp", classpath(self._engine, data_dir)),
                        self._engine.main,
                    ]
                )
            finally:
                scene.delete_topics_of(group)


@cache
def lacking() -> str | None:
    """Return what is missing of Java and Maven; None if both are there."""
    java, maven = shutil.which("java"), shutil.which("mvn")
    if java is None or maven is None:
        return f"needs Java {JAVA_MIN} and Maven; install them to have it measured"
    told = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = told.partition('"')[2].partition(".")[0]
    if not version.isdigit() or int(version) < JAVA_MIN:
        return f"needs Java {JAVA_MIN}, and {java} is {version or 'of an unknown version'}"
    return None


@cache
def build(data_dir: Path) -> Path:
    """Compile the programs, and return where the classes are.

    Raises:
        RunFailed: Maven says why.

    """
    target = data_dir / "peers"
    maven = shutil.which("mvn")
    assert maven is not None
    done = subprocess.run(
        [maven, "-B", "-q", "-f", str(SOURCES), "compile", f"-Dbench.build={target}"],
        capture_output=True,
        text=True,
        timeout=BUILD_TIMEOUT_S,
        check=False,
    )
    if done.returncode:
        raise RunFailed(f"Maven could not build {SOURCES}:\n{done.stdout[-3_000:]}")
    return target


def classpath(engine: Engine, data_dir: Path) -> str:
    """Return the classpath of one of the programs, built."""
    target = build(data_dir) / engine.module
    return f"{target / 'classes'}:{(target / 'classpath.txt').read_text('utf8').strip()}"
