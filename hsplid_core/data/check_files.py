"""Check a data set on disk: which files are missing, damaged or foreign."""

from __future__ import annotations

from array import array
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Literal, NamedTuple

import numpy as np

from hsplid_core.data.coverage import Coverage
from hsplid_core.data.duplicates import Images, equal_images, fingerprint
from hsplid_core.data.readers.demo_marker import DEMO_MARKER
from hsplid_core.data.readers.pictures import stranger
from hsplid_core.data.readers.spelling import in_order, readable
from hsplid_core.data.readers.walk import Found, walk
from hsplid_core.data.source import Choosing, Listed, Listing, Skipped, Source
from hsplid_core.data.workers import Workers
from hsplid_core.errors import DataError
from hsplid_core.files import map_in_threads

Kind = Literal["missing", "damaged", "foreign", "duplicate", "unusable"]


class Finding(NamedTuple):
    """Something that is wrong with a data set.

    Attributes:
        kind: `damaged` is also a mask of another size than its image, or a table that can't be
            read; `duplicate` images show the same under two labels; `unusable`
            says that most images are of no use, and why.
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
    seen = [_Seen() for _ in sources]
    for source, looks in zip(sources, seen, strict=True):
        left_out = Counter(source.left_out() if isinstance(source, Choosing) else {})
        for run in _checked(source, workers or Workers()):
            findings |= dict.fromkeys(run.findings)
            left_out.update(run.skipped)
            looks.extend(run.looks)
            done += run.n_images
            progress(done, n_images)
        if source.has_masks and not source.soft_masks and looks.shares:
            coverage = Coverage.of(np.array(looks.shares))
            if coverage.is_nearly_nothing and getattr(source, "mask_values", None) is None:
                findings[Finding("unusable", f"{source.name}: {coverage}")] = None
            else:
                notes.append(f"{source.name}: {coverage}")
        if _n_images(source) == 0:
            findings[Finding("unusable", f"{_part_of(source)} has no image")] = None
        told = list(_told(source, left_out))
        if _is_most(source, left_out):
            findings |= dict.fromkeys(Finding("unusable", text) for text in told)
        else:
            notes += told
        if isinstance(source, Choosing):
            notes += (f"{_part_of(source)}: {note}" for note in source.notes())
    if len(sources) == len(openers):  # else the files of the others would pass for foreign
        findings |= dict.fromkeys(_strangers(sources))
        notes += _passed_over(sources)
    equal, repeated = _duplicates(sources, seen)
    findings |= dict.fromkeys(equal)
    notes += repeated
    return Report(tuple(findings), tuple(notes))


class _Look(NamedTuple):
    """What is kept of a decoded image: its number, fingerprint, label, and how much is object."""

    row: int
    print: int
    label: int
    share: float


class _Run(NamedTuple):
    n_images: int
    findings: list[Finding]
    skipped: Counter[str]
    looks: list[_Look]


class _Seen:
    """What is kept of all images of a source, packed: there may be a million."""

    def __init__(self) -> None:
        self.rows, self.prints, self.labels = array("q"), array("Q"), array("q")
        self.shares = array("d")

    def extend(self, looks: Sequence[_Look]) -> None:
        self.rows.extend(look.row for look in looks)
        self.prints.extend(look.print for look in looks)
        self.labels.extend(look.label for look in looks)
        self.shares.extend(look.share for look in looks)


def _checked(source: Source, workers: Workers) -> Iterator[_Run]:
    runs = (range(at, min(at + _RUN, len(source))) for at in range(0, len(source), _RUN))
    return map_in_threads(partial(_check_run, source), runs, workers.count)


def _check_run(source: Source, candidates: range) -> _Run:
    run = _Run(len(candidates), [], Counter(), [])
    for index in candidates:
        try:
            sample = source.sample(index)
        except DataError as error:
            run.findings.append(_finding(error))
        else:
            if isinstance(sample, Skipped):
                run.skipped[sample.reason] += 1
                continue
            share = 0.0 if sample.mask is None else float(sample.mask.mean())
            seen = fingerprint(sample.image.tobytes())
            run.looks.append(_Look(index, seen, sample.label, share))
    return run


def _told(source: Source, left_out: Counter[str]) -> Iterator[str]:
    n_images = _n_images(source)
    for reason, count in left_out.most_common():
        yield f"{_part_of(source)}: {count} of {n_images} images are left out: {reason}"


def _part_of(source: Source) -> str:
    """The source's name without the size to which images are shrunk here."""
    return source.name.removesuffix(f"-{source.image_shape[1]}")


