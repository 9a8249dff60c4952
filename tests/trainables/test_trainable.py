"""The Ray Tune trainable, driven as Ray drives it: reuse, checkpoints, failures."""

from __future__ import annotations

import dataclasses
import json
import pickle
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from hsplid_core.config import DataConfig
from hsplid_core.methods import CrossEntropyConfig
from hsplid_core.models.state_files import STATE_FILE, read_state, write_state
from tests.faults import FaultyConfig
from tests.tiny import tiny_trial
from tests.trainables.workers import assigned, worker
from trainables.config import TrialConfig
from trainables.gpu_memory import CONTEXT_MIB, gpu_memory_mib, limit_memory
from trainables.trial import Trial

ROOT = Path(__file__).resolve().parents[2]
FAULTY = "tests.faults:FaultyConfig"


def numbers(result: dict[str, Any]) -> dict[str, float]:
    skip = ("train/seconds", "memory_mib")
    return {name: value for name, value in result["metrics"].items() if name not in skip}


def test_a_reused_worker_gives_the_numbers_of_a_fresh_one(data: DataConfig) -> None:
    base = tiny_trial(data)
    fresh = worker(base)
    expected = [numbers(fresh.train()) for _ in range(2)]
    # Another trial first, with another seed, another method and its own random states.
    other = dataclasses.replace(base, seed=7, method={"cross_entropy": CrossEntropyConfig()})
    used = worker(other)
    used.train()
    type(used).base = base
    assert used.reset(assigned())
    assert [numbers(used.train()) for _ in range(2)] == expected


_FRESH = """
import json, pickle, sys, torch
from tests.trainables.test_trainable import numbers
from tests.trainables.workers import worker
torch.set_num_threads(1)
fresh = worker(pickle.loads(bytes.fromhex(sys.argv[1])))
print(json.dumps([numbers(fresh.train()) for _ in range(2)]))
"""


def test_a_reused_worker_gives_the_numbers_of_a_fresh_process(data: DataConfig) -> None:
    base = tiny_trial(data)
    command = [sys.executable, "-c", _FRESH, pickle.dumps(base).hex()]
    done = subprocess.run(command, capture_output=True, text=True, check=True, cwd=ROOT)
    other = dataclasses.replace(base, seed=7, method={"cross_entropy": CrossEntropyConfig()})
    used = worker(other)
    used.train()
    # What a careless method may leave behind in its process.
    torch.set_default_dtype(torch.float64)
    torch.set_grad_enabled(False)
    torch.manual_seed(99)
    torch.set_default_device("meta")
    torch.set_float32_matmul_precision("medium")
    torch.backends.cudnn.benchmark = False
    torch.use_deterministic_algorithms(True)
    try:
        type(used).base = base
        assert used.reset(assigned())
        results = [numbers(used.train()) for _ in range(2)]
    finally:
        torch.set_default_dtype(torch.float32)
        torch.set_grad_enabled(True)
        torch.set_default_device(None)
    assert results == json.loads(done.stdout)
    assert torch.get_float32_matmul_precision() == "highest"
    assert torch.backends.cudnn.benchmark
    assert not torch.are_deterministic_algorithms_enabled()


def faulty(base: TrialConfig, **fault: Any) -> TrialConfig:
    method = {"cross_entropy": CrossEntropyConfig(), FAULTY: FaultyConfig(**fault)}
    return dataclasses.replace(base, method=method)


@pytest.mark.parametrize("from_epoch", [0, 1])
def test_out_of_memory_is_tried_again_in_smaller_parts(data: DataConfig, from_epoch: int) -> None:
    base = tiny_trial(data)
    trainable = worker(faulty(base, max_images=12, from_epoch=from_epoch))
    results = []
    for _ in range(3):
        results.append(trainable.train())
        trainable.save()
    # 32 images fit in 4 parts of 8; what was done before the memory ran out is kept.
    parts = [result.get("batch_parts") for result in results]
    assert parts == [4 if epoch >= from_epoch else None for epoch in range(3)]
    assert [result["metrics"]["epoch"] for result in results] == [1, 2, 3]
    whole = worker(faulty(base))
    for result in results:
        expected = whole.train()["metrics"]["train/loss"]
        assert result["metrics"]["train/loss"] == pytest.approx(expected, rel=1e-2)


@pytest.mark.gpu
def test_a_share_of_a_real_gpu_is_kept_and_what_is_too_much_for_it_is_halved(
    data: DataConfig,
) -> None:
    total = gpu_memory_mib()
    assert total is not None
    # 32 images need 4/3 of what a quarter of the GPU leaves beside the context, 16 need 2/3.
    base = faulty(tiny_trial(data), mib_per_image=(total / 4 - CONTEXT_MIB) / 24)
    given = assigned()
    given["assignment"]["memory_share"] = 0.25
    try:
        result = worker(base, given).train()
    finally:
        limit_memory(None)
    assert result["metrics"]["epoch"] == 1
    assert result["batch_parts"] == 2
    assert result["gpu_memory_mib"] == total
    assert result["metrics"]["memory_mib"] < total / 4


