from __future__ import annotations

import json
import math
from pathlib import Path

import duckdb
import pandas as pd
import polars as pl
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq
import pytest

from sweeps.pareto import main
from tests.sweeps.studies import cloud_study, complete_trial, failed_trial, write_study
from trainables.robustness import WARNINGS


@pytest.fixture(scope="module")
def storage(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("runs")
    trials = [
        complete_trial((0.9, 0.1)),
        complete_trial((0.8, 0.7)),
        complete_trial((0.2, 0.8)),
        complete_trial((0.7, 0.6), salient_dims=math.nan),
        failed_trial(),
    ]
    write_study(folder / "cloud", trials)
    write_study(folder / "hopeless", [failed_trial("no memory"), failed_trial()])
    write_study(folder / "empty", [])
    return folder


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def test_the_front_in_the_terminal(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, err = told(capsys, "cloud", f"storage={storage}")
    assert (code, err) == (0, "")
    assert "Hypervolume 0.59, from the reference point clean accuracy 0.0%, robust" in out
    assert "Knee        trial 1, the dearest to leave" in out
    assert "Best        trial 0 in clean accuracy" in out
    assert "1 failed (trial 4): the loss became NaN" in out


def test_a_front_of_two_has_no_knee_and_one_in_doubt_is_passed_over(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    tables = {WARNINGS: {"code": ["zero_gradients"], "message": ["no gradient at 9 of 9 images"]}}
    doubted = complete_trial((0.9, 0.5))
    doubted.set_user_attr("tables", json.dumps(tables))
    write_study(tmp_path / "two", [doubted, complete_trial((0.5, 0.7))])
    code, out, _ = told(capsys, "two", f"storage={tmp_path}")
    assert code == 0
    for line in (
        "! trial 0 warned: zero gradients",
        "Knee        none: no trial is dearer to leave than all others",
        "Best        trial 1 in clean accuracy",
        "Passed over trial 0 (warned: zero gradients): others are less in doubt",
    ):
        assert line in out
    found = json.loads(told(capsys, "two", f"storage={tmp_path}", "--json")[1])
    assert (found["knee"], found["passed_over"]) == (None, [0])
    assert found["front"][0]["warnings"] == {"zero_gradients": "no gradient at 9 of 9 images"}


def test_json_holds_the_whole_selection(storage: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, out, _ = told(
        capsys,
        str(storage / "cloud"),
        "--json",
        "--metrics=val/robust_accuracy:max,hsplid/salient_dims:min",
        "--reference=0.5,20",
        "--feasible=val/accuracy >= 0.5",
    )
    found = json.loads(out)
    assert code == 0
    assert found["objectives"][1] == {"metric": "hsplid/salient_dims", "direction": "minimize"}
    assert found["front"] == [
        {
            "trial": 1,
            "values": {"val/robust_accuracy": 0.7, "hsplid/salient_dims": 10.0},
            "parameters": {"method.hsplid.rho_s": 0.2, "training.learning_rate": 5e-4},
            "warnings": {},
        }
    ]
    assert found["ranks"] == {"0": 2, "1": 1}
    assert found["hypervolume"] == pytest.approx(0.2 * 10)
    assert found["infeasible"] == {
        "2": "val/accuracy is 0.2, not >= 0.5",
        "3": "hsplid/salient_dims is nan",
    }
    assert list(found["failed"]) == ["4"]


def test_exports_are_read_back(
    storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parquet, csv = tmp_path / "new" / "trials.parquet", tmp_path / "trials.csv"
    for path in (parquet, csv):
        assert told(capsys, "cloud", f"storage={storage}", f"--export={path}")[0] == 0
    frame = pd.read_parquet(parquet)
    assert frame["rank"].tolist()[:4] == [1, 1, 1, 2]
    assert frame["rank"].isna().tolist() == [False] * 4 + [True]
    assert frame.loc[frame["is_knee"], "number"].tolist() == [1]
    metadata = pq.read_schema(parquet).metadata
    assert json.loads(metadata[b"reference"]) == [0.0, 0.0]
    assert float(metadata[b"hypervolume"]) == pytest.approx(0.59)
    again = pa_csv.read_csv(csv).to_pylist()
    assert [row["rank"] for row in again] == [1, 1, 1, 2, None]
    assert again[1]["objective/val/robust_accuracy"] == 0.7
    assert [file.name for file in parquet.parent.iterdir()] == ["trials.parquet"]


def test_polars_and_duckdb_read_the_exports(
    storage: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parquet, csv = tmp_path / "trials.parquet", tmp_path / "trials.csv"
    for path in (parquet, csv):
        assert told(capsys, "cloud", f"storage={storage}", f"--export={path}")[0] == 0
    for frame in (
        pl.read_parquet(parquet),
        pl.read_csv(csv),
        asked(f"FROM '{parquet}'").pl(),
        asked(f"FROM '{csv}'").pl(),
    ):
        knee = frame.filter(pl.col("is_knee")).row(0, named=True)
        assert (knee["number"], knee["objective/val/robust_accuracy"]) == (1, 0.7)
        assert frame["rank"].to_list() == [1, 1, 1, 2, None]
        assert frame["rank"].dtype == pl.Int64
        assert frame["on_front"].dtype == pl.Boolean
    best = asked(
        f"""SELECT "param/method.hsplid.rho_s" FROM '{parquet}' WHERE state = 'complete'
        ORDER BY "objective/val/accuracy" DESC LIMIT 1"""
    )
    assert best.fetchall() == [(0.1,)]


def asked(query: str) -> duckdb.DuckDBPyRelation:
    answer = duckdb.sql(query)
    assert answer is not None
    return answer


def test_where_trials_are_few_the_warning_stands_in_place_of_importances(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    write_study(tmp_path / "few", cloud_study(20).trials)
    _, out, _ = told(capsys, "few", f"storage={tmp_path}", "--importances")
    assert "Importances (PED-ANOVA)" not in out
    assert "Importances too few trials: importances ask" in out
    _, out, _ = told(capsys, "few", f"storage={tmp_path}", "--importances", "--json")
    found = json.loads(out)["importances"]
    assert found["shares"] == {}
    assert "of 19 complete trials that is 2" in found["warning"]


def test_importances_in_the_terminal(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write_study(tmp_path / "enough", cloud_study(48).trials)
    _, out, _ = told(capsys, "enough", f"storage={tmp_path}", "--importances")
    assert "Importances (PED-ANOVA)" in out
    assert "rho_s on/off" in out
    assert "too few trials" not in out


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["clowd"], "sweep clowd is not in"),
        (["clowd"], "did you mean cloud?"),
        (["empty"], "the study has no trials yet"),
        (["hopeless"], "all 2 trials failed (no memory)"),
        (["cloud", "--metrics=val/auc"], "metric val/auc: no complete trial has it"),
        (["cloud", "--metrics=a:up"], "metrics 'a:up': write NAME:max or NAME:min"),
        (["cloud", "--metrics=a,a"], "give each metric once"),
        (["cloud", "--reference=a"], "reference is a: give numbers"),
        (["cloud", "--reference=1"], "give a finite number for each of"),
        (["cloud", "--feasible=x>1"], "no complete trial has a metric or parameter x"),
        (["cloud", "--feasible=val/accuracy>2"], "no trial is feasible; trial 0 val/accuracy is"),
        (["cloud", "--export=trials.xls"], "no known ending: use .parquet or .csv"),
        (["cloud", "trials=3"], "only storage=FOLDER can be given here"),
    ],
)
def test_a_mistake_is_one_line_and_exit_code_2(
    storage: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, _, err = told(capsys, *arguments, f"storage={storage}")
    assert code == 2
    assert err.startswith("error: ")
    assert message in err
    assert err.count("\n") == 1


def test_a_storage_without_sweeps(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = told(capsys, "cloud", f"storage={tmp_path}")
    assert code == 2
    assert "it has none; storage=FOLDER names another place" in err
