"""Margins of a trial's model along frequencies: ``evaluation.margins``."""

from __future__ import annotations

import math

from hsplid_core.attacks import frozen
from hsplid_core.config.analyses import MarginsConfig
from hsplid_core.margins import DeepFool, MarginDistribution, choose_subspaces, measure_margins
from trainables.analysis import Findings, Subject, Table

MARGINS_TABLE = "margins"
_PREFIX = "val/margin"


def margins(subject: Subject) -> Findings:
    """Measure the margins of validation images, as the network sees them.

    Behind a frequency flip these are the flipped images: the margins are those along the
    frequencies that the network was trained on.

    Args:
        subject: The trial's model and images.

    Returns:
        Metrics as :class:`MarginsConfig` describes them, without medians that are infinite; and
        the table of every search.

    Raises:
        ConfigError: The subspaces do not fit the images.
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    config = subject.config.evaluation.margins
    assert config is not None
    subspaces = choose_subspaces(
        config.subspaces, subject.validation.image_shape[1:], size=config.size, step=config.step
    )
    # What is searched is a method of the model, by which nobody else could tell its mode.
    with frozen(subject.model):
        found = measure_margins(
            subject.model.classify_seen,
            subject.validation,
            subspaces,
            _settings(config),
            see=subject.model.see,
            device=subject.device,
            max_images=config.max_images,
        )
    return Findings(metrics=_metrics(found), tables={MARGINS_TABLE: _table(found)})


def margin_metrics(config: MarginsConfig, image_size: int) -> list[str]:
    """Name all that `margins` may measure on square images.

    Raises:
        ConfigError: The subspaces do not fit the images.
    """
    square = (image_size, image_size)
    subspaces = choose_subspaces(config.subspaces, square, size=config.size, step=config.step)
    return [f"{_PREFIX}/{name}" for name in (*subspaces.labels, "smallest", "not_fooled")]


def _settings(config: MarginsConfig) -> DeepFool:
    return DeepFool(
        num_classes=config.num_classes,
        max_iterations=config.max_iterations,
        batch_size=config.batch_size,
    )


def _metrics(found: MarginDistribution) -> dict[str, float]:
    medians = dict(zip(found.labels, found.medians(), strict=True))
    finite = {label: median for label, median in medians.items() if math.isfinite(median)}
    metrics = {f"{_PREFIX}/{label}": median for label, median in finite.items()}
    if finite:
        metrics[f"{_PREFIX}/smallest"] = min(finite.values())
    return {**metrics, f"{_PREFIX}/not_fooled": found.not_fooled}


def _table(found: MarginDistribution) -> Table:
    images, subspaces = found.size.shape
    return {
        "image": found.positions.repeat_interleave(subspaces).tolist(),
        "correct": found.correct.repeat_interleave(subspaces).tolist(),
        "subspace": [*found.labels] * images,
        "frequency": [*found.frequencies] * images,
        "margin": found.size.flatten().tolist(),
        "fooled": found.fooled.flatten().tolist(),
        "iterations": found.iterations.flatten().tolist(),
    }
