from __future__ import annotations

import math
from types import SimpleNamespace
from typing import Any

import optuna
import pytest
from optuna.trial import FrozenTrial, TrialState, create_trial

from sweeps.search.mo_asha import MoAsha, Rungs
from sweeps.spec.objective import Objective
from sweeps.trials.attributes import RUNGS
from tests.sweeps.records import GOALS


def rungs(goals: list[Objective] = GOALS, **settings: int) -> Rungs:
    given = {"grace_epochs": 1, "reduction_factor": 3, "max_epochs": 20, **settings}
    return Rungs(goals, **given)


def metrics(*values: float) -> dict[str, float]:
    return {goal.metric: value for goal, value in zip(GOALS, values, strict=False)}


def test_rungs_grow_by_the_factor_and_end_where_half_of_a_trial_is_over() -> None:
    assert rungs().levels == [1, 3, 9]
    assert rungs(grace_epochs=2, reduction_factor=2, max_epochs=16).levels == [2, 4, 8]
    assert rungs(grace_epochs=2, reduction_factor=2, max_epochs=15).levels == [2, 4]
    assert rungs(grace_epochs=4, max_epochs=5).levels == [4]  # what the spec asks for
    assert rungs(grace_epochs=5, max_epochs=5).levels == []


def test_one_objective_is_successive_halving() -> None:
    asha = rungs(GOALS[:1])
    values = [0.5, 0.6, 0.4, 0.55, 0.3, 0.7]
    decisions = [asha.goes_on(n, 1, metrics(value)) for n, value in enumerate(values)]
    # Two trials cannot be judged; then one in three goes on: of six, the best two.
    assert decisions == [True, True, False, False, False, True]
    assert asha.goes_on(1, 2, metrics(0.1))  # between two rungs nobody is judged
    assert [asha.goes_on(n, 3, metrics(value)) for n, value in ((0, 0.5), (1, 0.1))] == [
        True,
        True,
    ]


def test_a_trial_on_the_front_is_never_stopped() -> None:
    asha = rungs()
    # All six trade one objective for the other: one place in three, yet nobody is dominated.
    for number in range(6):
        assert asha.goes_on(number, 1, metrics(0.1 * number, 1 - 0.1 * number))
    assert not asha.goes_on(6, 1, metrics(0.2, 0.3))  # dominated by several


def test_off_the_front_the_rung_decides_by_rank_and_spread() -> None:
    asha = rungs()
    # A finished trial dominates everything that runs, so that no front protects it.
    asha.note_end(complete(99, 1.0, 1.0))
    corner, other, close, middle = (0.9, 0.0), (0.0, 0.9), (0.88, 0.05), (0.5, 0.5)
    decisions = [
        asha.goes_on(n, 1, metrics(*values))
        for n, values in enumerate([corner, other, close, middle, (0.1, 0.1), (0.51, 0.4)])
    ]
    # None dominates another of the first four; the net begins at the best first objective, so one
    # that is close to it is the last. Of six trials two go on: both corners come before the last.
    assert decisions == [True, True, False, False, False, False]
    assert asha.goes_on(6, 1, metrics(0.89, 0.01)) is False


def test_what_is_not_measured_or_not_finite_decides_nothing_or_is_worst() -> None:
    asha = rungs(reduction_factor=2, max_epochs=4)
    assert asha.goes_on(0, 1, {"val/accuracy": 0.9})  # robustness is not due in this epoch
    assert asha.reached(0) == {}
    asha.goes_on(0, 2, metrics(0.9, 0.9))
    assert list(asha.reached(0)) == [2]  # the next measurement stands for the rung
    assert asha.goes_on(1, 2, metrics(0.95, math.nan))  # better in what it has
    assert not asha.goes_on(2, 2, metrics(math.nan, math.nan))


def test_minimised_objectives_and_any_number_of_them() -> None:
    goals = [Objective("a"), Objective("b", "minimize"), Objective("c")]
    asha = Rungs(goals, grace_epochs=1, reduction_factor=2, max_epochs=4)
    assert asha.goes_on(0, 1, {"a": 0.5, "b": 1.0, "c": 0.5})
    assert not asha.goes_on(1, 1, {"a": 0.5, "b": 2.0, "c": 0.5})
    assert asha.goes_on(2, 1, {"a": 0.5, "b": 0.5, "c": 0.5})


