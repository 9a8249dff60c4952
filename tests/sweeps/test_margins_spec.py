"""The margins sweep's spec: what it says by default, and what is refused before anything runs."""

from __future__ import annotations

import pytest

from hsplid_core.errors import ConfigError
from hsplid_core.methods import AdversarialConfig
from sweeps.search.checks import check_sweep
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides


def test_its_own_values_are_standard_training_on_plain_data() -> None:
    config = load_spec("margins").trial_config()
    assert config.data.transform == "none"
    assert config.method["adversarial"] == AdversarialConfig(epsilon=0.0)
    assert config.evaluation.margins is not None
    assert config.evaluation.margins.max_images == 96
    real = load_spec("margins", parse_overrides(["data.root=somewhere"])).trial_config()
    assert real.evaluation.margins is not None
    assert real.evaluation.margins.max_images == 100


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("evaluation.margins.siez=4", "did you mean evaluation.margins.size"),
        ("evaluation.margins=5", "evaluation.margins is 5: use a section of keys or null"),
        ("evaluation.margins=null", "smallest: evaluation.margins is null, so that nothing"),
        ("evaluation.margins.size=40", "evaluation.margins.size is 40: blocks of images of 28"),
        ("evaluation.margins.subspaces=block", "use blocks or grid or bands; did you mean blocks"),
        ("data.transform=filp", "did you mean flip"),
        ("method.adversarial.epsilon=-1", "method.adversarial.epsilon is -1.0: use 0 or more"),
        ("method.adversarial.projection=box", "use clip or dykstra"),
    ],
)
def test_what_cannot_be_measured_is_told_at_once(override: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        load_spec("margins", parse_overrides([override]))


SALIENT = "{metric: val/saliency/probe/salient_accuracy, direction: maximize}"


@pytest.mark.parametrize(
    ("overrides", "says"),
    [
        (["evaluation.saliency=null"], "salient_accuracy: evaluation.saliency is null"),
        (
            ["evaluation.saliency.probes=false"],
            "objectives.0.metric is val/saliency/probe/salient_accuracy, which noth",
        ),
        (
            ["objectives=[{metric: val/saliency/gradient/energy_insde, direction: maximize}]"],
            "did you mean val/saliency/gradient/energy_inside",
        ),
        (
            ["objectives=[{metric: val/single_pixel/x, direction: maximize}]"],
            "single_pixel is nul",
        ),
        (
            ["objectives=[{metric: val/acuracy, direction: maximize}]"],
            "objectives.0.metric is val/acuracy, which nothing .* did you mean val/accuracy",
        ),
        (
            ["objectives=[{metric: robust_accuracy, direction: maximize}]"],
            "did you mean val/robust_accuracy",
        ),
        (
            ["objectives=[{metric: val/robust_accuracy/pgd/background/eps_9}]"],
            "did you mean val/robust_accuracy/pgd/background/eps_",
        ),
        (["objectives=[{metric: seconds}]"], "is seconds, which nothing .*train/seconds"),
        (
            ["search.constraints=[{metric: hsplid/salient_dim, minimum: 2}]"],
            r"constraints.0.metric is hsplid/salient_dim, .* did you mean hsplid/salient_dims",
        ),
        (
            ["search.constraints=[{metric: train/hbar/hsic_hidden_input, maximum: 2}]"],
            "hsic_hidden_input: it is measured by method.hbar, which takes no part; add it",
        ),
        (
            ["objectives=[{metric: val/margin, direction: maximize}]"],
            "metric is val/margin, which nothing measures: use",
        ),
    ],
)
def test_objectives_that_nothing_measures_are_refused(overrides: list[str], says: str) -> None:
    given = [f"objectives=[{SALIENT}]"]
    spec = load_spec("coco_hsplid", parse_overrides(given))
    assert spec.objectives[0].metric == "val/saliency/probe/salient_accuracy"
    names = {override.split("=")[0] for override in overrides}
    with pytest.raises(ConfigError, match=says):
        load_spec(
            "coco_hsplid",
            parse_overrides([g for g in given if g.split("=")[0] not in names] + overrides),
        )


@pytest.mark.parametrize(
    "metric",
    ["hsplid/salient_dims", "train/sib/foreground_hsic", "memory_mib", "val/margin/004-011"],
)
def test_what_methods_and_analyses_measure_may_be_an_objective(metric: str) -> None:
    given = [f"objectives=[{{metric: {metric}}}]", "evaluation.margins={}"]
    assert load_spec("coco_hsplid", parse_overrides(given)).objectives[0].metric == metric


def test_a_method_of_ones_own_names_its_metrics_itself() -> None:
    name = "hsplid_core.methods.cross_entropy:CrossEntropyConfig"
    given = ["objectives=[{metric: CrossEntropyConfig/anything}]", f"method.{name}={{}}"]
    spec = load_spec("coco_hsplid", parse_overrides(given))
    assert spec.objectives[0].metric == "CrossEntropyConfig/anything"


def test_a_limit_on_a_metric_that_some_trials_lack_is_refused() -> None:
    given = ["search.constraints=[{metric: hsplid/salient_dims, minimum: 2}]"]
    with pytest.raises(ConfigError, match=r"with the recipe \S+, search.constraints.0.metric is"):
        check_sweep("coco_baselines", parse_overrides(given))
    fixed = [*given, "recipe=cross_entropy+hsplid"]
    assert check_sweep("coco_baselines", parse_overrides(fixed)).spec.recipe is not None


@pytest.mark.parametrize("metric", ["val/margin/smallest", "val/saliency/gradient/gini"])
def test_a_scheduler_needs_its_metrics_in_time(metric: str) -> None:
    given = [f"objectives=[{{metric: {metric}}}]", "search.scheduler=asha", "evaluation.every=5"]
    says = f"search.scheduler is asha, but {metric} is measured every 5 epochs only"
    with pytest.raises(ConfigError, match=says):
        load_spec("coco_hsplid", parse_overrides([*given, "evaluation.margins={}"]))


def test_bands_may_be_as_wide_as_they_like() -> None:
    wide = ["evaluation.margins.subspaces=bands", "evaluation.margins.size=40"]
    assert load_spec("margins", parse_overrides(wide)).evaluation.margins is not None


def test_margins_join_any_sweep() -> None:
    given = ["data.transform=flip", "evaluation.margins={}"]
    config = load_spec("coco_hsplid", parse_overrides(given)).trial_config()
    assert config.data.transform == "flip"
    assert config.evaluation.margins is not None
