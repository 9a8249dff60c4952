"""A confirmation in MLflow: numbers in the runs that it is about, and its files in the sweep's."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from sweeps.tracking.client import KnownRun, connect, explained, legal, make_metrics, write
from sweeps.tracking.runs import Recording, check_database, find_runs

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
