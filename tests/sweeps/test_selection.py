from __future__ import annotations

import math
import warnings
from typing import Literal

import numpy as np
import optuna
import pytest
from optuna.trial import create_trial
from pymoo.indicators.hv import Hypervolume
from pymoo.mcdm.high_tradeoff import HighTradeoffPoints
from pymoo.util.nds.non_dominated_sorting import NonDominatedSorting

from hsplid_core.errors import ConfigError
from sweeps.fronts.indicators import (
    Points,
    default_reference,
    end_indices,
    hypervolume,
    knee_index,
    pareto_ranks,
    trade_offs,
)
from sweeps.fronts.selection import select
from sweeps.spec.objective import Objective
from sweeps.trials.feasibility import Constraint
from sweeps.trials.record import TrialRecord
from tests.sweeps.records import GOALS, complete, failed, warned

Direction = Literal["maximize", "minimize"]
TWO: list[Direction] = ["maximize", "minimize"]
THREE: list[Direction] = ["maximize", "minimize", "maximize"]
CLOUDS = [
    pytest.param(directions, levels, id=f"{len(directions)}-objectives-{levels}-levels")
    for directions in (TWO, THREE)
    for levels in (4, 12, 10_000)  # few levels make ties and duplicates
]


def goals(directions: list[Direction]) -> list[Objective]:
    return [Objective(f"m{i}", direction) for i, direction in enumerate(directions)]


def cloud(directions: list[Direction], levels: int, seed: int = 0, count: int = 60) -> Points:
    points = np.random.default_rng(seed).integers(0, levels, size=(count, len(directions)))
    return np.concatenate([points, points[:5]]) / levels


def losses(points: Points, directions: list[Direction]) -> Points:
    signs = [-1.0 if direction == "maximize" else 1.0 for direction in directions]
    return points * np.array(signs, dtype=np.float64)


def optuna_study(points: Points, directions: list[Direction]) -> optuna.Study:
    study = optuna.create_study(directions=directions)
    study.add_trials([create_trial(values=row) for row in points.tolist()])
    return study


@pytest.mark.parametrize(("directions", "levels"), CLOUDS)
def test_the_front_is_optunas_and_the_ranks_are_pymoos(
    directions: list[Direction], levels: int
) -> None:
    points = cloud(directions, levels)
    ranks = pareto_ranks(points, goals(directions))
    best = {trial.number for trial in optuna_study(points, directions).best_trials}
    assert set(np.flatnonzero(ranks == 1)) == best
    _, expected = NonDominatedSorting().do(losses(points, directions), return_rank=True)
    assert ranks.tolist() == (expected + 1).tolist()


@pytest.mark.parametrize(("directions", "levels"), CLOUDS)
def test_the_hypervolume_is_optunas_and_pymoos(directions: list[Direction], levels: int) -> None:
    points, objectives = cloud(directions, levels), goals(directions)
    reference = np.array([0.1 if direction == "maximize" else 0.9 for direction in directions])
    found = hypervolume(points, reference.tolist(), objectives)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", optuna.exceptions.ExperimentalWarning)
        history = optuna.visualization.plot_hypervolume_history(
            optuna_study(points, directions), reference.tolist()
        )
    assert found == pytest.approx(history.data[0].y[-1], rel=1e-12)
    peer = Hypervolume(ref_point=losses(reference, directions))
    assert found == pytest.approx(float(peer(losses(points, directions))), rel=1e-12)
    assert found > 0.3


def test_the_hypervolume_of_three_boxes_is_their_union() -> None:
    points = np.array([(0.9, 0.2), (0.6, 0.5), (0.3, 0.8)])
    assert hypervolume(points, (0.0, 0.0), GOALS) == pytest.approx(0.18 + 0.18 + 0.09)
    assert hypervolume(points, (0.5, 0.1), GOALS) == pytest.approx(0.04 + 0.03)
    assert hypervolume(points[:0], (0.0, 0.0), GOALS) == 0


def small_front(directions: list[Direction], seed: int) -> Points:
    """Points of which none dominates another: so few that pymoo compares each with all."""
    count = 2 * len(directions) + 1
    points = (
        np.random.default_rng(seed).dirichlet(np.ones(len(directions)), size=count) ** 1.5
    )  # bent outwards
    return losses(points, directions)  # all to be minimised, then signed


@pytest.mark.parametrize("directions", [TWO, THREE], ids=["two", "three"])
def test_the_knee_is_pymoos(directions: list[Direction]) -> None:
    named = 0
    for seed in range(30):
        front = small_front(directions, seed)
        scaled = losses(front, directions)
        scaled = (scaled - scaled.min(axis=0)) / np.ptp(scaled, axis=0)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            knees = HighTradeoffPoints().do(scaled)
        if knees is not None and len(knees) == 1:
            named += 1
            assert knee_index(front, goals(directions)) == knees[0]
    assert named >= 10


def test_the_knee_bends_the_most() -> None:
    front = np.array([(1.0, 0.0), (0.9, 0.85), (0.7, 0.9), (0.0, 1.0)])
    assert knee_index(front, GOALS) == 1
    # From there to its neighbour costs 0.2 for 0.05; that is the best of all offers.
    assert trade_offs(front, GOALS)[1] == pytest.approx(0.2 / 0.05)
    assert knee_index(front * (1000, 1), GOALS) == 1  # units do not matter
    assert knee_index(front[[0, 1, 1, 2]], GOALS) == 1  # equal values are one point
    assert trade_offs(front[[0, 0]], GOALS).tolist() == [math.inf, math.inf]


