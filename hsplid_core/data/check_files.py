"""Check a data set on disk: which files are missing, damaged or foreign."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

from hsplid_core.data.readers.demo_marker import DEMO_MARKER
from hsplid_core.data.source import Choosing, Listed, Skipped, Source
from hsplid_core.data.workers import Workers
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads

Kind = Literal["missing", "damaged", "foreign", "unusable"]


class Finding(NamedTuple):
    """Something that is wrong with a data set.

    Attributes:
        kind: `damaged` is also a mask of another size than its image, or a table that can't be
            read; `unusable` says that most images are of no use, and why.
        text: Names the file, what is wrong and what to do.
    """

    kind: Kind
    text: str


class Report(NamedTuple):
    """What a check found.

    Attributes:
        findings: What is wrong; none if the data set is whole, and most of its images of use.
        notes: What is worth knowing and no fault, as which images are left out, and why.
    """

    findings: tuple[Finding, ...]
    notes: tuple[str, ...]


Progress = Callable[[int, int], None]
"""Is told how many images are checked, and how many there are."""

# Images that a thread takes at a time: to hand one over costs as much as to decode a small one.
_RUN = 32


def check_sources(
    openers: Sequence[Callable[[], Source]],
    *,
    progress: Progress,
    workers: Workers | None = None,
) -> Report:
    """Decode every image of a data set, and look for files that do not belong there.

    Args:
        openers: Open the data set's splits.
        progress: Called now and then, and after the last image.
        workers: How many decode at a time.
    """
    findings: dict[Finding, None] = {}  # in order, each once: splits share files
    notes: list[str] = []
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
        left_out = Counter(source.left_out() if isinstance(source, Choosing) else {})
        for run in _checked(source, workers or Workers()):
            findings |= dict.fromkeys(run.findings)
            left_out.update(run.skipped)
            done += run.n_images
            progress(done, n_images)
        notes += source.notes() if isinstance(source, Choosing) else ()
        told = list(_told(source, left_out))
        if _is_most(source, left_out):
            findings |= dict.fromkeys(Finding("unusable", text) for text in told)
        else:
            notes += told
    if len(sources) == len(openers):  # else the files of the others would pass for foreign
        findings |= dict.fromkeys(_foreign(sources))
    return Report(tuple(findings), tuple(notes))


class _Run(NamedTuple):
    n_images: int
    findings: list[Finding]
    skipped: Counter[str]


def _checked(source: Source, workers: Workers) -> Iterator[_Run]:
    runs = (range(at, min(at + _RUN, len(source))) for at in range(0, len(source), _RUN))
    return map_in_threads(partial(_check_run, source), runs, workers.count)


def _check_run(source: Source, candidates: range) -> _Run:
    run = _Run(len(candidates), [], Counter())
    for index in candidates:
        try:
            sample = source.sample(index)
        except DataError as error:
            run.findings.append(_finding(error))
        else:
            if isinstance(sample, Skipped):
                run.skipped[sample.reason] += 1
    return run


def _told(source: Source, left_out: Counter[str]) -> Iterator[str]:
    n_images = _n_images(source)
    for reason, count in left_out.most_common():
        yield f"{source.name}: {count} of {n_images} images are left out: {reason}"


def _is_most(source: Source, left_out: Counter[str]) -> bool:
    return left_out.total() * 2 > _n_images(source)


def _n_images(source: Source) -> int:
    """Candidates, and those that the reader left out before."""
    n_chosen = sum(source.left_out().values()) if isinstance(source, Choosing) else 0
    return len(source) + n_chosen


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