def test_rungs_go_on_from_the_study() -> None:
    before = rungs(reduction_factor=2, max_epochs=8)
    study = optuna.create_study(directions=["maximize", "maximize"])
    values = [(0.9, 0.8), (0.8, 0.9), (0.3, 0.3), (0.2, 0.4)]
    for number, (first, second) in enumerate(values):
        before.goes_on(number, 1, metrics(first, second))
        trial = study.ask()
        reached = {str(level): list(found) for level, found in before.reached(number).items()}
        trial.set_user_attr(RUNGS, reached)
        if number == 0:
            study.tell(trial, [first, second])
        elif number > 1:
            study.tell(trial, state=TrialState.PRUNED)
    after = rungs(reduction_factor=2, max_epochs=8)
    after.load(study.get_trials())
    assert [after.reached(n) for n in range(4)] == [before.reached(n) for n in range(4)]
    before.forget(0)
    before.note_end(study.trials[0])
    for asha in (before, after):
        assert asha.goes_on(1, 1, metrics(0.1, 0.1))  # a resumed trial tells its rung again
        assert not asha.goes_on(4, 1, metrics(0.25, 0.2))
        assert asha.goes_on(5, 1, metrics(0.85, 0.85))


@pytest.mark.parametrize(
    ("ends", "on_front"),
    [
        ({}, True),
        ({"constraints": {"hsplid/salient_dims": 0.5}}, False),  # collapsed
        ({"state": TrialState.PRUNED, "values": None}, False),  # stopped
    ],
)
def test_only_a_whole_and_usable_trial_stays_on_the_front(
    ends: dict[str, Any], on_front: bool
) -> None:
    scheduler = MoAsha(rungs(reduction_factor=2, max_epochs=4), lambda *_: None)
    for number in (0, 1):
        decide(scheduler, number, 0.9 - 0.1 * number, 0.9)
        scheduler.on_trial_complete(None, ray_trial(number), {})
        scheduler.note_end(complete(number, 0.8, 0.8, **ends))
    # Whoever is worse at the rung than both goes on only if none of them counts any more.
    assert decide(scheduler, 2, 0.7, 0.7) == ("STOP" if on_front else "CONTINUE")


def test_further_seeds_of_a_trial_are_not_judged_again() -> None:
    scheduler = MoAsha(rungs(reduction_factor=2, max_epochs=4), lambda *_: None)
    scheduler.note_end(complete(9, 0.95, 0.95))
    assert decide(scheduler, 0, 0.9, 0.9) == "CONTINUE"
    assert decide(scheduler, 0, 0.1, 0.1, replicate=1) == "CONTINUE"
    assert decide(scheduler, 2, 0.1, 0.1) == "STOP"


def complete(number: int, *values: float, **changes: Any) -> FrozenTrial:
    made = create_trial(**{"values": list(values), "state": TrialState.COMPLETE, **changes})
    made.number = number
    return made


def ray_trial(number: int, **more: int) -> Any:
    return SimpleNamespace(trial_id=str(number), config={"assignment": {"number": number, **more}})


def decide(scheduler: MoAsha, number: int, *values: float, **more: int) -> str:
    """Let a trial finish its first epoch; return the scheduler's decision."""
    found = {"epoch": 1.0, **metrics(*values)}
    result = {f"metrics/{name}": value for name, value in found.items()}
    return scheduler.on_trial_result(None, ray_trial(number, **more), result)


@pytest.mark.parametrize("epoch", [2, 4])
def test_a_rung_holds_each_trial_once(epoch: int) -> None:
    asha = rungs(reduction_factor=2, max_epochs=8)
    for _ in range(3):
        asha.goes_on(0, epoch, metrics(0.5, 0.5))
    assert asha.reached(0) == {epoch: (-0.5, -0.5)}
