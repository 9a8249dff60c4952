"""Weights that others trained, judged from the command line: state dicts, Lightning, wrappers."""

from __future__ import annotations

import dataclasses
import functools
import json
import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import torch
from mlflow import MlflowClient
from torch import Tensor, nn
from torchvision.models import resnet18

from hsplid_core.config import DataConfig, SinglePixelConfig
from hsplid_core.corruptions import CORRUPTIONS
from hsplid_core.data import ImageSet, load
from hsplid_core.frequency import FrequencyFilter
from hsplid_core.models.state_files import write_state
from sweeps.evaluate import main
from tests.sweeps.mlflow_database import put_mlflow_database
from tests.tiny import tiny_data, tiny_trial
from tests.weights_server import weights_server
from trainables.trial import Trial

State = dict[str, Tensor]
SAID = ("--model", "name=resnet18", "image_size=32")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return tiny_data(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def network(data: DataConfig) -> nn.Module:
    """A network of torchvision's own, for the classes of the data."""
    torch.manual_seed(0)
    made: nn.Module = resnet18(num_classes=len(load(data, "test").class_names)).eval()
    return made


def wrapped(state: State, prefix: str, **more: Tensor) -> State:
    return {**{f"{prefix}{name}": value for name, value in state.items()}, **more}


def lightning(state: State) -> dict[str, Any]:
    """A checkpoint as the authors' Lightning module leaves it."""
    return {"epoch": 3, "global_step": 40, "state_dict": wrapped(state, "model.")}


def robustbench(state: State) -> State:
    """A model behind a wrapper that keeps the normalisation."""
    channels = torch.full((1, 3, 1, 1), 0.5)
    return wrapped(state, "model.", mu=channels, sigma=channels / 2)


def robustness(state: State) -> dict[str, Any]:
    """A checkpoint of MadryLab's package: the network behind its normaliser, in parallel."""
    channels = torch.full((3, 1, 1), 0.5)
    found = wrapped(state, "module.model.")
    return {
        "model": {
            **found,
            "module.normalizer.new_mean": channels,
            "module.normalizer.new_std": channels,
        },
        "epoch": 2,
    }


def judged(capsys: pytest.CaptureFixture[str], *texts: object) -> Any:
    assert main([*map(str, texts), "--json"]) == 0
    return json.loads(capsys.readouterr().out)


def share_correct(network: nn.Module, images: ImageSet, mean: float, std: float) -> float:
    batch = images.batch(torch.arange(len(images)))
    with torch.no_grad():
        found = network((batch.image - mean) / std).argmax(1)
    return float((found == batch.target).double().mean())


@pytest.mark.parametrize(
    ("form", "said", "mean", "std"),
    [
        (dict, "normalise=half", 0.5, 0.5),
        (dict, "normalise=0.4/0.3", 0.4, 0.3),
        (lightning, "normalise=none", 0.0, 1.0),
        (robustbench, "num_classes=4", 0.5, 0.25),
        (robustness, "num_classes=4", 0.5, 0.5),
    ],
)
def test_each_form_is_the_network_that_it_was(
    form: Callable[[State], Mapping[str, Any]],
    said: str,
    mean: float,
    std: float,
    network: nn.Module,
    data: DataConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save(form(dict(network.state_dict())), tmp_path / "theirs.pt")
    places = (f"root={data.root}", f"storage={tmp_path}")
    found = judged(capsys, tmp_path / "theirs.pt", "--data", "coco_animals", *SAID, said, *places)
    (verdict,) = found["verdicts"]
    expected = share_correct(network, load(data, "test"), mean, std)
    assert verdict["accuracies"]["clean"] == pytest.approx(expected)
    assert not verdict["relabelled"]


def test_safetensors(
    network: nn.Module, data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    safetensors = pytest.importorskip("safetensors.torch")
    safetensors.save_file(network.state_dict(), tmp_path / "theirs.safetensors")
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    options = (f"root={data.root}", f"storage={tmp_path}", "--data", "coco_animals", *SAID)
    found = [
        judged(capsys, tmp_path / f"theirs.{ending}", *options, "normalise=half")["verdicts"]
        for ending in ("safetensors", "pt")
    ]
    assert found[0] == found[1]
    (tmp_path / "theirs.safetensors").write_bytes(b"no tensors")
    assert main([str(tmp_path / "theirs.safetensors"), *options, "normalise=half"]) == 2
    assert "is damaged, or no file of safetensors" in capsys.readouterr().err


def test_networks_of_timm(
    data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    timm = pytest.importorskip("timm")
    network = timm.create_model("test_vit", num_classes=4, img_size=32).eval()
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    places = (f"root={data.root}", f"storage={tmp_path}", "--data", "coco_animals")
    said = ("--model", "image_size=32", "normalise=half")
    (verdict,) = judged(capsys, tmp_path / "theirs.pt", *places, *said, "name=timm/test_vit")[
        "verdicts"
    ]
    expected = share_correct(network, load(data, "test"), 0.5, 0.5)
    assert verdict["accuracies"]["clean"] == pytest.approx(expected)
    for name, message in (
        ("timm/test_vits", "timm has no network of that name; did you mean"),
        ("timm/test_resnet", "does not fit this ResNet of 4 classes: 78 missing"),
    ):
        assert main([str(tmp_path / "theirs.pt"), *places, *said, f"name={name}"]) == 2
        assert message in capsys.readouterr().err


def test_published_weights_of_timm(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    timm = pytest.importorskip("timm")
    safetensors = pytest.importorskip("safetensors.torch")
    hub = pytest.importorskip("huggingface_hub").constants
    monkeypatch.setattr(hub, "HF_HUB_OFFLINE", True)
    monkeypatch.setattr(hub, "HF_HUB_CACHE", str(tmp_path / "hub"))
    said = ("--model", "name=timm/test_resnet")
    data = ("--data", "imagenet9/original", f"storage={tmp_path}", "--max-images", "2")
    for weights, message in (
        ("r160", "timm/test_resnet has r160_in1k, DEFAULT"),
        ("r160_in1k", "timm/test_resnet's weights cannot be had ("),
    ):
        assert main([*said, f"weights={weights}", *data]) == 2
        told = capsys.readouterr().err
        assert message in told
        assert told.count("\n") == 1
    # As a download leaves them.
    folder = tmp_path / "hub" / "models--timm--test_resnet.r160_in1k"
    revision = "a" * 40
    for place in (folder / "refs", folder / "snapshots" / revision):
        place.mkdir(parents=True)
    (folder / "refs" / "main").write_text(revision)
    state = timm.create_model("test_resnet").state_dict()
    safetensors.save_file(state, folder / "snapshots" / revision / "model.safetensors")
    found = judged(capsys, *said, "weights=r160_in1k", *data)
    assert found["model"] == "timm/test_resnet r160_in1k"
    assert found["verdicts"][0]["relabelled"]
    cache = tmp_path / "cache"
    where = DataConfig(name="imagenet9/original", image_size=160, resize_size=168, cache_dir=cache)
    assert list(cache.glob("*.arrow")) == [load(where, "test").path]


def test_a_network_behind_flipped_frequencies(
    network: nn.Module, data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    places = (f"root={data.root}", f"storage={tmp_path}", "--data", "coco_animals")
    said = (*SAID, "transform=flip", "normalise=data")
    (verdict,) = judged(capsys, tmp_path / "theirs.pt", *places, *said)["verdicts"]
    images = load(data, "test")
    flip = FrequencyFilter("flip", (32, 32))
    mean, std = (torch.tensor(values).view(1, 3, 1, 1) for values in (images.mean, images.std))
    batch = images.batch(torch.arange(len(images)))
    with torch.no_grad():
        seen = (flip(batch.image) - flip(mean.expand(1, 3, 32, 32))) / std
        expected = (network(seen).argmax(1) == batch.target).double().mean()
    assert verdict["accuracies"]["clean"] == pytest.approx(float(expected))


def test_some_classes_of_any_coco_file(
    data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    network = resnet18(num_classes=2).eval()
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    places = (f"root={data.root}", f"storage={tmp_path}", "--data", "coco")
    options = (*places, *SAID, "normalise=half", "classes=[zebra, bear]")
    (verdict,) = judged(capsys, tmp_path / "theirs.pt", *options)["verdicts"]
    where = DataConfig(
        name="coco", root=data.root, image_size=32, classes=("zebra", "bear"), cache_dir=tmp_path
    )
    images = load(where, "test")
    assert verdict["n_images"] == len(images) > 0
    expected = share_correct(network, images, 0.5, 0.5)
    assert verdict["accuracies"]["clean"] == pytest.approx(expected)
    assert main([str(tmp_path / "theirs.pt"), *options, "classes=[zebra, bears]"]) == 2
    assert "did you mean bear" in capsys.readouterr().err


def test_a_suite_margins_and_saliency(
    network: nn.Module, data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    torch.save(lightning(dict(network.state_dict())), tmp_path / "theirs.ckpt")
    places = (f"root={data.root}", f"storage={tmp_path}", "--data", "coco_animals")
    wanted = ("--suite", "search", "--max-images", 6, "--analyses", "margins,saliency")
    said = (*SAID, "normalise=imagenet")
    found = judged(capsys, tmp_path / "theirs.ckpt", *places, *wanted, *said)
    (verdict,) = found["verdicts"]
    assert [cell["epsilon"] * 255 for cell in verdict["robustness"]["cells"]] == [1, 3]
    analyses = verdict["analyses"]
    assert analyses["val/saliency/images"] == 6
    assert 0 <= analyses["val/saliency/gradient/energy_inside"] <= 1
    assert analyses["val/margin/smallest"] > 0
    assert "val/saliency/probe/salient_accuracy" not in analyses
    (table,) = (tmp_path / "evaluations").glob("*-margins.parquet")
    assert set(pq.read_table(table)["subspace"].to_pylist()) == set(blocks(step=4, size=8))
    margins = ("--margins", "size=8,step=12,max_images=3")
    other = judged(capsys, tmp_path / "theirs.ckpt", *places, *said, *margins)
    names = {name.rpartition("/")[2] for name in other["verdicts"][0]["analyses"]}
    assert {name for name in names if name[0].isdigit()} == set(blocks(step=12, size=8))
    assert len(list((tmp_path / "evaluations").glob("*-margins.parquet"))) == 2


def blocks(*, step: int, size: int) -> list[str]:
    """Labels of the blocks along the diagonal of 32 frequencies."""
    return [f"{low:03d}-{low + size - 1:03d}" for low in range(0, 32 - size + 1, step)]


def test_single_pixels_and_all_corruptions(
    network: nn.Module,
    data: DataConfig,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # The defaults pass the network 4,000 times.
    short = functools.partial(SinglePixelConfig, steps=3, jitters=((0, 0), (2, 2)))
    monkeypatch.setattr("sweeps.model_evaluation.analyses.SinglePixelConfig", short)
    torch.save(network.state_dict(), tmp_path / "theirs.pt")
    places = (f"root={data.root}", f"storage={tmp_path}", "--data", "coco_animals")
    wanted = ("--max-images", 6, "--analyses", "single_pixel,corruptions", "--pixel-seed", 2)
    found = judged(capsys, tmp_path / "theirs.pt", *places, *wanted, *SAID, "normalise=half")
    (verdict,) = found["verdicts"]
    analyses = verdict["analyses"]
    for name in ("accuracy_same", "accuracy_diff", "accuracy_nopix", "attribution_correct"):
        assert 0 <= analyses[f"val/single_pixel/{name}"] <= 1
    kinds = {name.partition("/")[0] for name in verdict["accuracies"]}
    assert kinds == {"clean", *CORRUPTIONS}
    assert all(0 <= share <= 1 for share in verdict["accuracies"].values())


def test_several_models_and_seeds_are_summed_up(
    network: nn.Module, data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    files = [tmp_path / "a.pt", tmp_path / "b.pt"]
    torch.save(network.state_dict(), files[0])
    torch.manual_seed(1)
    torch.save(resnet18(num_classes=4).state_dict(), files[1])
    places = (f"root={data.root}", f"storage={tmp_path}", "--data", "coco_animals")
    options = (*SAID, "normalise=half", "--suite", "search", "--max-images", 8, "--seeds", 2)
    put_mlflow_database(tmp_path)
    found = judged(capsys, *files, *places, *options)
    clean = {
        row["model"]: row["spread"]
        for row in found["summary"]
        if row["measure"] == "coco_animals/clean"
    }
    assert [spread["n"] for spread in clean.values()] == [2, 2, 2]
    values = [model["verdicts"][0]["accuracies"]["clean"] for model in found["models"]]
    both = clean["all models"]
    assert both["mean"] == pytest.approx(sum(values) / 2)
    assert both["sd"] == pytest.approx(abs(values[0] - values[1]) / 2**0.5)
    # Another seed of the evaluation leaves clean images as they are; other images would not.
    first = clean[str(files[0])]
    assert first["sd"] == 0
    share = (8 * values[0] + 2) / 12
    half = 1.96 * (share * (1 - share) / 12) ** 0.5
    assert first["high"] == pytest.approx(min(1, values[0] + half), rel=1e-3)
    table = pq.read_table(found["file"]).to_pylist()
    assert {row["model"] for row in table} == set(clean)
    page = Path(found["page"]).read_text()
    for text in ("2 models on coco_animals", "search/pgd/background/eps_3", "Stand-in"):
        assert text in page
    assert re.findall(r"<th scope=.col.[^>]*>([^<]*)</th>", page)[:4] == [
        "measure",
        "a.pt",
        "b.pt",
        "all models",
    ]
    assert page.count('class="chart"') == 1
    check_runs(found, tmp_path)
    # Another question has files of its own; MLflow is gone, and says so in a line.
    (tmp_path / "mlflow.db").write_bytes(b"no database")
    assert main([*map(str, (*files, *places, *options, "--seed", 5))]) == 0
    text, told = capsys.readouterr()
    assert "2 seeds of the evaluation, mean ± sd [95% interval]" in text
    assert told.count("MLflow has not got what was found of") == 2
    assert len(list((tmp_path / "evaluations").glob("summary-*.html"))) == 2


def check_runs(found: Any, storage: Path) -> None:
    """Each model has a run with what was asked for, what was found, and the files."""
    client = MlflowClient(tracking_uri=f"sqlite:///{storage / 'mlflow.db'}")
    experiment = client.get_experiment_by_name("evaluations")
    assert experiment is not None
    runs = client.search_runs([experiment.experiment_id])
    assert {run.info.run_id for run in runs} == {model["run_id"] for model in found["models"]}
    means = {(row["model"], row["measure"]): row["spread"]["mean"] for row in found["summary"]}
    for run in runs:
        params = run.data.params
        assert (params["model.name"], params["suite"], params["seeds"]) == (
            "resnet18",
            "search",
            "2",
        )
        expected = means[params["model"], "coco_animals/clean"]
        assert run.data.metrics["evaluation/coco_animals/clean"] == expected
        assert run.info.status == "FINISHED"
        files = {file.path for file in client.list_artifacts(run.info.run_id, "evaluations")}
        assert sum(name.endswith(".arrow") for name in files) == 2
        assert sum("summary-" in name for name in files) == 2


def test_published_weights_are_fetched(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = ("--model", "name=mobilenet_v2", "weights=IMAGENET1K_V2")
    data = ("--data", "imagenet9/original", f"storage={tmp_path}", "--max-images", 2)
    with weights_server("mobilenet_v2", "IMAGENET1K_V2", tmp_path, monkeypatch):
        found = judged(capsys, *said, *data)
    assert found["model"] == "mobilenet_v2 IMAGENET1K_V2"
    assert found["verdicts"][0]["relabelled"]
    cache = tmp_path / "cache"
    # The size that torchvision resizes to for these weights, before its centre crop.
    as_said = DataConfig(
        name="imagenet9/original", image_size=224, resize_size=232, cache_dir=cache
    )
    assert list(cache.glob("*.arrow")) == [load(as_said, "test").path]
    # The server is gone; torch's cache has them.
    assert main([*map(str, (*said, *data)), "--analyses", "margins"]) == 2
    assert "whose classes are not the model's" in capsys.readouterr().err
    next((tmp_path / "hub").rglob("*.pth")).unlink()
    assert main([*map(str, (*said, *data))]) == 2
    assert "mobilenet_v2's weights cannot be had from http" in capsys.readouterr().err


def test_a_model_is_judged_on_images_that_are_read_as_its_own_were(
    data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial(tiny_trial(dataclasses.replace(data, resize="stretch", resize_size=36)))
    write_state(tmp_path / "state.pt", trial.state_dict())
    judged(capsys, tmp_path, f"storage={tmp_path}", "--image-size", 16)
    # Of another size the same share is cut off.
    cache = tmp_path / "cache"
    same = dataclasses.replace(
        data, image_size=16, resize="stretch", resize_size=18, cache_dir=cache
    )
    assert list(cache.glob("*.arrow")) == [load(same, "test").path]


def test_a_checkpoint_is_judged_on_the_folder_that_it_was_trained_on(
    data: DataConfig, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    trial = Trial(tiny_trial(data))
    write_state(tmp_path / "state.pt", trial.state_dict())
    storage = f"storage={tmp_path}"
    own = judged(capsys, tmp_path, storage)
    assert own["verdicts"][0]["n_images"] == 40
    assert own["verdicts"] == judged(capsys, tmp_path, storage, f"root={data.root}")["verdicts"]
    state = trial.state_dict()
    write_state(
        tmp_path / "state.pt",
        {**state, "description": {**state["description"], "root": "/gone"}},
    )
    assert main([str(tmp_path), storage]) == 2
    assert "was trained on coco_animals in /gone, which is not here" in capsys.readouterr().err
    # As checkpoints were before they told: the stand-in's classes are not the model's.
    names = ["a", "bear", "cat", "dog"]
    write_state(
        tmp_path / "state.pt",
        {**state, "description": {**state["description"], "root": None, "class_names": names}},
    )
    assert main([str(tmp_path), storage]) == 2
    assert "other images than the stand-in of coco_animals has" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ((), "has no plain.pt.sha256 beside it, so no sweep wrote it"),
        (("--model", "name=resnet18", "normalise=half"), "image_size is not given"),
        ((*SAID,), "normalise is not given, and"),
        ((*SAID, "normalise=fog"), "normalise is fog: use imagenet, half, none, data, or"),
        ((*SAID, "normalise=0.1,0.2/1"), "a mean and a deviation above 0 for each of 3"),
        ((*SAID, "normalise=half", "num_classes=7"), "num_classes is 7, and the weights are of 4"),
        ((*SAID, "normalise=half", "number=4"), "--model number: use name, weights"),
        ((*SAID, "normalise=data", "transform=lowpass"), "behind lowpass were normalised by"),
        ((*SAID, "normalise=half", "--trials", "3"), "--trials is given, and"),
        ((*SAID, "normalise=half"), "--data is not given"),
        (("--model", "name=resnet34", "image_size=32", "normalise=half"), "does not fit"),
        (
            ("--model", "name=resnet81", "image_size=32", "normalise=half"),
            "model.name is resnet81",
        ),
        (("--model", "name=resnet18", "weights=IMAGENET1K_V1"), "and not both"),
        ((*SAID, "normalise=half", "--data", "imagenette"), "has 4 classes, and the data has 10"),
        ((*SAID, "normalise=half", "--analyses", "margin"), "did you mean margins"),
        ((*SAID, "normalise=half", "--seeds", "0"), "--seeds is 0: use at least 1"),
        (
            (*SAID, "normalise=half", "--margins", "width=3"),
            "--margins width: use subspaces, size",
        ),
    ],
)
def test_what_must_be_said_is_one_line(
    options: tuple[str, ...],
    message: str,
    network: nn.Module,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    torch.save(network.state_dict(), tmp_path / "plain.pt")
    assert main([str(tmp_path / "plain.pt"), f"storage={tmp_path}", *options]) == 2
    told = capsys.readouterr()
    assert told.out == ""
    assert message in told.err
    assert told.err.count("\n") == 1
    assert not (tmp_path / "evaluations").exists()
