"""Running trials of a sweep in its live report: how far each is, and how long the rest takes."""

from __future__ import annotations

from sweeps.outputs.page import Section
from sweeps.outputs.page_tables import Cell, Table
from sweeps.study.steered import total_trials
from sweeps.study.stored_sweep import StoredSweep
from sweeps.terminal.sweep_status import SweepStatus
from sweeps.trials.labels import (
    differing_parameters,
    duration_text,
    metric_label,
    metric_text,
    parameters_text,
)
from sweeps.trials.learning_curves import Curve, read_curves
from sweeps.trials.record import ENDED_STATES, TrialRecord


def standing_text(sweep: StoredSweep) -> str:
    """Say how many trials of a running sweep have ended, and how long the others may take."""
    ended = sum(record.state in ENDED_STATES for record in sweep.records)
    told = f"{ended} of {_total(sweep)} trials have ended"
    left = _seconds_left(sweep)
    if left is None:
        return told
    low, high = map(duration_text, left)
    return f"{told}, {low if low == high else f'{low} to {high}'} left"


def _total(sweep: StoredSweep) -> int:
    known = len(sweep.records)
    return known if sweep.info is None else max(known, total_trials(sweep.study, sweep.spec))


def _running(sweep: StoredSweep) -> list[TrialRecord]:
    # One without an attempt was asked for ahead, and waits for a worker.
    return [record for record in sweep.records if record.state == "running" and record.attempts]


def _seconds_left(sweep: StoredSweep) -> tuple[float, float] | None:
    """Estimate as the terminal does, by what trials have taken; None before that is known."""
    running = _running(sweep)
    if sweep.info is None or not running:
        return None
    status = SweepStatus(
        _total(sweep),
        sweep.objectives,
        epochs=max(1, sweep.spec.training.epochs),
        concurrency=len(running),
    )
    status.load(sweep.records)
    curves = read_curves(sweep.folder)
    for record in running:
        status.start(record.number, record.parameters)
        status.running[record.number].epoch = max(curves.get(record.number, {}), default=0)
    return status.seconds_left()


def running_section(sweep: StoredSweep) -> Section | None:
    """List the trials that run now; None where none does."""
    running = _running(sweep)
    if not running:
        return None
    curves = read_curves(sweep.folder)
    names = differing_parameters(running)
    epochs = "" if sweep.info is None else f" of {sweep.spec.training.epochs}"
    rows = [
        [
            Cell(str(record.number), is_number=True),
            Cell(
                f"{max(curves.get(record.number, {}), default=0)}{epochs}"
                # Before its end a trial has metrics of its first seed alone.
                f"{', further seeds' if record.metrics else ''}",
                is_number=True,
            ),
            *(
                Cell(_last(curves.get(record.number, {}), goal.metric), is_number=True)
                for goal in sweep.objectives
            ),
            Cell(str(record.attempts), is_number=True),
            Cell(parameters_text(record.parameters, names)),
        ]
        for record in running
    ]
    goals = [metric_label(objective.metric) for objective in sweep.objectives]
    header = ["trial", "epoch", *goals, "attempts", "parameters"]
    return Section(
        anchor="running",
        title="Running now",
        text=[
            "Their curves are among the learning curves below; more than one attempt means that "
            "a worker was lost, or the sweep was stopped, and the trial went on."
        ],
        tables=[Table("Trials on workers", header, rows)],
    )


def _last(curve: Curve, metric: str) -> str:
    known = [values[metric] for values in curve.values() if metric in values]
    return metric_text(metric, known[-1] if known else None)
