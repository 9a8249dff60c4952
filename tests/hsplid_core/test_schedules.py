"""Learning rates of a run, against torch's schedulers and closed forms, and after a resume."""

from __future__ import annotations

import copy
import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import SGD, Optimizer
from torch.optim import lr_scheduler as peer

from hsplid_core.config import ScheduleConfig, TrainingConfig
from hsplid_core.errors import ConfigError
from hsplid_core.methods import CrossEntropyConfig
from hsplid_core.models.state_files import read_state, write_state
from hsplid_core.schedules import build_schedule
from tests.tiny import tiny_data, tiny_trial
from trainables.trial import Trial

EPOCHS, STEPS, RATE = 10, 4, 0.2


def optimiser() -> Optimizer:
    return SGD([torch.nn.Parameter(torch.zeros(1))], lr=RATE)


def rates(made: Any, of: Optimizer, count: int) -> list[float]:
    found = []
    for _ in range(count):
        found.append(float(of.param_groups[0]["lr"]))
        of.step()
        made.step()
    return found


def ours(count: int, **fields: Any) -> list[float]:
    of = optimiser()
    config = TrainingConfig(
        epochs=EPOCHS, learning_rate=RATE, optimiser="sgd", schedule=ScheduleConfig(**fields)
    )
    return rates(build_schedule(of, config, steps_per_epoch=STEPS), of, count)


@pytest.mark.parametrize(("per", "unit"), [("epoch", 1), ("step", STEPS)])
def test_rates_are_those_of_torchs_schedulers(per: str, unit: int) -> None:
    count = EPOCHS * unit

    def theirs(kind: Any, **arguments: Any) -> list[float]:
        of = optimiser()
        return rates(kind(of, **arguments), of, count)

    assert ours(count, kind="cosine", final=0.1, per=per) == theirs(
        peer.CosineAnnealingLR, T_max=count, eta_min=0.1 * RATE
    )
    assert ours(count, kind="step", step_epochs=3, factor=0.5, per=per) == theirs(
        peer.StepLR, step_size=3 * unit, gamma=0.5
    )
    assert ours(count, kind="step", milestones=(2, 7), per=per) == theirs(
        peer.MultiStepLR, milestones=[2 * unit, 7 * unit]
    )
    assert ours(count, warmup_epochs=2, warmup_start=0.25, per=per) == theirs(
        peer.LinearLR, start_factor=0.25, total_iters=2 * unit
    )


def test_a_triangle_is_the_interpolation_of_the_released_code() -> None:
    found = ours(EPOCHS * STEPS, kind="triangle")
    # Of the step with number i of an epoch e, at the time e + (i + 1) / steps.
    times = (np.arange(EPOCHS * STEPS) + 1) / STEPS
    expected = np.interp(times, [0, EPOCHS * 2 // 5, EPOCHS], [0, RATE, 0])
    assert found == pytest.approx(expected.tolist(), abs=1e-12)
    assert max(found) == pytest.approx(RATE)


@pytest.mark.parametrize("kind", ["cosine", "step"])
def test_what_follows_a_warm_up_counts_from_its_end(kind: Any) -> None:
    found = ours(EPOCHS, kind=kind, per="epoch", warmup_epochs=3, warmup_start=0.1, step_epochs=2)
    assert found[:3] == pytest.approx([0.1 * RATE, 0.4 * RATE, 0.7 * RATE])
    if kind == "step":
        after = [RATE, RATE, RATE / 10, RATE / 10, RATE / 100, RATE / 100, RATE / 1000]
    else:
        after = [RATE * (1 + math.cos(math.pi * step / 7)) / 2 for step in range(7)]
    assert found[3:] == pytest.approx(after)


@pytest.mark.parametrize(
    "schedule",
    [
        ScheduleConfig(kind="cosine", warmup_epochs=1),
        ScheduleConfig(kind="step", milestones=(1, 3), per="epoch"),
        ScheduleConfig(kind="triangle"),
    ],
)
def test_a_resumed_run_has_the_same_rates(tmp_path: Path, schedule: ScheduleConfig) -> None:
    config = TrainingConfig(epochs=4, batch_size=32, learning_rate=1e-2, schedule=schedule)
    base = tiny_trial(
        tiny_data(tmp_path), training=config, method={"cross_entropy": CrossEntropyConfig()}
    )
    straight, interrupted, resumed = (Trial(base).run for _ in range(3))
    expected = [straight.train_epoch() for _ in range(4)]
    found = [interrupted.train_epoch() for _ in range(2)]
    write_state(tmp_path / "state.pt", interrupted.state_dict())
    resumed.load_state_dict(copy.deepcopy(read_state(tmp_path / "state.pt")))
    found += [resumed.train_epoch() for _ in range(2)]
    for name in ("train/learning_rate", "train/loss"):
        assert [metrics[name] for metrics in found] == [metrics[name] for metrics in expected]
    assert len({metrics["train/learning_rate"] for metrics in found}) > 1


def test_a_constant_rate_needs_no_scheduler(tmp_path: Path) -> None:
    trial = Trial(tiny_trial(tiny_data(tmp_path)))
    assert trial.run.schedule is None
    assert trial.run.state_dict()["schedule"] is None
    assert trial.run.train_epoch()["train/learning_rate"] == 1e-3


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"warmup_epochs": -1}, "warmup_epochs is -1: use 0 or more"),
        ({"warmup_start": 0.0}, r"warmup_start is 0.0: use a share in \(0, 1\]"),
        ({"final": 1.5}, "final is 1.5"),
        ({"step_epochs": 0}, "step_epochs is 0: use at least 1"),
        ({"milestones": (5, 5)}, r"milestones is \[5, 5\]: use epochs from 1 on, in ascending"),
        ({"factor": 1.0}, "factor is 1.0"),
        ({"peak": 1.0}, "peak is 1.0"),
        ({"kind": "triangle", "per": "epoch"}, "per is epoch: a triangle ends at 0"),
        ({"kind": "triangle", "warmup_epochs": 1}, "warmup_epochs is 1: a triangle begins at 0"),
    ],
)
def test_values_out_of_range(fields: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        ScheduleConfig(**fields)


def test_a_warm_up_is_shorter_than_the_run() -> None:
    config = TrainingConfig(epochs=5, schedule=ScheduleConfig(warmup_epochs=4))
    with pytest.raises(ConfigError, match="warmup_epochs is 4: leave at least one of the 4"):
        replace(config, epochs=4)
