"""Analyses of a saved model: margins, saliency and single pixels, as trials have them."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import torch

from hsplid_core.config import (
    DataConfig,
    EvaluationConfig,
    MarginsConfig,
    ModelConfig,
    SaliencyConfig,
    SinglePixelConfig,
    TrainingConfig,
)
from hsplid_core.data import ImageSet
from hsplid_core.errors import ConfigError, did_you_mean
from hsplid_core.methods import CrossEntropyConfig
from hsplid_core.models import MaskedClassifier
from hsplid_core.saliency.scores import NEEDS_MASK
from trainables.analyses import analyse
from trainables.analysis import Findings, Subject
from trainables.config import TrialConfig

ANALYSES = ("margins", "saliency", "single_pixel")


def check_analyses(names: Sequence[str]) -> None:
    """Refuse names of analyses that there are not.

    Raises:
        ConfigError: One is unknown.
    """
    for name in names:
        if name not in ANALYSES:
            known = (*ANALYSES, "corruptions")
            raise ConfigError(
                f"analysis is {name!r}: use {', '.join(known)}{did_you_mean(name, known)}"
            )


def analyse_model(
    model: MaskedClassifier,
    images: ImageSet,
    data: DataConfig,
    names: Sequence[str],
    *,
    margins: MarginsConfig,
    max_images: int | None,
    batch_size: int,
    seed: int,
    device: torch.device,
) -> Findings:
    """Run analyses with the settings that trials have by default.

    Linear probes are left out, which would need the training images; so are scores against masks
    where the images have none.

    Args:
        model: In eval mode, on the device.
        images: What it is judged on, of the model's own classes.
        data: Where they come from.
        names: Some of `ANALYSES`.
        margins: Settings of the margins; of the model's classes at most all are looked at.
        max_images: Look only at so many images; None takes each analysis' own number.
        batch_size: Images per forward pass, where an analysis has no smaller one of its own.
        seed: Told beside the findings.
        device: Where the model is.

    Raises:
        SaliencyError: An analysis cannot do with this model or these images.
    """
    saliency = SaliencyConfig(probes=False)
    saliency = dataclasses.replace(saliency, max_images=max_images or saliency.max_images)
    if not images.has_masks:
        kept = tuple(name for name in saliency.scores if name not in NEEDS_MASK)
        saliency = dataclasses.replace(saliency, scores=kept)
    margins = dataclasses.replace(
        margins,
        num_classes=min(margins.num_classes, model.num_classes),
        max_images=max_images or margins.max_images,
    )
    evaluation = EvaluationConfig(
        batch_size=batch_size,
        margins=margins if "margins" in names else None,
        saliency=saliency if "saliency" in names else None,
        single_pixel=SinglePixelConfig(max_images=max_images) if "single_pixel" in names else None,
    )
    return analyse(
        Subject(
            model=model,
            training=images,
            validation=images,
            device=device,
            config=TrialConfig(
                data=data,
                model=ModelConfig(),
                method={"cross_entropy": CrossEntropyConfig()},
                training=TrainingConfig(),
                evaluation=evaluation,
                seed=seed,
            ),
        )
    )
