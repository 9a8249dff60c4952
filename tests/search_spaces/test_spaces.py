from __future__ import annotations

from dataclasses import replace

import optuna
import pytest

from hsplid_core.config import TrainingConfig
from hsplid_core.methods import METHODS, CrossEntropyConfig, HsplidConfig
from search_spaces import SPACES, SWITCH_PREFIX, SearchSpace, log_or_off, optuna_parameters
from sweeps.spec.loading import load_spec
from trainables.config import TrialConfig

SWEEP_OF = {
    "baselines": "coco_baselines",
    "baselines_imagenet": "imagenet_baselines",
    "baselines_isic": "isic_baselines",
    "hsplid": "coco_hsplid_paper",
    "hsplid_cmnist": "cmnist_hsplid",
    "hsplid_composed": "coco_hsplid",
    "hsplid_grid": "coco_hsplid_grid",
    "hsplid_imagenet": "imagenet_hsplid",
    "hsplid_isic": "isic_hsplid",
    "margins": "margins",
    "pretrain": "coco_pretrain",
    "pretrain_cmnist": "cmnist_pretrain",
    "pretrain_isic": "isic_pretrain",
    "seeds": "coco_pretrain",
    "sib_architectures": "sib_cifar",
    "single_pixel": "single_pixel",
    "single_pixel_malhotra": "single_pixel_malhotra",
}
PLAIN, HSPLID = "cross_entropy", "cross_entropy+hsplid"
HBAR, SPARSITY = "cross_entropy+hbar", "cross_entropy+sparsity"
# The others are spaces of a method of the same name, in whatever sweep it takes part.
OF_A_METHOD = set(SPACES) & set(METHODS) - set(SWEEP_OF)


def ask(seed: int = 0) -> optuna.Trial:
    return optuna.create_study(sampler=optuna.samplers.RandomSampler(seed)).ask()


@pytest.fixture(params=sorted(SPACES))
def named_space(request: pytest.FixtureRequest) -> tuple[SearchSpace, TrialConfig]:
    return SPACES[request.param], config_for(request.param)


def config_for(space: str) -> TrialConfig:
    config = load_spec(SWEEP_OF.get(space, "coco_pretrain")).trial_config()
    if space in OF_A_METHOD:
        methods = {"cross_entropy": CrossEntropyConfig(), space: METHODS[space]()}
        config = replace(config, method=methods)
    return config


def field(config: object, path: str) -> object:
    for key in path.split("."):
        config = config[key] if isinstance(config, dict) else getattr(config, key)
    return config


def test_every_space_has_a_config_to_be_tested_with() -> None:
    assert set(SWEEP_OF) | OF_A_METHOD == set(SPACES)


def test_each_sample_sets_the_same_fields_of_the_config(
    named_space: tuple[SearchSpace, TrialConfig],
) -> None:
    space, config = named_space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=1))
    for _ in range(50):
        trial = study.ask()
        values = space(trial)
        changed = config.with_parameters(values)
        assert list(values) == list(space.paper)
        assert {path: field(changed, path) for path in values} == values
        searched = {name for name in trial.params if not name.startswith(SWITCH_PREFIX)}
        assert searched <= set(values)


def test_an_optuna_parameter_is_the_value_of_the_field_it_names(
    named_space: tuple[SearchSpace, TrialConfig],
) -> None:
    space, _ = named_space
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=2))
    for _ in range(20):
        trial = study.ask()
        values = space(trial)
        for name, value in trial.params.items():
            if name.startswith(SWITCH_PREFIX):
                assert value == (values[name.removeprefix(SWITCH_PREFIX)] != 0)
            else:
                assert values[name] == value


def test_the_first_trial_is_exactly_the_papers(
    named_space: tuple[SearchSpace, TrialConfig],
) -> None:
    space, _ = named_space
    study = optuna.create_study(directions=["maximize", "maximize"])
    study.enqueue_trial(space.first_trial(), skip_if_exists=True)
    trial = study.ask()
    assert space(trial) == space.paper
    for name, distribution in trial.distributions.items():
        assert distribution._contains(distribution.to_internal_repr(trial.params[name]))


@pytest.mark.parametrize(
    ("name", "choice", "values"),
    [
        (
            "baselines",
            "recipe",
            [HSPLID, PLAIN, PLAIN, HBAR, SPARSITY, SPARSITY, SPARSITY, SPARSITY],
        ),
        *(
            (
                f"baselines_{data_set}",
                "recipe",
                [HSPLID, PLAIN, PLAIN, HBAR, SPARSITY, SPARSITY, SPARSITY, SPARSITY],
            )
            for data_set in ("isic", "imagenet")
        ),
        ("margins", "data.transform", ["none", "flip", "lowpass", "flip"]),
        ("sib_architectures", "model.name", ["resnet18", "resnet50", "vgg16", "densenet121"]),
        (
            "sparsity",
            "method.sparsity.weight",
            [1e-5, 1e-3, 1e-6, 1e-5],
        ),
    ],
)
def test_the_other_published_settings_come_next(
    name: str, choice: str, values: list[object]
) -> None:
    space = SPACES[name]
    study = optuna.create_study()
    for parameters in space.first_trials():
        study.enqueue_trial(parameters, skip_if_exists=True)
    asked = [space(study.ask()) for _ in values]
    assert asked == [{**space.paper, **other} for other in ({}, *space.others)]
    assert [found[choice] for found in asked] == values


