"""Addresses of a sweep's runs in MLflow's UI."""

from __future__ import annotations

import logging
from collections.abc import Mapping

from sweeps.tracking.client import TrackingError, connect, explained, search
from sweeps.tracking.location import is_server, sqlite_file
from sweeps.tracking.store import SWEEP_ID, TRIAL

LOCAL_UI = "http://127.0.0.1:5000"

logger = logging.getLogger(__name__)


def trial_pages(
    uri: str, *, experiment: str, sweep_id: str, ui: str | None = None
) -> Mapping[int, str]:
    """Find the page of each trial's run.

    Args:
        uri: Tracking server or database.
        experiment: Name of the sweep's experiment.
        sweep_id: Identity of the sweep.
        ui: Address of the UI; None takes the server itself, or :data:`LOCAL_UI` for a database.

    Returns:
        Address by the trial's number; nothing where the sweep is not recorded there or the server
        does not answer.
    """
    file = sqlite_file(uri)
    if file is not None and not file.is_file():
        return {}
    base = ui or (uri if is_server(uri) else LOCAL_UI)
    try:
        with explained(uri):
            client = connect(uri)
            found = client.get_experiment_by_name(experiment)
            if found is None:
                return {}
            key = found.experiment_id
            parents = list(search(client, key, f"tags.`{SWEEP_ID}` = '{sweep_id}'"))
            if not parents:
                return {}
            below = f"tags.`mlflow.parentRunId` = '{parents[0].info.run_id}'"
            return {
                int(run.data.tags[TRIAL]): f"{base.rstrip('/')}/#/experiments/{key}/runs/"
                f"{run.info.run_id}"
                for run in search(client, key, below)
                if TRIAL in run.data.tags
            }
    except TrackingError as error:
        logger.warning("the report has no links to MLflow: %s", error)
        return {}
