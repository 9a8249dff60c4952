"""Studies that are gone, damaged, foreign or cut: refused, and all is left as it was."""

from __future__ import annotations

import shutil
import sqlite3
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest

from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.study.backup import StudyBackup, backup_file
from sweeps.study.damage import DamagedStudyError, read_file
from sweeps.study.location import StudyPlace, find_place
from sweeps.study.study import check_study, load_study, open_study
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
    study = open_study(folder, spec, {}, [])
    place = find_place(folder)
    assert place is not None
    backup = StudyBackup(folder, place, interval_s=interval_s)
    for number in range(n_trials):
        study.tell(study.ask(), [0.1 * number, 0.5])
        backup.trial_finished(records_of(study)[number])
    study.ask()
    write_parquet(records_of(study), spec.objectives, folder / "trials.parquet")
    (folder / "about.json").write_text("{}")
    return place


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("made")
    for kind in KINDS:
        begun(storage / kind / "tiny", kind)
    database = sqlite3.connect(storage / "sqlite" / "tiny" / "study.db")
    database.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    database.close()
    return storage


@pytest.fixture(params=KINDS)
def sweep(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a sweep with three trials that have ended and one that has not."""
    source, folder = made / request.param / "tiny", tmp_path / "tiny"
    shutil.copytree(source, folder, ignore=shutil.ignore_patterns("*-wal", "*-shm"))
    return folder


def place_of(folder: Path) -> StudyPlace:
    place = find_place(folder)
    assert place is not None
    return place


def study_file(folder: Path) -> Path:
    return place_of(folder).file_in(folder)


def go_on(folder: Path) -> None:
    opened(folder, place_of(folder).storage)


def contents(folder: Path) -> Mapping[str, bytes]:
    # Not what sqlite keeps for as long as a file is open.
    files = [path for path in folder.rglob("*") if path.suffix not in (".db-wal", ".db-shm")]
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


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_damaged_study_is_refused_and_nothing_changes(
    damage: Callable[[Path], object], sweep: Path
) -> None:
    file = study_file(sweep)
    damage(file)
    before = contents(sweep)
    for use in (load_study, check_study, go_on):
        with pytest.raises(DamagedStudyError) as caught:
            use(sweep)
        told = str(caught.value)
        assert "\n" not in told
        assert told.startswith(str(file))
        assert "has about.json, trials.parquet, study.backup." in told
        assert f"python -m sweeps.repair {sweep} rebuilds the study from its backup of" in told
        assert "in which 3 trials have ended" in told
    assert contents(sweep) == before


def test_without_a_backup_the_table_tells_what_is_lost(tmp_path: Path, made: Path) -> None:
    folder = tmp_path / "tiny"
    begun(folder, "journal", n_trials=1)
    (folder / "study.backup.log").unlink()
    shutil.copy(made / "journal" / "tiny" / "trials.parquet", folder)
    with pytest.raises(DamagedStudyError, match=r"lacks trials 1, 2, which trials.parquet has"):
        load_study(folder)
    (folder / "trials.parquet").write_bytes(b"PAR1")
    assert len(load_study(folder).trials) == 2


@pytest.mark.parametrize("damage", ["gone", "empty"])
def test_a_study_that_has_left_nothing_is_begun(damage: str, sweep: Path) -> None:
    """A driver may be killed between its note and the study's first line."""
    DAMAGES[damage](study_file(sweep))
    for file in ("trials.parquet", "about.json", backup_file(sweep, place_of(sweep))):
        assert file is not None
        (sweep / file).unlink()
    check_study(sweep)
    go_on(sweep)
    assert load_study(sweep).trials == []


@pytest.mark.parametrize("kind", KINDS)
def test_backups_are_made_when_trials_end(kind: str, tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    place = begun(folder, kind, interval_s=3600.0)
    backup = backup_file(folder, place)
    assert backup is not None

    def ended() -> int:
        study = read_file(backup, place.name)
        assert study is not None
        return sum(trial.state.is_finished() for trial in study.trials)

    assert ended() == 1  # the others ended within the hour
    StudyBackup(folder, place).sweep_finished([], interrupted=False)
    assert ended() == 3
    assert not list(folder.glob("study.backup*-*"))


def test_a_damaged_study_does_not_take_its_backup_along(
    sweep: Path, caplog: pytest.LogCaptureFixture
) -> None:
    place, file = place_of(sweep), study_file(sweep)
    backup = backup_file(sweep, place)
    assert backup is not None
    kept = backup.read_bytes()
    DAMAGES["text"](file)
    StudyBackup(sweep, place).sweep_finished([], interrupted=False)
    assert kept in [found.read_bytes() for found in sweep.glob("study.backup*")]
    remove(file)
    StudyBackup(sweep, place).sweep_finished([], interrupted=False)
    assert [str(file) in message for message in caplog.messages] == [True, True]
    assert "was not copied to" in caplog.messages[1]
