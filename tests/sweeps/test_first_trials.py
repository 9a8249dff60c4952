"""What a new study tries first."""

from __future__ import annotations

from collections.abc import Mapping

import optuna
import pytest

from search_spaces import SPACES, ParameterValue
from sweeps.search.first_trials import first_trials, own_values, published_trial
from sweeps.search.ranged_space import space_of
from sweeps.search.samplers import build_sampler
from sweeps.search.space_probe import probe_space
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.trials.record import TrialRecord

BETA_STEP, SWITCH = "method.hsplid.beta_step", "use/method.hsplid.rho_n"


def test_the_paper_comes_first_then_the_specs_own_values() -> None:
    spec = load_spec("coco_hsplid", parse_overrides(["data.root=/data/coco"]))
    paper, own = first_trials(spec, {})
    assert paper[BETA_STEP] == 0.8
    assert own == paper  # real data: the spec holds the paper's values; the study takes them once
    demo = load_spec("coco_hsplid")
    paper, own = first_trials(demo, {})
    assert paper[BETA_STEP] == 0.8
    assert own[BETA_STEP] == demo.method["hsplid"].beta_step != 0.8


def test_fixed_values_win_and_the_paper_can_be_left_out() -> None:
    overrides = parse_overrides(["method.hsplid.rho_n=0", "search.paper_first=false"])
    (own,) = first_trials(load_spec("coco_hsplid", overrides), {"method.hsplid.rho_n": 0.0})
    assert own[SWITCH] is False


def test_the_papers_trial_is_found_by_its_values() -> None:
    spec = load_spec("coco_hsplid")
    paper = space_of(spec).paper
    assert paper[BETA_STEP] == 0.8
    other = {**paper, BETA_STEP: 0.7}
    assert published_trial(spec, [record(0, other), record(1, paper), record(2, paper)]) == 1
    assert published_trial(spec, [record(0, other)]) is None
    # The authors' grid does not have their best values.
    grid = load_spec("coco_hsplid_grid")
    assert published_trial(grid, [record(0, dict(SPACES["hsplid_grid"].paper))]) is None


def record(number: int, parameters: Mapping[str, ParameterValue]) -> TrialRecord:
    return TrialRecord(number=number, state="complete", parameters=parameters)


@pytest.mark.parametrize("name", sorted(name for name, space in SPACES.items() if space.paper))
def test_each_spaces_first_trial_is_recognised(name: str) -> None:
    space = SPACES[name]
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(0))
    study.enqueue_trial(space.first_trial())
    assert space.is_published(space(study.ask())) == space.has_published
    assert not space.is_published(space(study.ask()))


@pytest.mark.filterwarnings("ignore:Fixed parameter .* is out of range")
@pytest.mark.parametrize("name", ["coco_pretrain", "isic_pretrain", "cmnist_pretrain"])
def test_pretraining_trains_at_the_specs_own_values(name: str) -> None:
    texts = ["data.root=/data", "training.learning_rate=0.003", "training.weight_decay=0.0625"]
    spec = load_spec(name, parse_overrides(texts))
    space = space_of(spec)
    fixed = own_values(spec, probe_space(spec))
    study = optuna.create_study(sampler=build_sampler(spec, fixed, n_trials=0))
    for first in first_trials(spec, fixed):
        study.enqueue_trial(first, skip_if_exists=True)
    trained = spec.trial_config().with_parameters(space(study.ask()))
    assert trained == spec.trial_config()
    assert (trained.training.learning_rate, trained.training.weight_decay) == (0.003, 0.0625)
