"""Resource usage of a trial on its node, epoch by epoch, under MLflow's names for it."""

from __future__ import annotations

import resource
import statistics
import threading
import time
from collections import defaultdict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

import psutil
import torch

# How the names begin that MLflow's page of system metrics shows.
_SYSTEM = "system/"
_INTERVAL_S = 1.0

_Samples = Mapping[str, list[float]]


class Usage:
    """Measures what a process uses, and what its node does meanwhile.

    Attributes:
        cpu_seconds: CPU time of all threads, over all epochs that were watched; a trial that goes
            on sets it to what it had used before.
        epoch: Of the last of them, by metric. ``host_memory_mib`` is the process's peak since it
            began. Of the whole node, neighbours included, are
            ``system/cpu_utilization_percentage``, the mean, and
            ``system/system_memory_usage_megabytes`` and ``_percentage``, at the end. On cuda there
            are means of the trial's own GPU, looked at once a second:
            ``system/gpu_0_memory_usage_megabytes`` and ``_percentage`` and, where torch finds a
            library that tells it (``nvidia-ml-py``), ``system/gpu_0_utilization_percentage``.
    """

    def __init__(self) -> None:
        self.cpu_seconds = 0.0
        self.epoch: Mapping[str, float] = {}

    @contextmanager
    def watched(self, device: torch.device) -> Iterator[None]:
        """Measure while an epoch runs.

        Args:
            device: What it runs on.
        """
        begin_s = time.process_time()
        psutil.cpu_percent()  # a mean since this thread's last call
        with _sampled(device) as samples:
            yield
        self.cpu_seconds += time.process_time() - begin_s
        memory = psutil.virtual_memory()
        node = {
            "cpu_utilization_percentage": psutil.cpu_percent(),
            "system_memory_usage_megabytes": memory.used / 1e6,
            "system_memory_usage_percentage": 100 * memory.used / memory.total,
            **{name: statistics.fmean(values) for name, values in samples.items()},
        }
        self.epoch = {
            "host_memory_mib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10,
            **{f"{_SYSTEM}{name}": value for name, value in node.items()},
        }


@contextmanager
def _sampled(device: torch.device) -> Iterator[_Samples]:
    """Look at a GPU now and then, in a thread; at any other device not at all."""
    samples: defaultdict[str, list[float]] = defaultdict(list)
    if device.type != "cuda":
        yield samples
        return
    ended = threading.Event()

    def look() -> None:
        while True:
            is_last = ended.wait(_INTERVAL_S)
            for name, value in _gpu(device).items():
                samples[name].append(value)
            if is_last:
                return

    thread = threading.Thread(target=look, name="gpu-usage", daemon=True)
    thread.start()
    try:
        yield samples
    finally:
        ended.set()
        thread.join()


def _gpu(device: torch.device) -> dict[str, float]:
    found: dict[str, float] = {}
    try:
        free, total = torch.cuda.mem_get_info(device)
        found["gpu_0_memory_usage_megabytes"] = (total - free) / 1e6
        found["gpu_0_memory_usage_percentage"] = 100 * (total - free) / total
        found["gpu_0_utilization_percentage"] = float(torch.cuda.utilization(device))
    except Exception:  # each library's own kinds of "not here"; training is worth more than this
        pass
    return found
