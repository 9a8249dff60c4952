"""The folder that stands for a bucket on the machine of a sweep's driver.

With ``storage=s3://...`` the bucket holds what has to outlive a machine, in the same places as a
folder would: checkpoints, which workers write there themselves, pretrained weights, and what a
sweep puts out. The driver's locks, MLflow's journal and the caches of the data are files that
processes lock or map, which a bucket cannot give. They are in a folder below the user's cache, as
are copies of the rest; who loses it loses nothing.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterator
from pathlib import Path, PurePath, PurePosixPath

from hsplid_core.bucket_path import SCHEME, AnyPath, BucketPath
from hsplid_core.files import from_home, replacing

CHECKPOINTS = "ray"

# What belongs to this machine: locks, databases with their logs, journals, and half-written files.
_STAYS = re.compile(r"\..*|.*\.(lock|db|log)|.*\.db-\w+")

# A file system may keep fewer digits of a time than a float has.
_SAME_S = 1e-3


def local_folder(storage: AnyPath) -> Path:
    """Return the folder of all sweeps on this machine.

    Args:
        storage: What a spec says: that folder itself, or a bucket.
    """
    if isinstance(storage, Path):
        return from_home(storage)
    return _home().joinpath(*storage.parts)


def shared_place(folder: Path) -> AnyPath:
    """Return where all machines find what belongs into a folder, the inverse of the above.

    Args:
        folder: The folder of all sweeps or one below it, absolute.
    """
    if not folder.is_relative_to(_home()):
        return folder
    return BucketPath(SCHEME + folder.relative_to(_home()).as_posix())


def fetch_sweep(storage: AnyPath, name: str) -> None:
    """Copy what a bucket has of a sweep, without its checkpoints, into the folder standing for it.

    Args:
        storage: What a spec says; there is nothing to do for a folder.
        name: The sweep; later studies of it, ``-2`` and so on, are copied as well.

    Raises:
        BucketError: The bucket does not answer, or refuses.
    """
    if isinstance(storage, Path):
        return
    for place in storage.iterdir():
        if re.fullmatch(rf"{re.escape(name)}(-\d+)?", place.name):
            _fetch(place)


def publish(folder: Path) -> None:
    """Copy what a sweep's folder holds into the bucket that it stands for, if it does for one.

    A file that has not changed since it was copied, to there or from there, is left out: it has
    the bucket's time.

    Args:
        folder: The sweep's folder.

    Raises:
        BucketError: The bucket does not answer, or refuses.
    """
    place = shared_place(folder)
    if not isinstance(place, BucketPath):
        return
    files = {file.relative_to(folder).as_posix(): file for file in _outputs(folder)}
    held = place.files()
    copied = [name for name, file in files.items() if not _is_same_time(file, held.get(name))]
    for name in copied:
        (place / name).write_bytes(files[name].read_bytes())
    held = place.files() if copied else {}
    for name in copied:
        os.utime(files[name], (held[name], held[name]))


def _is_same_time(file: Path, changed: float | None) -> bool:
    return changed is not None and abs(file.stat().st_mtime - changed) < _SAME_S


def _fetch(place: BucketPath) -> None:
    folder = local_folder(place)
    for name, changed in place.files().items():
        file = folder / name
        if not _is_output(PurePosixPath(name)):
            continue
        if file.is_file() and file.stat().st_mtime >= changed:
            continue
        file.parent.mkdir(parents=True, exist_ok=True)
        with replacing(file) as written:
            written.write((place / name).read_bytes())
            written.flush()
            # The bucket's own time: this machine's clock may be another.
            os.utime(written.fileno(), (changed, changed))


def _outputs(folder: Path) -> Iterator[Path]:
    for file in sorted(folder.rglob("*")):
        if file.is_file() and _is_output(file.relative_to(folder)):
            yield file


def _is_output(name: PurePath) -> bool:
    return CHECKPOINTS not in name.parts and not _STAYS.fullmatch(name.name)


def _home() -> Path:
    """Return the folder below which each bucket has one, with its own name."""
    cache = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return from_home(Path(cache)).absolute() / "saliency-sweeps" / "s3"
