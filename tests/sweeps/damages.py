"""Sweeps whose studies were begun without training, and ways to damage their files."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import yaml

from sweeps.search.ranged_space import space_of
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.study.backup import StudyBackup
from sweeps.study.location import StudyPlace, find_place
from sweeps.study.study import open_study
from sweeps.trials.from_study import records_of
from sweeps.trials.table_file import write_parquet
from tests.sweeps.studies import complete_trial, write_study

KINDS = ("journal", "sqlite")


def spec_of(kind: str) -> list[str]:
    return ["name=tiny", f"study.storage={kind}"]


def opened(folder: Path, kind: str) -> None:
    open_study(folder, load_spec("coco_hsplid", parse_overrides(spec_of(kind))), {}, [])


def begun(folder: Path, kind: str, *, n_trials: int = 3, interval_s: float = 0.0) -> StudyPlace:
    """Run a sweep's study, as far as files go, with a backup after each trial; returns its place.

    The last trial is asked for and does not end.
    """
    folder.mkdir(parents=True)
    spec = load_spec("coco_hsplid", parse_overrides(spec_of(kind)))
    space = space_of(spec)
    study = open_study(folder, spec, {}, [])
    place = find_place(folder)
    assert place is not None
    backup = StudyBackup(folder, place, interval_s=interval_s)
    for number in range(n_trials):
        trial = study.ask()
        trial.set_user_attr("parameters", space(trial))
        trial.set_user_attr("metrics", {"val/accuracy": 0.1 * number, "val/robust_accuracy": 0.5})
        study.tell(trial, [0.1 * number, 0.5])
        backup.trial_finished(records_of(study)[number])
    trial = study.ask()
    trial.set_user_attr("parameters", space(trial))
    write_parquet(records_of(study), spec.objectives, folder / "trials.parquet")
    (folder / "spec.yaml").write_text(yaml.safe_dump(spec.resolved()))
    (folder / "about.json").write_text("{}")
    return place


def place_of(folder: Path) -> StudyPlace:
    place = find_place(folder)
    assert place is not None
    return place


def study_file(folder: Path) -> Path:
    return place_of(folder).file_in(folder)


def go_on(folder: Path) -> None:
    opened(folder, place_of(folder).storage)


def contents(folder: Path) -> Mapping[str, bytes]:
    # Not the lock, nor what sqlite keeps for as long as a file is open.
    passing = (".db-wal", ".db-shm", ".lock")
    files = [path for path in folder.rglob("*") if path.suffix not in passing]
    return {path.name: path.read_bytes() for path in files if path.is_file()}


def remove(file: Path) -> None:
    file.unlink()


def make_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


def write_foreign_database(file: Path) -> None:
    file.unlink()
    database = sqlite3.connect(file)
    database.execute("CREATE TABLE diary (day TEXT)")
    database.commit()
    database.close()


def write_other_study(file: Path) -> None:
    file.unlink()
    folder = file.parent / "other"
    write_study(folder, [complete_trial([0.7, 0.7])] * 3)
    shutil.move(folder / "study.db", file)
    folder.rmdir()


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[: file.stat().st_size * 2 // 3])


DAMAGES: Mapping[str, Callable[[Path], object]] = {
    "gone": remove,
    "empty": lambda file: file.write_bytes(b""),
    "cut": cut,
    "random": lambda file: file.write_bytes(bytes(range(255, -1, -1)) * 40),
    "text": lambda file: file.write_text("my diary\n" * 100),
    "other json": lambda file: file.write_text('{"path": 1}\n[]\n'),
    "folder": make_folder,
    "foreign database": write_foreign_database,
    "other study": write_other_study,
}


def write_sweeps(storage: Path) -> None:
    """Write the sweep ``tiny`` with a study of each kind, below a folder of the kind's name."""
    for kind in KINDS:
        begun(storage / kind / "tiny", kind)
    database = sqlite3.connect(storage / "sqlite" / "tiny" / "study.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()


def copy_sweep(source: Path, folder: Path) -> Path:
    """Copy a sweep's folder, without what sqlite keeps for as long as a file is open."""
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    return folder
