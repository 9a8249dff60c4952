"""The single-pixel benchmark on a trial's model: ``evaluation.single_pixel``."""

from __future__ import annotations

import dataclasses

import torch

from hsplid_core.data import ImageSet
from hsplid_core.data.planted_pixel import PlantedPixels
from hsplid_core.errors import ConfigError
from hsplid_core.evaluation.accuracy import accuracy
from hsplid_core.saliency.single_pixel import METHODS, PixelRow, analyse_pixels
from trainables.analysis import Findings, Subject
from trainables.config import ParameterValue

_PREFIX = "val/single_pixel"
_TABLE = "single_pixel"


def single_pixel(subject: Subject) -> Findings:
    """Attribute the model's answers on validation images under every test jitter.

    Args:
        subject: A trial on images with a planted pixel.

    Returns:
        The table ``single_pixel`` with a row for each test jitter, method, label and output;
        metrics ``val/single_pixel/METHOD/...`` of the predicted label's probability under the
        first jitter, their means over the methods, and the accuracies under every condition.

    Raises:
        ConfigError: The trial's images have no planted pixel.
    """
    config = subject.config.evaluation.single_pixel
    assert config is not None
    planted = planted_pixels(subject.validation)
    rows: list[dict[str, ParameterValue]] = []
    metrics = _accuracies(subject, planted)
    # The pixels that the model normalises to 0: its means, whatever filter stands before it.
    zero = torch.zeros(1, *subject.validation.image_shape, device=subject.device)
    mean = subject.model.denormalise(zero)[0, :, 0, 0].tolist()
    for number, (position_sd, colour_sd) in enumerate(config.jitters):
        found = analyse_pixels(
            subject.model,
            _jittered(subject.validation, planted, position_sd, colour_sd),
            subject.validation.changed(None),
            mean=mean,
            std=subject.model.std.flatten().tolist(),
            steps=config.steps,
            batch_size=config.batch_size,
            device=subject.device,
            max_images=config.max_images,
        )
        test = {"test_pos_sd": position_sd, "test_col_sd": colour_sd}
        rows += [{**_of_model(subject, planted), **test, **_columns(row)} for row in found]
        if number == 0:
            metrics |= _summary(found)
    table = {name: [row[name] for row in rows] for name in rows[0]}
    return Findings(metrics=metrics, tables={_TABLE: table})


def single_pixel_metrics() -> list[str]:
    """Name all that `single_pixel` may measure, but for the accuracies and the mean."""
    scores = ("attribution_correct", "additive_importance", "subtractive_importance")
    return [f"{_PREFIX}/{method}/{score}" for method in METHODS for score in scores]


def planted_pixels(images: ImageSet) -> PlantedPixels:
    """Return what was planted into the images.

    Raises:
        ConfigError: Nothing was.
    """
    if not isinstance(images.change, PlantedPixels):
        raise ConfigError(
            "evaluation.single_pixel is set, but data.pixel is not: plant a pixel, for instance "
            "with data.pixel.seed=0"
        )
    return images.change


def _jittered(
    images: ImageSet, planted: PlantedPixels, position_sd: float, colour_sd: float
) -> ImageSet:
    pixel = dataclasses.replace(
        planted.config, position_sd=position_sd, colour_sd=colour_sd, condition="same"
    )
    return images.changed(dataclasses.replace(planted, config=pixel))


def _accuracies(subject: Subject, planted: PlantedPixels) -> dict[str, float]:
    """Accuracy with the class's pixel, another class's, and none, under the trial's own jitter."""
    accuracies = {}
    for condition in ("same", "diff", "nopix"):
        pixel = dataclasses.replace(planted.config, condition=condition)
        images = subject.validation.changed(dataclasses.replace(planted, config=pixel))
        accuracies[f"{_PREFIX}/accuracy_{condition}"] = accuracy(
            subject.model,
            images,
            batch_size=subject.config.evaluation.batch_size,
            device=subject.device,
        )
    return accuracies


def _of_model(subject: Subject, planted: PlantedPixels) -> dict[str, ParameterValue]:
    config, pixel = subject.config, planted.config
    return {
        "dataset": config.data.name,
        "pixel_side": pixel.side,
        "data_seed": pixel.seed,
        "model_type": config.model.name,
        "model_seed": config.seed,
        "train_pos_sd": pixel.position_sd,
        "train_col_sd": pixel.colour_sd,
    }


def _columns(row: PixelRow) -> dict[str, ParameterValue]:
    return {
        "attribution_method": row.variant.method,
        "use_y_true": row.variant.use_y_true,
        "use_softmax": row.variant.use_softmax,
        **row.columns,
        "additive_importance": row.additive_importance,
        "subtractive_importance": row.subtractive_importance,
    }


def _summary(rows: list[PixelRow]) -> dict[str, float]:
    """The attributions of the predicted label's probability, and their means over the methods."""
    of = {
        row.variant.method: {
            "attribution_correct": row.columns["overall.attribution_correct_accuracy"],
            "additive_importance": row.additive_importance,
            "subtractive_importance": row.subtractive_importance,
        }
        for row in rows
        if row.variant.use_softmax and not row.variant.use_y_true
    }
    metrics = {
        f"{_PREFIX}/{method}/{name}": value
        for method in METHODS
        for name, value in of[method].items()
        if value is not None
    }
    correct = [metrics[f"{_PREFIX}/{method}/attribution_correct"] for method in METHODS]
    metrics[f"{_PREFIX}/attribution_correct"] = sum(correct) / len(correct)
    return metrics
