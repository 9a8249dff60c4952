from __future__ import annotations

import json
import math
from pathlib import Path
from typing import IO

import optuna
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from optuna.trial import TrialState

from sweeps.trials import table_file
from sweeps.trials.from_study import records_of
from sweeps.trials.record import TrialRecord
from sweeps.trials.table_file import to_table, write_parquet
from tests.sweeps.records import GOALS


@pytest.fixture
def study() -> optuna.Study:
    return optuna.create_study(directions=["maximize", "maximize"])


def test_every_state_becomes_a_record(study: optuna.Study) -> None:
    trial = study.ask()
    trial.set_user_attr("parameters", {"method.hsplid.rho_s": 0.5})
    trial.set_user_attr("metrics", {"val/accuracy": 0.9, "hsplid/salient_dims": 12.0})
    trial.set_user_attr("seconds", 31.5)
    study.tell(trial, [0.9, 0.4])
    failed = study.ask()
    failed.set_user_attr("failure", "loss is nan in epoch 3")
    study.tell(failed, state=TrialState.FAIL)
    study.tell(study.ask(), state=TrialState.FAIL)
    study.tell(study.ask(), state=TrialState.PRUNED)
    diverged = study.ask()
    diverged.set_user_attr("failure", "loss is nan in epoch 1")
    diverged.set_user_attr("cause", "diverged")
    study.tell(diverged, state=TrialState.PRUNED)
    study.ask()
    study.enqueue_trial({"x": 1.0})

    records = records_of(study)

    states = ["complete", "failed", "failed", "stopped", "failed", "running", "waiting"]
    assert [record.state for record in records] == states
    assert [record.number for record in records] == list(range(7))
    assert records[0] == TrialRecord(
        number=0,
        state="complete",
        parameters={"method.hsplid.rho_s": 0.5},
        values=(0.9, 0.4),
        metrics={"val/accuracy": 0.9, "hsplid/salient_dims": 12.0},
        seconds=31.5,
        on_front=True,
    )
    causes = ["loss is nan in epoch 3", "no cause recorded", None, "loss is nan in epoch 1"]
    assert [record.failure for record in records[1:5]] == causes
    assert records[4].cause == "diverged"
    assert all(record.values is None and not record.on_front for record in records[1:])


def test_parameters_fall_back_to_what_optuna_suggested(study: optuna.Study) -> None:
    trial = study.ask()
    lr = trial.suggest_float("training.learning_rate", 1e-4, 1e-2, log=True)
    study.tell(trial, [0.5, 0.5])
    assert records_of(study)[0].parameters == {"training.learning_rate": lr}


def test_an_infeasible_trial_is_never_on_the_front(study: optuna.Study) -> None:
    for values, excess in (([0.9, 0.9], 1.0), ([0.5, 0.5], -1.0)):
        trial = study.ask()
        trial.set_constraint("size", excess)
        study.tell(trial, values)
    assert [record.on_front for record in records_of(study)] == [False, True]


def test_a_study_with_one_objective_has_a_front_of_its_best() -> None:
    study = optuna.create_study(direction="minimize")
    for value in (0.3, 0.1, 0.2):
        study.tell(study.ask(), value)
    assert [record.on_front for record in records_of(study)] == [False, True, False]


def records() -> list[TrialRecord]:
    return [
        TrialRecord(
            number=1,
            state="failed",
            parameters={"method.hsplid.hsic_warmup": "hard_split", "method.hsplid.sigma": None},
            seconds=2.0,
            failure="loss is nan",
        ),
        TrialRecord(
            number=0,
            state="complete",
            parameters={
                "method.hsplid.hsic_warmup": 3,
                "method.hsplid.sigma": 5,
                "method.hsplid.hard_split": True,
                "training.epochs": 6,
            },
            values=(0.9, 0.4),
            metrics={"val/accuracy": 0.9, "hsic/z_s": math.nan},
            seconds=30.0,
            on_front=True,
        ),
        TrialRecord(number=2, state="waiting", parameters={"method.hsplid.sigma": 2.5}),
    ]


