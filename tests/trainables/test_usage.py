from __future__ import annotations

import time
from pathlib import Path
from unittest import mock

import psutil
import pytest
import torch

from hsplid_core.config import DataConfig
from hsplid_core.models.state_files import STATE_FILE, read_state
from tests.tiny import tiny_trial
from tests.trainables.workers import worker
from trainables.resource_usage import Usage

NODE = {
    "system/cpu_utilization_percentage",
    "system/system_memory_usage_megabytes",
    "system/system_memory_usage_percentage",
}
CPU, CUDA = torch.device("cpu"), torch.device("cuda")


def compute(seconds: float) -> None:
    end = time.process_time() + seconds
    while time.process_time() < end:
        pass


def test_cpu_seconds_add_up_over_epochs_and_sleep_costs_none() -> None:
    usage = Usage()
    with usage.watched(CPU):
        compute(0.2)
    assert 0.2 <= usage.cpu_seconds < 0.3
    assert usage.epoch["system/cpu_utilization_percentage"] > 0
    compute(0.2)  # between two epochs
    with usage.watched(CPU):
        time.sleep(0.2)
    assert 0.2 <= usage.cpu_seconds < 0.35
    assert usage.epoch.keys() == NODE | {"host_memory_mib"}
    process, node = psutil.Process().memory_info().rss, psutil.virtual_memory()
    assert usage.epoch["host_memory_mib"] >= 0.9 * process / 2**20
    assert usage.epoch["system/system_memory_usage_percentage"] == pytest.approx(
        100 * usage.epoch["system/system_memory_usage_megabytes"] * 1e6 / node.total
    )


@pytest.mark.parametrize(
    ("utilization", "means"),
    [([10, 90], {"system/gpu_0_utilization_percentage": 50.0}), (None, {})],
)
def test_a_gpu_is_looked_at_meanwhile(
    utilization: list[int] | None, means: dict[str, float]
) -> None:
    usage = Usage()
    with (
        mock.patch("trainables.resource_usage._INTERVAL_S", 0.05),
        mock.patch("torch.cuda.mem_get_info", return_value=(6 * 10**9, 24 * 10**9)),
        # What torch says without the library, or without a GPU that has this.
        mock.patch(
            "torch.cuda.utilization", side_effect=utilization or ModuleNotFoundError("pynvml")
        ),
        usage.watched(CUDA),
    ):
        time.sleep(0.08)
    own = {name: value for name, value in usage.epoch.items() if "gpu" in name}
    assert own == {
        "system/gpu_0_memory_usage_megabytes": 18_000.0,
        "system/gpu_0_memory_usage_percentage": 75.0,
        **means,
    }


def test_a_trial_tells_what_it_took_and_goes_on_counting(data: DataConfig) -> None:
    trainable = worker(tiny_trial(data))
    first, second = (trainable.train()["usage"] for _ in range(2))
    assert first.keys() == NODE | {"cpu_seconds", "host_memory_mib"}
    assert 0 < first["cpu_seconds"] < second["cpu_seconds"]
    with trainable.save().checkpoint.as_directory() as folder:
        saved = read_state(Path(folder) / STATE_FILE)
        assert saved["cpu_seconds"] == second["cpu_seconds"]
        again = worker(tiny_trial(data))
        again.load_checkpoint(str(folder))
    assert again.train()["usage"]["cpu_seconds"] > second["cpu_seconds"]
