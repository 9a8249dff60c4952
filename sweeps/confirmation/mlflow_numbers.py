"""A confirmation handed to MLflow: what its numbers are called there, and whose they are.

The sweep's run gets those of the models that all start from or are compared with, each trial's run
its own. ``MEASURE`` is a column of the table on the test split in lower case, ``pgd/full/linf/2``.

=========================================  ====================================================
metric                                     meaning
=========================================  ====================================================
``confirm/test/MEASURE/mean``, ``/sd``     over the new seeds, on the test split
``confirm/test/MEASURE/low``, ``/high``    interval of that mean over seeds and images (95%)
``confirm/gain/MEASURE/mean``, ...         the same of what it has over its own cross-entropy
``confirm/luck/OBJECTIVE``                 what the search flattered, on validation images
``confirm/front_share``                    share of draws of seeds and images with it on the front
=========================================  ====================================================

Tags are ``confirm.suite``, ``confirm.seeds`` and, for trials, ``confirm.on_front``.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from hsplid_core.errors import SaliencyError
from sweeps.confirmation.plan import Plan
from sweeps.confirmation.results import MEASUREMENTS_FILE, RESULT_FILE, Confirmation
from sweeps.model_evaluation.confidence import Spread
from sweeps.tracking.find_runs import Recording, check_database, find_runs
from sweeps.tracking.mlflow_client import KnownRun, connect, explained, legal, make_metrics, write

logger = logging.getLogger(__name__)


def record(plan: Plan, confirmation: Confirmation, report: Path) -> bool:
    """Write a confirmation into the runs of its sweep.

    Args:
        plan: What was run.
        confirmation: What came of it.
        report: The sweep's report, written anew.

    Returns:
        Whether MLflow has it; if not, a warning says why, and the files on disk have it all.
    """
    trials = {each.name: each.trial for each in plan.configurations}
    metrics: dict[int | None, dict[str, float]] = {None: {}}
    shared = {
        "confirm.suite": confirmation.suite,
        "confirm.seeds": ",".join(map(str, confirmation.seeds)),
    }
    tags: dict[int | None, dict[str, str]] = {None: shared}
    for name in confirmation.configurations:
        number = trials.get(name)
        own = metrics.setdefault(number, {})
        if number is None:
            prefix = name.replace(", ", "_").replace(" ", "_")
            own.update(_spreads(f"confirm/{prefix}/test", confirmation.test[name]))
            continue
        own.update(_spreads("confirm/test", confirmation.test[name]))
        own.update(_spreads("confirm/gain", confirmation.gains.get(name, {})))
        for metric, luck in confirmation.luck.get(name, {}).items():
            own[f"confirm/luck/{metric}"] = luck.luck
        tags[number] = dict(shared)
        if (standing := confirmation.standings.get(name)) is not None:
            own["confirm/front_share"] = standing.share
            tags[number]["confirm.on_front"] = str(standing.on_front).lower()
    try:
        log_confirmation(
            plan.sweep.recording,
            metrics=metrics,
            tags=tags,
            numbers=[plan.folder / RESULT_FILE, plan.folder / MEASUREMENTS_FILE],
            report=report,
        )
    except SaliencyError as error:
        logger.warning("%s. The same command tries again", error)
        return False
    return True


def _spreads(prefix: str, measures: Mapping[str, Spread]) -> dict[str, float]:
    found: dict[str, float] = {}
    for measure, spread in measures.items():
        name = measure.removesuffix("/255").replace(" ", "/")
        parts = {"mean": spread.mean, "sd": spread.sd, "low": spread.low, "high": spread.high}
        found |= {f"{prefix}/{name}/{key}": x for key, x in parts.items() if x is not None}
    return found


_FOLDER = "confirm"


def log_confirmation(
    recording: Recording,
    *,
    metrics: Mapping[int | None, Mapping[str, float]],
    tags: Mapping[int | None, Mapping[str, str]],
    numbers: Sequence[Path],
    report: Path,
) -> None:
    """Write down what new seeds said; doing it again changes nothing.

    Args:
        recording: Where the sweep was recorded.
        metrics: Values by name, for each trial's number; None stands for the sweep's own run.
        tags: Tags likewise; those of an earlier confirmation are replaced.
        numbers: Files for the folder ``confirm`` of the sweep's run.
        report: The sweep's report, which replaces the one in its run.

    Raises:
        ConfigError: There is no such database.
        TrackingError: The sweep has no run there, or the server does not answer.
    """
    check_database(recording.uri)
    with explained(recording.uri):
        client = connect(recording.uri)
        runs = find_runs(client, recording)
        for trial in dict.fromkeys((*metrics, *tags)):
            found = runs.parent if trial is None else runs.trials.get(trial)
            if found is None:
                continue
            run = KnownRun.of(found)
            named = metrics.get(trial, {}).items()
            news = {name: x for name, x in named if run.metrics.get(legal(name)) != x}
            now = int(1000 * time.time())
            step = run.last_epoch
            write(client, run, make_metrics(news, step=step, time_ms=now), tags=tags.get(trial))
        parent = runs.parent.info.run_id
        for path in numbers:
            client.log_artifact(parent, str(path), _FOLDER)
        client.log_artifact(parent, str(report))
