"""One trial from its configuration: images, model, objective, and an epoch at a time."""

from __future__ import annotations

import dataclasses
import resource
from collections.abc import Mapping
from typing import Any

import torch

from hsplid_core.config import DataConfig
from hsplid_core.config.normalisation import OF_DATA, Statistics, parse_normalisation
from hsplid_core.data import ImageSet, load
from hsplid_core.errors import CheckpointError, ConfigError
from hsplid_core.evaluation.accuracy import accuracy
from hsplid_core.frequency import FrequencyFilter, filtered_statistics
from hsplid_core.methods import Shape, build_objective
from hsplid_core.models import MaskedClassifier, build_model
from hsplid_core.models.state_dicts import fit_state
from hsplid_core.models.trained import DESCRIPTION, describe
from hsplid_core.training import TrainingRun, pick_device
from trainables.analyses import analyse, check_analyses
from trainables.analysis import Subject, Table
from trainables.best_epoch import BestEpoch
from trainables.checkpoints import read_weights
from trainables.config import TrialConfig
from trainables.gpu_memory import fits_beside_training, is_out_of_memory
from trainables.robustness import measure_robustness


class Trial:
    """A training run together with the images it is judged on.

    Args:
        config: Everything about the trial.

    Attributes:
        tables: What the last evaluation found beyond numbers: accuracies under attack, reasons
            to distrust them, and the analyses' tables.

    Raises:
        ConfigError: The configuration does not fit together.
        DataError: The data set is missing or damaged.
        CheckpointError: The initial weights do not fit the model.
    """

    def __init__(self, config: TrialConfig) -> None:
        self.config = config
        self.tables: Mapping[str, Table] = {}
        training, self.validation = _images(config)
        check_analyses(config.evaluation, self.validation)
        model = initial_model(config, training)
        batch_size = config.training.part_size
        shape = Shape(
            num_classes=model.num_classes,
            num_features=model.num_features,
            batches_per_epoch=-(-len(training) // batch_size),
            batch_size=batch_size,
            class_counts=tuple(training.labels.bincount(minlength=model.num_classes).tolist()),
        )
        objective = build_objective(config.methods, shape)
        self.run = TrainingRun(model, objective, training, config.training, seed=config.seed)
        self.best = BestEpoch(config.training)

    @property
    def finished(self) -> bool:
        """Whether all epochs are done, or it was waited long enough for a better one."""
        done = self.run.epoch
        return done >= self.config.training.epochs or self.best.is_over(done)

    def epoch(self) -> dict[str, float]:
        """Train one epoch and evaluate on the validation images; with no epochs, evaluate alone.

        Returns:
            The epoch's metrics; ``val/robust_accuracy`` only in epochs that measure it. In the
            last epoch, where ``training.keep`` is best, ``val/`` is of the best epoch's model,
            whose number is ``best_epoch``.

        Raises:
            TrainingDivergedError: The loss became NaN or infinite.
            ConfigError: Nothing measures what ``training.monitor`` names.
        """
        if self.config.training.epochs == 0:
            measured_only = {"epoch": 0.0, **self.evaluate()}
            return {**measured_only, "memory_mib": _peak_memory_mib(self.run.device)}
        metrics = self.run.train_epoch()
        metrics.update(self._accuracy())
        # Before anything dear is measured, which may be another epoch's to tell.
        judged = not self.best.decides or self._judge(metrics)
        measured = False
        if not judged and self._due:
            metrics.update(self._further())
            measured = True
            if not self._judge(metrics):
                raise ConfigError(
                    f"training.monitor is {self.config.training.monitor}: a trial measures only "
                    f"{', '.join(sorted(metrics))}"
                )
        if self.finished and self.best.restore(self.run.epoch, self.run.model):
            metrics.update(self.evaluate())
        elif self._due and not measured:
            metrics.update(self._further())
        if self.finished and self.config.training.keep == "best":
            metrics["best_epoch"] = float(self.best.epoch)
        metrics["memory_mib"] = _peak_memory_mib(self.run.device)
        return metrics

    def _judge(self, metrics: Mapping[str, float]) -> bool:
        return self.best.judge(self.run.epoch, metrics, self.run.model)

    @property
    def _due(self) -> bool:
        """Whether this epoch measures more than accuracy."""
        return self.finished or self.run.epoch % self.config.evaluation.every == 0

    def evaluate(self) -> dict[str, float]:
        """Measure accuracy, and robust accuracy where this epoch is due, as shares in [0, 1]."""
        metrics = self._accuracy()
        return {**metrics, **self._further()} if self._due else metrics

    def _accuracy(self) -> dict[str, float]:
        self.run.model.eval()
        return {
            "val/accuracy": accuracy(
                self.run.model,
                self.validation,
                batch_size=self.config.evaluation.batch_size,
                device=self.run.device,
            )
        }

    def _further(self) -> dict[str, float]:
        """Measure what is not measured after every epoch."""
        robustness = measure_robustness(
            self.run.model, self.validation, self.config.evaluation, self.run.device
        )
        analyses = analyse(
            Subject(
                model=self.run.model,
                training=self.run.images,
                validation=self.validation,
                device=self.run.device,
                config=self.config,
            )
        )
        self.tables = {**robustness.tables, **analyses.tables}
        return {**robustness.metrics, **analyses.metrics}

    def state_dict(self) -> dict[str, Any]:
        """Return what is needed to go on later, and which model it is."""
        description = describe(
            self.config.model, self.run.images, self.config.data, self.run.model.front
        )
        state = {**self.run.state_dict(), DESCRIPTION: description}
        return {**state, "best": self.best.state_dict()} if self.best.decides else state

    def load_state_dict(self, state: Mapping[str, Any]) -> None:
        """Go on from a saved state.

        Raises:
            CheckpointError: It is not one of such a trial, which is of no use any more then.
        """
        try:
            self.run.load_state_dict(dict(state))
            if self.best.decides:
                self.best.load_state_dict(state["best"])
        except (RuntimeError, TypeError, AttributeError, ValueError, LookupError) as error:
            if is_out_of_memory(error):
                raise
            cause = " ".join(f"{type(error).__name__}: {error}".split())
            raise CheckpointError(f"the state does not fit the trial: {cause}") from error


def _images(config: TrialConfig) -> tuple[ImageSet, ImageSet]:
    """Open training and validation images, on the device where they may stay there."""
    training, validation = load(config.data, "train"), load(config.data, "val")
    device = pick_device(config.training.device)
    n_bytes = training.pixel_bytes + validation.pixel_bytes
    if config.data.on_device == "auto" and fits_beside_training(n_bytes, device):
        return training.held_on(device), validation.held_on(device)
    return training, validation


def initial_model(config: TrialConfig, images: ImageSet) -> MaskedClassifier:
    """Build the model that a trial starts from.

    Raises:
        CheckpointError: The initial weights do not fit the model.
    """
    network = config.model
    if config.initial_weights is not None:
        # They replace whatever the network starts from, which need not be fetched then.
        network = dataclasses.replace(network, weights=None, checkpoint=None, new_head=False)
    front = _front(config.data, images)
    mean, std = _statistics(config.data, images, front)
    model = build_model(
        network,
        image_shape=images.image_shape,
        num_classes=len(images.class_names),
        mean=mean,
        std=std,
        seed=config.seed,
        front=front,
    )
    if config.data.normalise is not None:
        # What is said counts for more than what published weights were trained with.
        model.set_normalisation(mean, std)
    if config.initial_weights is not None:
        weights = read_weights(config.initial_weights)
        fit_state(model, weights, source=str(config.initial_weights))
    return model


def _statistics(data: DataConfig, images: ImageSet, front: FrequencyFilter | None) -> Statistics:
    """Find means and deviations: measured behind a filter that loses frequencies, else as said."""
    if front is not None and front.kind != "flip":
        return filtered_statistics(images, front)
    if data.normalise not in (None, OF_DATA):
        channels = images.image_shape[0]
        return parse_normalisation(data.normalise, channels, field="data.normalise")
    return images.mean, images.std


def _front(data: DataConfig, images: ImageSet) -> FrequencyFilter | None:
    if data.transform == "none":
        return None
    bandwidth = None if data.transform == "flip" else data.bandwidth
    return FrequencyFilter(data.transform, images.image_shape[1:], bandwidth)


def _peak_memory_mib(device: torch.device) -> float:
    """Peak memory since the process began: the device's on cuda, else the process's own."""
    if device.type == "cuda":
        return torch.cuda.max_memory_allocated(device) / 2**20
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**10
