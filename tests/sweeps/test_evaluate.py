"""Judging saved models from the command line: files, MLflow, transfer, and mistakes."""

from __future__ import annotations

import dataclasses
import json
import shutil
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient

from hsplid_core.config import DataConfig, ModelConfig, PixelConfig
from hsplid_core.data import load
from hsplid_core.data.readers.imagenet_classes import NINE, wordnet_ids
from hsplid_core.evaluation import SUITES
from hsplid_core.evaluation.accuracy import accuracy
from hsplid_core.models import build_model
from hsplid_core.models.state_files import write_state
from hsplid_core.models.trained import describe
from sweeps.evaluate import main
from sweeps.outputs.registered_models import register_front
from sweeps.study.stored_sweep import open_sweep
from sweeps.trials.checkpoint_files import SweepCheckpoints
from tests.sweeps.recorded import recorded_sweep
from tests.tiny import tiny_data, tiny_trial
from trainables.trial import Trial


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return tiny_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def checkpoint(data: DataConfig, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint of a trial after an epoch, in a folder of its own."""
    trial = Trial(tiny_trial(data))
    trial.epoch()
    path = tmp_path_factory.mktemp("checkpoint_000000") / "state.pt"
    write_state(path, trial.state_dict())
    return path


def run(*texts: object) -> int:
    return main([str(text) for text in texts])


def judged(capsys: pytest.CaptureFixture[str], *texts: object) -> Any:
    assert run(*texts, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_a_checkpoint_is_judged_on_its_own_data(
    data: DataConfig, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    places = (f"root={data.root}", f"storage={tmp_path}")
    found = judged(capsys, checkpoint.parent, *places, "--suite", "search")
    (verdict,) = found["verdicts"]
    assert verdict["n_images"] == 40
    table = verdict["robustness"]
    assert [round(cell["epsilon"] * 255) for cell in table["cells"]] == [1, 3]
    (log,) = found["logs"]
    with pa.OSFile(log) as file:
        rows = pa.ipc.open_file(file).read_all()
    assert (n_images := SUITES["search"].max_images) is not None
    assert rows.num_rows == table["n_images"] == n_images
    assert rows.schema.metadata[b"suite"] == b"search"
    assert rows.schema.metadata[b"data"] == b"coco_animals"
    wrong = sum(row["label"] != row["prediction"] for row in rows.to_pylist())
    broken = sum(row["epsilon"] is not None for row in rows.to_pylist())
    assert wrong <= broken
    assert table["cells"][-1]["robust"] == pytest.approx(1 - broken / n_images)


@pytest.mark.parametrize(
    ("own", "n_images"),
    [
        ({"classes": ("zebra", "bear")}, 20),
        ({"split": "larger_test"}, 72),
        ({"split": "published"}, 31),
        ({"pixel": PixelConfig(seed=3, condition="same")}, 40),
    ],
    ids=["classes", "larger_test", "published", "pixel"],
)
def test_it_is_judged_on_images_as_it_was_trained_on(
    own: dict[str, Any],
    n_images: int,
    data: DataConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    where = dataclasses.replace(data, **own)
    trial = Trial(tiny_trial(where))
    write_state(tmp_path / "state.pt", trial.state_dict())
    (verdict,) = judged(capsys, tmp_path, f"storage={tmp_path}")["verdicts"]
    assert verdict["n_images"] == n_images
    assert verdict["trained_on"] == (own.get("split") == "published")
    images = load(where, "test")
    model = trial.run.model.eval()
    assert verdict["accuracies"]["clean"] == accuracy(model, images, batch_size=16)
    assert run(tmp_path, f"storage={tmp_path}") == 0
    told = "nine in ten of these test images were trained on" in capsys.readouterr().out
    assert told == verdict["trained_on"]


def test_what_another_version_trained_with_is_told(
    data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    state = Trial(tiny_trial(data)).state_dict()
    description = state["description"]
    images = {**description["images"], "fog": 3}
    write_state(tmp_path / "state.pt", {**state, "description": {**description, "images": images}})
    assert run(tmp_path, f"storage={tmp_path}") == 2
    assert "was trained with data.fog, which this version does not" in capsys.readouterr().err


def test_paper_suite_without_cascade_corruptions_and_backgrounds(
    data: DataConfig, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "log.parquet"
    places = (f"root={data.root}", f"storage={tmp_path}", "--max-images", 4, "--out", out)
    kinds = ("--corruptions", "brightness,occlusion", "--backgrounds")
    code = run(checkpoint, *places, "--suite", "paper", "--cascade", "off", *kinds)
    text, told = capsys.readouterr()
    assert code == 0
    assert "images from 1 of 4: pgd, background (linf): " in told
    assert "suite paper, every cell on its own, 4 images" in text
    assert "Warning [step_too_large] pgd on background: a step of 4/255" in text
    assert "brightness, background, severity 5" in text
    assert "background, blurred" in text
    log = pq.read_table(out)
    assert log.num_rows == 3 * 4
    assert b"step_too_large" in log.schema.metadata[b"warnings"]


def test_models_of_mlflow_are_judged_and_their_run_is_told(
    data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded_sweep(tmp_path, data, [(0.5, 0.5)])
    register_front(open_sweep(str(folder)))
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    version = client.get_model_version_by_alias("tiny", "best-val-accuracy")
    run_id = version.run_id
    assert run_id is not None
    assert version.source is not None
    places = (f"root={data.root}", f"storage={tmp_path}", "--suite", "search")
    file = SweepCheckpoints(folder=folder, sweep_id=None).find(0)
    assert file is not None
    expected = judged(capsys, file, *places)
    shutil.rmtree(folder / "ray")  # the registry has the model, too
    for name in (
        "models:/tiny@best-val-accuracy",
        "models:/tiny/1",
        f"models:/{Path(version.source).parent.name}",
        f"runs:/{run_id}",
        run_id,
    ):
        found = judged(capsys, name, *places)
        assert found["verdicts"] == expected["verdicts"]
        assert found["run_id"] == run_id
    logged = client.get_run(run_id).data
    clean = expected["verdicts"][0]["accuracies"]["clean"]
    assert logged.metrics["evaluation/coco_animals/clean"] == clean
    assert "evaluation/coco_animals/search/pgd/background/eps_3" in logged.metrics
    assert "evaluation.coco_animals.search.warnings" in logged.tags
    assert [file.path for file in client.list_artifacts(run_id, "evaluations")]

    for name, message in (
        ("models:/tiny@worst", "alias worst not found"),
        ("models:/tiny", "write models:/NAME@ALIAS"),
        ("0" * 32, "not found"),
    ):
        assert run(name, *places) == 2
        assert message in capsys.readouterr().err


def test_trials_of_a_sweep_by_number_or_its_front(
    data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = recorded_sweep(tmp_path, data, [(0.5, 0.5), (0.4, 0.4), (0.6, 0.3)])
    places = (f"storage={tmp_path}", f"root={data.root}")
    front = judged(capsys, "tiny", *places)
    assert [model["model"] for model in front["models"]] == ["tiny trial 0", "tiny trial 2"]
    alone = judged(capsys, folder, "--trials", 2, *places)
    assert alone["verdicts"] == front["models"][1]["verdicts"]
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    logged = client.get_run(alone["run_id"]).data
    assert logged.tags["sweep.trial"] == "2"
    clean = alone["verdicts"][0]["accuracies"]["clean"]
    assert logged.metrics["evaluation/coco_animals/clean"] == clean
    # As a sweep's end leaves a trial that others dominate.
    SweepCheckpoints(folder=folder, sweep_id=None).remove(1)
    for trials, message in (
        ("1", f"python -m sweeps.confirm {folder} --trials 1 trains the same again"),
        ("2,9", "trial 9 of tiny: not complete; choose among 0, 1, 2"),
    ):
        assert run("tiny", "--trials", trials, *places) == 2
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1


def test_the_run_of_a_trial_leads_to_its_checkpoint(
    data: DataConfig, checkpoint: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = tmp_path / "s" / "ray" / "attempt_001" / "trial_00003" / "checkpoint_000000"
    shutil.copytree(checkpoint.parent, folder)
    client = MlflowClient(tracking_uri=f"sqlite:///{tmp_path / 'mlflow.db'}")
    experiment = client.create_experiment("s", (tmp_path / "artifacts").as_uri())
    parent = client.create_run(experiment, run_name="s").info.run_id
    tags = {"mlflow.parentRunId": parent, "sweep.trial": "3"}
    run_id = client.create_run(experiment, tags=tags).info.run_id
    places = (f"root={data.root}", f"storage={tmp_path}")
    found = judged(capsys, f"runs:/{run_id}", *places)
    assert found["run_id"] == run_id
    assert found["verdicts"] == judged(capsys, checkpoint, *places)["verdicts"]
    assert "evaluation/coco_animals/clean" in client.get_run(run_id).data.metrics
    shutil.rmtree(folder)
    assert run(run_id, *places) == 2
    assert f"{run_id} has no model" in capsys.readouterr().err


def imagenet_checkpoint(folder: Path, class_names: tuple[str, ...]) -> Path:
    """An untrained model that says it tells ImageNet's classes apart."""
    images = load(
        DataConfig(name="imagenet9/original", root=None, image_size=32, cache_dir=folder), "test"
    )
    network = ModelConfig(width=1 / 16)
    model = build_model(
        network,
        image_shape=(3, 32, 32),
        num_classes=len(class_names),
        mean=images.mean,
        std=images.std,
        seed=0,
    )
    description = {
        **describe(network, images, DataConfig(name="imagenet")),
        "class_names": list(class_names),
    }
    state = {"model": model.state_dict(), "description": description}
    write_state(folder / "imagenet.pt", state)
    return folder / "imagenet.pt"


def test_transfer_to_imagenet9_and_counteranimal(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = imagenet_checkpoint(tmp_path / "cache", tuple(wordnet_ids()))
    options = (f"storage={tmp_path}", "--data", "imagenet9", "--data", "counter_animal")
    found = judged(capsys, path, *options, "--max-images", 30)
    names = [verdict["data"] for verdict in found["verdicts"]]
    assert names == [
        "imagenet9/original",
        "imagenet9/mixed_rand",
        "imagenet9/only_fg",
        "counter_animal/common",
        "counter_animal/counter",
    ]
    assert all(verdict["relabelled"] and verdict["is_demo"] for verdict in found["verdicts"])
    assert found["logs"] == []
    assert (
        run(path, f"storage={tmp_path}", "--data", "imagenet9/original", "--suite", "search") == 2
    )
    assert "only regions that need object masks (background)" in capsys.readouterr().err


def test_a_suite_loses_what_needs_masks_where_there_are_none(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    path = imagenet_checkpoint(tmp_path / "cache", NINE)
    options = (f"storage={tmp_path}", "--data", "imagenet9/original", "--max-images", 3)
    assert run(path, *options, "--suite", "paper") == 0
    text = capsys.readouterr().out
    assert "Left out, as this data has no object masks: block, background." in text
    assert "Stand-in data" in text
    assert "count as" not in text  # its classes are the nine themselves


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (("--data", "coco_animal"), "did you mean coco_animals"),
        (("--data", "mnist"), "images of 1 channels, and the model takes 3"),
        (("--data", "cifar10"), "must have some in common"),
        (("--corruptions", "fog_machine"), "corruption is 'fog_machine'"),
        (("--max-images", "0"), "max_images is 0: use at least 1"),
        (("--device", "gpu"), "device is gpu: use auto"),
        (("--out", "log.txt", "--suite", "search"), "--out is log.txt: use an ending of .arrow"),
        (("--out", "l.arrow", "--data", "imagenet9"), "one file for 3 logs"),
        (("trials=3",), "only root=FOLDER and storage=FOLDER"),
        (("root=nowhere",), "nowhere"),
    ],
)
def test_mistakes_are_one_line_and_leave_nothing(
    options: tuple[str, ...],
    message: str,
    checkpoint: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    assert run(checkpoint, f"storage={tmp_path}", *options) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert len(told.err.splitlines()) == 1
    assert not (tmp_path / "evaluations").exists()


def test_files_that_are_no_models_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert run("models:/animals@best", f"storage={tmp_path}") == 2
    assert "there is no MLflow database" in capsys.readouterr().err
    assert not (tmp_path / "mlflow.db").exists()
    assert run(tmp_path / "nothing.pt") == 2
    assert "is no file: name a checkpoint" in capsys.readouterr().err
    write_state(tmp_path / "old.pt", {"model": {"w": torch.zeros(1)}})
    assert run(tmp_path / "old.pt") == 2
    assert "but not which model that is" in capsys.readouterr().err
