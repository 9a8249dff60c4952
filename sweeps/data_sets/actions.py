"""Actions on data sets: list, fetch, check and build; see :mod:`sweeps.data`."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path

from rich.console import Console
from rich.table import Table

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS, DataSet, Source, build_or_open
from hsplid_core.data.check_files import Finding, check_sources
from hsplid_core.data.data_sets import check_reading
from hsplid_core.data.fetching import RECIPES, Recipe, Step, fetch
from hsplid_core.data.workers import Workers
from hsplid_core.errors import ConfigError, DataError
from sweeps.data_sets.progress_bar import ProgressBar
from sweeps.data_sets.settings import DATA_FOLDER, Settings, data_sets_named, family, read_settings

# Checking decodes whole pictures; to what size they are shrunk then does not matter.
_CHECKED_SIZE = 32

Opener = Callable[[], Source]


def run(
    command: str, name: str | None, settings: Sequence[str], *, again: bool, as_json: bool
) -> int:
    """Run a command; arguments as on the command line, the exit code as result.

    Raises:
        SaliencyError: Something the user can mend.
    """
    read = read_settings(command, settings)
    if again and command != "fetch":
        raise ConfigError(f"--again is no option of {command}: it is one of fetch")
    if command == "list":
        return _list(read, as_json=as_json)
    assert name is not None
    names = data_sets_named(name)
    if command == "fetch":
        return _fetch(name, names, read, again=again, as_json=as_json)
    if command == "check":
        return _check(name, names, read, as_json=as_json)
    return _build(name, names, read, as_json=as_json)


def _list(settings: Settings, *, as_json: bool) -> int:
    folder = settings.root or DATA_FOLDER
    rows = [_row(name, entry, folder / _folder(name)) for name, entry in DATA_SETS.items()]
    if as_json:
        sys.stdout.write(json.dumps({row.name: vars(row) for row in rows}, indent=2) + "\n")
        return 0
    table = Table("name", "summary", "licence", "got by", "present", "demo", box=None)
    for row in rows:
        present = row.root if row.present else "no"
        demo = "yes" if row.has_demo else "no"
        table.add_row(row.name, row.summary, row.licence, row.got_by, present, demo)
    # A file's lines need not be broken; what is printed of folders is no markup.
    width = None if sys.stdout.isatty() else 220
    console = Console(width=width, markup=False, emoji=False, highlight=False)
    console.print(table)
    return 0


@dataclass(frozen=True)
class _Row:
    name: str
    summary: str
    licence: str
    got_by: str
    root: str
    present: bool
    has_demo: bool


def _folder(name: str) -> str:
    return RECIPES[family(name)].folder or family(name)


def _row(name: str, entry: DataSet, root: Path) -> _Row:
    recipe = RECIPES[family(name)]
    got_by = "login or form" if recipe.needs_people else "fetch"
    if family(name) in ("folder", "coco"):
        got_by = "your own"
    elif recipe.items and recipe.by_hand:
        got_by = "fetch, rest by hand"
    present = _opens(_openers((name,), root, DataConfig()))
    return _Row(name, entry.summary, recipe.licence, got_by, str(root), present, True)


def _openers(names: Sequence[str], root: Path, data: DataConfig) -> list[Opener]:
    for name in names:
        check_reading(name, data)
    return [
        partial(opener, root, replace(data, name=name))
        for name in names
        for opener in (DATA_SETS[name].training, DATA_SETS[name].testing)
        if opener is not None
    ]


def _opens(openers: Sequence[Opener]) -> bool:
    try:
        for opener in openers:
            opener()
    except DataError:
        return False
    return True


def _fetch(
    name: str, names: Sequence[str], settings: Settings, *, again: bool, as_json: bool
) -> int:
    root = settings.root or DATA_FOLDER / _folder(name)
    recipe = RECIPES[family(name)]
    openers = _openers(names, root, DataConfig())
    if recipe.items:
        _download(recipe, root, settings, again=again)
    if recipe.by_hand is not None and not _opens(openers):
        raise DataError(_by_hand(name, recipe, root))
    for opener in openers:
        opener()  # what came must be the layout that is read
    if as_json:
        sys.stdout.write(json.dumps({"name": name, "root": str(root)}) + "\n")
    else:
        sys.stdout.write(
            f"{name} is in {root}; next: python -m sweeps.data build {name} root={root}\n"
        )
    return 0


def _download(recipe: Recipe, root: Path, settings: Settings, *, again: bool) -> None:
    with ProgressBar(in_bytes=True) as in_bytes, ProgressBar() as in_files:

        def show(step: Step) -> None:
            view = in_bytes if step.unit == "bytes" else in_files
            view.show(f"{step.doing} {step.what}", step.done, step.total)

        fetch(
            recipe,
            root,
            progress=show,
            mirror=settings.mirror,
            again=again,
            n_connections=settings.connections,
        )


def _by_hand(name: str, recipe: Recipe, root: Path) -> str:
    rest = "the rest of it" if recipe.items else "it"
    return (
        f"{name} can't be fetched from here, {rest} must be laid out in {root}: {recipe.by_hand}; "
        f"then run python -m sweeps.data check {name} root={root}"
    )


def _check(name: str, names: Sequence[str], settings: Settings, *, as_json: bool) -> int:
    root = _existing(name, settings)
    with ProgressBar() as view:
        report = check_sources(
            _openers(names, root, replace(settings.data, image_size=_CHECKED_SIZE)),
            progress=partial(view.show, f"checking {name}"),
            workers=Workers(count=settings.workers),
        )
    if as_json:
        found = [finding._asdict() for finding in report.findings]
        result = {"name": name, "root": str(root), "findings": found, "notes": report.notes}
        sys.stdout.write(json.dumps(result, indent=2) + "\n")
    else:
        sys.stdout.writelines(f"{finding.kind}: {finding.text}\n" for finding in report.findings)
        sys.stdout.writelines(f"note: {note}\n" for note in report.notes)
        sys.stdout.write(f"{name} in {root}: {_counted(report.findings)}\n")
    return 1 if report.findings else 0


def _counted(findings: Sequence[Finding]) -> str:
    """Count findings, by kind where there are several."""
    if len(findings) < 2:
        return "1 finding" if findings else "no findings"
    kinds = Counter(finding.kind for finding in findings)
    each = ", ".join(f"{count} {kind}" for kind, count in kinds.most_common())
    return f"{len(findings)} findings ({each})"


def _existing(name: str, settings: Settings) -> Path:
    root = settings.root or DATA_FOLDER / _folder(name)
    if not root.is_dir():
        raise ConfigError(
            f"root is {root}, which is no folder: give root=FOLDER, or run python -m sweeps.data "
            f"fetch {name} first"
        )
    return root


def _build(name: str, names: Sequence[str], settings: Settings, *, as_json: bool) -> int:
    workers = Workers.for_many_images(settings.workers)
    results: list[dict[str, object]] = []
    for member in names:
        root = _root_to_build(member, settings)
        for opener in _openers((member,), root, settings.data):
            results.append(_build_one(opener(), settings, workers, as_json=as_json))
    if as_json:
        sys.stdout.write(json.dumps({"name": name, "caches": results}, indent=2) + "\n")
    return 0


def _root_to_build(name: str, settings: Settings) -> Path:
    usual = DATA_FOLDER / _folder(name)
    if settings.root is not None or usual.is_dir():
        return _existing(name, settings)
    sys.stderr.write(f"no root= given and no {usual}: building the embedded demo of {name}\n")
    return DATA_SETS[name].demo(settings.cache_dir, settings.data.image_size)


def _build_one(
    source: Source, settings: Settings, workers: Workers, *, as_json: bool
) -> dict[str, object]:
    start = time.perf_counter()
    with ProgressBar() as view:
        view.show(f"reading {source.name}", 0, None)  # every byte, to know it again
        images = build_or_open(
            source,
            settings.cache_dir,
            workers=workers,
            progress=partial(view.show, f"building {source.name}"),
        )
    result = {
        "source": source.name,
        "images": len(images),
        "key": images.key,
        "demo": images.is_demo,
        "seconds": round(time.perf_counter() - start, 2),
    }
    if not as_json:
        demo = ", demo" if images.is_demo else ""
        sys.stdout.write(
            f"{source.name}: {len(images)} images in {settings.cache_dir}{demo} "
            f"({result['seconds']} s)\n"
        )
    return result
