from __future__ import annotations

import math
from typing import Any

import pytest
from optuna.trial import TrialState

from hsplid_core.errors import ConfigError
from sweeps.spec.search_spec import ConstraintSpec
from sweeps.trials.feasibility import excess
from sweeps.trials.outcome import lost_worker, objective_values, outcome_of

OBJECTIVES = ["val/accuracy", "val/robust_accuracy"]
COLLAPSE = [
    ConstraintSpec(metric="hsplid/salient_dims", minimum=2),
    ConstraintSpec(metric="val/accuracy", minimum=0.4),
]


def result(salient: float = 12, accuracy: float = 0.9, **more: Any) -> dict[str, Any]:
    return {
        "metrics/epoch": 3,
        "metrics/val/accuracy": accuracy,
        "metrics/val/robust_accuracy": 0.5,
        "metrics/hsplid/salient_dims": salient,
        "trial_seconds": 7.5,
        "done": True,
        **more,
    }


def test_a_whole_trial_is_complete_with_its_constraints() -> None:
    outcome = outcome_of(result(ended=True), OBJECTIVES, COLLAPSE)
    assert (outcome.state, outcome.values) == (TrialState.COMPLETE, [0.9, 0.5])
    assert outcome.constraints == {
        "hsplid/salient_dims": -5.0,
        "val/accuracy": pytest.approx(-1.25),
    }
    assert outcome.attributes["seconds"] == 7.5
    assert "infeasible" not in outcome.attributes


@pytest.mark.parametrize(
    ("salient", "accuracy", "says"),
    [
        (1, 0.9, "hsplid/salient_dims is 1, not >= 2"),
        (0, 0.327, "hsplid/salient_dims is 0, not >= 2; val/accuracy is 0.327, not >= 0.4"),
    ],
)
def test_a_collapsed_model_is_complete_and_infeasible(
    salient: float, accuracy: float, says: str
) -> None:
    outcome = outcome_of(result(salient, accuracy, ended=True), OBJECTIVES, COLLAPSE)
    assert outcome.state == TrialState.COMPLETE
    assert outcome.attributes["infeasible"] == says
    assert max(outcome.constraints.values()) > 0


def test_divergence_is_told_as_a_violated_constraint() -> None:
    told = {"failure": "the loss became NaN", "cause": "diverged", "ended": True}
    outcome = outcome_of({**result(), **told}, OBJECTIVES, COLLAPSE)
    assert (outcome.state, outcome.values) == (TrialState.PRUNED, None)
    assert outcome.constraints == {"diverged": 1.0}
    assert outcome.attributes["failure"] == "the loss became NaN"
    assert not outcome.counts_as_failure


def test_a_stopped_trial_has_metrics_but_no_values() -> None:
    outcome = outcome_of(result(), OBJECTIVES, COLLAPSE)
    assert (outcome.state, outcome.values) == (TrialState.PRUNED, None)
    assert outcome.attributes["metrics"]["val/accuracy"] == 0.9
    assert "failure" not in outcome.attributes
    assert outcome.constraints == {}


@pytest.mark.parametrize("cause", ["error", "out_of_memory"])
def test_any_other_failure_fails_with_its_traceback(cause: str) -> None:
    told = {
        "failure": "KeyError: 'x'",
        "cause": cause,
        "traceback": "Traceback ...",
        "ended": True,
    }
    outcome = outcome_of({**told, "batch_parts": 8}, OBJECTIVES, COLLAPSE)
    assert outcome.state == TrialState.FAIL
    assert {name: outcome.attributes[name] for name in ("failure", "cause", "traceback")} == {
        name: told[name] for name in ("failure", "cause", "traceback")
    }
    assert outcome.attributes["tags"] == {"out_of_memory": "batch split into 8 parts"}
    assert outcome.counts_as_failure


@pytest.mark.parametrize(
    ("objectives", "says"),
    [
        (["val/acuracy"], r"objective val/acuracy is not among .* did you mean val/accuracy\?"),
        (["val/nan"], r"objective val/nan is nan in the last epoch"),
    ],
)
def test_an_objective_that_is_missing_or_not_finite(objectives: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        objective_values({"val/accuracy": 0.9, "val/nan": math.nan}, objectives)
    outcome = outcome_of(result(ended=True) | {"metrics/val/nan": math.nan}, objectives, [])
    assert (outcome.state, outcome.attributes["cause"]) == (TrialState.FAIL, "no_objective")


def test_a_constraint_on_an_unknown_metric_fails_the_trial() -> None:
    limit = ConstraintSpec(metric="salient", minimum=1)
    outcome = outcome_of(result(ended=True), OBJECTIVES, [limit])
    assert "constraint salient is not among the metrics" in outcome.attributes["failure"]


def test_a_trial_that_ray_gave_up_has_a_cause() -> None:
    outcome = lost_worker()
    assert (outcome.state, outcome.attributes["cause"]) == (TrialState.FAIL, "worker_lost")
    assert "could not start its worker" in outcome.attributes["failure"]


def test_violations_are_relative_to_the_limit() -> None:
    both = ConstraintSpec(metric="m", minimum=10, maximum=20)
    assert [excess(both, value) for value in (5, 10, 15, 20, 30, math.nan)] == [
        0.5,
        0.0,
        -0.25,
        0.0,
        0.5,
        1.0,
    ]
    assert excess(ConstraintSpec(metric="m", maximum=0), 0.5) == 0.5
    with pytest.raises(ValueError, match="give a minimum or a maximum"):
        ConstraintSpec(metric="m")
