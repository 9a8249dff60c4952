"""Memory of a training step, estimated on the CPU: what autograd keeps of a few images.

It is for comparing configurations with each other: what a GPU really needs, with its libraries'
workspaces, only a trial on it tells.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import torch
from torch import Tensor

from hsplid_core.data import ImageSet
from hsplid_core.methods import Shape, build_objective
from hsplid_core.methods.objective import Objective
from trainables.config import TrialConfig
from trainables.trial import initial_model

_IMAGES = 4
# Weights, their gradients, and Adam's two means.
_COPIES_OF_WEIGHTS = 4


class StepMemory:
    """Estimates of steps on the images of one data set.

    Args:
        images: The training images.
    """

    def __init__(self, images: ImageSet) -> None:
        self._images = images
        # Of each network with each set of terms: bytes of the weights, and of an image.
        self._known: dict[object, tuple[int, float]] = {}

    def dearest(self, configs: Iterable[TrialConfig]) -> float:
        """Return the largest estimate of some trials; 0 of none."""
        return max((self.of(config) for config in configs), default=0.0)

    def of(self, config: TrialConfig) -> float:
        """Estimate the bytes that a step of a trial needs."""
        network = dataclasses.replace(config.model, weights=None, checkpoint=None, new_head=False)
        config = dataclasses.replace(config, model=network, initial_weights=None)
        sizes = self._images.labels.bincount(minlength=len(self._images.class_names)).tolist()
        part = min(config.training.part_size, len(self._images))

        def objective(features: int) -> Objective:
            shape = Shape(len(sizes), features, 1, part, tuple(sizes))
            return build_objective(config.methods, shape)

        # Which terms there are hangs on their weights, and on no sizes.
        key = network, tuple(objective(1).terms)
        if key not in self._known:
            model = initial_model(config, self._images)
            built = objective(model.num_features)
            # What an attack on the images keeps is gone when the step begins.
            built.perturbation = None
            built.start_epoch(config.training.epochs)
            weights = sum(p.nbytes for p in model.parameters())
            self._known[key] = weights, _kept(built, model, self._images) / _IMAGES
        weights, each = self._known[key]
        return _COPIES_OF_WEIGHTS * weights + part * each


def _kept(objective: Objective, model: torch.nn.Module, images: ImageSet) -> int:
    """Count the bytes that a step on a few images holds until it goes back."""
    weights = {p.untyped_storage().data_ptr() for p in model.parameters()}
    storages: dict[int, int] = {}
    alive: list[Tensor] = []

    def pack(saved: Tensor) -> Tensor:
        storage = saved.untyped_storage()
        if storage.data_ptr() not in weights:
            storages[storage.data_ptr()] = storage.nbytes()
            alive.append(saved.detach())  # or its address may be given to another
        return saved

    batch = images.batch(torch.arange(_IMAGES) % len(images))
    model.train()
    with torch.autograd.graph.saved_tensors_hooks(pack, lambda saved: saved):
        objective(model, batch)
    return sum(storages.values())
