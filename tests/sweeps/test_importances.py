from __future__ import annotations

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import create_trial

from sweeps.fronts.importances import HYPERVOLUME, importances
from sweeps.spec.objective import Objective
from tests.sweeps.records import GOALS
from tests.sweeps.studies import cloud_study, complete_trial


def decided_study(n_trials: int) -> optuna.Study:
    """Make a study where a decides the first objective, b the second (small is better), c none."""
    rng = np.random.default_rng(0)
    study = optuna.create_study(directions=["maximize", "minimize"])
    names = {name: FloatDistribution(0, 1) for name in "abc"}
    for a, b, c in rng.uniform(size=(n_trials, 3)).tolist():
        params = {"a": a, "b": b, "c": c}
        study.add_trial(create_trial(values=[a, b], params=params, distributions=dict(names)))
    return study


def test_what_decides_an_objective_comes_first() -> None:
    objectives = [Objective("x"), Objective("y", "minimize")]
    found = importances(decided_study(100), objectives)
    assert found.warning is None
    assert list(found.shares) == ["x", "y", HYPERVOLUME]
    assert next(iter(found.shares["x"])) == "a"
    assert next(iter(found.shares["y"])) == "b"
    assert found.shares["x"]["a"] > 0.8
    assert found.shares["y"]["b"] > 0.8
    assert list(found.shares[HYPERVOLUME])[-1] == "c"
    for shares in found.shares.values():
        assert sum(shares.values()) == pytest.approx(1)


def test_conditional_parameters_take_part() -> None:
    found = importances(cloud_study(80), GOALS)
    assert set(found.shares["val/accuracy"]) == {
        "training.learning_rate",
        "use/method.hsplid.rho_s",
        "method.hsplid.rho_s",
        "method.hsplid.hsic_warmup",
    }


@pytest.mark.parametrize(("n_trials", "is_warned"), [(40, True), (41, False)])
def test_too_few_trials_are_warned_about(n_trials: int, is_warned: bool) -> None:
    found = importances(decided_study(n_trials), [Objective("x"), Objective("y", "minimize")])
    assert (found.warning is not None) == is_warned
    assert (found.shares == {}) == is_warned
    if found.warning is not None:
        assert "of 40 complete trials that is 4; from 41 trials on" in found.warning


def test_nothing_searched_has_no_importances() -> None:
    study = optuna.create_study(directions=["maximize", "maximize"])
    study.add_trials([complete_trial((0.5, 0.5)), complete_trial((0.6, 0.4))])
    found = importances(study, GOALS)
    assert found.shares == {}
    assert found.warning == "2 complete trials say nothing about importances"
