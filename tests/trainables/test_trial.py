"""A trial: what it reports, exact resumption, checkpoints."""

from __future__ import annotations

import dataclasses
import hashlib
import logging
from pathlib import Path
from typing import Any

import pytest
import torch

from hsplid_core.config import DataConfig, ScheduleConfig, TrainingConfig
from hsplid_core.errors import CheckpointError, ConfigError, TrainingDivergedError
from hsplid_core.evaluation import SUITES, Cell
from hsplid_core.evaluation.accuracy import accuracy
from hsplid_core.methods import CrossEntropyConfig
from hsplid_core.models.state_files import read_state, write_state
from hsplid_core.models.trained import rebuild
from tests.tiny import tiny_trial
from trainables.checkpoints import newest_readable, read_weights
from trainables.robustness import cell_name, robustness_metrics, suite_of
from trainables.trial import Trial

LINF_CELL = Cell(region="full", norm="linf", attack="pgd", epsilon=0.5, robust=0.0, n_untouched=0)
TIMES = ("train/seconds", "memory_mib")


def without_times(metrics: dict[str, float]) -> dict[str, float]:
    return {name: value for name, value in metrics.items() if name not in TIMES}


def run(trial: Trial, epochs: int) -> list[dict[str, float]]:
    return [without_times(trial.epoch()) for _ in range(epochs)]


def equal(first: Any, second: Any) -> bool:
    if isinstance(first, torch.Tensor):
        return torch.equal(first, second)
    if isinstance(first, dict):
        return first.keys() == second.keys() and all(equal(first[k], second[k]) for k in first)
    if isinstance(first, list | tuple):
        return all(equal(a, b) for a, b in zip(first, second, strict=True))
    return bool(first == second)


def test_metrics_of_an_epoch(data: DataConfig) -> None:
    (metrics,) = run(Trial(tiny_trial(data)), 1)
    assert metrics["epoch"] == 1
    assert metrics["val/robust_accuracy"] == metrics["val/robust_accuracy/pgd/background/eps_2"]
    assert 0 <= metrics["val/robust_accuracy"] <= metrics["val/accuracy"] + 0.5
    assert metrics["hsplid/salient_dims"] + metrics["hsplid/nonsalient_dims"] == 32
    assert metrics["train/learning_rate"] == 1e-3
    weighted = 10 * metrics["train/cross_entropy/loss"]
    weighted += 0.1 * metrics["train/hsplid/salient_compression"]
    weighted += 0.2 * metrics["train/hsplid/nonsalient_compression"]
    weighted += 0.05 * metrics.get("train/hsplid/hsic_salient_input", 0)
    weighted += 0.5 * metrics.get("train/hsplid/hsic_nonsalient_label", 0)
    assert metrics["train/loss"] == pytest.approx(weighted, rel=1e-4)


@pytest.mark.parametrize("training", [{}, {"keep": "best", "patience": 1}])
def test_no_epochs_measure_the_model_that_it_starts_from(
    data: DataConfig, training: dict[str, Any]
) -> None:
    schedule = ScheduleConfig(kind="cosine")
    config = TrainingConfig(epochs=0, batch_size=32, schedule=schedule, **training)
    trial = Trial(tiny_trial(data, training=config))
    before = {name: value.clone() for name, value in trial.run.model.state_dict().items()}
    metrics = trial.epoch()
    assert trial.finished
    assert metrics["epoch"] == 0
    assert metrics["val/accuracy"] == accuracy(trial.run.model, trial.validation, batch_size=9)
    assert 0 <= metrics["val/robust_accuracy"] <= 1
    assert not any(name.startswith("train/") for name in metrics)
    assert equal(before, trial.run.model.state_dict())
    again = Trial(tiny_trial(data, training=config))
    again.load_state_dict(trial.state_dict())
    assert again.finished


