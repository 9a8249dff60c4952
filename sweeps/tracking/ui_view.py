"""A view of MLflow's UI on a sweep: its trials against each other by the objectives.

MLflow's own *Share* button stores a view as a tag of the experiment, and its address names the
tag. The same is done here, so that the page opens with the sweep's trials, a scatter plot of the
first two objectives, and parallel coordinates from the parameters to the objectives.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any

from sweeps.tracking.find_runs import Recording, check_database, find_runs
from sweeps.tracking.mlflow_client import connect, explained, legal
from sweeps.tracking.names import PARENT_RUN

_TAG = "mlflow.sharedViewState."
# Axes that have room beside each other; and a tag holds 5,000 characters.
_MOST_PARAMETERS = 8
_SECTION = "objectives"


def share_view(
    recording: Recording, *, objectives: Sequence[str], parameters: Sequence[str]
) -> str:
    """Store the view of a sweep in its experiment; the same view is stored once.

    Args:
        recording: Where the sweep was recorded.
        objectives: Metrics that were optimised.
        parameters: Paths of the parameters that tell the trials apart.

    Returns:
        The view's address below that of the UI, from ``/#/`` on.

    Raises:
        ConfigError: There is no such database.
        TrackingError: The sweep is not recorded there, or the server does not answer.
    """
    check_database(recording.uri)
    with explained(recording.uri):
        client = connect(recording.uri)
        runs = find_runs(client, recording)
        state = json.dumps(view_state(runs.parent.info.run_id, objectives, parameters))
        key = hashlib.sha256(state.encode()).hexdigest()
        client.set_experiment_tag(runs.experiment_id, f"{_TAG}{key}", state)
    page = f"/#/experiments/{runs.experiment_id}/runs"
    return f"{page}?viewStateShareKey={key}&compareRunsMode=CHART&workflowType=machine_learning"


def view_state(
    parent_id: str, objectives: Sequence[str], parameters: Sequence[str]
) -> Mapping[str, Any]:
    """Describe a view in the terms of MLflow's UI.

    Args:
        parent_id: Run of the sweep.
        objectives: Metrics that were optimised, one or more.
        parameters: Paths of the parameters to show.
    """
    metrics = [legal(f"objective/{name}") for name in objectives]
    shown = [legal(path) for path in parameters[:_MOST_PARAMETERS]]
    return {
        "searchFilter": f"tags.`{PARENT_RUN}` = '{parent_id}'",
        "orderByKey": f"metrics.`{metrics[0]}`",
        "orderByAsc": False,
        "startTime": "ALL",
        "lifecycleFilter": "Active",
        "selectedColumns": [
            *(f"metrics.`{name}`" for name in metrics),
            *(f"params.`{path}`" for path in shown),
        ],
        "runsHiddenMode": "SHOW_ALL",
        "hideEmptyCharts": True,
        "isAccordionReordered": True,
        "compareRunCharts": [
            {"uuid": f"{_SECTION}-{number}", "metricSectionId": _SECTION, **_CHART, **chart}
            for number, chart in enumerate(_charts(metrics, shown))
        ],
        "compareRunSections": [
            {
                "uuid": _SECTION,
                "name": "Objectives",
                "display": True,
                "isReordered": True,
                "deleted": False,
                "isGenerated": False,
                "columns": 2,
            }
        ],
    }


_CHART = {"deleted": False, "isGenerated": False}
_MOST_RUNS = 100  # in one chart; the page offers no more


def _charts(metrics: Sequence[str], parameters: Sequence[str]) -> list[Mapping[str, Any]]:
    parallel = {
        "type": "PARALLEL",
        "selectedParams": list(parameters),
        "selectedMetrics": list(metrics),
        "showAllRuns": False,
        "runsCountToCompare": _MOST_RUNS,
    }
    if len(metrics) < 2:
        bar = {"type": "BAR", "metricKey": metrics[0], "runsCountToCompare": _MOST_RUNS}
        return [bar, parallel]
    x, y = ({"key": name, "type": "METRIC"} for name in metrics[:2])
    scatter = {"type": "SCATTER", "xaxis": x, "yaxis": y, "runsCountToCompare": _MOST_RUNS}
    return [scatter, parallel]
