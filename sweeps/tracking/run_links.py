"""Addresses of a sweep's runs in MLflow's UI."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sweeps.tracking.find_runs import Recording, find_runs
from sweeps.tracking.mlflow_client import connect, explained
from sweeps.tracking.reachability import TrackingError
from sweeps.tracking.tracking_uri import is_server, sqlite_file

LOCAL_PORT = 5000
LOCAL_UI = f"http://127.0.0.1:{LOCAL_PORT}"

logger = logging.getLogger(__name__)


def trial_pages(recording: Recording, *, ui: str | None = None) -> Mapping[int, str]:
    """Find the page of each trial's run.

    Args:
        recording: Where the sweep was recorded.
        ui: Address of the UI; None takes the server itself, or :data:`LOCAL_UI` for a database.

    Returns:
        Address by the trial's number; nothing where the sweep is not recorded there or the server
        does not answer.
    """
    uri = recording.uri
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        return {}
    base = ui or (uri if is_server(uri) else LOCAL_UI)
    try:
        with explained(uri):
            client = connect(uri)
            found = find_runs(client, recording)
    except TrackingError as error:
        logger.warning("the report has no links to MLflow: %s", error)
        return {}
    return {
        number: f"{base.rstrip('/')}/#/experiments/{found.experiment_id}/runs/{run.info.run_id}"
        "?workflowType=machine_learning"  # else among MLflow's pages on language models
        for number, run in found.trials.items()
    }
