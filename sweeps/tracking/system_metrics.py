"""System metrics of the driver's machine, under the names that MLflow's page shows."""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from mlflow.system_metrics.metrics.base_metrics_monitor import BaseMetricsMonitor

_PREFIX = "system/"

logger = logging.getLogger(__name__)


class SystemSampler:
    """Measures the machine now and then, in a thread.

    MLflow's own thread for this sends every sample to the server itself, and ends for good when
    that does not answer once; here its monitors (psutil, and NVML or ROCm where there is a GPU)
    only measure.

    Args:
        tell: Called with each sample, from the thread.
        interval_s: Seconds between two samples; None takes that of MLflow's variable
            ``MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL``, by default 10.
    """

    def __init__(
        self, tell: Callable[[Mapping[str, float]], None], *, interval_s: float | None = None
    ) -> None:
        self._tell = tell
        self._interval_s = interval_s
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._run, name="system-metrics", daemon=True)

    def start(self) -> None:
        """Begin to measure."""
        self._thread.start()

    def stop(self) -> None:
        """Take a last sample, and end; again is harmless."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join(timeout=1.0)

    def _run(self) -> None:
        try:
            self._measure()
        except Exception as error:  # a machine that cannot be measured can still train
            logger.warning("system metrics are not logged: %s: %s", type(error).__name__, error)

    def _measure(self) -> None:
        from mlflow.environment_variables import MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL

        interval_s = self._interval_s or MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL.get() or 10.0
        monitors = _monitors()
        for monitor in monitors:  # utilisation is measured between two calls
            monitor.collect_metrics()
        while True:
            stopped = self._stopped.wait(interval_s)
            sample: dict[str, float] = {}
            for monitor in monitors:
                monitor.clear_metrics()
                monitor.collect_metrics()
                sample |= {
                    f"{_PREFIX}{name}": float(value)
                    for name, value in monitor.aggregate_metrics().items()
                }
            self._tell(sample)
            if stopped:
                return


def _monitors() -> list[BaseMetricsMonitor]:
    from mlflow.system_metrics.metrics.cpu_monitor import CPUMonitor
    from mlflow.system_metrics.metrics.disk_monitor import DiskMonitor
    from mlflow.system_metrics.metrics.gpu_monitor import GPUMonitor
    from mlflow.system_metrics.metrics.network_monitor import NetworkMonitor
    from mlflow.system_metrics.metrics.rocm_monitor import ROCMMonitor

    monitors: list[BaseMetricsMonitor] = [CPUMonitor(), DiskMonitor(), NetworkMonitor()]
    for kind in (GPUMonitor, ROCMMonitor):
        try:
            monitors.append(kind())
        except Exception:  # each maker's own kinds of "there is none", or no library for it
            logger.debug("no %s", kind.__name__, exc_info=True)
    return monitors
