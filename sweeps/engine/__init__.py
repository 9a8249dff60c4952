"""Running a sweep: Ray Tune schedules, the study decides, listeners record."""

from sweeps.engine.context import SweepFailedError
from sweeps.engine.sweep_run import run_sweep

__all__ = ["SweepFailedError", "run_sweep"]
