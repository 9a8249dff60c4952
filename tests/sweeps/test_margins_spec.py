"""The margins sweep's spec: what it says by default, and what is refused before anything runs."""

from __future__ import annotations

import pytest

from hsplid_core.errors import ConfigError
from hsplid_core.methods import AdversarialConfig
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
    assert real.evaluation.margins.max_images == 512


@pytest.mark.parametrize(
    ("override", "says"),
    [
        ("evaluation.margins.siez=4", "did you mean evaluation.margins.size"),
        ("evaluation.margins=5", "evaluation.margins is 5: use a section of keys or null"),
        ("evaluation.margins=null", "evaluation.margins is null: objectives has val/margin/small"),
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
        (["evaluation.saliency=null"], "evaluation.saliency is null: objectives has val/sal"),
        (["evaluation.saliency.probes=false"], "objectives.metric is val/saliency/probe/salient"),
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
            "objectives.metric is val/acuracy: .* did you mean val/accuracy",
        ),
        (
            ["objectives=[{metric: robust_accuracy, direction: maximize}]"],
            "did you mean val/robust_accuracy",
        ),
        (
            ["objectives=[{metric: val/robust_accuracy/pgd/background/eps_9}]"],
            "did you mean val/robust_accuracy/pgd/background/eps_",
        ),
        (["objectives=[{metric: val/margin, direction: maximize}]"], "metric is val/margin: use"),
    ],
)
def test_objectives_that_no_analysis_measures_are_refused(overrides: list[str], says: str) -> None:
    given = [f"objectives=[{SALIENT}]"]
    spec = load_spec("coco_hsplid", parse_overrides(given))
    assert spec.objectives[0].metric == "val/saliency/probe/salient_accuracy"
    names = {override.split("=")[0] for override in overrides}
    with pytest.raises(ConfigError, match=says):
        load_spec(
            "coco_hsplid",
            parse_overrides([g for g in given if g.split("=")[0] not in names] + overrides),
        )


def test_bands_may_be_as_wide_as_they_like() -> None:
    wide = ["evaluation.margins.subspaces=bands", "evaluation.margins.size=40"]
    assert load_spec("margins", parse_overrides(wide)).evaluation.margins is not None


def test_margins_join_any_sweep() -> None:
    given = ["data.transform=flip", "evaluation.margins={}"]
    config = load_spec("coco_hsplid", parse_overrides(given)).trial_config()
    assert config.data.transform == "flip"
    assert config.evaluation.margins is not None