def _is_most(source: Source, left_out: Counter[str]) -> bool:
    return left_out.total() * 2 > _n_images(source)


def _n_images(source: Source) -> int:
    """Candidates, and those that the reader left out before."""
    n_chosen = sum(source.left_out().values()) if isinstance(source, Choosing) else 0
    return len(source) + n_chosen


def _finding(error: DataError) -> Finding:
    missing = isinstance(error.__cause__, FileNotFoundError)
    return Finding("missing" if missing else "damaged", readable(error))


def _strangers(sources: Sequence[Source]) -> Iterator[Finding]:
    """Find files that belong to no split, and links and folders that lead to none."""
    listings = [source.listing() for source in sources if isinstance(source, Listed)]
    known = frozenset[Path]().union(*(listing.files for listing in listings))
    for found in _everything(listings):
        path = readable(found.path)
        if found.path in known or found.path.name == DEMO_MARKER:
            continue
        if found.kind == "file":
            yield Finding(
                "foreign", f"{path} does not belong to the data set: {stranger(found.path)}"
            )
        elif found.kind == "broken":
            target = found.path.readlink()
            yield Finding("missing", f"{path} is a link to {target}, which is not there: mend it")
        elif found.kind == "closed":
            yield Finding("damaged", f"{path} must be a readable folder: check its rights")


def _passed_over(sources: Sequence[Source]) -> Iterator[str]:
    """Tell of what is no part of a data set by its name, and of links in circles."""
    listings = [source.listing() for source in sources if isinstance(source, Listed)]
    leftovers: Counter[str] = Counter()
    for found in _everything(listings):
        if found.kind == "leftover":
            leftovers[readable(found.path.name)] += 1
        elif found.kind == "loop":
            yield f"{readable(found.path)} is a link to a folder around it, which is not followed"
    if leftovers:
        names = ", ".join(f"{name} ({count})" for name, count in leftovers.most_common(4))
        yield f"{leftovers.total()} hidden files and leftovers of systems are not read: {names}"


def _everything(listings: Sequence[Listing]) -> list[Found]:
    folders = in_order({folder for listing in listings for folder in listing.folders})
    return list(dict.fromkeys(found for folder in folders for found in walk(folder)))


def _duplicates(
    sources: Sequence[Source], seen: Sequence[_Seen]
) -> tuple[list[Finding], list[str]]:
    """Find equal images under two labels; those of one label are notes, in one split or two."""
    findings: list[Finding] = []
    notes: list[str] = []
    families: dict[tuple[str, ...], list[int]] = {}
    for number, source in enumerate(sources):
        families.setdefault(source.class_names, []).append(number)
    for class_names, numbers in families.items():
        images = [
            Images(np.array(seen[n].prints, np.uint64), np.array(seen[n].labels, np.int64))
            for n in numbers
        ]
        repeated, leaked = 0, []
        for group in equal_images(images):
            splits = {member.split for member in group}
            labels = {member.label for member in group}
            if len(splits) == len(labels) == 1:
                repeated += len(group) - 1
                continue
            where = "in training and test" if len(splits) > 1 else "in one split"
            names = " and ".join(
                f"{_id(sources[numbers[m.split]], seen[numbers[m.split]].rows[m.row])} "
                f"({class_names[m.label]})"
                for m in group[:3]
            )
            more = f" and {len(group) - 3} more" if len(group) > 3 else ""
            if len(labels) == 1:
                leaked.append(f"{names}{more}")
                continue
            text = f"{names}{more} show the same, {where}, under different labels"
            findings.append(Finding("duplicate", text))
        if leaked:
            notes.append(
                f"{len(leaked)} images are in training and test (first: {leaked[0]}); "
                "data.duplicates=drop leaves them out of training"
            )
        if repeated:
            notes.append(f"{repeated} images repeat others of their class")
    return findings, notes


def _id(source: Source, index: int) -> str:
    sample = source.sample(index)
    assert not isinstance(sample, Skipped)
    return sample.id
