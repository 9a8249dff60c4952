"""Studies that are gone, damaged, foreign or cut: refused, and all is left as it was."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from sweeps.study.backup import StudyBackup, backup_file
from sweeps.study.damage import DamagedStudyError, read_file
from sweeps.study.rebuild import rebuild
from sweeps.study.study import check_study, load_study
from sweeps.trials.from_study import records_of
from sweeps.trials.table_file import write_parquet
from tests.sweeps.damages import (
    DAMAGES,
    KINDS,
    begun,
    contents,
    copy_sweep,
    go_on,
    place_of,
    remove,
    study_file,
    write_sweeps,
)
from tests.sweeps.records import GOALS


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("made")
    write_sweeps(storage)
    return storage


@pytest.fixture(params=KINDS)
def sweep(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """The folder of a sweep with three trials that have ended and one that has not."""
    return copy_sweep(made / request.param / "tiny", tmp_path / "tiny")


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


def whose(folder: Path, sweep_id: str) -> None:
    """Write the two files beside a study that say whose they are."""
    study = load_study(folder)
    write_parquet(records_of(study), GOALS, folder / "trials.parquet", sweep_id=sweep_id)
    (folder / "about.json").write_text(json.dumps({"sweep_id": sweep_id}))


def test_files_of_another_sweep_are_not_taken_for_ones_own(made: Path, tmp_path: Path) -> None:
    """Files of one sweep in the folder of another: no trial of the other comes in."""
    own, other = tmp_path / "own", tmp_path / "other"
    begun(own, "journal", n_trials=2)
    begun(other, "journal", n_trials=3)
    for folder in (own, other):
        whose(folder, load_study(folder).user_attrs["sweep_id"])
    before = load_study(own).trials
    for name in ("trials.parquet", "study.backup.log"):
        kept = (own / name).read_bytes()
        shutil.copy(other / name, own)
        assert load_study(own).trials == before
        (own / name).write_bytes(kept)
    # A study that is none of what lies beside it.
    shutil.copy(other / "study.log", own)
    with pytest.raises(DamagedStudyError, match=r"is another study than that of trials.parquet"):
        load_study(own)
    told = list(rebuild(own))
    assert "not read: study.log holds another study" in told
    assert load_study(own).trials[:2] == before[:2]
    # Where the study is lost, a table of another sweep brings nothing.
    (own / "study.log").unlink()
    shutil.copy(other / "trials.parquet", own)
    assert "not read: trials.parquet is of another study" in list(rebuild(own))
    assert [trial.values for trial in load_study(own).trials] == [[0.0, 0.5], [0.1, 0.5]]


def test_a_note_of_another_sweep_does_not_hide_the_study(tmp_path: Path, made: Path) -> None:
    folder = copy_sweep(made / "journal" / "tiny", tmp_path / "tiny")
    before = load_study(folder).trials
    shutil.copy(made / "sqlite" / "tiny" / "study.json", folder)
    assert load_study(folder).trials == before


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
