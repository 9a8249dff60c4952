"""A sweep in MLflow: one experiment, a parent run for the sweep and a child run a trial.

Only this package knows MLflow, and it imports it inside of functions: the import takes seconds.
"""

from sweeps.tracking.mlflow_client import loading
from sweeps.tracking.reachability import TrackingError
from sweeps.tracking.tracker import MlflowTracker, check_recordable
from sweeps.tracking.tracking_uri import default_uri, ui_command

__all__ = [
    "MlflowTracker",
    "TrackingError",
    "check_recordable",
    "default_uri",
    "loading",
    "ui_command",
]
