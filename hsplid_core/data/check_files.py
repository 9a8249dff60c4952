"""Check a data set on disk: which files are missing, damaged or foreign."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from hsplid_core.data.readers.demo_marker import DEMO_MARKER
from hsplid_core.data.source import Listed, Source
from hsplid_core.data.workers import Workers
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads

Kind = Literal["missing", "damaged", "foreign"]


class Finding(NamedTuple):
    """Something that is wrong with a data set.

    Attributes:
        kind: `damaged` is also a mask of another size than its image, or a table that can't be
            read.
        text: Names the file, what is wrong and what to do.
    """

    kind: Kind
    text: str


Progress = Callable[[int, int], None]
"""Is told how many images are checked, and how many there are."""


def check_sources(
    openers: Sequence[Callable[[], Source]],
    *,
    progress: Progress,
    workers: Workers | None = None,
) -> list[Finding]:
    """Decode every image of a data set, and look for files that do not belong there.

    Args:
        openers: Open the data set's splits.
        progress: Called after every image.
        workers: How many decode at a time.

    Returns:
        All findings; none if the data set is whole.
    """
    findings: dict[Finding, None] = {}  # in order, each once: splits share files
    sources: list[Source] = []
    for opener in openers:
        try:
            source = opener()
            len(source)  # reads the tables
            sources.append(source)
        except DataError as error:
            findings[_finding(error)] = None
    n_images, done = sum(map(len, sources)), 0
    for source in sources:
        checked = map_in_threads(
            partial(_check_image, source), range(len(source)), (workers or Workers()).count
        )
        for finding in checked:
            if finding is not None:
                findings[finding] = None
            done += 1
            progress(done, n_images)
    if len(sources) == len(openers):  # else the files of the others would pass for foreign
        findings |= dict.fromkeys(_foreign(sources))
    return list(findings)


def _check_image(source: Source, index: int) -> Finding | None:
    try:
        source.sample(index)
    except DataError as error:
        return _finding(error)
    return None


def _finding(error: DataError) -> Finding:
    missing = isinstance(error.__cause__, FileNotFoundError)
    return Finding("missing" if missing else "damaged", str(error))


def _foreign(sources: Sequence[Source]) -> Iterator[Finding]:
    listings = [source.listing() for source in sources if isinstance(source, Listed)]
    known = frozenset[Path]().union(*(listing.files for listing in listings))
    folders = {folder for listing in listings for folder in listing.folders}
    for path in sorted({path for folder in folders for path in folder.rglob("*")}):
        if path not in known and path.name != DEMO_MARKER and not path.is_dir():
            yield Finding("foreign", f"{path} does not belong to the data set: remove it")
