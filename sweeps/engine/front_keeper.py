"""Telling the listeners of trials that ended, and keeping the front and its checkpoints."""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import optuna
from optuna.trial import FrozenTrial

from sweeps.fronts.ranking import Front
from sweeps.spec.objective import Objective, minimised
from sweeps.trials.attributes import REPLICATES
from sweeps.trials.checkpoint_files import checkpoints_of
from sweeps.trials.from_study import is_candidate, record_of, records_of
from sweeps.trials.listener import SweepListener
from sweeps.trials.record import TrialRecord


class FrontKeeper:
    """Follows the front from trial to trial, at a cost that does not grow with the study.

    Args:
        study: The study.
        objectives: The sweep's objectives.
        folder: The sweep's folder; what ends off the front, or leaves it, loses its checkpoints
            soon after, beside what the driver does next: in a bucket that takes a while.
        listeners: Are told in this order.
        keeps_all: Leave all trials their checkpoints.
    """

    def __init__(
        self,
        study: optuna.Study,
        objectives: Sequence[Objective],
        folder: Path,
        listeners: Sequence[SweepListener],
        *,
        keeps_all: bool = False,
    ) -> None:
        self._study = study
        self._objectives = objectives
        self._checkpoints = checkpoints_of(folder, study)
        self._listeners = listeners
        self._keeps_all = keeps_all
        self._front = Front(len(objectives))
        # What it cannot remove is left to the end of the sweep, or to its next run.
        self._remover = ThreadPoolExecutor(1, thread_name_prefix="remove-checkpoints")

    def start(self) -> None:
        """Tell what earlier runs left, and clear away what a killed one did not."""
        records = records_of(self._study)
        for record in records:
            if record.on_front and record.values is not None:
                self._front.add(record.number, minimised(record.values, self._objectives))
        self.collect_garbage(records)
        for listener in self._listeners:
            listener.sweep_started(records)

    def collect_garbage(self, records: Sequence[TrialRecord]) -> None:
        """Remove what is not to be kept of all trials that ended."""
        if not self._keeps_all:
            self._checkpoints.collect_garbage(records)

    def trial_ended(self, number: int) -> None:
        """Tell of a trial that the study knows to have ended."""
        trial = self._study.get_trials(deepcopy=False)[number]
        left = self._front_with(trial)
        losers = [number] if left is None else left
        for loser in [] if self._keeps_all else losers:
            self._remover.submit(self._checkpoints.remove, loser)
        if REPLICATES in trial.user_attrs:
            self._remover.submit(self._checkpoints.remove_further_seeds, number)
        record = record_of(trial, on_front=left is not None)
        for listener in self._listeners:
            listener.trial_finished(record, left or ())

    def admits(self, values: Sequence[float]) -> bool:
        """Tell whether no trial that has ended dominates a trial with these values."""
        return self._front.admits(minimised(values, self._objectives))

    def _front_with(self, trial: FrozenTrial) -> list[int] | None:
        """Let a trial take its place on the front; returns who left, or None without a place."""
        if not is_candidate(trial):
            return None
        return self._front.add(trial.number, minimised(trial.values, self._objectives))
