"""The models of a front in MLflow's registry, and back again in a process that knows no sweep."""

from __future__ import annotations

import dataclasses
import json
import shutil
import subprocess
import sys
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
import torch
from mlflow import MlflowClient

from hsplid_core.config import DataConfig
from hsplid_core.errors import CheckpointError
from hsplid_core.models.packaged import Predictor, open_package, write_package
from hsplid_core.models.state_files import STATE_FILE, read_state, write_state
from sweeps.outputs.registered_models import register_front, register_or_warn
from sweeps.study.stored_sweep import open_sweep
from sweeps.study.sweep_info import read_info, write_info
from sweeps.sync import main as sync
from sweeps.tracking.journal import SPOOL_FILE, Spool
from sweeps.tracking.journal_entries import Ended
from sweeps.trials.checkpoint_files import SweepCheckpoints
from tests.sweeps.recorded import NAME, recorded_sweep
from tests.sweeps.records import GOALS, warned
from tests.tiny import tiny_data, tiny_trial
from trainables.trial import Trial

ROOT = Path(__file__).resolve().parents[2]

# The knee is in the middle, trial 3 is dominated.
VALUES = [(0.9, 0.1), (0.8, 0.5), (0.3, 0.6), (0.2, 0.2)]

# What a stranger does who has torch, MLflow and hsplid_core.
STRANGER = """
import json, sys
import mlflow, numpy as np

class Refuse:
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] in ("sweeps", "trainables", "search_spaces", "ray", "optuna"):
            raise ImportError(name)

sys.meta_path.insert(0, Refuse())
mlflow.set_tracking_uri(sys.argv[1])
model = mlflow.pyfunc.load_model(sys.argv[2])
example = np.asarray(model.input_example, dtype=np.float32)
images = np.load(sys.argv[3])
logits = model.predict(images)
network = model.get_raw_model()
print(json.dumps({
    "logits": logits.tolist(), "example": example.shape, "network": type(network).__name__,
    "inputs": model.metadata.signature.inputs.to_dict(),
}))
"""


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return tiny_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def folder(data: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = recorded_sweep(tmp_path_factory.mktemp("runs"), data, VALUES)
    register_front(open_sweep(str(folder)))
    return folder


@pytest.fixture
def client(folder: Path) -> MlflowClient:
    return MlflowClient(tracking_uri=f"sqlite:///{folder.parent / 'mlflow.db'}")


def test_knee_and_ends_have_aliases_and_lead_to_their_runs(client: MlflowClient) -> None:
    aliases = client.get_registered_model(NAME).aliases
    trials = {
        alias: client.get_model_version(NAME, version).tags["sweep.trial"]
        for alias, version in aliases.items()
    }
    assert trials == {"knee": "1", "best-val-accuracy": "0", "best-val-robust_accuracy": "2"}
    version = client.get_model_version_by_alias(NAME, "knee")
    assert version.run_id is not None
    run = client.get_run(version.run_id)
    assert run.data.tags["sweep.trial"] == "1"
    assert run.outputs is not None
    (output,) = run.outputs.model_outputs
    model = client.get_logged_model(output.model_id)
    assert model.status == "READY"
    assert model.artifact_location == version.source


def test_a_stranger_gets_the_same_logits(folder: Path, tmp_path: Path) -> None:
    images = torch.rand(3, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    np.save(tmp_path / "images.npy", images.numpy())
    uri = f"sqlite:///{folder.parent / 'mlflow.db'}"
    told = subprocess.run(
        [sys.executable, "-c", STRANGER, uri, f"models:/{NAME}@knee", tmp_path / "images.npy"],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "PATH": "", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=True,
    )
    found = json.loads(told.stdout.splitlines()[-1])
    checkpoint = SweepCheckpoints(folder=folder, sweep_id=None).find(1)
    assert checkpoint is not None
    with torch.inference_mode():
        trial = Trial(tiny_trial(tiny_data(tmp_path), seed=1))
        trial.load_state_dict(read_state(checkpoint))
        expected = trial.run.model.eval()(images)
    torch.testing.assert_close(torch.tensor(found["logits"]), expected, rtol=1e-6, atol=1e-7)
    assert found["network"] == "MaskedClassifier"
    assert found["example"] == [1, 3, 32, 32]
    assert found["inputs"][0]["tensor-spec"] == {"dtype": "float32", "shape": [-1, 3, 32, 32]}
    assert not (tmp_path / "mlflow.db").exists()


def test_once_more_changes_nothing_and_a_new_front_moves_the_aliases(
    folder: Path, client: MlflowClient
) -> None:
    before = client.search_model_versions(f"name = '{NAME}'")
    first = register_front(open_sweep(str(folder)))
    after = client.search_model_versions(f"name = '{NAME}'")
    assert len(before) == 3
    assert [dict(v) for v in before] == [dict(v) for v in after]

    sweep = open_sweep(str(folder))
    best = dict(zip((goal.metric for goal in GOALS), (0.95, 0.7), strict=True))
    records = [
        *sweep.records[:3],
        dataclasses.replace(sweep.records[3], values=(0.95, 0.7), metrics=best),
    ]
    moved = register_front(dataclasses.replace(sweep, records=tuple(records)))
    assert moved.keys() == first.keys() - {"knee"}
    assert client.get_registered_model(NAME).aliases == moved  # nor does its old holder keep it
    assert len(set(moved.values())) == 1
    tags = {
        version.tags["sweep.trial"]: version.tags["sweep.on_front"]
        for version in client.search_model_versions(f"name = '{NAME}'")
    }
    assert tags == {"0": "false", "1": "false", "2": "false", "3": "true"}
    register_front(open_sweep(str(folder)))


def test_a_model_in_doubt_is_tagged_and_recommended_by_no_alias(
    folder: Path, client: MlflowClient
) -> None:
    sweep = open_sweep(str(folder))
    records = [sweep.records[0], warned(sweep.records[1], "zero_gradients"), *sweep.records[2:]]
    versions = register_front(dataclasses.replace(sweep, records=tuple(records)))
    assert versions.keys() == {"best-val-accuracy", "best-val-robust_accuracy"}
    tagged = {
        version.tags["sweep.trial"]: version.tags.get("sweep.warnings")
        for version in client.search_model_versions(f"name = '{NAME}'")
        if version.tags["sweep.on_front"] == "true"
    }
    assert tagged == {"0": None, "1": "zero_gradients", "2": None}
    register_front(open_sweep(str(folder)))


def test_what_a_killed_driver_left_half_done_is_finished(
    data: DataConfig, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = recorded_sweep(tmp_path, data, VALUES[:1])

    def killed(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr(MlflowClient, "log_model_artifacts", killed)
    with pytest.raises(KeyboardInterrupt):
        register_front(open_sweep(str(folder)))
    monkeypatch.undo()
    assert len(set(register_front(open_sweep(str(folder))).values())) == 1
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    version = client.get_model_version_by_alias(NAME, "best-val-accuracy")
    experiment = client.get_experiment_by_name(NAME)
    assert experiment is not None
    (model,) = client.search_logged_models([experiment.experiment_id])
    assert model.artifact_location == version.source
    assert model.status == "READY"


def journal(folder: Path, **ended: str) -> None:
    """Leave a journal behind as its driver would, with the last entry still in it."""
    facts = {
        "uri": f"sqlite:///{folder.parent / 'mlflow.db'}",
        "experiment": NAME,
        "sweep_id": "0" * 32,
        "run_name": NAME,
    }
    with closing(Spool(folder / SPOOL_FILE)) as spool:
        spool.note(facts)
        spool.put([(None, Ended(**ended, step=1, time_ms=1))])  # type: ignore[arg-type]


def test_sync_registers_the_front_where_all_trials_had_ended(
    data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded_sweep(tmp_path, data, VALUES[:2])
    journal(folder, state="complete")
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    assert sync([NAME, f"storage={tmp_path}"]) == 0
    said = capsys.readouterr().out
    assert f"{NAME}: 1 entries delivered to sqlite:" in said
    best, robust = (
        client.get_model_version_by_alias(NAME, alias).version
        for alias in ("best-val-accuracy", "best-val-robust_accuracy")
    )
    assert f"best-val-accuracy is version {best}, best-val-robust_accuracy is version" in said
    assert best != robust

    client.delete_registered_model(NAME)  # what is noted is not looked up again
    assert sync([NAME, f"storage={tmp_path}"]) == 0
    assert capsys.readouterr().out == f"{NAME}: nothing is left to deliver\n"
    assert client.search_registered_models() == []


@pytest.mark.parametrize(
    ("trials", "state", "told", "registers"),
    [
        (3, "interrupted", "1 of 3 trials have not ended; this goes on: ", False),
        (2, "interrupted", "report and table were not written; this writes them: ", True),
    ],
)
def test_sync_names_the_command_that_does_the_rest(
    data: DataConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    trials: int,
    state: str,
    told: str,
    registers: bool,
) -> None:
    folder = recorded_sweep(tmp_path, data, VALUES[:2])
    info = read_info(folder)
    assert info is not None
    spec = info.spec.model_copy(update={"trials": trials})
    write_info(folder, dataclasses.replace(info, spec=spec))
    journal(folder, state=state)
    assert sync([NAME, f"storage={tmp_path}"]) == 0
    said, complaints = capsys.readouterr()
    assert "Study name was omitted" not in complaints
    assert f"{told}python -m sweeps.run {folder / 'spec.yaml'}\n" in said
    assert ("models of the front in the registry: " in said) == registers


def test_without_mlflow_a_sweep_still_ends(
    folder: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    copy = shutil.copytree(folder.parent, tmp_path / "runs") / NAME
    register_or_warn(copy)  # its runs and models are known
    assert caplog.text == ""
    (copy / "about.json").unlink()
    register_or_warn(copy)
    assert "does not say which spec" in caplog.text


def test_a_checkpoint_without_a_model_keeps_no_other_from_the_registry(
    data: DataConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    folder = recorded_sweep(tmp_path, data, VALUES[:2])
    kept = SweepCheckpoints(folder=folder, sweep_id=None).find(0)
    assert kept is not None
    write_state(kept, {"model": {}, "epoch": 1})
    versions = register_front(open_sweep(str(folder)))
    assert {str(version) for version in versions.values()} == {"1"}
    assert "trial 0 has no model in MLflow: the checkpoint holds" in caplog.text


def test_a_package_needs_no_mlflow(folder: Path, tmp_path: Path) -> None:
    checkpoint = SweepCheckpoints(folder=folder, sweep_id=None).find(0)
    assert checkpoint is not None
    state = read_state(checkpoint)
    write_package(tmp_path / "package", state)
    opened = open_package(tmp_path / "package")
    assert opened.class_names == ("bear", "elephant", "giraffe", "zebra")
    images = np.random.default_rng(0).random((2, 3, 32, 32), dtype=np.float32)
    logits = Predictor(opened).predict(images)
    assert logits.shape == (2, 4)
    assert set(read_state(tmp_path / "package" / STATE_FILE)) == {"model", "description"}
    with pytest.raises(CheckpointError, match=r"holds no state\.pt"):
        open_package(tmp_path / "nothing")
    with pytest.raises(CheckpointError, match="not which model"):
        write_package(tmp_path / "other", {"model": state["model"]})
    assert not (tmp_path / "other").exists()
