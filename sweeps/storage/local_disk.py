"""Local disks, told apart from the file systems of a network."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    pass


_LOCAL = ("ext2", "ext3", "ext4", "xfs", "btrfs", "zfs", "f2fs", "tmpfs", "overlay")


def is_local(folder: Path) -> bool:
    """Tell whether a folder is surely on a disk of this machine.

    Sqlite's write-ahead log needs memory that all processes share, so a study on a network's
    file system must do without, as must one of which this is not known.

    Args:
        folder: Exists.
    """
    mounts = Path("/proc/self/mounts")
    if not mounts.is_file():
        return False
    fields = [line.split() for line in mounts.read_text().splitlines()]
    here = folder.resolve()
    around = [(Path(mounted), kind) for _, mounted, kind, *_ in fields]
    holding = [(len(path.parts), kind) for path, kind in around if here.is_relative_to(path)]
    # Of several at the same place the last one hides the others.
    return bool(holding) and max(reversed(holding), key=lambda found: found[0])[1] in _LOCAL
