"""What new seeds said, in MLflow: in the trials' runs and in the sweep's."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from mlflow import MlflowClient

from hsplid_core.config.analyses import ConfirmationConfig
from hsplid_core.errors import ConfigError
from sweeps.confirm import main
from sweeps.confirmation.mlflow_numbers import record
from sweeps.confirmation.plan import make_plan
from sweeps.confirmation.results import sum_up, write_confirmation
from sweeps.confirmation.statistics import Evidence, Measurement
from sweeps.outputs.registered_models import register_front
from sweeps.study.stored_sweep import open_sweep
from sweeps.tracking.find_models import trial_of
from tests.sweeps.recorded import recorded_sweep
from tests.tiny import tiny_data

VALUES = [(0.9, 0.3), (0.5, 0.2), (0.8, 0.6)]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    top = tmp_path_factory.mktemp("confirmed")
    return recorded_sweep(top / "runs", tiny_data(top), VALUES)


def evidence() -> Evidence:
    """Trial 0 falls from 90% to 70%; cross-entropy has as much."""
    return Evidence(
        measurements=tuple(
            Measurement(configuration=name, seed=seed, split=split, measure=measure, value=value)
            for name, first in (("cross-entropy", 0.5), ("trial 0", 0.6), ("trial 2", 0.7))
            for seed, value in ((1, first), (2, first + 0.2))
            for split, measure in (
                ("val", "val/accuracy"),
                ("test", "clean"),
                ("test", "mean robust"),
                ("test", "pgd background linf 2/255"),
            )
        )
    )


def test_runs_get_the_numbers_and_the_sweep_the_files(folder: Path) -> None:
    sweep = open_sweep(str(folder))
    plan = make_plan(sweep, n_seeds=2, suite=ConfirmationConfig(suite="search"))
    confirmation = sum_up(plan, evidence())
    plan.folder.mkdir()
    write_confirmation(plan.folder, confirmation, evidence().measurements)
    report = folder / "report.html"
    report.write_text("the report")
    client = MlflowClient(tracking_uri=sweep.recording.uri)
    for _ in range(2):  # the second time changes nothing
        assert record(plan, confirmation, report)
        runs = {run.info.run_name: run for run in client.search_runs(["1"])}
        own = runs["trial 0"].data
        assert own.metrics["confirm/test/clean/mean"] == pytest.approx(0.7)
        assert own.metrics["confirm/test/clean/sd"] == pytest.approx(0.2 / 2**0.5)
        assert own.metrics["confirm/test/pgd/background/linf/2/mean"] == pytest.approx(0.7)
        assert own.metrics["confirm/luck/val/accuracy"] == pytest.approx(0.2)
        assert own.metrics["confirm/gain/clean/mean"] == pytest.approx(0.1)
        assert own.tags["confirm.on_front"] == "false"
        assert runs["trial 2"].data.tags["confirm.on_front"] == "true"
        assert not any(name.startswith("confirm") for name in runs["trial 1"].data.metrics)
        parent = runs["tiny"]
        assert parent.data.tags["confirm.seeds"] == "1,2"
        plain = parent.data.metrics["confirm/cross-entropy/test/clean/mean"]
        assert plain == pytest.approx(0.6)
        run_id = parent.info.run_id
        assert len(client.get_metric_history(run_id, "confirm/cross-entropy/test/clean/mean")) == 1
        files = [file.path for file in client.list_artifacts(run_id, "confirm")]
        assert files == ["confirm/confirm.json", "confirm/confirm.parquet"]
        assert "report.html" in [file.path for file in client.list_artifacts(run_id)]


def test_without_mlflow_the_numbers_are_on_disk(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    sweep = open_sweep(str(folder))
    assert sweep.info is not None
    info = dataclasses.replace(sweep.info, tracking_uri=f"sqlite:///{tmp_path / 'gone.db'}")
    plan = make_plan(
        dataclasses.replace(sweep, info=info),
        n_seeds=2,
        suite=ConfirmationConfig(suite="search"),
    )
    assert not record(plan, sum_up(plan, evidence()), folder / "report.html")
    assert "there is no MLflow database" in caplog.text
    assert list(tmp_path.iterdir()) == []


def test_a_model_names_its_trial(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    sweep = open_sweep(str(folder))
    register_front(sweep)
    found = trial_of("models:/tiny@best-val-robust_accuracy", sweep.recording.uri)
    assert found is not None
    assert (found.sweep, found.number) == ("tiny", 2)
    assert found.sweep_id == sweep.recording.sweep_id
    with pytest.raises(ConfigError, match="write models:/NAME@ALIAS"):
        trial_of("models:/tiny", sweep.recording.uri)
    storage = f"storage={folder.parent}"
    for arguments, message in (
        (["models:/tiny@best-val-accuracy", storage, "--trials=1"], "leave --trials away"),
        (["models:/tiny@best", storage], "alias best not found"),
        (["models:/tiny@best-val-accuracy", f"storage={tmp_path}"], "there is no MLflow database"),
        (["models:/tiny@best-val-accuracy", storage, "--seeds=0"], "seeds are none"),
    ):
        assert main(arguments) == 2
        assert message in capsys.readouterr().err
