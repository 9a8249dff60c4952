"""Search ranges that a spec gives itself, without Python."""

from __future__ import annotations

from typing import Any

import optuna
import pytest
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution

from hsplid_core.errors import ConfigError
from search_spaces import ParameterValue
from sweeps.search.checks import CheckedSweep, check_sweep
from sweeps.search.first_trials import first_trials, published_trial
from sweeps.search.ranged_space import space_of
from sweeps.search.samplers import build_sampler
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.validation import validated
from sweeps.trials.record import TrialRecord

RATE, RHO, LAMBDA = "training.learning_rate", "method.hsplid.rho_n", "method.hsplid.lambda_n"
MINIMAL: dict[str, Any] = {
    "name": "ranged",
    "method": {"cross_entropy": {}, "hsplid": {}},
    "trials": 1,
}


def checked(*overrides: str, sweep: str = "coco_hsplid_paper") -> CheckedSweep:
    return check_sweep(sweep, parse_overrides(overrides))


def test_ranges_alone_are_a_space() -> None:
    ranges = {
        RATE: {"low": 1e-5, "high": 1e-2, "log": True},
        "training.batch_size": {"low": 16, "high": 64, "step": 16},
        # Named before what it depends on.
        LAMBDA: {"low": 0.01, "high": 0.5, "when": {RHO: True, "model.name": ["vgg16"]}},
        RHO: {"low": 0.005, "high": 0.4, "log": True, "or_off": True},
        "model.name": ["resnet18", "vgg16"],
    }
    spec = validated({**MINIMAL, "search": {"ranges": ranges}}, source="here")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(1))
    found = [(trial := study.ask(), space_of(spec)(trial)) for _ in range(60)]
    asked = {name: d for trial, _ in found for name, d in trial.distributions.items()}
    assert asked == {
        RATE: FloatDistribution(1e-5, 1e-2, log=True),
        "training.batch_size": IntDistribution(16, 64, step=16),
        f"use/{RHO}": CategoricalDistribution([True, False]),
        RHO: FloatDistribution(0.005, 0.4, log=True),
        LAMBDA: FloatDistribution(0.01, 0.5),
        "model.name": CategoricalDistribution(["resnet18", "vgg16"]),
    }
    for trial, values in found:
        assert values.keys() == ranges.keys()
        in_use = values[RHO] != 0 and values["model.name"] == "vgg16"
        assert (LAMBDA in trial.params) == in_use
        assert (values[LAMBDA] == 0.2) == (not in_use)  # the spec's own value
        assert isinstance(values["training.batch_size"], int)
    # The spec's own values come first, as near as the ranges have them; they are no paper's.
    (own, again) = first_trials(spec, {})
    assert own == again
    assert (own[RATE], own["training.batch_size"], own["model.name"]) == (5e-4, 64, "resnet18")
    record = TrialRecord(number=0, state="complete", parameters=own)
    assert published_trial(spec, [record]) is None
    assert validated(spec.resolved(), source="there") == spec
    assert spec.resolved()["search"]["ranges"]["model.name"] == ["resnet18", "vgg16"]


def test_ranges_replace_and_extend_those_of_a_named_space() -> None:
    sweep = checked(
        f"search.ranges.{RATE}={{low: 0.001, high: 0.01}}",
        f"search.ranges.{RHO}={{low: 0.1, high: 0.2}}",
        "search.ranges.training.clip_norm=[1.0, 5.0]",
    )
    before = checked()
    assert {*sweep.space.names} - {*before.space.names} == {"training.clip_norm"}
    assert {*before.space.names} - {*sweep.space.names} == {f"use/{RHO}"}  # it cannot be off
    assert sweep.space.distributions[RATE] == FloatDistribution(0.001, 0.01)
    others = [name for name in before.space.names if name not in (RATE, RHO, f"use/{RHO}")]
    assert all(sweep.space.distributions[n] == before.space.distributions[n] for n in others)
    # The published point, as near as it can be reached; it is the paper's no more.
    paper, *_ = first_trials(sweep.spec, {})
    assert (paper[RATE], paper[RHO], paper[LAMBDA]) == (0.001, 0.1, 0.2)
    assert published_trial(sweep.spec, [record_of(sweep, paper)]) is None
    # A range that has the published value leaves it published.
    wide = checked(f"search.ranges.{RATE}={{low: 1.0e-6, high: 0.1, log: true}}")
    paper, *_ = first_trials(wide.spec, {})
    assert published_trial(wide.spec, [record_of(wide, paper)]) == 0


def record_of(sweep: CheckedSweep, first: dict[str, ParameterValue]) -> TrialRecord:
    study = optuna.create_study(sampler=build_sampler(sweep.spec, {}, n_trials=0))
    study.enqueue_trial(first)
    return TrialRecord(number=0, state="complete", parameters=space_of(sweep.spec)(study.ask()))