def test_robustness_leaves_a_table_and_reasons_to_distrust_it(data: DataConfig) -> None:
    base = tiny_trial(data)
    weak = dataclasses.replace(
        base.evaluation, steps=1, relative_step=0.1, epsilons_255=(2.0, 4.0)
    )
    trial = Trial(dataclasses.replace(base, evaluation=weak))
    metrics = trial.epoch()
    table = trial.tables["robustness"]
    assert table["epsilon"] == [2 / 255, 4 / 255]
    assert table["robust"] == [
        metrics[f"val/robust_accuracy/pgd/background/eps_{e}"] for e in (2, 4)
    ]
    assert "step_too_small" in trial.tables["robustness_warnings"]["code"]


def test_a_suite_takes_the_place_of_the_attack(data: DataConfig) -> None:
    base = tiny_trial(data)
    config = dataclasses.replace(base.evaluation, suite="search")
    metrics = Trial(dataclasses.replace(base, evaluation=config)).epoch()
    cells = [metrics[f"val/robust_accuracy/pgd/background/eps_{e}"] for e in (1, 3)]
    assert metrics["val/robust_accuracy"] == pytest.approx(sum(cells) / 2)
    # Of 32 images, each 0, 1/2 or 1: broken at neither radius, at the larger one, or at both.
    small, large = cells
    shares = torch.tensor([1.0] * round(32 * large) + [0.5] * round(32 * (small - large)))
    shares = torch.cat([shares, torch.zeros(32 - len(shares))])
    error = float(shares.std()) / 32**0.5
    assert metrics["val/robust_accuracy_error"] == pytest.approx(error, abs=1e-6)
    assert {name for name in metrics if "robust" in name} == set(robustness_metrics(config))
    strong = suite_of(dataclasses.replace(base.evaluation, suite="standard"))
    assert strong == dataclasses.replace(SUITES["standard"], max_images=16)
    names = [cell_name(cell) for cell in (LINF_CELL, dataclasses.replace(LINF_CELL, norm="l2"))]
    assert names == ["pgd/full/eps_127.5", "pgd/full/l2_0.5"]


def test_a_checkpoint_says_which_model_it_is(data: DataConfig, tmp_path: Path) -> None:
    trial = Trial(tiny_trial(data))
    trial.epoch()
    write_state(tmp_path / "state.pt", trial.state_dict())
    state = read_state(tmp_path / "state.pt")
    found = rebuild(state, source="state.pt")
    image = trial.validation.batch(torch.arange(4)).image
    assert torch.equal(found.model(image), trial.run.model.eval()(image))
    assert (found.class_names, found.data) == (trial.validation.class_names, "coco_animals")
    assert found.image_shape == (3, 32, 32)
    with pytest.raises(CheckpointError, match=r"old\.pt holds .* not which model that is"):
        rebuild({"model": state["model"]}, source="old.pt")
    other = {**state["description"], "class_names": ["a", "b"]}
    with pytest.raises(CheckpointError, match="do not fit their description"):
        rebuild({**state, "description": other}, source="state.pt")


def test_a_model_keeps_how_its_images_were_read(data: DataConfig, tmp_path: Path) -> None:
    wide = dataclasses.replace(data, resize="stretch", resize_size=36, normalise="0.4/0.3")
    trial = Trial(tiny_trial(wide))
    assert trial.run.model.mean.flatten().tolist() == pytest.approx([0.4] * 3)
    write_state(tmp_path / "state.pt", trial.state_dict())
    found = rebuild(read_state(tmp_path / "state.pt"), source="state.pt")
    assert (found.resize, found.resize_size) == ("stretch", 36)
    assert torch.equal(found.model.std, trial.run.model.std)


def test_training_images_are_cut_at_random(data: DataConfig) -> None:
    centre = dataclasses.replace(data, image_size=24, resize_size=32)
    random = dataclasses.replace(centre, random_crop=True)
    (plain,), (cut,), (again,) = (
        run(Trial(tiny_trial(way)), 1) for way in (centre, random, random)
    )
    assert cut == again
    assert cut["train/loss"] != plain["train/loss"]


