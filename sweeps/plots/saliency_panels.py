"""Panels of a trial's attributions: example images, the object's outline, and what counts.

One picture a trial on the front, from its checkpoint; a sweep's results and its MLflow run get
them in the folder ``saliency``.
"""

from __future__ import annotations

import dataclasses
import logging
from collections.abc import Sequence
from pathlib import Path

import torch

from hsplid_core.attacks import frozen
from hsplid_core.bucket_path import AnyPath
from hsplid_core.config.analyses import SaliencyConfig
from hsplid_core.data import load
from hsplid_core.errors import SaliencyError
from hsplid_core.files import replacing
from hsplid_core.saliency import agg_clip, attribute
from sweeps.plots.saliency_rows import draw_maps, example_positions
from sweeps.trials.checkpoint_files import SweepCheckpoints
from sweeps.trials.record import TrialRecord
from trainables.config import TrialConfig
from trainables.saliency import attribution_settings
from trainables.trial import initial_model

logger = logging.getLogger(__name__)

PANELS_FOLDER = "saliency"


def write_panel(
    config: TrialConfig, checkpoint: AnyPath, file: Path, *, title: str, n_images: int = 6
) -> None:
    """Draw the attributions of one trained model.

    Args:
        config: The trial, with its parameters; the methods are those of ``evaluation.saliency``,
            or that section's defaults.
        checkpoint: Its trained model.
        file: PNG file to write.
        title: What is written above.
        n_images: Rows: validation images, of each class in turn.

    Raises:
        SaliencyError: The data or the checkpoint is missing or damaged, or they do not fit.
    """
    settings = config.evaluation.saliency or SaliencyConfig()
    images = load(config.data, "val")
    model = initial_model(dataclasses.replace(config, initial_weights=checkpoint), images)
    batch = images.batch(example_positions(images, n_images))
    target = batch.target
    if settings.target == "predicted":
        with frozen(model), torch.no_grad():
            target = model(batch.image).argmax(1)
    chosen = attribution_settings(settings)
    maps = {
        method: agg_clip(
            attribute(model, batch.image, target, method=method, settings=chosen), per_image=True
        )
        for method in settings.methods
    }
    figure = draw_maps(batch, maps, images.class_names, title=title)
    file.parent.mkdir(parents=True, exist_ok=True)
    with replacing(file) as picture:
        figure.savefig(picture, format="png")


def write_panels(
    base: TrialConfig, records: Sequence[TrialRecord], checkpoints: SweepCheckpoints
) -> list[Path]:
    """Draw a panel for every trial on the front of a sweep that measures saliency.

    A panel that exists is kept: a finished trial does not change. One that cannot be drawn is told
    in a warning, for the sweep's numbers do not depend on it.

    Args:
        base: The sweep's configuration.
        records: Its trials.
        checkpoints: Its checkpoints; panels go into the subfolder ``saliency`` of their folder.

    Returns:
        The files; none where ``evaluation.saliency`` is off.
    """
    if base.evaluation.saliency is None:
        return []
    files: list[Path] = []
    for record in records:
        file = checkpoints.folder / PANELS_FOLDER / f"saliency_trial_{record.number:05d}.png"
        if not record.on_front:
            continue
        checkpoint = checkpoints.find(record.number, record.parameters)
        if checkpoint is None:
            continue
        try:
            if not file.is_file():
                config = base.of_trial(record.parameters)
                write_panel(config, checkpoint, file, title=f"trial {record.number}")
        except SaliencyError as error:
            logger.warning("no panel of trial %d: %s", record.number, error)
            continue
        files.append(file)
    return files
