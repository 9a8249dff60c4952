"""Warm start: what of earlier sweeps' fronts a new sweep tries first."""

from __future__ import annotations

from pathlib import Path

import pytest

from hsplid_core.errors import ConfigError
from sweeps.search.checks import check_sweep
from sweeps.spec.overrides import parse_overrides
from sweeps.study.warm_start import warm_trials
from tests.sweeps.studies import complete_trial, write_study

RHO, RATE = "method.hsplid.rho_s", "training.learning_rate"


def test_the_front_of_another_sweep_comes_first_as_far_as_it_fits(tmp_path: Path) -> None:
    # At rho_s 0.1 and 0.5 on the front, at 0.6 dominated.
    trials = [complete_trial(values) for values in [(0.9, 0.2), (0.5, 0.8), (0.4, 0.1)]]
    write_study(tmp_path / "before", trials)
    texts = [f"storage={tmp_path}", "search.warm_start=[before]"]
    checked = check_sweep("coco_hsplid_paper", parse_overrides(texts))
    found, lines = warm_trials(checked.spec, checked.fixed, checked.space)
    assert [(each[RHO], each[f"use/{RHO}"], each[RATE]) for each in found] == [
        (0.1, True, 5e-4),
        (0.5, True, 5e-4),
    ]
    assert lines == ["2 of 2 trials on the front of before"]
    # Another space, and a fixed parameter.
    texts += [f"search.ranges.{RHO}={{low: 0.2, high: 1}}", f"{RATE}=0.001"]
    narrow = check_sweep("coco_hsplid_paper", parse_overrides(texts))
    found, lines = warm_trials(narrow.spec, narrow.fixed, narrow.space)
    assert [(each[RHO], RATE in each) for each in found] == [(0.5, False)]
    assert lines == [
        f"1 of 2 trials on the front of before; 1 not, for {RHO} is 0.1: use 0.2 to 1, as the "
        "search does"
    ]


def test_a_sweep_that_is_not_there_is_told(tmp_path: Path) -> None:
    texts = [f"storage={tmp_path}", "search.warm_start=[befor]"]
    checked = check_sweep("coco_hsplid_paper", parse_overrides(texts))
    with pytest.raises(ConfigError, match=r"search\.warm_start is befor: sweep befor is not in"):
        warm_trials(checked.spec, checked.fixed, checked.space)
