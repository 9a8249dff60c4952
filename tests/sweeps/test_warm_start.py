"""Warm start: what of earlier sweeps a new one tries first, and what its sampler learns from."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import optuna
import pytest
from optuna.distributions import FloatDistribution
from optuna.trial import TrialState, create_trial

from hsplid_core.errors import ConfigError
from sweeps.search.checks import CheckedSweep, check_sweep
from sweeps.search.ranged_space import space_of
from sweeps.search.samplers import LEARN_FROM_OTHERS, build_sampler
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.study.study import open_study
from sweeps.study.sweep_info import write_info
from sweeps.study.warm_start import warm_start
from sweeps.terminal.trial_table import SALIENT_DIMS
from tests.sweeps.studies import complete_trial, write_study
from tests.sweeps.test_study import info_of

RHO, RATE = "method.hsplid.rho_s", "training.learning_rate"


def test_the_front_of_another_sweep_comes_first_as_far_as_it_fits(tmp_path: Path) -> None:
    # At rho_s 0.1 and 0.5 on the front, at 0.6 dominated.
    trials = [complete_trial(values) for values in [(0.9, 0.2), (0.5, 0.8), (0.4, 0.1)]]
    write_study(tmp_path / "before", trials)
    texts = [f"storage={tmp_path}", "search.warm_start=[before]"]
    checked = check_sweep("coco_hsplid_paper", parse_overrides(texts))
    found = warm_start(checked.spec, checked.fixed, checked.space)
    assert [(each[RHO], each[f"use/{RHO}"], each[RATE]) for each in found.first] == [
        (0.1, True, 5e-4),
        (0.5, True, 5e-4),
    ]
    assert found.lines[0] == "2 of 2 trials on the front of before come first"
    # Another space, and a fixed parameter.
    texts += [f"search.ranges.{RHO}={{low: 0.2, high: 1}}", f"{RATE}=0.001"]
    narrow = check_sweep("coco_hsplid_paper", parse_overrides(texts))
    found = warm_start(narrow.spec, narrow.fixed, narrow.space)
    assert [(each[RHO], RATE in each) for each in found.first] == [(0.5, False)]
    assert found.lines[0] == (
        f"1 of 2 trials on the front of before come first; 1 not, for {RHO} is 0.1: use 0.2 to 1, "
        "as the search does"
    )


def test_a_sweep_that_is_not_there_is_told(tmp_path: Path) -> None:
    texts = [f"storage={tmp_path}", "search.warm_start=[befor]"]
    checked = check_sweep("coco_hsplid_paper", parse_overrides(texts))
    with pytest.raises(ConfigError, match=r"search\.warm_start is befor: sweep befor is not in"):
        warm_start(checked.spec, checked.fixed, checked.space)


SPACE = """
def space(trial):
    lr = trial.suggest_float("training.learning_rate", 1e-5, 1e-1, log=True)
    clip = trial.suggest_categorical("training.clip_norm", [1.0, 2.0])
    return {"training.learning_rate": lr, "training.clip_norm": clip}
"""


def earlier(folder: Path, count: int) -> None:
    """Leave a sweep that searched other fields, and did best at the largest learning rates."""
    spec = load_spec("coco_hsplid_paper", parse_overrides(["training.clip_norm=1.0"]))
    trials = []
    for number in range(count):
        rate = 10 ** (-4 + 2 * number / count)
        metrics = {"val/accuracy": rate, "val/robust_accuracy": 2 * rate, SALIENT_DIMS: 10.0}
        own = {RATE: rate, "training.batch_size": 64 if number % 2 else 128}
        attributes = {"parameters": own, "metrics": metrics}
        trials.append(create_trial(values=[rate, 2 * rate], user_attrs=attributes))
    write_study(folder, trials)
    write_info(folder, info_of(spec))


def checked_sweep(folder: Path, *texts: str) -> CheckedSweep:
    (folder / "own.py").write_text(SPACE)
    own = ["training.batch_size=64", f"search.space={folder}/own.py:space", f"storage={folder}"]
    overrides = parse_overrides([*own, "search.warm_start=[before]", *texts])
    return check_sweep("coco_hsplid_paper", overrides)


def test_the_sampler_learns_from_trials_that_are_points_of_its_search(tmp_path: Path) -> None:
    earlier(tmp_path / "before", 40)
    checked = checked_sweep(tmp_path)
    found = warm_start(checked.spec, checked.fixed, checked.space)
    # What the earlier sweep did not search had its own value, 1.0; a batch of 128 is none of ours.
    assert [dict(trial.params) for trial in found.taught] == [
        {RATE: pytest.approx(10 ** (-4 + 2 * number / 40)), "training.clip_norm": 1.0}
        for number in range(1, 40, 2)
    ]
    assert found.lines[1] == (
        "20 of 40 trials of before teach the sampler; 20 not, for training.batch_size is 128 "
        "there and 64 here"
    )
    (tmp_path / "new").mkdir()
    study = open_study(tmp_path / "new", checked.spec, {}, [], found.taught)
    rates: list[float] = []
    for _ in range(5):
        trial = study.ask()
        space_of(checked.spec)(trial)
        rates.append(trial.params[RATE])
        study.tell(trial, [0.1, 0.1])
    # Of five random ones in four decades two would be above 1e-3; and they count nowhere.
    assert min(rates) > 1e-3, rates
    assert [trial.number for trial in study.trials] == [0, 1, 2, 3, 4]


def test_samplers_that_learn_from_their_own_trials_alone_say_so(tmp_path: Path) -> None:
    earlier(tmp_path / "before", 4)
    checked = checked_sweep(tmp_path, "search.sampler=nsga2")
    found = warm_start(checked.spec, checked.fixed, checked.space)
    assert (found.taught, len(found.first)) == ([], 1)
    assert found.lines[-1] == (
        "the sampler nsga2 learns from the sweep's own trials alone; tpe and gp learn from "
        "others, too"
    )


@pytest.mark.parametrize("name", LEARN_FROM_OTHERS)
def test_a_taught_sampler_takes_every_kind_of_trial(name: str) -> None:
    spec = load_spec("coco_hsplid_paper", parse_overrides([f"search.sampler={name}"]))
    rng = np.random.default_rng(0)
    kind = FloatDistribution(0, 1)
    others = [
        create_trial(
            params={"x": x},
            distributions={"x": kind},
            values=[x, 1 - x],
            constraints={"c": x - 0.9},
        )
        for x in rng.uniform(size=12)
    ]
    study = optuna.create_study(directions=["maximize", "maximize"])
    study.sampler = build_sampler(spec, {}, n_trials=0, taught=others)
    study.enqueue_trial({"x": 0.5})
    study.ask({"x": kind})  # runs all the time
    for state in (TrialState.COMPLETE, TrialState.FAIL, TrialState.PRUNED):
        trial = study.ask({"x": kind})
        trial.set_constraint("c", -0.1)
        study.tell(trial, [0.1, 0.2] if state == TrialState.COMPLETE else None, state=state)
    assert 0 <= study.ask({"x": kind}).params["x"] <= 1
    assert len(study.trials) == 5
