"""Augmentation: a training step with every kind of it on, against one with none.

Norm-free ResNet-18 with the 7x7 stem, 64 images of 3x64x64 with masks, one thread, CPU seconds of
the training loop's own step behind its own augmentation. The first has the kinds that H-SPLID uses
(2510.20627, appendix F.4: crop, colour jitter, greyscale, flip, solarise), at strengths of this
benchmark's own; the full one has rotation, translation, shear and a blur of every image besides.

    python -m tests.benchmarks.bench_augmentation

A minute on one slow CPU core; expected near 1.05 and 1.05.
"""

from __future__ import annotations

import sys
import time
from dataclasses import replace

import torch

from hsplid_core.config import AugmentationConfig, ModelConfig, TrainingConfig
from hsplid_core.data.augmentation import augment
from hsplid_core.data.batch import Batch
from hsplid_core.methods import CrossEntropyConfig, Shape, build_objective
from hsplid_core.models import build_model
from hsplid_core.training import build_optimiser, train_step
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare

SIZE, BATCH_SIZE, CLASSES, ROUNDS = 64, 64, 4, 8
KINDS = AugmentationConfig(
    crop_scale=(0.5, 1.0),
    flip=0.5,
    brightness=0.4,
    contrast=0.4,
    saturation=0.4,
    hue=0.1,
    jitter_probability=0.8,
    greyscale=0.2,
    solarise=0.2,
)
FULL = replace(KINDS, rotation=30, translation=0.1, shear=8, blur=1.0)


def ratio(name: str, config: AugmentationConfig) -> Ratio:
    """Seconds of a step with an augmentation, relative to those of one without."""
    batch = Batch(
        image=torch.rand(BATCH_SIZE, 3, SIZE, SIZE),
        target=torch.arange(BATCH_SIZE) % CLASSES,
        mask=torch.rand(BATCH_SIZE, 1, SIZE, SIZE) > 0.5,
        index=torch.arange(BATCH_SIZE),
    )
    model = build_model(
        ModelConfig(),
        image_shape=(3, SIZE, SIZE),
        num_classes=CLASSES,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        seed=0,
    ).train()
    shape = Shape(
        num_classes=CLASSES,
        num_features=model.num_features,
        batches_per_epoch=1,
        batch_size=BATCH_SIZE,
        class_counts=(BATCH_SIZE // CLASSES,) * CLASSES,
    )
    objective = build_objective({"cross_entropy": CrossEntropyConfig()}, shape)
    optimiser = build_optimiser(model, TrainingConfig())
    choices = torch.Generator().manual_seed(0)

    def step(augmentation: AugmentationConfig) -> None:
        varied = augment(batch, augmentation, choices)
        train_step(model, objective, optimiser, varied, clip_norm=1000.0)

    plain, augmented = compare(
        lambda: step(AugmentationConfig()),
        lambda: step(config),
        rounds=ROUNDS,
        clock=time.process_time,
    )
    return Ratio(f"step: {name} / no augmentation", augmented / plain, 1.15, False)


def run() -> list[Ratio]:
    """Measure both ratios."""
    torch.set_num_threads(1)
    return [ratio("H-SPLID's kinds", KINDS), ratio("full", FULL)]


if __name__ == "__main__":
    sys.exit(report(run()))
