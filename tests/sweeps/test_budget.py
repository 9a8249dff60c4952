"""Budgets: what a sweep spends over all its runs, and how it ends then."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import optuna
import pytest
from optuna.trial import TrialState

from sweeps.engine.budget import Budget
from sweeps.spec.budget_spec import BudgetSpec
from sweeps.spec.objective import Objective
from sweeps.trials.record import TrialRecord
from tests.sweeps.whole_sweep import Sweep

TWO = (Objective(metric="val/accuracy"), Objective(metric="val/robust_accuracy"))
LOSS = (Objective(metric="train/loss", direction="minimize"),)


class Clock:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


def budget(
    study: optuna.Study, clock: Clock, objectives: Sequence[Objective] = TWO, **limits: Any
) -> Budget:
    return Budget(BudgetSpec.model_validate(limits), study, objectives, clock=clock)


def ended(number: int, *values: float, **changes: Any) -> TrialRecord:
    fields = {
        "state": "complete" if values else "failed",
        "values": values or None,
        "metrics": {"epoch": 2.0},
        "seconds": 3600.0,
        "resources": {"cpu": 1.0, "gpu": 0.5},
        **changes,
    }
    return TrialRecord(number=number, parameters={}, **fields)


def test_what_is_spent_counts_over_all_runs() -> None:
    study, clock = optuna.create_study(), Clock()
    limits: dict[str, Any] = {"hours": 2, "gpu_hours": 1.5, "epochs": 6, "trials": 2}
    first = budget(study, clock, **limits)
    first.sweep_started([])
    assert first.used_up() is None
    clock.now += 3600
    first.epoch_finished(0, 1, {"gpu_seconds": 900.0})
    first.trial_finished(ended(1, 0.5, 0.5))
    first.close()
    clock.now += 10**6  # nobody ran it
    # One trial has ended, of another the study knows only what the budget noted.
    tried: list[tuple[dict[str, Any], str | None]] = [
        ({"hours": 1}, "budget.hours is 1, and 1 are spent"),
        ({"gpu_hours": 0.75}, "budget.gpu_hours is 0.75, and 0.75 are spent"),
        ({"epochs": 3}, "budget.epochs is 3, and 3 are spent"),
        ({"trials": 1}, "budget.trials is 1, and 1 are spent"),
        (limits, None),
    ]
    for limit, says in tried:
        again = budget(study, clock, **limit)
        again.sweep_started([ended(1, 0.5, 0.5)])
        assert again.used_up() == says
    # A trial that goes on is counted once.
    again.epoch_finished(0, 2, {"gpu_seconds": 1800.0})
    again.trial_finished(ended(0))
    assert again.used_up() is None  # two trials ended, and one is complete
    clock.now += 3600
    assert again.used_up() == "budget.hours is 2, and 2 are spent"


def test_all_seeds_of_a_trial_have_cost_epochs() -> None:
    found = budget(optuna.create_study(), Clock(), epochs=6)
    found.sweep_started([ended(0, 0.5, 0.5, metrics={"epoch": 2.0, "seeds": 3.0})])
    assert found.used_up() == "budget.epochs is 6, and 6 are spent"


def test_a_front_that_is_good_enough_or_grows_no_more() -> None:
    study, clock = optuna.create_study(), Clock()
    found = budget(study, clock, hypervolume=0.5, no_improvement={"trials": 2, "share": 0.1})
    found.sweep_started([])
    for number, values, says in [
        (0, (0.5, 0.5), None),
        (1, (0.6, 0.5), None),
        (2, (), None),  # a failed trial is no try
        (3, (0.4, 0.4), None),
        (4, (0.605, 0.5), "over the last 2 trials the hypervolume went from 0.3 to 0.3025, not"),
        (5, (0.8, 0.7), "budget.hypervolume is 0.5, and 0.56 is reached"),
    ]:
        found.trial_finished(ended(number, *values))
        told = found.used_up()
        assert says in told if says and told else told == says
    infeasible = budget(study, clock, hypervolume=0.5)
    infeasible.sweep_started([ended(0, 0.9, 0.9, infeasible="val/accuracy is 0.9, not >= 1")])
    assert infeasible.used_up() is None


def test_a_single_objective_has_its_best_value() -> None:
    found = budget(optuna.create_study(), Clock(), LOSS, hypervolume=0.2)
    found.sweep_started([ended(0, 0.5), ended(1, 0.3)])
    assert found.used_up() is None
    found.trial_finished(ended(2, 0.1))
    assert found.used_up() == "budget.hypervolume is 0.2, and 0.1 is reached"


@pytest.mark.cluster
@pytest.mark.filterwarnings("default")
def test_a_budget_ends_a_sweep_and_more_of_it_lets_it_go_on(sweep: Sweep) -> None:
    sweep.write(trials=2)
    code, output = sweep.run("budget={epochs: 1, at_end: stop}")
    assert code == 0, output
    assert "budget.epochs is 1, and 1 are spent: no further trial starts, those that" in output
    assert "Ended   budget.epochs is 1, and 1 are spent; with a larger one the same" in output
    assert {trial.state for trial in sweep.trials()} == {TrialState.RUNNING}
    # The trial that runs goes on to its end, from where it was.
    code, output = sweep.run("budget.trials=1")
    assert code == 0, output
    assert "budget.trials is 1, and" in output
    first, *others = sweep.trials()
    assert (first.state, first.user_attrs["attempts"]) == (TrialState.COMPLETE, 2)
    assert all("attempts" not in trial.user_attrs for trial in others)
    code, output = sweep.run()
    assert code == 0, output
    assert "Ended" not in output
    assert [trial.state for trial in sweep.trials()] == [TrialState.COMPLETE] * 2
