"""Collecting the tables of a sweep's trials."""

from __future__ import annotations

import json
from pathlib import Path

import optuna
import pyarrow.csv
import pyarrow.parquet as pq
from optuna.trial import FrozenTrial, TrialState

from sweeps.trials.analysis_tables import collect, write_tables


def finished(number: int, tables: object) -> FrozenTrial:
    trial = optuna.trial.create_trial(
        state=TrialState.COMPLETE,
        value=0.0,
        user_attrs={} if tables is None else {"tables": json.dumps(tables)},
    )
    trial.number = number
    return trial


def test_rows_of_all_trials_stand_under_each_other() -> None:
    trials = [
        finished(2, {"probe": {"method": ["b"], "score": [3], "extra": [True]}}),
        finished(0, {"probe": {"method": ["a", "b"], "score": [0.5, None]}}),
        finished(1, None),
    ]
    (table,) = collect(trials).values()
    assert table.to_pydict() == {
        "trial": [0, 0, 2],
        "method": ["a", "b", "b"],
        "score": [0.5, None, 3.0],
        "extra": [None, None, True],
    }


def test_files_say_the_same(tmp_path: Path) -> None:
    trials = [finished(0, {"one": {"x": [1, 2]}, "two": {"y": ["a"]}})]
    files = write_tables(trials, tmp_path)
    assert [file.name for file in files] == ["one.parquet", "one.csv", "two.parquet", "two.csv"]
    assert pq.read_table(files[0]).to_pydict() == {"trial": [0, 0], "x": [1, 2]}
    assert pyarrow.csv.read_csv(files[1]).to_pydict() == {"trial": [0, 0], "x": [1, 2]}
    assert sorted(path.name for path in (tmp_path / "tables").iterdir()) == sorted(
        file.name for file in files
    )


def test_nothing_is_written_without_tables(tmp_path: Path) -> None:
    assert write_tables([finished(0, None)], tmp_path) == []
    assert list(tmp_path.iterdir()) == []