@pytest.mark.parametrize(
    "front",
    [
        [],
        [(1.0, 0.0)],
        [(0.9, 0.1), (0.2, 0.8)],
        [(0.9, 0.1), (0.2, 0.8), (0.2, 0.8)],
        [(0.9, 0.1), (0.6, 0.4), (0.3, 0.7)],  # a straight line
        [(1.0, 0.0), (0.4, 0.4), (0.0, 1.0)],  # it bends inwards: both ends are equally dear
    ],
)
def test_without_one_trade_off_above_all_others_there_is_no_knee(
    front: list[tuple[float, float]],
) -> None:
    assert knee_index(np.array(front).reshape(-1, 2), GOALS) is None


def test_two_trials_have_no_knee_under_three_objectives_either() -> None:
    objectives = [*GOALS, Objective("hsplid/salient_dims")]
    assert knee_index(np.array([(0.9, 0.1, 0.5), (0.2, 0.8, 0.6)]), objectives) is None


def test_a_trial_with_more_warnings_than_others_is_not_recommended() -> None:
    front = [(0.9, 0.1), (0.85, 0.6), (0.7, 0.65), (0.4, 0.7), (0.1, 0.95)]
    records = [complete(number, *values) for number, values in enumerate(front)]
    assert select(records, GOALS).knee == 1
    doubted = [
        warned(record, "few_classes", *["zero_gradients"] * (record.number in (1, 4)))
        for record in records
    ]
    selection = select(doubted, GOALS)
    assert selection.passed_over == (1, 4)
    assert selection.knee == 2
    assert selection.ends == {"val/accuracy": 0, "val/robust_accuracy": 3}
    assert selection.end_label("val/accuracy") == "best clean accuracy of those without warnings"
    assert len(selection.front) == 5
    assert selection.hypervolume == select(records, GOALS).hypervolume


def test_where_all_are_in_doubt_all_are_candidates() -> None:
    records = [warned(complete(n, 0.1 * n, 0.9 - 0.1 * n), "zero_gradients") for n in range(2)]
    selection = select(records, GOALS)
    assert selection.passed_over == ()
    assert selection.ends == {"val/accuracy": 1, "val/robust_accuracy": 0}
    assert selection.end_label("val/accuracy") == "best clean accuracy"


def test_an_end_with_ties_is_the_best_of_them_in_the_other_objective() -> None:
    objectives = [Objective("a"), Objective("b", "minimize"), Objective("c")]
    front = np.array([(1.0, 5.0, 0.0), (1.0, 4.0, 0.0), (0.0, 1.0, 7.0), (0.0, 1.0, 7.0)])
    assert end_indices(front, objectives) == [1, 2, 2]
    assert end_indices(front[:0], objectives) == []


def test_the_reference_is_the_worst_share_or_the_worst_value() -> None:
    objectives = [
        Objective("val/accuracy"),
        Objective("train/loss", "minimize"),
        Objective("x_accuracy", "minimize"),
    ]
    points = np.array([(0.5, 3.0, 0.2), (0.6, 7.0, 0.1)])
    assert default_reference(points, objectives) == (0.0, 7.0, 1.0)
    assert default_reference(points[:0], objectives) == (0.0, 0.0, 1.0)


def trials() -> list[TrialRecord]:
    nan = complete(3, 0.99, math.nan)
    return [failed(0), complete(1, 0.8, 0.3), complete(2, 0.6, 0.5), nan, complete(4, 0.6, 0.5)]


def test_a_selection_ranks_what_is_feasible_and_lists_the_rest() -> None:
    selection = select([*trials(), complete(5, 0.5, 0.5)], GOALS)
    assert selection.ranks == {1: 1, 2: 1, 4: 1, 5: 2}
    assert selection.infeasible == {3: "val/robust_accuracy is nan"}
    assert [record.number for record in selection.front] == [1, 2, 4]
    assert selection.ties == ((2, 4),)
    assert selection.ends == {"val/accuracy": 1, "val/robust_accuracy": 2}
    assert selection.reference == (0.0, 0.0)
    assert selection.hypervolume == pytest.approx(0.8 * 0.3 + 0.6 * 0.2)
    assert [record.number for record in selection.records] == [0, 1, 2, 3, 4, 5]
    assert selection.records[3].values is None


def test_other_metrics_and_constraints_change_the_front() -> None:
    dims = [Objective("val/accuracy"), Objective("hsplid/salient_dims", "minimize")]
    selection = select(trials(), dims, constraints=[Constraint("val/robust_accuracy", ">", 0.0)])
    assert [record.number for record in selection.front] == [1]  # 11 dimensions, 80%
    assert selection.records[2].values == (0.6, 12.0)
    assert selection.infeasible == {3: "val/robust_accuracy is nan"}
    strict = select(trials(), GOALS, constraints=[Constraint("val/accuracy", ">=", 2)])
    assert strict.front == []
    assert strict.knee is None
    assert strict.hypervolume == 0
    assert strict.infeasible[1] == "val/accuracy is 0.8, not >= 2"


@pytest.mark.parametrize(
    ("objectives", "reference", "message"),
    [
        (
            [Objective("val/auc")],
            None,
            "metric val/auc: no complete trial has it; they have hsplid/",
        ),
        (GOALS, (0.0,), "reference is 0: give a finite number for each of val/accuracy, val/rob"),
        (GOALS, (0.0, math.inf), "reference is 0,inf: give a finite number"),
    ],
)
def test_what_cannot_be_ranked_is_refused(
    objectives: list[Objective], reference: tuple[float, ...] | None, message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        select(trials(), objectives, reference=reference)