def test_the_table_has_the_documented_columns_and_types() -> None:
    table = to_table(records(), GOALS)
    assert {field.name: field.type for field in table.schema} == {
        "number": pa.int64(),
        "state": pa.string(),
        "on_front": pa.bool_(),
        "objective/val/accuracy": pa.float64(),
        "objective/val/robust_accuracy": pa.float64(),
        "param/method.hsplid.hard_split": pa.bool_(),
        "param/method.hsplid.hsic_warmup": pa.string(),
        "param/method.hsplid.sigma": pa.float64(),
        "param/training.epochs": pa.int64(),
        "metric/hsic/z_s": pa.float64(),
        "metric/val/accuracy": pa.float64(),
        "seconds": pa.float64(),
        "failure": pa.string(),
        "warnings": pa.string(),
    }
    rows = table.to_pylist()
    assert [row["number"] for row in rows] == [0, 1, 2]
    assert rows[0]["objective/val/robust_accuracy"] == 0.4
    assert math.isnan(rows[0]["metric/hsic/z_s"])
    assert [row["param/method.hsplid.hsic_warmup"] for row in rows] == ["3", "hard_split", None]
    assert [row["param/method.hsplid.sigma"] for row in rows] == [5.0, None, 2.5]
    assert rows[1]["failure"] == "loss is nan"
    assert rows[1]["objective/val/accuracy"] is None


def test_parquet_is_read_back_by_pyarrow_and_pandas(tmp_path: Path) -> None:
    path = tmp_path / "results" / "trials.parquet"
    write_parquet(records()[:1], GOALS, path)
    write_parquet(records(), GOALS, path)

    table = pq.read_table(path)
    with_nan = ["metric/hsic/z_s"]  # never equal to itself
    assert table.drop(with_nan).equals(to_table(records(), GOALS).drop(with_nan))
    assert table.schema.metadata[b"schema_version"] == b"1"
    assert json.loads(table.schema.metadata[b"objectives"])[1] == {
        "metric": "val/robust_accuracy",
        "direction": "maximize",
    }
    frame = pd.read_parquet(path)
    assert frame["objective/val/accuracy"].dropna().tolist() == [0.9]
    assert frame.loc[frame["state"] == "failed", "failure"].tolist() == ["loss is nan"]
    assert [file.name for file in path.parent.iterdir()] == ["trials.parquet"]


def test_a_failed_write_leaves_the_old_file(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "trials.parquet"
    write_parquet(records(), GOALS, path)
    before = path.read_bytes()

    def half_written(_table: pa.Table, file: IO[bytes]) -> None:
        file.write(b"PAR1")
        raise OSError("no space left on device")

    monkeypatch.setitem(table_file._WRITERS, ".parquet", half_written)
    with pytest.raises(OSError, match="no space"):
        write_parquet([], GOALS, path)
    assert path.read_bytes() == before
    assert [file.name for file in tmp_path.iterdir()] == ["trials.parquet"]


def test_no_trials_make_an_empty_table() -> None:
    table = to_table([], GOALS)
    assert table.num_rows == 0
    assert table.schema.field("objective/val/accuracy").type == pa.float64()


def test_reasons_to_distrust_a_trial_become_tags_and_a_column() -> None:
    study = optuna.create_study(directions=["maximize", "maximize"])
    table = {
        "code": ["step_too_small", "not_monotone", "step_too_small"],
        "message": ["one", "two", "three"],
    }
    for tables in ({"robustness_warnings": table}, {}):
        trial = study.ask()
        trial.set_user_attr("tables", json.dumps(tables))
        study.tell(trial, [0.9, 0.4])
    warned, clean = records_of(study)
    assert warned.tags == {"warning.step_too_small": "one; three", "warning.not_monotone": "two"}
    assert clean.tags == {}
    column = to_table([warned, clean], GOALS).column("warnings").to_pylist()
    assert column == ["not_monotone,step_too_small", None]