def test_a_normalisation_must_fit_the_channels(data: DataConfig) -> None:
    two = dataclasses.replace(data, normalise="0.4,0.3/0.2,0.2")
    with pytest.raises(
        ConfigError, match=r"^data\.normalise is .*deviation above 0 for each of 3 channels"
    ):
        Trial(tiny_trial(two))


def test_robustness_is_measured_when_due(data: DataConfig) -> None:
    base = tiny_trial(data)
    config = dataclasses.replace(base, evaluation=dataclasses.replace(base.evaluation, every=2))
    measured = ["val/robust_accuracy" in metrics for metrics in run(Trial(config), 3)]
    assert measured == [False, True, True]  # every second epoch, and the last one


@pytest.mark.parametrize("interrupt_after", [1, 2])
def test_resume_gives_the_same_numbers(
    data: DataConfig, tmp_path: Path, interrupt_after: int
) -> None:
    straight = Trial(tiny_trial(data))
    expected = run(straight, 3)
    first = Trial(tiny_trial(data))
    before = run(first, interrupt_after)
    write_state(tmp_path / "state.pt", first.state_dict())
    torch.manual_seed(999)  # whatever happened in the process in between
    resumed = Trial(tiny_trial(data))
    resumed.load_state_dict(read_state(tmp_path / "state.pt"))
    assert before + run(resumed, 3 - interrupt_after) == expected
    assert resumed.finished
    assert equal(resumed.state_dict(), straight.state_dict())


def test_seeds_differ(data: DataConfig) -> None:
    losses = {run(Trial(tiny_trial(data, seed=s)), 1)[0]["train/loss"] for s in (0, 0, 1)}
    assert len(losses) == 2


def test_divergence_names_epoch_and_term(data: DataConfig) -> None:
    config = tiny_trial(
        data,
        method={"cross_entropy": CrossEntropyConfig()},
        training=TrainingConfig(epochs=2, batch_size=32, learning_rate=10.0, clip_norm=1e9),
    )
    with pytest.raises(TrainingDivergedError, match=r"epoch \d, step \d.*cross_entropy/loss"):
        run(Trial(config), 2)


def test_initial_weights(data: DataConfig, tmp_path: Path) -> None:
    trained = Trial(tiny_trial(data))
    trained.epoch()
    write_state(tmp_path / "weights.pt", trained.state_dict())
    started = Trial(tiny_trial(data, initial_weights=tmp_path / "weights.pt", seed=5))
    weights = started.run.model.state_dict()
    assert equal(weights, read_weights(tmp_path / "weights.pt"))
    wider = dataclasses.replace(tiny_trial(data).model, width=1 / 8)
    with pytest.raises(CheckpointError, match=r"weights\.pt does not fit"):
        Trial(tiny_trial(data, initial_weights=tmp_path / "weights.pt", model=wider))


def test_parameters_replace_fields(data: DataConfig) -> None:
    config = tiny_trial(data).with_parameters(
        {"method.hsplid.rho_s": 0.25, "training.learning_rate": 0.01}
    )
    assert (config.method["hsplid"].rho_s, config.training.learning_rate) == (0.25, 0.01)
    with pytest.raises(ConfigError, match=r"method\.hsplid\.rho_q: there is no rho_q"):
        config.with_parameters({"method.hsplid.rho_q": 1.0})
    with pytest.raises(ConfigError, match=r"rho_s is -1"):
        config.with_parameters({"method.hsplid.rho_s": -1.0})


def damage(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(content)


def test_damaged_checkpoints_are_passed_over(tmp_path: Path) -> None:
    paths = [tmp_path / f"{epoch}.pt" for epoch in (1, 2, 3)]
    for epoch, path in enumerate(paths, start=1):
        write_state(path, {"epoch": epoch, "weights": torch.arange(5)})
    assert newest_readable(paths) == paths[2]
    damage(paths[2])
    assert newest_readable(paths) == paths[1]
    (tmp_path / "2.pt.sha256").unlink()
    assert newest_readable(paths) == paths[0]
    paths[0].write_bytes(paths[0].read_bytes()[:-10])
    assert newest_readable(paths) is None
    with pytest.raises(CheckpointError, match=r"1\.pt is damaged"):
        read_state(paths[0])
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith(".")] == []


