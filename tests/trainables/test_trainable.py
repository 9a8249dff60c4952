"""The Ray Tune trainable, driven as Ray drives it: reuse, checkpoints, failures."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest

from hsplid_core.config import DataConfig
from hsplid_core.methods import CrossEntropyConfig
from tests.tiny import tiny_trial
from trainables.config import TrialConfig
from trainables.trainable import Assignment, SweepTrainable


def config(base: TrialConfig, **parameters: Any) -> dict[str, Any]:
    assignment = Assignment(
        number=0, base=base, parameters=parameters, threads=1, resume_from=None
    )
    return {"assignment": assignment}


def numbers(result: dict[str, Any]) -> dict[str, float]:
    skip = ("train/seconds", "memory_mib")
    return {name: value for name, value in result["metrics"].items() if name not in skip}


def test_a_reused_worker_gives_the_numbers_of_a_fresh_one(data: DataConfig) -> None:
    base = tiny_trial(data)
    fresh = SweepTrainable(config(base))
    expected = [numbers(fresh.train()) for _ in range(2)]
    # Another trial first, with another seed, another method and its own random states.
    other = dataclasses.replace(base, seed=7, method={"cross_entropy": CrossEntropyConfig()})
    used = SweepTrainable(config(other))
    used.train()
    assert used.reset(config(base))
    assert [numbers(used.train()) for _ in range(2)] == expected


def test_checkpoint_through_ray(data: DataConfig, tmp_path: Path) -> None:
    first = SweepTrainable(config(tiny_trial(data)))
    results = [first.train() for _ in range(2)]
    first.save(str(tmp_path))
    results.append(first.train())
    assert [result["done"] for result in results] == [False, False, True]
    second = SweepTrainable(config(tiny_trial(data)))
    second.restore(str(tmp_path))
    resumed = second.train()
    assert numbers(resumed) == numbers(results[2])
    assert resumed["trial_seconds"] > results[1]["trial_seconds"]


@pytest.mark.parametrize(
    ("parameters", "cause"),
    [
        ({"training.learning_rate": 10.0, "training.clip_norm": 1e9}, "NaN or infinite"),
        ({"method.hsplid.variation": 2.0}, "variation is 2.0"),
        ({"data.root": Path("nowhere")}, "nowhere"),
    ],
)
def test_failures_become_results(data: DataConfig, parameters: dict[str, Any], cause: str) -> None:
    trainable = SweepTrainable(config(tiny_trial(data), **parameters))
    for _ in range(3):
        result = trainable.train()
        if result["done"]:
            break
    assert cause in result["failure"]
    assert "Traceback" in result["traceback"]
    assert "metrics" not in result
