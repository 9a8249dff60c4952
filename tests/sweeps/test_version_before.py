"""A sweep that the version before this one began, and a model that it registered.

``tests/data/version_before.tar.xz`` was made at commit 747049f, its folder's path replaced by a
word: a sweep of one trial ended and registered its model, was extended to three, and was killed in
the second. Reports, pictures and Ray's snapshots are left out.
"""

from __future__ import annotations

import sqlite3
import tarfile
from pathlib import Path

import mlflow
import numpy as np
import pytest
from optuna.trial import TrialState

from sweeps.run import main
from sweeps.study.location import find_place
from sweeps.study.study import load_study

ARCHIVE = Path(__file__).resolve().parents[1] / "data" / "version_before.tar.xz"
_WORD = "@FOLDER@"


@pytest.fixture
def folder(tmp_path: Path, small_coco: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder in which the old version was run, at another place."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    (tmp_path / "coco").symlink_to(small_coco)
    for file in (tmp_path / "tiny.yaml", *(tmp_path / "runs" / "tiny").glob("*.[jy]*")):
        file.write_text(file.read_text().replace(_WORD, str(tmp_path)))
    for database in (tmp_path / "runs").rglob("*.db"):
        _replace_in(database, str(tmp_path))
    monkeypatch.chdir(tmp_path)
    return tmp_path


def _replace_in(database: Path, path: str) -> None:
    connection = sqlite3.connect(database)
    names = connection.execute("SELECT name FROM sqlite_master WHERE type = 'table'").fetchall()
    for (table,) in names:
        for _, column, *_ in connection.execute(f'PRAGMA table_info("{table}")').fetchall():
            connection.execute(
                f'UPDATE "{table}" SET "{column}" = replace("{column}", ?, ?) '
                f"WHERE typeof(\"{column}\") = 'text'",
                (_WORD, path),
            )
    connection.commit()
    connection.close()


def test_its_sweep_goes_on_when_changes_are_allowed(
    folder: Path, ray_address: str, capsys: pytest.CaptureFixture[str]
) -> None:
    before = load_study(folder / "runs" / "tiny").trials
    states = [TrialState.COMPLETE, TrialState.RUNNING, TrialState.RUNNING]
    assert [trial.state for trial in before] == states
    command = ["tiny.yaml", "trials=3", f"cluster.address={ray_address}"]
    assert main(command) == 2
    refused = capsys.readouterr().err
    assert "was begun under other conditions" in refused
    assert "code hsplid_core/_checking.py is gone" in refused
    assert main([*command, "--allow-changed"]) == 0
    after = load_study(folder / "runs" / "tiny").trials
    assert [trial.state for trial in after] == [TrialState.COMPLETE] * 3
    assert (after[0].values, after[0].params) == (before[0].values, before[0].params)
    assert after[1].params == before[1].params
    assert [trial.user_attrs["attempts"] for trial in after][:2] == [1, 2]
    place = find_place(folder / "runs" / "tiny")
    assert place is not None
    assert place.storage == "sqlite"
    assert not (folder / "runs" / "tiny" / "study.log").exists()


def test_its_registered_model_opens(folder: Path) -> None:
    before = mlflow.get_tracking_uri()
    mlflow.set_tracking_uri(f"sqlite:///{folder / 'runs' / 'mlflow.db'}")
    try:
        model = mlflow.pyfunc.load_model("models:/tiny@best-val-accuracy")
    finally:
        mlflow.set_tracking_uri(before)
    images = np.random.default_rng(0).random((3, 3, 32, 32), dtype=np.float32)
    logits = model.predict(images)
    assert logits.shape == (3, 4)
    assert np.isfinite(logits).all()
