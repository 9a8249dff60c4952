"""A sweep's tracking as its engine sets it up, for benchmarks that run trials themselves."""

from __future__ import annotations

from pathlib import Path

from sweeps.spec.sweep_spec import SweepSpec
from sweeps.tracking import MlflowTracker, default_uri


def tracker_of(spec: SweepSpec, folder: Path, uri: str | None = None) -> MlflowTracker:
    """Make the tracker of a sweep.

    Args:
        spec: The sweep.
        folder: The sweep's folder.
        uri: Where MLflow is; None for a sqlite file beside the folder.
    """
    return MlflowTracker(
        uri or default_uri(spec.local_storage),
        experiment=spec.name,
        run_name=folder.name,
        sweep_id="bench",
        folder=folder,
        objectives=spec.objectives,
        spec=spec.resolved(),
        tags={"seed": str(spec.seed)},
    )
