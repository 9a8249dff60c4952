"""``sweeps.repair``: a lost study is rebuilt from whatever knows of its trials."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import pytest
from optuna.trial import TrialState

from sweeps.repair import main
from sweeps.study.study import load_study
from sweeps.study.sweep_info import read_spec
from sweeps.tracking import MlflowTracker
from sweeps.tracking.journal import SPOOL_FILE, Spool
from sweeps.tracking.journal_entries import Closed, Opened
from sweeps.trials.from_study import records_of
from tests.sweeps.damages import (
    DAMAGES,
    KINDS,
    contents,
    copy_sweep,
    go_on,
    place_of,
    study_file,
    write_sweeps,
)

COMPLETE, RUNNING, WAITING = TrialState.COMPLETE, TrialState.RUNNING, TrialState.WAITING


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> Path:
    storage = tmp_path_factory.mktemp("made")
    write_sweeps(storage)
    return storage


@pytest.fixture(params=KINDS)
def sweep(made: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    return copy_sweep(made / request.param / "tiny", tmp_path / "tiny")


@pytest.fixture
def journal_sweep(made: Path, tmp_path: Path) -> Path:
    """A sweep without a backup, in the default storage."""
    folder = copy_sweep(made / "journal" / "tiny", tmp_path / "tiny")
    (folder / "study.backup.log").unlink()
    return folder


def repaired(folder: Path, capsys: pytest.CaptureFixture[str]) -> str:
    assert main([folder.name, f"storage={folder.parent}"]) == 0
    said = capsys.readouterr()
    assert said.err == ""
    return said.out


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES)
def test_a_study_comes_back_from_its_backup(
    damage: Callable[[Path], object], sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, before = study_file(sweep), load_study(sweep).trials
    damage(file)
    damaged = contents(sweep).get(file.name)
    said = repaired(sweep, capsys)
    trials = load_study(sweep).trials
    # The last one was asked for after the last backup; what is left of a cut file may know it.
    assert trials[:3] == before[:3]
    assert "trials 0, 1, 2: from study.backup." in said
    assert "of which 3 have ended" in said
    if damaged is not None:
        aside = file.with_name(f"{file.stem}.damaged{file.suffix}")
        assert f"{file.name} is now {aside.name}" in said
        assert aside.read_bytes() == damaged
    go_on(sweep)
    assert place_of(sweep).file_in(sweep) == file
    assert repaired(sweep, capsys) == f"the study is whole: {len(trials)} trials\n"


def test_a_cut_journal_is_read_as_far_as_it_goes(
    journal_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    file, before = journal_sweep / "study.log", load_study(journal_sweep).trials
    lines = file.read_bytes().splitlines(keepends=True)
    end = max(
        n for n, line in enumerate(lines) if b'"op_code":6' in line and b'"trial_id":1' in line
    )
    file.write_bytes(b"".join(lines[: end + 1]) + b"\0" * 100 + b"\n" + b"".join(lines[end + 2 :]))
    said = repaired(journal_sweep, capsys)
    assert "trials 0, 1: from study.log\n" in said
    assert "trial 2: from trials.parquet, without its times and tables" in said
    after = load_study(journal_sweep).trials
    assert after[:2] == before[:2]
    for trial, old in zip(after[2:3], before[2:3], strict=True):
        assert (trial.state, trial.values) == (COMPLETE, old.values)
        assert trial.params == old.params
        assert trial.distributions == old.distributions


def test_without_any_study_the_table_and_the_spec_make_one(
    journal_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_study(journal_sweep)
    (journal_sweep / "study.log").unlink()
    (journal_sweep / "study.json").write_text("{")
    said = repaired(journal_sweep, capsys)
    assert "lost: what the sweep was begun with (spec, data, code)" in said
    after = load_study(journal_sweep)
    assert (after.directions, after.metric_names) == (before.directions, before.metric_names)
    assert [trial.state for trial in after.trials] == [COMPLETE, COMPLETE, COMPLETE, RUNNING]
    for trial, old in zip(after.trials, before.trials, strict=True):
        assert (trial.values, trial.params) == (old.values, old.params)
        assert trial.user_attrs["parameters"] == old.user_attrs["parameters"]
    assert place_of(journal_sweep).sweep == "tiny"


def test_the_journal_of_mlflow_knows_what_the_backup_does_not(
    journal_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_study(journal_sweep).trials
    with closing(Spool(journal_sweep / SPOOL_FILE)) as spool:
        first, third = (before[number].user_attrs["parameters"] for number in (0, 2))
        measured = {"val/accuracy": 0.7, "val/robust_accuracy": 0.2, "epoch": 2.0}
        spool.put(
            [
                (0, Opened(parameters=first, attempt=1, time_ms=0)),
                (0, Closed(state="complete", epoch=2, metrics=measured, time_ms=1)),
                (1, Closed(state="complete", epoch=2, metrics=measured, time_ms=1)),
                (2, Opened(parameters=third, attempt=2, time_ms=2)),
                (4, Closed(state="failed", epoch=0, failure="no memory", time_ms=2)),
            ]
        )
    for name in ("study.log", "trials.parquet"):
        (journal_sweep / name).write_bytes(b"\n")
    said = repaired(journal_sweep, capsys)
    for line in (
        "trials.parquet is no table of trials",
        "trials 0, 1, 4: from MLflow's journal, without its times and tables",
        "trial 1: their parameters do not fit the search space",
        "trial 2: had not ended as far as is known, and goes on",
        "trial 3: lost: not even the parameters are known; run anew with others",
        "the study is rebuilt: 5 trials, of which 3 have ended",
    ):
        assert line in said
    trials = load_study(journal_sweep).trials
    states = [COMPLETE, COMPLETE, RUNNING, WAITING, TrialState.FAIL]
    assert [trial.state for trial in trials] == states
    assert [trial.values for trial in trials[:2]] == [[0.7, 0.2]] * 2
    assert (trials[0].params, trials[2].params) == (before[0].params, before[2].params)
    assert trials[2].user_attrs["attempts"] == 2
    assert trials[4].user_attrs["failure"] == "no memory"


def test_nothing_to_rebuild_from_is_told_and_nothing_is_moved(
    journal_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in ("trials.parquet", "study.log"):
        (journal_sweep / name).write_text("my diary\n")
    before = contents(journal_sweep)
    assert main([str(journal_sweep)]) == 2
    assert "has no trial that a study could be rebuilt from" in capsys.readouterr().err
    assert contents(journal_sweep) == before
    shutil.rmtree(journal_sweep)
    assert main(["tiny", f"storage={journal_sweep.parent}"]) == 2
    assert "sweep tiny is not in" in capsys.readouterr().err


def test_mlflow_has_the_trials_of_a_sweep_that_lost_its_study(
    journal_sweep: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    study = load_study(journal_sweep)
    records, spec = records_of(study), read_spec(journal_sweep)
    tracker = MlflowTracker(
        f"sqlite:///{journal_sweep.parent / 'mlflow.db'}",
        experiment="tiny",
        run_name="tiny",
        sweep_id="1" * 32,
        folder=journal_sweep,
        objectives=spec.objectives,
        spec=spec.resolved(),
        tags={},
    )
    tracker.sweep_started([])
    for record in records:
        tracker.trial_started(record.number, record.parameters, resumed=False)
        if record.state == "complete":
            tracker.trial_finished(dataclasses.replace(record, seconds=3.5))
    assert tracker.flush(30.0)
    tracker.close()
    (journal_sweep / "study.log").unlink()
    (journal_sweep / "trials.parquet").unlink()
    said = repaired(journal_sweep, capsys)
    assert "trials 0, 1, 2: from MLflow, without its times and tables" in said
    assert "trial 3: had not ended as far as is known, and goes on" in said
    after = load_study(journal_sweep)
    assert after.user_attrs["sweep_id"] == "1" * 32
    for trial, old in zip(after.trials, study.trials, strict=True):
        assert (trial.state, trial.values, trial.params) == (old.state, old.values, old.params)
    assert after.trials[0].user_attrs["seconds"] == 3.5
    assert after.trials[0].user_attrs["metrics"]["val/robust_accuracy"] == 0.5
