"""A disk of a few megabytes for the broker's log, which can be filled. Needs the right to mount."""

import shutil
import subprocess
from pathlib import Path
from typing import Final

SIZE_MB: Final = 192
"""What a run writes, twice over."""
FILLING: Final = "filling"
CHUNK: Final = bytes(64 * 1024)


class SmallDisk:
    """A file system in memory, at a folder that it makes."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def mount(self) -> str | None:
        """Mount it; return why that was refused, None if it was not."""
        self._folder.mkdir(parents=True, exist_ok=True)
        mount = shutil.which("mount")
        if mount is None or shutil.which("umount") is None:
            return "there is no command mount"
        done = subprocess.run(
            [mount, "-t", "tmpfs", "-o", f"size={SIZE_MB}m", "chaos", str(self._folder)],
            capture_output=True,
            text=True,
            check=False,
        )
        return done.stderr.strip() or "mount failed" if done.returncode else None

    def fill(self) -> None:
        """Take all that is left, to the last byte, also of what has become free since."""
        with (self._folder / FILLING).open("ab", buffering=0) as file:
            try:
                while file.write(CHUNK):
                    pass
            except OSError:
                return

    def free(self) -> None:
        """Give it back."""
        (self._folder / FILLING).unlink(missing_ok=True)

    def unmount(self, *, keep: bool) -> None:
        """Unmount it; with `keep` what it holds is in the folder afterwards."""
        self.free()
        kept = self._folder.with_name(f"{self._folder.name}-kept")
        if keep:
            shutil.copytree(self._folder, kept)
        umount = shutil.which("umount")
        assert umount is not None, "looked for before it was mounted"
        # A process that has ended may hold it for a moment; what is detached goes with its last user.
        subprocess.run([umount, "--lazy", str(self._folder)], check=True)
        if keep:
            self._folder.rmdir()
            kept.rename(self._folder)
