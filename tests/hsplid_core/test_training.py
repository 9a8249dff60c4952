"""The epoch loop's choices that a CPU run shows, and on a GPU the rest."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from hsplid_core.config import TrainingConfig
from hsplid_core.training import Precision, optimiser_step, pick_device
from tests.tiny import tiny_data, tiny_trial
from trainables.trial import Trial


def test_device_and_precision_on_this_machine() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    expected = "cuda" if torch.cuda.is_available() else "cpu"
    assert pick_device("auto").type == expected
    assert Precision.pick(TrainingConfig(), torch.device("cpu")) == Precision(None)
    assert Precision.pick(TrainingConfig(amp="off"), torch.device("cuda")) == Precision(None)


def test_the_gradient_is_clipped_by_its_global_norm() -> None:
    model = torch.nn.Linear(3, 1, bias=False)
    optimiser = torch.optim.SGD(model.parameters(), lr=1.0)
    before = model.weight.detach().clone()
    optimiser_step((model.weight * torch.tensor([3.0, 4.0, 0.0])).sum(), model, optimiser, 0.5)
    torch.testing.assert_close(before - model.weight, torch.tensor([[0.3, 0.4, 0.0]]))


@pytest.mark.gpu
def test_a_step_on_the_gpu(tmp_path: Path) -> None:
    trial = Trial(tiny_trial(tiny_data(tmp_path)))
    metrics = trial.epoch()
    assert trial.run.precision.autocast in (torch.bfloat16, torch.float16)
    weight = next(trial.run.model.encoder.parameters())
    assert weight.is_cuda
    assert weight.is_contiguous(memory_format=torch.channels_last)
    assert all(value == value for value in metrics.values())