def test_a_fixed_choice_leaves_out_the_settings_of_another() -> None:
    fixed = {"recipe": "cross_entropy+sparsity"}
    first, *others = SPACES["baselines"].first_trials(fixed)
    assert first["recipe"] == "cross_entropy+sparsity"
    assert [other["method.sparsity.weight"] for other in others] == [1e-5, 1e-3, 1e-6, 1e-5]
    assert len(SPACES["baselines"].first_trials({"training.learning_rate": 1e-4})) == 8


def test_a_recipe_decides_what_is_asked_for() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=4))
    seen = set()
    for _ in range(40):
        trial = study.ask()
        values = SPACES["baselines"](trial)
        asked = {name.split(".")[1] for name in trial.params if name.startswith("method.")}
        recipe = str(values["recipe"]).split("+")
        seen.add(values["recipe"])
        expected = set(recipe) if "hsplid" in recipe else set(recipe) - {"cross_entropy"}
        assert asked == expected
        weight = values["method.cross_entropy.weight"]
        assert isinstance(weight, float)
        assert "hsplid" in recipe or weight == 1.0
    assert len(seen) == 4


def test_each_part_of_the_composition_can_be_off() -> None:
    study = optuna.create_study(sampler=optuna.samplers.RandomSampler(seed=5))
    weights = ("method.sib.lambda_fg", "method.sib.lambda_bg", "method.norm_adversarial.epsilon")
    samples = [SPACES["hsplid_composed"](study.ask()) for _ in range(64)]
    for on in (True, False):
        for path in weights:
            assert 16 <= sum((values[path] != 0) == on for values in samples) <= 48
    combinations = {tuple(values[path] != 0 for path in weights) for values in samples}
    assert len(combinations) == 8


def test_the_papers_values_are_the_defaults_of_the_configs() -> None:
    config = load_spec("coco_hsplid_paper").trial_config()
    by_default = TrialConfig(
        data=config.data,
        model=config.model,
        method={"hsplid": HsplidConfig(), "cross_entropy": CrossEntropyConfig(weight=10.0)},
        training=TrainingConfig(),
        evaluation=config.evaluation,
    )
    paper = SPACES["hsplid"].paper
    assert {path: field(by_default, path) for path in paper} == paper


@pytest.mark.parametrize("name", sorted(OF_A_METHOD))
def test_a_methods_published_values_are_its_defaults(name: str) -> None:
    config, paper = config_for(name), SPACES[name].paper
    own = [path for path in paper if path.startswith("method.")]
    assert {path: field(config, path) for path in own} == {path: paper[path] for path in own}


@pytest.mark.parametrize("path", ["method.hsplid.rho_s", "training.weight_decay"])
@pytest.mark.parametrize("value", [0.0, 1e-4])
@pytest.mark.filterwarnings("ignore:.*out of range")
@pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")
def test_a_switched_field_can_be_fixed_on_and_off(path: str, value: float) -> None:
    fixed = optuna_parameters({path: value})
    sampler = optuna.samplers.PartialFixedSampler(fixed, optuna.samplers.RandomSampler(seed=0))
    study = optuna.create_study(sampler=sampler)
    for _ in range(10):
        assert SPACES["hsplid"](study.ask())[path] == value


def test_what_is_fixed_wins_over_the_papers_values() -> None:
    space = SPACES["hsplid"]
    study = optuna.create_study()
    study.enqueue_trial(
        space.first_trial({"method.hsplid.rho_s": 0.0, "method.hsplid.cross_space_weight": 0.5})
    )
    values = space(study.ask())
    assert values["method.hsplid.rho_s"] == 0.0
    assert values["method.hsplid.cross_space_weight"] == 0.5
    assert values["method.hsplid.rho_n"] == 0.05


def test_a_space_without_published_values_enqueues_nothing() -> None:
    assert SearchSpace(lambda trial: {}).first_trial({"training.epochs": 3}) == {}


def test_log_or_off_gives_zero_or_the_range() -> None:
    values = [log_or_off(ask(seed), "x", 0.1, 10.0) for seed in range(40)]
    off = [value for value in values if value == 0.0]
    on = [value for value in values if value != 0.0]
    assert 8 <= len(off) <= 32
    assert all(0.1 <= value <= 10.0 for value in on)


def test_only_numbers_have_a_switch() -> None:
    assert optuna_parameters({"a": 0.5, "b": 0, "c": "text", "d": True, "e": None}) == {
        "use/a": True,
        "use/b": False,
        "a": 0.5,
        "b": 0,
        "c": "text",
        "d": True,
        "e": None,
    }
