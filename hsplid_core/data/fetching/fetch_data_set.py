"""Fetch a data set into its own layout."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import requests
from requests.adapters import HTTPAdapter

from hsplid_core.data.fetching.addresses import Item, Recipe
from hsplid_core.data.fetching.archives import place, unpack
from hsplid_core.data.fetching.coco_images import CocoImage, coco_images
from hsplid_core.data.fetching.download import Patience, Remote, download, mirrored
from hsplid_core.errors import DataError
from hsplid_core.files import locked, make_folder, map_in_threads, sync_folder

_WORK_FOLDER = ".fetch"
_MOST_FAILURES = 10


class Step(NamedTuple):
    """How far a fetch is.

    Attributes:
        what: The file or files concerned.
        doing: What happens to them.
        done: Bytes or files done.
        total: Bytes or files there are; None if unknown.
        unit: What is counted.
    """

    what: str
    doing: Literal["downloading", "unpacking"]
    done: int
    total: int | None
    unit: Literal["bytes", "files"]


Progress = Callable[[Step], None]


@dataclasses.dataclass(frozen=True, kw_only=True)
class _Job:
    """What all parts of a fetch share."""

    root: Path
    mirror: str | None
    session: requests.Session
    patience: Patience
    progress: Progress
    n_connections: int

    @property
    def work(self) -> Path:
        return self.root / _WORK_FOLDER

    def at_mirror(self, remote: Remote) -> Remote:
        return dataclasses.replace(remote, url=mirrored(remote.url, self.mirror))


def fetch(
    recipe: Recipe,
    root: Path,
    *,
    progress: Progress,
    mirror: str | None = None,
    again: bool = False,
    patience: Patience | None = None,
    n_connections: int = 8,
) -> None:
    """Download what is missing of a data set.

    An interrupted call leaves parts in a folder `.fetch` of the root, and the next one goes on
    with them. Nothing gets its final name before it is whole and verified.

    Args:
        recipe: What to fetch.
        root: The data set's folder; created if need be.
        progress: Told how far it is.
        mirror: Server to use in place of the official ones.
        again: Fetch also what is there already, for instance because it is damaged.
        patience: What to forgive the servers.
        n_connections: Downloads at a time, of data sets that come image by image.

    Raises:
        DataError: Something can't be downloaded or is damaged, is for people to get, the root
            can't be written, or the disk is full.
    """
    root = root.absolute()
    make_folder(root, "root")
    lock = locked(root.with_name(f".{root.name}.fetch.lock"), "root")
    with lock, _session(n_connections) as session:
        job = _Job(
            root=root,
            mirror=mirror,
            session=session,
            patience=patience or Patience(),
            progress=progress,
            n_connections=n_connections,
        )
        try:
            for item in recipe.items:
                if again or not all((root / path).exists() for path in item.provides):
                    _fetch_item(job, item)
            if recipe.coco_images:
                _fetch_coco_images(job)
        except OSError as error:
            raise DataError(
                f"{root} must be writable and have room ({error.strerror or error}): free space "
                "or choose another root; what has come is kept"
            ) from error
        if job.work.is_dir() and not any(job.work.iterdir()):
            job.work.rmdir()


@contextmanager
def _session(n_connections: int) -> Iterator[requests.Session]:
    with requests.Session() as session:
        for scheme in ("http://", "https://"):
            session.mount(scheme, HTTPAdapter(pool_maxsize=n_connections))
        yield session


def _fetch_item(job: _Job, item: Item) -> None:
    job.work.mkdir(exist_ok=True)
    remote = job.at_mirror(item.remote)
    archive = job.work / remote.name
    if not archive.exists():
        _check_room(job.root, item, archive.with_name(f"{remote.name}.part"))

    def report(
        doing: Literal["downloading", "unpacking"],
        unit: Literal["bytes", "files"],
        done: int,
        total: int | None,
    ) -> None:
        job.progress(Step(remote.name, doing, done, total, unit))

    download(
        remote,
        archive,
        session=job.session,
        patience=job.patience,
        progress=partial(report, "downloading", "bytes"),
    )
    if not item.unpack:
        (path,) = item.provides
        archive.replace(job.root / path)
        sync_folder(job.root)
        return
    unpacked = job.work / f"{remote.name}.unpacked"
    try:
        unpack(
            archive,
            unpacked,
            prefixes=item.prefixes,
            progress=partial(report, "unpacking", "files"),
        )
    except DataError:
        if item.remote.checksum is None:
            archive.unlink(missing_ok=True)  # it may have come damaged: the next call asks anew
        raise
    place(unpacked, job.root / item.into)
    sync_folder(job.root)
    archive.unlink()
    absent = [path for path in item.provides if not (job.root / path).exists()]
    if absent:
        raise DataError(
            f"{remote.url} must hold {', '.join(absent)}, but does not: is it the right file?"
        )


def _check_room(root: Path, item: Item, part: Path) -> None:
    """Tell before an hour's download that it will not fit."""
    if item.remote.size is None:
        return
    need = item.remote.size - (part.stat().st_size if part.exists() else 0)
    free = shutil.disk_usage(root).free
    if free < need:
        raise DataError(
            f"root {root} must have room for {need / 1e6:.0f} MB more of {item.remote.name}, got "
            f"{free / 1e6:.0f} MB: free space or choose another root"
        )


def _fetch_coco_images(job: _Job) -> None:
    images = list(coco_images(job.root))
    missing = [image for image in images if not image.target.exists()]
    for folder in {image.target.parent for image in images}:
        folder.mkdir(exist_ok=True)
    job.work.mkdir(exist_ok=True)
    done = len(images) - len(missing)
    failures: list[DataError] = []
    for failure in map_in_threads(partial(_fetch_image, job), missing, job.n_connections):
        if failure is not None:
            failures.append(failure)
            if len(failures) == _MOST_FAILURES:
                break
        done += failure is None
        job.progress(Step("animal images", "downloading", done, len(images), "files"))
    if failures:
        raise DataError(
            f"{job.root} must get every animal image, {len(failures)} could not be fetched, "
            f"{len(images) - done} of {len(images)} are missing; the first failure: {failures[0]}"
        )


def _fetch_image(job: _Job, image: CocoImage) -> DataError | None:
    """Fetch one image; returns what went wrong, so that the others go on."""
    waiting = job.work / image.target.name
    try:
        download(
            job.at_mirror(image.remote),
            waiting,
            session=job.session,
            patience=job.patience,
            progress=_unheard,
            accept=image.accept,
        )
    except DataError as error:
        return error
    waiting.replace(image.target)
    return None


def _unheard(done: int, total: int | None) -> None:
    """Progress of a single small file interests nobody."""
