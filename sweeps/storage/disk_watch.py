"""Disk watch: whether a sweep's folder is there and can be written, with room for what comes."""

from __future__ import annotations

import shutil
import time
from pathlib import Path

_LEAST_ROOM = 256 * 2**20  # for the last checkpoints, databases and pictures
_PROBE = b"\0" * 65_536
_LOOK_S = 5.0


class DiskWatch:
    """Looks whether a sweep can go on in its folder.

    Args:
        folder: Of the sweep; the folder that is there now is meant.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._inode = folder.stat().st_ino
        self._looked = 0.0

    def give_up(self) -> str | None:
        """Look, at most every few seconds; return why to give up, if the sweep has to."""
        if time.monotonic() < self._looked + _LOOK_S:
            return None
        return self.fault()

    def fault(self) -> str | None:
        """Look at once; say why the sweep cannot go on there, None where it can."""
        self._looked = time.monotonic()
        probe = self._folder / ".probe"
        try:
            # Workers that go on make a folder that was deleted once more, without its study.
            if self._folder.stat().st_ino != self._inode:
                raise FileNotFoundError
            probe.write_bytes(_PROBE)
            probe.unlink()
            free = shutil.disk_usage(self._folder).free
        except FileNotFoundError:
            return f"{self._folder} was moved or deleted while the sweep ran"
        except OSError as error:
            return f"{self._folder} cannot be written any more ({error.strerror})"
        if free < _LEAST_ROOM:
            return f"the disk of {self._folder} is nearly full ({free / 2**20:.0f} MiB left)"
        return None
