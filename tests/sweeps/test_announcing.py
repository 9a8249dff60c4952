from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

import numpy as np
import optuna
import pytest
from optuna.trial import TrialState, create_trial

from sweeps.engine.front_keeper import FrontKeeper
from sweeps.spec.objective import Objective
from sweeps.storage.bucket_mirror import CHECKPOINTS
from sweeps.trials.checkpoint_files import trial_folder
from sweeps.trials.from_study import records_of
from sweeps.trials.record import TrialRecord
from trainables.config import ParameterValue

Directions = list[Literal["maximize", "minimize"]]


class Follower:
    """Knows of the front only what it is told."""

    def __init__(self) -> None:
        self.front: set[int] = set()
        self.left: list[list[int]] = []

    def sweep_started(self, records: Sequence[TrialRecord]) -> None:
        self.front = {record.number for record in records if record.on_front}

    def trial_started(
        self, number: int, parameters: Mapping[str, ParameterValue], *, resumed: bool
    ) -> None:
        raise AssertionError("no trial starts here")

    def epoch_finished(self, number: int, epoch: int, metrics: Mapping[str, float]) -> None:
        raise AssertionError("no trial trains here")

    def trial_finished(self, record: TrialRecord, left: Sequence[int] = ()) -> None:
        self.left.append(list(left))
        self.front -= set(left)
        if record.on_front:
            self.front.add(record.number)

    def sweep_finished(self, records: Sequence[TrialRecord], *, interrupted: bool) -> None:
        raise AssertionError("no sweep ends here")


def announced(
    study: optuna.Study, directions: Directions, folder: Path, *, keeps_all: bool = False
) -> Follower:
    """Announce each trial of a study but the first two, which an earlier driver announced."""
    goals = [Objective(f"m{i}", direction) for i, direction in enumerate(directions)]
    known = optuna.create_study(directions=directions)
    trials = study.get_trials()
    known.add_trials(trials[:2])
    follower = Follower()
    keeper = FrontKeeper(known, goals, folder, [follower], keeps_all=keeps_all)
    keeper.start()
    for trial in trials[2:]:
        known.add_trial(trial)
        keeper.trial_ended(trial.number)
        best = {trial.number for trial in known.best_trials}
        assert follower.front == best
        assert {record.number for record in records_of(known) if record.on_front} == best
    return follower


@pytest.mark.parametrize("directions", [["minimize"], ["maximize", "minimize"], ["maximize"] * 3])
def test_the_front_that_is_told_is_optunas_after_every_trial(
    directions: Directions, tmp_path: Path
) -> None:
    study = optuna.create_study(directions=directions)
    # Few distinct values, so that ties and duplicates occur.
    cloud = np.random.default_rng(0).integers(0, 6, size=(80, len(directions)))
    points = cloud.astype(float)
    points[5::13, 0] = np.inf
    for number, values in enumerate(points.tolist()):
        if number % 7 == 3:
            study.add_trial(create_trial(state=TrialState.FAIL))
        # As good as can be, and not usable.
        best = [9.0 if direction == "maximize" else -9.0 for direction in directions]
        infeasible = number % 9 == 4
        attributes = {"constraints:size": 1.0} if infeasible else {}
        study.add_trial(
            create_trial(values=best if infeasible else values, system_attrs=attributes)
        )
    follower = announced(study, directions, tmp_path)
    assert any(follower.left)  # somebody was pushed off


@pytest.mark.parametrize("keeps_all", [False, True])
def test_checkpoints_stay_on_the_front_or_of_all(tmp_path: Path, keeps_all: bool) -> None:
    study = optuna.create_study(directions=["maximize", "maximize"])
    points = [[0.5, 0.5], [0.4, 0.6], [0.3, 0.3], [0.6, 0.6], [0.1, 0.9]]
    for values in points:
        study.add_trial(create_trial(values=values))
    folders = [tmp_path / CHECKPOINTS / "attempt_001" / trial_folder(n) for n in range(5)]
    for folder in folders:
        (folder / "checkpoint_000000").mkdir(parents=True)
    follower = announced(study, ["maximize", "maximize"], tmp_path, keeps_all=keeps_all)
    assert follower.front == {3, 4}
    assert follower.left == [[], [0, 1], []]
    # They are removed beside what the driver does next.
    deadline = time.monotonic() + 10
    kept = [keeps_all] * 3 + [True, True]
    while [any(folder.iterdir()) for folder in folders] != kept:
        assert time.monotonic() < deadline
        time.sleep(0.01)
