"""Makes functions run as machine code.

Numba compiles a function when it is first called with arrays of some types, which takes seconds, and keeps
the result beside the source. What is compiled says so with `@compiled` and sticks to numbers and arrays of
numpy; run with NUMBA_DISABLE_JIT=1 it is plain Python, with the same results and with bounds checked.
"""

import hashlib
import shutil
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar, cast

import numba
import platformdirs

Function = TypeVar("Function", bound=Callable[..., Any])

_ROOT: Final = Path(__file__).parents[3]
_SOURCES: Final = ("stages/match", "stages/match/native", "domain", "records")
"""Where the compiled functions and the constants that they have taken in come from."""


def _digest() -> str:
    """Return what changes when any of the sources does: Numba looks at one file only."""
    found = hashlib.sha256()
    for folder in _SOURCES:
        for path in sorted((_ROOT / folder).glob("*.py")):
            found.update(path.read_bytes())
    return found.hexdigest()[:16]


def _cache_folder() -> Path | None:
    """Return a folder for this version's machine code, or None where nothing can be written.

    Where the program has been installed by somebody else, what was made then is copied.
    """
    installed = Path(__file__).with_name("__pycache__") / f"native-{_digest()}"
    for folder in (installed, platformdirs.user_cache_path("realname-streams") / installed.name):
        known = folder.exists()
        try:
            folder.mkdir(parents=True, exist_ok=True)
            with tempfile.TemporaryFile(dir=folder):
                pass
            if not known and folder != installed and installed.exists():
                shutil.copytree(installed, folder, dirs_exist_ok=True)
        except OSError:
            continue
        for old in folder.parent.glob("native-*"):
            if old != folder:
                shutil.rmtree(old, ignore_errors=True)
        return folder
    return None


_FOLDER: Final = _cache_folder()
if _FOLDER is not None:
    numba.config.CACHE_DIR = str(_FOLDER)  # type: ignore[attr-defined]  # It is made at run time.


def compiled(function: Function) -> Function:
    """Have a function compiled at its first call. Others may run Python meanwhile: it holds no lock."""
    compiler = numba.njit(cache=_FOLDER is not None, nogil=True)
    return cast("Function", compiler(function))