def test_a_range_is_left_out_where_the_space_leaves_its_parameter_out() -> None:
    window = "method.sib.window"
    sweep = checked(f"search.ranges.{window}={{low: 7, high: 15, step: 4}}", sweep="sib_cifar")
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(3))
    asked = set()
    for _ in range(30):
        trial = study.ask()
        values = space_of(sweep.spec)(trial)
        in_use = bool(values["method.sib.lambda_fg"] or values["method.sib.lambda_bg"])
        assert (window in trial.params) == in_use
        asked.add(in_use)
        assert values[window] in ((7, 11, 15) if in_use else (31,))
    assert asked == {True, False}


def test_a_range_of_a_file_is_changed_on_the_command_line() -> None:
    texts = [
        f"search.ranges.{RATE}={{low: 0.001, high: 0.01}}",
        f"search.ranges.{RATE}.low=0.002",
        f"search.ranges.{RATE}.log=true",
        "search.ranges.model.name=[resnet18]",
        "~search.ranges.model.name",
    ]
    ranges = checked(*texts).spec.search.ranges
    assert list(ranges) == [RATE]
    assert (ranges[RATE].low, ranges[RATE].high, ranges[RATE].log) == (0.002, 0.01, True)
    # A fixed field is searched no more, whatever its range.
    fixed = checked(*texts, f"{RATE}=0.005")
    assert fixed.fixed == {RATE: 0.005}


@pytest.mark.parametrize(
    ("override", "says"),
    [
        (f"{RATE}={{low: 1, high: 20}}", ".high: learning_rate is 20.0: use a value in (0, 10]"),
        (f"{RATE}={{low: 1, high: 0.5}}", ".low is 1: use less than high, 0.5"),
        (f"{RATE}={{low: 0, high: 1, log: true}}", ".low is 0: a logarithmic range begins above"),
        (f"{RATE}={{low: 0, high: 1, or_off: true}}", ".low is 0: with or_off use a value above"),
        (f"{RATE}={{low: 0.1, high: 1, log: true, step: 0.1}}", ".step is 0.1: leave it out"),
        (f"{RATE}={{low: 0.1, high: 1, or_off: true}}", ".or_off: learning_rate is 0.0: use"),
        (f"{RATE}={{low: 0.1}}", ".high is missing: give low and high, or a list"),
        (f"{RATE}={{low: a, high: 1}}", '.low is "a": use a number or null'),
        (
            f"{RATE}={{low: 0.1, high: 1, logg: true}}",
            "; did you mean search.ranges.training.learn",
        ),
        (f"{RATE}=3", " is 3: use a list of choices, or {low: ..., high: ...}"),
        (f"{RATE}=[]", ".choices is []: give different values"),
        (f"{RATE}=[0.1, yes]", ".choices is True: use a number"),
        (f"{RATE}={{choices: [1], low: 1, high: 2}}", ".choices is given: leave low, high"),
        ("training.epochs={low: 1.5, high: 2}", ".low is 1.5: use an integer"),
        ("training.epochs={low: 1, high: 20, step: 0.5}", ".step is 0.5: use an integer"),
        ("training.optimiser=[adamm, sgd]", ".choices is 'adamm': use adam or adamw or sgd"),
        ("evaluation.region=[backgrund, full]", ".choices: evaluation.region is 'backgrund'"),
        ("model.name={low: 1, high: 2}", " is a range, but the field takes a text: give a list"),
        ("training.rate=[1]", " is no field of a trial; training has epochs, batch_size, "),
        (f"{RATE.replace('rate', 'rat')}=[1]", "did you mean training.learning_rate?"),
        ("resources.cpu=[1, 2]", " is no field of a trial; what can be searched is in data.pixel"),
        ("seed={low: 0, high: 9, when: {sed: 1}}", ".when: sed is no field of a trial"),
        ("seed={low: 0, high: 9, when: {seed: 1}}", ".when is seed: name another field"),
        (
            "seed={low: 0, high: 9, when: {training.epochs: x}}",
            ".when: training.epochs is never 'x': use an integer",
        ),
    ],
)
def test_a_wrong_range_is_told_in_one_line(override: str, says: str) -> None:
    with pytest.raises(ConfigError) as caught:
        checked(f"search.ranges.{override}")
    headline, line = str(caught.value).splitlines()
    assert headline == "sweep coco_hsplid_paper has 1 fault:"
    assert line.strip().startswith("search.ranges.")
    assert says in line


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (
            ["seed={low: 0, high: 9, when: {model.width: 1}}", "model.width=[1, 2]"],
            "searches model.width, but pretrain is coco_pretrain",
        ),
        ([f"{RHO}={{low: 0.1, high: 0.2, when: {{seed: 0}}}}"], "the space decides itself when"),
        (
            [
                "seed={low: 0, high: 9, when: {model.width: 1}}",
                "model.width={choices: [1], when: {seed: 0}}",
            ],
            "has a circle of when: ",
        ),
    ],
)
def test_ranges_that_clash_are_told(overrides: list[str], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        checked(*(f"search.ranges.{override}" for override in overrides))


def test_a_sweep_has_to_search_something() -> None:
    with pytest.raises(ConfigError, match=r"search\.space is missing: name a search space, or"):
        validated({**MINIMAL, "search": {}}, source="here")
    with pytest.raises(ConfigError, match=r"; search.ranges.training.clip_norm searches a range"):
        checked("training.clip_norm={low: 1, high: 2}")
