"""A trial small enough for tests: 160 pictures of 32 pixels, a few thousand weights."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from hsplid_core.config import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig
from hsplid_core.data.demo.coco import write_coco_demo
from hsplid_core.methods import CrossEntropyConfig, HsplidConfig
from trainables.config import TrialConfig


def tiny_data(folder: Path) -> DataConfig:
    """Write a small COCO folder, and describe it."""
    root = write_coco_demo(folder / "coco", image_size=32, n_train=160, n_val=40)
    return DataConfig(root=root, image_size=32, cache_dir=folder / "cache")


def tiny_trial(data: DataConfig, **changes: Any) -> TrialConfig:
    """Describe a trial of three epochs on it."""
    fields: dict[str, Any] = {
        "data": data,
        "model": ModelConfig(width=1 / 16),
        "method": {
            "cross_entropy": CrossEntropyConfig(weight=10),
            "hsplid": HsplidConfig(beta_step=0.5, beta_update_fraction=0.2),
        },
        "training": TrainingConfig(epochs=3, batch_size=32, learning_rate=1e-3),
        "evaluation": EvaluationConfig(epsilons_255=(2.0,), steps=2, max_images=16),
    }
    return TrialConfig(**{**fields, **changes})
