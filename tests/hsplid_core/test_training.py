"""The epoch loop's choices that a CPU run shows, and on a GPU the rest."""

from __future__ import annotations

import copy
import os
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

from hsplid_core.config import AugmentationConfig, TrainingConfig
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from hsplid_core.methods import CrossEntropyConfig
from hsplid_core.methods.objective import Step
from hsplid_core.training import (
    Precision,
    build_optimiser,
    pick_device,
    set_arithmetic,
    train_step,
)
from tests.tiny import tiny_data, tiny_trial
from trainables.trial import Trial

BATCH = Batch(torch.zeros(2, 1), torch.zeros(2, dtype=torch.int64), None, torch.arange(2))


def sum_of_weights(model: Any, batch: Batch) -> Step:
    return Step(model.weight.sum(), {})


def test_device_and_precision_on_this_machine() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert pick_device("auto").type == expected
    assert Precision.pick(TrainingConfig(), torch.device("cpu")) == Precision(None)
    assert Precision.pick(TrainingConfig(amp="off"), torch.device("cuda")) == Precision(None)


@pytest.mark.parametrize(
    ("config", "products", "convolutions"),
    [
        (TrainingConfig(), "highest", True),
        (TrainingConfig(tf32="all"), "high", True),
        (TrainingConfig(tf32="off"), "highest", False),
    ],
)
def test_tf32_is_what_the_spec_says(
    config: TrainingConfig, products: str, convolutions: bool
) -> None:
    set_arithmetic(config)
    try:
        assert torch.get_float32_matmul_precision() == products
        assert torch.backends.cudnn.allow_tf32 is convolutions
    finally:
        set_arithmetic(TrainingConfig())


def test_deterministic_refuses_what_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("CUBLAS_WORKSPACE_CONFIG", raising=False)
    set_arithmetic(TrainingConfig(deterministic=True))
    try:
        assert torch.are_deterministic_algorithms_enabled()
        assert torch.backends.cudnn.deterministic
        assert not torch.backends.cudnn.benchmark
        assert os.environ["CUBLAS_WORKSPACE_CONFIG"] == ":4096:8"
    finally:
        set_arithmetic(TrainingConfig())
    assert torch.backends.cudnn.benchmark


def test_sgd_with_momentum() -> None:
    model = torch.nn.Linear(1, 1, bias=False)
    model.weight.data.fill_(1.0)
    config = TrainingConfig(optimiser="sgd", learning_rate=0.5, beta1=0.5)
    optimiser = build_optimiser(model, config)
    weights, losses = [], []
    for _ in range(3):
        step = train_step(model, sum_of_weights, optimiser, BATCH, clip_norm=10.0)
        losses.append((float(step.loss), step.loss.requires_grad))
        weights.append(float(model.weight.detach()))
    # Steps of 0.5 times 1, 1.5 and 1.75.
    assert weights == [0.5, -0.25, -1.125]
    assert losses == [(1.0, False), (0.5, False), (-0.25, False)]


def test_the_gradient_is_clipped_by_its_global_norm() -> None:
    model = torch.nn.Linear(3, 1, bias=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    before = model.weight.detach().clone()

    def loss(model: Any, batch: Batch) -> Step:
        return Step((model.weight * torch.tensor([3.0, 4.0, 0.0])).sum(), {})

    train_step(model, loss, optimiser, BATCH, clip_norm=0.5)
    torch.testing.assert_close(before - model.weight, torch.tensor([[0.3, 0.4, 0.0]]))


def test_a_resumed_run_sees_the_same_variations(tmp_path: Path) -> None:
    varied = AugmentationConfig(crop_scale=(0.5, 1.0), flip=0.5, brightness=0.2)
    config = TrainingConfig(epochs=2, batch_size=32, learning_rate=1e-3, augmentation=varied)
    data = tiny_data(tmp_path)
    runs = [Trial(tiny_trial(data, training=config)).run for _ in range(2)]
    plain = Trial(tiny_trial(data, training=replace(config, augmentation=AugmentationConfig())))
    first = runs[0].train_epoch()
    assert plain.run.train_epoch()["train/loss"] != first["train/loss"]
    runs[1].load_state_dict(copy.deepcopy(runs[0].state_dict()))
    losses = [run.train_epoch()["train/loss"] for run in runs]
    assert losses[0] == losses[1] != first["train/loss"]
    for one, two in zip(runs[0].model.parameters(), runs[1].model.parameters(), strict=True):
        assert torch.equal(one, two)


@pytest.mark.parametrize("accumulation", [2, 3, 4])
def test_a_batch_in_parts_gives_the_gradient_of_the_whole(
    tmp_path: Path, accumulation: int
) -> None:
    base = tiny_trial(tiny_data(tmp_path), method={"cross_entropy": CrossEntropyConfig()})
    parts = base.with_parameters({"training.accumulation": accumulation})
    whole, split = Trial(base), Trial(parts)
    expected, metrics = whole.epoch(), split.epoch()
    assert split.config.training.part_size == -(-32 // accumulation)
    assert metrics["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-3)
    for name, weight in whole.run.model.state_dict().items():
        torch.testing.assert_close(
            split.run.model.state_dict()[name], weight, rtol=1e-2, atol=2e-4
        )


def test_a_part_needs_two_images() -> None:
    with pytest.raises(ConfigError, match="accumulation is 5: use 1 to half the batch_size, 8"):
        TrainingConfig(batch_size=8, accumulation=5)


@pytest.mark.gpu
def test_a_step_on_the_gpu(tmp_path: Path) -> None:
    trial = Trial(tiny_trial(tiny_data(tmp_path)).with_parameters({"training.amp": "auto"}))
    metrics = trial.epoch()
    assert trial.run.precision.autocast in (torch.bfloat16, torch.float16)
    weight = next(trial.run.model.encoder.parameters())
    assert weight.is_cuda
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert all(value == value for value in metrics.values())
