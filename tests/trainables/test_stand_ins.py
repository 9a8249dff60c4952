"""Trials on stand-ins that differ from COCO's: grey images, soft masks, box masks, variation."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from hsplid_core.config import (
    AugmentationConfig,
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    TrainingConfig,
)
from hsplid_core.data import DATA_SETS
from hsplid_core.methods import CrossEntropyConfig, HumanAttentionConfig
from tests.tiny import tiny_trial
from trainables.trial import Trial

LENET = ModelConfig(name="lenet3")
RESNET = ModelConfig(width=1 / 16)


@pytest.mark.parametrize(
    ("name", "model", "region", "method"),
    [
        ("mnist", LENET, "full", {}),
        ("mnist", RESNET, "full", {}),
        ("cmnist", LENET, "background", {}),
        ("cub_gha", RESNET, "background", {"human_attention": HumanAttentionConfig()}),
        ("stanford_dogs/boxes", RESNET, "object", {}),
    ],
)
def test_an_epoch(
    tmp_path: Path, name: str, model: ModelConfig, region: str, method: dict[str, Any]
) -> None:
    size = 64 if name == "cmnist" else 32
    root = DATA_SETS[name].demo(tmp_path, size, n_train=50, n_test=20)
    config = tiny_trial(
        DataConfig(name=name, root=root, image_size=size, cache_dir=tmp_path / "cache"),
        model=model,
        method={"cross_entropy": CrossEntropyConfig(), **method},
        training=TrainingConfig(
            epochs=1,
            batch_size=20,
            learning_rate=1e-3,
            augmentation=AugmentationConfig(flip=0.5, crop_scale=(0.5, 1.0), contrast=0.2),
        ),
        evaluation=EvaluationConfig(region=region, epsilons_255=(2.0,), steps=1, max_images=8),
    )
    metrics = Trial(config).epoch()
    assert 0 <= metrics["val/robust_accuracy"] <= 1
    assert metrics["train/loss"] > 0
