"""Margins as an analysis of a trial, and trials on filtered data."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
import torch

from hsplid_core.config import DataConfig, EvaluationConfig, TrainingConfig
from hsplid_core.config.analyses import MarginsConfig
from hsplid_core.data import load
from hsplid_core.errors import ConfigError
from hsplid_core.methods import AdversarialConfig, CrossEntropyConfig
from hsplid_core.models.trained import rebuild
from tests.hsplid_core.frequency.plain import flip
from tests.tiny import tiny_trial
from trainables.config import TrialConfig
from trainables.trial import Trial, initial_model

MARGINS = MarginsConfig(size=8, step=8, max_images=6, max_iterations=20)


def margin_trial(data: DataConfig, **changes: Any) -> TrialConfig:
    fields: dict[str, Any] = {
        "method": {"cross_entropy": CrossEntropyConfig()},
        "training": TrainingConfig(epochs=1, batch_size=32, learning_rate=1e-3),
        "evaluation": EvaluationConfig(
            epsilons_255=(2.0,), steps=1, max_images=4, region="full", margins=MARGINS
        ),
    }
    return tiny_trial(data, **{**fields, **changes})


@pytest.mark.parametrize("transform", ["none", "flip", "lowpass"])
def test_margins_join_the_metrics(data: DataConfig, transform: str) -> None:
    filtered = dataclasses.replace(data, transform=transform, bandwidth=8)  # type: ignore[arg-type]
    methods = {
        "cross_entropy": CrossEntropyConfig(),
        "adversarial": AdversarialConfig(epsilon=0.5, steps=1),
    }
    trial = Trial(margin_trial(filtered, method=methods))
    metrics = trial.epoch()
    labels = ["000-007", "008-015", "016-023", "024-031"]
    table = trial.tables["margins"]
    assert table["subspace"] == labels * 6
    assert set(map(len, table.values())) == {24}
    sizes = torch.tensor(table["margin"]).view(6, 4)
    fooled = torch.tensor(table["fooled"]).view(6, 4)
    assert metrics["val/margin/not_fooled"] == pytest.approx(1 - float(fooled.float().mean()))
    medians = {label: metrics.get(f"val/margin/{label}") for label in labels}
    for column, label in enumerate(labels):
        if fooled[:, column].all():
            middle = sizes[:, column].sort().values[2:4].mean()
            assert medians[label] == pytest.approx(float(middle))
    found = [median for median in medians.values() if median is not None]
    assert metrics["val/margin/smallest"] == min(found)


def test_flipped_images_are_normalised_by_the_flipped_mean_image(data: DataConfig) -> None:
    config = margin_trial(dataclasses.replace(data, transform="flip"))
    images = load(config.data, "train")
    plain = initial_model(margin_trial(data), images)
    batch = images.batch(torch.arange(8)).image
    found = flip(initial_model(config, images).normalise(batch))
    torch.testing.assert_close(found, plain.normalise(batch), rtol=0, atol=1e-4)


def test_what_a_filter_leaves_of_training_images_is_normalised(data: DataConfig) -> None:
    lowpass = dataclasses.replace(data, transform="lowpass", bandwidth=8, normalise="half")
    config = margin_trial(lowpass)
    images = load(config.data, "train")
    model = initial_model(config, images)
    inputs = model.normalise(images.batch(torch.arange(len(images))).image)
    torch.testing.assert_close(inputs.mean((0, 2, 3)), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(
        inputs.std((0, 2, 3), correction=0), torch.ones(3), rtol=0, atol=1e-4
    )


@pytest.mark.parametrize("transform", ["none", "flip", "lowpass"])
def test_a_checkpoint_knows_its_filter(data: DataConfig, transform: str) -> None:
    filtered = dataclasses.replace(data, transform=transform, bandwidth=8)  # type: ignore[arg-type]
    trial = Trial(margin_trial(filtered))
    images = trial.validation.batch(torch.arange(4)).image
    model = rebuild(trial.state_dict(), source="a test").model
    with torch.no_grad():
        torch.testing.assert_close(model(images), trial.run.model.eval()(images))


def test_a_bandwidth_beyond_the_images_is_refused(data: DataConfig) -> None:
    with pytest.raises(ConfigError, match="bandwidth is 40: lowpass keeps 1 to 32"):
        dataclasses.replace(data, transform="lowpass", bandwidth=40)
    # Where it is not in use, it does not matter.
    dataclasses.replace(data, transform="flip", bandwidth=40)


def test_blocks_that_do_not_fit_are_named(data: DataConfig) -> None:
    margins = dataclasses.replace(MARGINS, size=40)
    base = margin_trial(data)
    evaluation = dataclasses.replace(base.evaluation, margins=margins)
    with pytest.raises(ConfigError, match="size is 40"):
        Trial(dataclasses.replace(base, evaluation=evaluation)).epoch()


@pytest.mark.parametrize("field", ["size", "step", "max_images", "max_iterations", "batch_size"])
def test_settings_out_of_range_are_named(field: str) -> None:
    with pytest.raises(ConfigError, match=f"{field} is 0"):
        dataclasses.replace(MARGINS, **{field: 0})  # type: ignore[arg-type]
