"""Best epochs: whose weights a trial ends with, and when it ends."""

from __future__ import annotations

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hsplid_core.config import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig
from hsplid_core.errors import ConfigError
from hsplid_core.evaluation.accuracy import accuracy
from hsplid_core.methods import CrossEntropyConfig
from hsplid_core.models.state_files import read_state, write_state
from tests.tiny import tiny_trial
from trainables.best_epoch import BestEpoch
from trainables.trial import Trial


def trial(data: DataConfig, *, every: int = 1, **training: Any) -> Trial:
    fields = {"epochs": 5, "batch_size": 32, "learning_rate": 3e-2, **training}
    config = tiny_trial(
        data,
        method={"cross_entropy": CrossEntropyConfig()},
        training=TrainingConfig(**fields),
        evaluation=EvaluationConfig(epsilons_255=(2.0,), steps=2, max_images=16, every=every),
    )
    return Trial(config)


def run(trial: Trial) -> list[dict[str, float]]:
    found = []
    while not trial.finished:
        found.append(trial.epoch())
    return found


def weights(trial: Trial) -> list[torch.Tensor]:
    return [tensor.clone() for tensor in trial.state_dict()["model"].values()]


def same(one: list[torch.Tensor], two: list[torch.Tensor]) -> bool:
    return all(torch.equal(first, second) for first, second in zip(one, two, strict=True))


@pytest.mark.parametrize("mode", ["max", "min"])
def test_a_trial_ends_with_its_best_epochs_model(data: DataConfig, mode: Any) -> None:
    plain = trial(data)
    metrics, states = [], []
    while not plain.finished:
        metrics.append(plain.epoch())
        states.append(weights(plain))
    losses = [found["train/loss"] for found in metrics]
    best = losses.index(max(losses) if mode == "max" else min(losses))
    kept = trial(data, keep="best", monitor="train/loss", monitor_mode=mode)
    last = run(kept)[-1]
    assert same(weights(kept), states[best])
    assert (last["epoch"], last["best_epoch"]) == (5, best + 1)
    for name in ("val/accuracy", "val/robust_accuracy"):
        assert last[name] == metrics[best][name]
    assert "best_epoch" not in metrics[-1]
    images = kept.validation
    found = accuracy(kept.run.model.eval(), images, batch_size=64, device=kept.run.device)
    assert found == last["val/accuracy"]


def test_the_best_of_a_metric_that_is_measured_now_and_then(data: DataConfig) -> None:
    kept = trial(data, keep="best", monitor="val/robust_accuracy", every=2)
    found = run(kept)
    measured = {n + 1: m["val/robust_accuracy"] for n, m in enumerate(found[:-1]) if n % 2}
    assert found[-1]["best_epoch"] in (2, 4, 5)
    assert found[-1]["val/robust_accuracy"] >= max(measured.values())


def test_patience_ends_a_trial_and_measures_everything(data: DataConfig) -> None:
    # A loss that falls is never greater than that of the first epoch.
    fields: dict[str, Any] = {"monitor": "train/loss", "monitor_mode": "max", "patience": 2}
    losses = [found["train/loss"] for found in run(trial(data))]
    assert losses[0] > max(losses[1:])
    stopped = trial(data, every=100, **fields)
    found = run(stopped)
    assert [int(metrics["epoch"]) for metrics in found] == [1, 2, 3]
    assert ["val/robust_accuracy" in metrics for metrics in found] == [False, False, True]
    back = trial(data, every=100, keep="best", **fields)
    assert run(back)[-1]["best_epoch"] == 1
    assert not same(weights(back), weights(stopped))


def test_a_resumed_trial_knows_its_best_epoch(data: DataConfig, tmp_path: Path) -> None:
    fields: dict[str, Any] = {
        "keep": "best",
        "monitor": "train/loss",
        "monitor_mode": "max",
        "patience": 3,
    }
    straight, first, resumed = (trial(data, **fields) for _ in range(3))
    expected = run(straight)
    first.epoch()
    first.epoch()
    write_state(tmp_path / "state.pt", first.state_dict())
    resumed.load_state_dict(read_state(tmp_path / "state.pt"))
    found = run(resumed)
    assert len(found) == len(expected) - 2
    assert found[-1]["best_epoch"] == expected[-1]["best_epoch"] == 1
    assert found[-1]["val/accuracy"] == expected[-1]["val/accuracy"]
    assert same(weights(resumed), weights(straight))


def test_the_earlier_of_two_equal_epochs_stays() -> None:
    best = BestEpoch(TrainingConfig(keep="best", patience=2))
    model = torch.nn.Linear(1, 1)
    for epoch, value in enumerate([math.nan, 0.75, 0.75, 0.5], start=1):
        assert best.judge(epoch, {"val/accuracy": value}, model)
    assert (best.epoch, best.value) == (2, 0.75)
    assert (best.is_over(3), best.is_over(4)) == (False, True)
    assert not best.judge(5, {"val/other": 1.0}, model)


def test_a_metric_that_nothing_measures_is_told(data: DataConfig) -> None:
    with pytest.raises(
        ConfigError, match=r"training\.monitor is val/loss: a trial measures only "
    ):
        trial(data, keep="best", monitor="val/loss").epoch()
    with pytest.raises(ConfigError, match="patience is 0: use at least 1, or null for never"):
        replace(TrainingConfig(), patience=0)


def test_frozen_layers_stay_as_they_are(data: DataConfig) -> None:
    config = tiny_trial(
        data,
        model=ModelConfig(width=1 / 16, norm="batch"),
        method={"cross_entropy": CrossEntropyConfig()},
        training=TrainingConfig(
            epochs=1,
            batch_size=32,
            learning_rate=1e-2,
            weight_decay=0.1,
            frozen=("conv1", "bn1", "layer1", "layer2.0"),
        ),
    )
    made = Trial(config)
    before = {name: tensor.clone() for name, tensor in made.run.model.state_dict().items()}
    made.epoch()
    moved = {
        name.removeprefix("encoder.")
        for name, tensor in made.run.model.state_dict().items()
        if not torch.equal(tensor, before[name])
    }
    still = ("conv1.", "bn1.", "layer1.", "layer2.0.")
    assert not [name for name in moved if name.startswith(still)]
    assert {"layer2.1.conv1.weight", "layer2.1.bn1.running_mean", "head.weight"} <= moved
    all_frozen = replace(config.training, frozen=("backbone",))
    whole = Trial(replace(config, training=all_frozen))
    whole.epoch()
    before = Trial(config).run.model.encoder.state_dict()
    after = whole.run.model.encoder.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before)


def test_a_layer_that_the_network_has_not_is_told(data: DataConfig) -> None:
    with pytest.raises(ConfigError, match=r"training\.frozen has layer9: use backbone, conv1, "):
        trial(data, frozen=("layer9",))
