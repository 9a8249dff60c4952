"""Attacks: settings that can be called on a batch, each around a search of its own."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import Self

import torch
from torch import Tensor

from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks._frozen import frozen, refuse_training_mode
from hsplid_core.attacks._setting_rules import Rule, radius_rules
from hsplid_core.attacks.balls import Norm
from hsplid_core.attacks.model_queries import Model, ModelQueries
from hsplid_core.config import check
from hsplid_core.errors import DataError


@dataclass(frozen=True, kw_only=True)
class Attack(ABC):
    """The settings of one attack; calling it attacks a batch.

    The next attack is one more frozen dataclass that derives from this one: it adds settings,
    their `rules` and its `search`.

    Attributes:
        epsilon: Radius of the ball around each image, in pixel units, above 0; at most 1 in
            L-infinity, where 1 already frees every pixel.
        norm: Norm of the ball, "linf" or "l2".
        targeted: Lead to the classes given, instead of away from them.

    Raises:
        ConfigError: A value is out of range; all faults are named together.
    """

    epsilon: float
    norm: Norm = "linf"
    targeted: bool = False

    def __post_init__(self) -> None:
        check([*radius_rules(self.epsilon, self.norm), *self.rules()])

    def rules(self) -> list[Rule]:
        """List what must hold for the settings that an attack adds."""
        return []

    def with_epsilon(self, epsilon: float) -> Self:
        """Return the same attack with another radius."""
        return replace(self, epsilon=epsilon)

    def stopping_early(self) -> Self:
        """Return the form in which an image leaves as soon as it fools the model.

        It breaks at least the images that this form breaks, for less work. An attack that always
        lets them leave returns itself.
        """
        return self

    @property
    def goes_on(self) -> bool:
        """Whether the attack can `resume`; what it leaves standing has then been searched well."""
        return False

    def resume(self, attempt: AttackedBatch, start: Tensor) -> Tensor:
        """Attack in a short run from given images of the balls, [B, C, H, W].

        Raises:
            NotImplementedError: The attack does not go on from anywhere.
        """
        raise NotImplementedError

    def __call__(
        self,
        model: Model,
        image: Tensor,
        target: Tensor,
        allowed: Tensor,
        *,
        seed: int,
        index: Tensor,
    ) -> Tensor:
        """Search the ball around each image for one that fools the model.

        Every image given is attacked, those that fool already too: leaving them out is the
        caller's to decide. The result depends on (seed, index) of each image, not on the batch
        around it, up to rounding inside the model.

        Args:
            model: Pixels to logits; a module in eval mode.
            image: Pixels in [0, 1], float, [B, C, H, W]; not changed.
            target: Class indices, int64, [B]: the true ones, which an attack leads away from, or
                for a targeted attack those that it leads to.
            allowed: True where a pixel may change, bool, [B, 1, H, W].
            seed: Seed of everything random.
            index: Row of each image in its data set, int64, [B]; its randomness hangs on it.

        Returns:
            The attacked images, [B, C, H, W], in the input's memory format and without a graph.
            An image with no allowed pixel comes back as it is.

        Raises:
            ConfigError: The model is in training mode, or has too few classes for a loss.
            DataError: The tensors do not fit together, or pixels lie outside [0, 1].
            TrainingDivergedError: The model's logits are NaN or infinite.
        """
        check_inputs(image, target, allowed, index)
        refuse_training_mode(model)
        # A caller in inference mode would make tensors that autograd refuses.
        with frozen(model), torch.inference_mode(False), torch.no_grad():
            attempt = AttackedBatch(
                scorer=ModelQueries(model, targeted=self.targeted),
                image=image,
                target=target.clone(),  # of inference mode it could not be saved for a gradient
                allowed=allowed,
                index=index,
                seed=seed,
            )
            attacked = self.search(attempt)
            attempt.scorer.verify()
        return attacked

    @abstractmethod
    def search(self, attempt: AttackedBatch) -> Tensor:
        """Attack a batch that has been checked, without recording gradients.

        Returns:
            The attacked images, [B, C, H, W].
        """


def check_inputs(image: Tensor, target: Tensor, allowed: Tensor, index: Tensor) -> None:
    """Check that a batch can be attacked.

    Args:
        image: Pixels in [0, 1], float, [B, C, H, W].
        target: Class indices, int64, [B].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        index: Row of each image in its data set, int64, [B].

    Raises:
        DataError: One of them has another shape or type, or a pixel lies outside [0, 1].
    """
    if image.ndim != 4 or not image.is_floating_point():
        raise DataError(
            f"image is {image.dtype} {list(image.shape)}: attacks take float pixels "
            "[B, C, H, W] in [0, 1]; divide uint8 images by 255"
        )
    rows, _, height, width = image.shape
    for name, labels in (("target", target), ("index", index)):
        if labels.dtype != torch.int64 or list(labels.shape) != [rows]:
            raise DataError(
                f"{name} is {labels.dtype} {list(labels.shape)}: "
                f"give one int64 for each of the {rows} images"
            )
    if allowed.dtype != torch.bool or list(allowed.shape) != [rows, 1, height, width]:
        raise DataError(
            f"the mask of allowed pixels is {allowed.dtype} {list(allowed.shape)}: it must be "
            f"bool {[rows, 1, height, width]}, as the images are {list(image.shape)}"
        )
    if rows:
        low, high = (float(bound) for bound in image.aminmax())
        if not (low >= 0 and high <= 1):  # also false for NaN
            raise DataError(
                f"pixels lie in [{low:.4g}, {high:.4g}]: attacks work in pixel space [0, 1]; "
                "leave normalisation to the model"
            )
