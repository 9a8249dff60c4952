"""Telling the listeners of trials that ended, and keeping the front and its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial, TrialState

from sweeps.events import SweepListener
from sweeps.results import Objective, dominates, record_of, records_of
from sweeps.trial_files import collect_garbage, remove_checkpoints


class Announcer:
    """Follows the front from trial to trial, at a cost that does not grow with the study.

    Args:
        study: The study.
        objectives: The sweep's objectives.
        folder: The sweep's folder; what ends off the front, or leaves it, loses its checkpoints
            soon after, beside what the driver does next: in a bucket that takes a while.
        listeners: Are told in this order.
    """

    def __init__(
        self,
        study: optuna.Study,
        objectives: Sequence[Objective],
        folder: Path,
        listeners: Sequence[SweepListener],
    ) -> None:
        self._study = study
        self._objectives = objectives
        self._folder = folder
        self._listeners = listeners
        self._front: dict[int, Sequence[float]] = {}  # values by number
        # What it cannot remove is left to the end of the sweep, or to its next run.
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="remove-checkpoints")

    def start(self) -> None:
        """Tell what earlier runs left, and clear away what a killed one did not."""
        records = records_of(self._study)
        self._front = {record.number: record.values or () for record in records if record.on_front}
        collect_garbage(self._folder, records)
        for listener in self._listeners:
            listener.sweep_started(records)

    def trial_ended(self, number: int) -> None:
        """Tell of a trial that the study knows to have ended."""
        trial = self._study.get_trials(deepcopy=False)[number]
        on_front = self._enters(trial)
        left = self._dominated_by(trial.values) if on_front else []
        for member in left:
            del self._front[member]
        if on_front:
            self._front[number] = trial.values
        for loser in left if on_front else [number]:
            self._remover.submit(remove_checkpoints, self._folder, loser)
        record = record_of(trial, on_front=on_front)
        for listener in self._listeners:
            listener.trial_finished(record, left)

    def _enters(self, trial: FrozenTrial) -> bool:
        if trial.state != TrialState.COMPLETE or any(x > 0 for x in trial.constraints.values()):
            return False
        members = self._front.values()
        return not any(dominates(values, trial.values, self._objectives) for values in members)

    def _dominated_by(self, values: Sequence[float]) -> list[int]:
        members = self._front.items()
        return [number for number, of in members if dominates(values, of, self._objectives)]
