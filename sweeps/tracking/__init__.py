"""A sweep in MLflow: one experiment, a parent run for the sweep and a child run a trial.

Only this package knows MLflow, and it imports it inside of functions: the import takes seconds.
"""

from sweeps.tracking.mlflow_client import TrackingError, loading
from sweeps.tracking.tracker import MlflowTracker
from sweeps.tracking.tracking_uri import default_uri, ui_command

__all__ = ["MlflowTracker", "TrackingError", "default_uri", "loading", "ui_command"]