def test_out_of_memory_beyond_the_limit_fails(data: DataConfig) -> None:
    trainable = worker(faulty(tiny_trial(data), max_images=4))
    result = trainable.train()
    assert (result["done"], result["cause"]) == (True, "out_of_memory")
    assert "CUDA out of memory" in result["failure"]
    assert result["batch_parts"] == 4  # two retries


def test_a_damaged_checkpoint_falls_back_to_the_one_before(
    data: DataConfig, tmp_path: Path
) -> None:
    first = worker(tiny_trial(data))
    results = []
    for epoch in range(3):
        results.append(first.train())
        first.save(str(tmp_path / f"checkpoint_{epoch:06d}"))
    newest = tmp_path / "checkpoint_000001" / STATE_FILE
    newest.write_bytes(newest.read_bytes()[:-100])
    shutil.rmtree(tmp_path / "checkpoint_000002")
    second = worker(tiny_trial(data))
    second.restore(str(tmp_path / "checkpoint_000001"))
    assert [numbers(second.train()) for _ in range(2)] == [numbers(r) for r in results[1:]]


def test_a_trial_starts_anew_where_its_checkpoint_does_not_fit(
    data: DataConfig, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    base = tiny_trial(data)
    expected = numbers(worker(base).train())
    for content in ({"epoch": 1}, {**Trial(base).state_dict(), "model": {}, "epoch": 2}):
        write_state(tmp_path / STATE_FILE, content)
        given = assigned()
        given["assignment"]["resume_from"] = str(tmp_path / STATE_FILE)
        caplog.clear()
        assert numbers(worker(base, given).train()) == expected
        assert "trial 0 starts anew, not from its checkpoint: the state does not" in caplog.text


def test_no_checkpoint_of_another_study_takes_the_place_of_a_damaged_one(
    data: DataConfig, tmp_path: Path
) -> None:
    given = assigned()
    given["assignment"]["sweep"] = "a"
    first = worker(tiny_trial(data), given)
    expected = numbers(first.train())
    first.save(str(tmp_path / "checkpoint_000000"))
    identity = read_state(tmp_path / "checkpoint_000000" / STATE_FILE)["identity"]
    assert identity == {"sweep": "a", "number": 0, "parameters": "{}"}
    (tmp_path / "checkpoint_000001").mkdir()  # was interrupted
    for sweep, epoch in (("a", 2), ("b", 1)):
        given["assignment"]["sweep"] = sweep
        second = worker(tiny_trial(data), given)
        second.restore(str(tmp_path / "checkpoint_000001"))
        result = numbers(second.train())
        assert result["epoch"] == epoch
    assert result == expected


def test_a_checkpoint_that_is_gone_means_to_start_anew(data: DataConfig, tmp_path: Path) -> None:
    first = worker(tiny_trial(data))
    expected = numbers(first.train())
    first.save(str(tmp_path / "checkpoint_000000"))
    shutil.rmtree(tmp_path / "checkpoint_000000")
    second = worker(tiny_trial(data))
    second.restore(str(tmp_path / "checkpoint_000000"))
    assert numbers(second.train()) == expected


def test_a_trial_that_lost_too_many_workers_only_tells_so(data: DataConfig) -> None:
    given = assigned()
    given["assignment"]["losses"] = 4
    trainable = worker(tiny_trial(data), given)
    trainable.restore("/a/checkpoint/that/cannot/be/read")
    result = trainable.train()
    assert (result["done"], result["ended"], result["cause"]) == (True, True, "worker_lost")
    assert "4 times without finishing an epoch" in result["failure"]


def test_checkpoint_through_ray(data: DataConfig, tmp_path: Path) -> None:
    first = worker(tiny_trial(data))
    results = [first.train() for _ in range(2)]
    first.save(str(tmp_path))
    results.append(first.train())
    assert [result["done"] for result in results] == [False, False, True]
    second = worker(tiny_trial(data))
    second.restore(str(tmp_path))
    resumed = second.train()
    assert numbers(resumed) == numbers(results[2])
    assert resumed["trial_seconds"] > results[1]["trial_seconds"]


@pytest.mark.parametrize(
    ("parameters", "text", "cause"),
    [
        (
            {"training.learning_rate": 10.0, "training.clip_norm": 1e9},
            "NaN or infinite",
            "diverged",
        ),
        ({"method.hsplid.variation": 2.0}, "variation is 2.0", "error"),
        ({"data.root": Path("nowhere")}, "nowhere", "error"),
    ],
)
def test_failures_become_results(
    data: DataConfig, parameters: dict[str, Any], text: str, cause: str
) -> None:
    trainable = worker(tiny_trial(data), assigned(**parameters))
    for _ in range(3):
        result = trainable.train()
        if result["done"]:
            break
    assert text in result["failure"]
    assert result["cause"] == cause
    assert "Traceback" in result["traceback"]
    assert "metrics" not in result