def signed(path: Path, content: bytes) -> None:
    path.write_bytes(content)
    path.with_name(f"{path.name}.sha256").write_text(hashlib.sha256(content).hexdigest())


def test_a_checkpoint_with_the_right_sum_and_the_wrong_content_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    paths = [tmp_path / f"{number}.pt" for number in range(5)]
    write_state(paths[0], {"epoch": 1})
    signed(paths[1], b"no tensors at all")
    torch.save([1, 2], paths[2])
    signed(paths[2], paths[2].read_bytes())
    write_state(paths[3], {"epoch": "seven"})
    write_state(paths[4], {"epoch": 9})
    paths[4].with_name("4.pt.sha256").unlink()
    with caplog.at_level(logging.WARNING):
        assert newest_readable(paths) == paths[0]
    told = [record.getMessage() for record in caplog.records]
    expected = [
        "1.pt is damaged, or no file of PyTorch's",
        "2.pt holds a list, and no checkpoint",
        "3.pt: it does not say of which epoch",
        "4.pt is incomplete: 4.pt.sha256 beside it cannot be read (No such file or directory)",
    ]
    assert [part in text for part, text in zip(expected, told, strict=True)] == [True] * 4
    for content in ({}, {"model": 3}, {"model": {"weight": "text"}}):
        write_state(paths[0], content)
        with pytest.raises(CheckpointError, match=r"0\.pt holds .*, but no model's weights"):
            read_weights(paths[0])
    described: dict[str, Any] = {"model": {}, "description": {"model": {}}}
    with pytest.raises(CheckpointError, match="do not fit their description: 'image_shape'"):
        rebuild(described, source="state.pt")


def test_initial_weights_replace_what_the_model_would_start_from(
    data: DataConfig, tmp_path: Path
) -> None:
    trained = Trial(tiny_trial(data))
    write_state(tmp_path / "weights.pt", trained.state_dict())
    # Neither is fetched: there is no network, and no such file.
    for change in ({"weights": "DEFAULT"}, {"checkpoint": tmp_path / "gone.pt"}):
        model = dataclasses.replace(tiny_trial(data).model, **change)
        config = tiny_trial(data, model=model, initial_weights=tmp_path / "weights.pt", seed=3)
        weights = Trial(config).run.model.state_dict()
        assert equal(weights, read_weights(tmp_path / "weights.pt"))


def test_a_checkpoint_of_a_trial_starts_another_model(data: DataConfig, tmp_path: Path) -> None:
    trained = Trial(tiny_trial(data))
    write_state(tmp_path / "state.pt", trained.state_dict())
    model = dataclasses.replace(tiny_trial(data).model, checkpoint=tmp_path / "state.pt")
    weights = Trial(tiny_trial(data, model=model, seed=3)).run.model.state_dict()
    assert equal(weights, read_weights(tmp_path / "state.pt"))


def test_only_the_methods_of_the_recipe_take_part(data: DataConfig) -> None:
    config = tiny_trial(data, recipe="cross_entropy")
    assert list(Trial(config).run.objective.terms) == ["cross_entropy"]
    with pytest.raises(ConfigError, match="recipe is hbar: join names of cross_entropy, hsplid"):
        config.with_parameters({"recipe": "hbar"})


@pytest.mark.parametrize(
    ("kind", "optimiser"), [("adam", torch.optim.Adam), ("adamw", torch.optim.AdamW)]
)
def test_the_optimiser_is_the_configured_one(
    data: DataConfig, kind: Any, optimiser: type[torch.optim.Optimizer]
) -> None:
    training = TrainingConfig(epochs=1, batch_size=32, optimiser=kind, beta1=0.5)
    made = Trial(tiny_trial(data, training=training)).run.optimiser
    assert type(made) is optimiser
    assert made.param_groups[0]["betas"] == (0.5, 0.999)
