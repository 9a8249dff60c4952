"""Attributions of a trial's model, and what its feature spaces know: ``evaluation.saliency``."""

from __future__ import annotations

from hsplid_core.config.analyses import SaliencyConfig
from hsplid_core.saliency import AttributionSettings, evaluate_saliency, probe_spaces
from trainables.analysis import Findings, Subject

_PREFIX = "val/saliency"


def saliency(subject: Subject) -> Findings:
    """Score attributions against the masks, and probe the feature spaces.

    Args:
        subject: The trial's model and images.

    Returns:
        Metrics ``val/saliency/METHOD/SCORE``; the number of images, and of those without a mask;
        with probes, the accuracies of both spaces and the number of salient features.

    Raises:
        ConfigError: A score needs masks that the images lack, or a method does not suit the model.
        TrainingDivergedError: An attribution is NaN or infinite.
    """
    config = subject.config.evaluation.saliency
    assert config is not None
    report = evaluate_saliency(
        subject.model,
        subject.validation,
        methods=config.methods,
        scores=config.scores,
        settings=attribution_settings(config),
        target=config.target,
        patches=config.patches,
        radius=config.radius,
        device=subject.device,
        max_images=config.max_images,
    )
    metrics = {
        f"{_PREFIX}/{method}/{score}": mean for (method, score), mean in report.means.items()
    }
    metrics[f"{_PREFIX}/images"] = float(report.n_images)
    metrics[f"{_PREFIX}/without_mask"] = float(report.n_empty_masks)
    return Findings(metrics={**metrics, **_probes(subject, config)} if config.probes else metrics)


def _probes(subject: Subject, config: SaliencyConfig) -> dict[str, float]:
    report = probe_spaces(
        subject.model,
        subject.training,
        subject.validation,
        batch_size=subject.config.evaluation.batch_size,
        ridge=config.ridge,
        device=subject.device,
        training_images=config.probe_images,
    )
    return {
        f"{_PREFIX}/probe/salient_accuracy": report.salient_accuracy,
        f"{_PREFIX}/probe/nonsalient_accuracy": report.nonsalient_accuracy,
        f"{_PREFIX}/salient_features": float(report.n_salient),
    }


def attribution_settings(config: SaliencyConfig) -> AttributionSettings:
    """Pick what the attributions can be told out of a section of the evaluation."""
    return AttributionSettings(
        output=config.output,
        steps=config.steps,
        samples=config.samples,
        noise=config.noise,
        window=config.window,
        batch_size=config.batch_size,
    )
