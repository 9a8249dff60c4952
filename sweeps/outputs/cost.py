"""Cost of a sweep, and what the front had reached by when."""

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import optuna
from optuna.trial import create_trial

from sweeps.fronts.selection import Selection
from sweeps.study.stored_sweep import StoredSweep
from sweeps.trials.labels import N_SEEDS, duration_text
from sweeps.trials.record import TrialRecord

_HOUR_S = 3600.0


@dataclass(frozen=True, kw_only=True)
class History:
    """The hypervolume after each complete trial, in the order of their ends.

    Attributes:
        numbers: The trials.
        hypervolumes: The hypervolume of all trials so far.
        hours: Hours since the first trial began.
        device_hours: GPU hours so far, of all trials that had ended; core hours without a GPU.
        epochs: Epochs so far, of all trials that had ended, under all their seeds.
        spent: Device hours of all trials, the last ones included.
        all_epochs: Epochs likewise.
        device: What those hours are of: ``GPU`` or ``CPU core``.
    """

    numbers: tuple[int, ...]
    hypervolumes: tuple[float, ...]
    hours: tuple[float, ...]
    device_hours: tuple[float, ...]
    epochs: tuple[float, ...]
    spent: float
    all_epochs: float
    device: str


def occupied(record: TrialRecord, fallback: Mapping[str, float], device: str) -> float:
    """Return how many hours of ``cpu`` or ``gpu`` a trial has taken.

    Args:
        record: The trial.
        fallback: What a trial occupies where the record does not say.
        device: ``cpu`` or ``gpu``.
    """
    amount = record.resources.get(device, fallback.get(device, 0.0))
    return (record.seconds or 0.0) * amount / _HOUR_S


def resources_of(sweep: StoredSweep) -> Mapping[str, float]:
    """Return what a trial of a sweep occupies where its record does not say: cpu and gpu."""
    if sweep.info is None:
        return {"cpu": 1.0, "gpu": 0.0}
    resources = sweep.info.spec.resources
    # An automatic share of a GPU was measured; each trial has kept it.
    kept = next((record.resources for record in sweep.records if record.resources), {})
    gpu = kept.get("gpu", 0.0) if resources.gpu == "auto" else resources.gpu
    return {"cpu": resources.cpu, "gpu": gpu}


def hypervolume_history(
    study: optuna.Study, selection: Selection, resources: Mapping[str, float]
) -> History:
    """Follow the hypervolume over time and over what was spent.

    Args:
        study: The study, which knows when trials began and ended.
        selection: Which trials count, with which objectives and reference point.
        resources: What a trial occupies where its record does not say: ``cpu`` and ``gpu``.
    """
    records = {record.number: record for record in selection.records}
    ended: list[tuple[datetime, int]] = []
    began: list[datetime] = []
    for trial in study.get_trials(deepcopy=False):
        if trial.datetime_start is not None:
            began.append(trial.datetime_start)
        if trial.datetime_complete is not None and trial.number in records:
            ended.append((trial.datetime_complete, trial.number))
    ended.sort()
    start = min([*began, *(time for time, _ in ended)], default=datetime.min)
    uses_gpu = any(occupied(record, resources, "gpu") for record in selection.records)
    device = "gpu" if uses_gpu else "cpu"
    spent, n_epochs = 0.0, 0.0
    hours, device_hours, epochs, numbers = [], [], [], []
    for time, number in ended:
        record = records[number]
        spent += occupied(record, resources, device)
        n_epochs += record.metrics.get("epoch", 0.0) * record.metrics.get(N_SEEDS, 1.0)
        if record.values is not None:
            numbers.append(number)
            hours.append((time - start).total_seconds() / _HOUR_S)
            device_hours.append(spent)
            epochs.append(n_epochs)
    return History(
        numbers=tuple(numbers),
        hypervolumes=_hypervolumes([records[number] for number in numbers], selection),
        hours=tuple(hours),
        device_hours=tuple(device_hours),
        epochs=tuple(epochs),
        spent=spent,
        all_epochs=n_epochs,
        device="GPU" if uses_gpu else "CPU core",
    )


def _hypervolumes(records: Sequence[TrialRecord], selection: Selection) -> tuple[float, ...]:
    """Let Optuna follow the hypervolume: it adds up what each new trial contributes."""
    if not records or len(selection.objectives) < 2:
        return ()
    study = optuna.create_study(
        directions=[objective.direction for objective in selection.objectives]
    )
    study.add_trials([create_trial(values=list(record.values or ())) for record in records])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        plot = optuna.visualization.plot_hypervolume_history(study, list(selection.reference))
    return tuple(float(value) for value in plot.data[0].y)


def cost_facts(
    selection: Selection, history: History, resources: Mapping[str, float]
) -> dict[str, str]:
    """Sum up what all trials took, failed ones apart."""
    records = [record for record in selection.records if record.seconds is not None]
    failed = [record for record in records if record.state == "failed"]
    total = sum(record.seconds or 0.0 for record in records)
    facts = {
        "trials that ran": str(len(records)),
        "time of all trials together": duration_text(total),
        "CPU core hours": f"{sum(occupied(r, resources, 'cpu') for r in records):.3g}",
        "GPU hours": f"{sum(occupied(r, resources, 'gpu') for r in records):.3g}",
        "time lost in failed trials": duration_text(sum(r.seconds or 0.0 for r in failed)),
    }
    if history.hours:
        elapsed = duration_text(history.hours[-1] * _HOUR_S)
        facts["from the first start to the last end"] = elapsed
    return facts
