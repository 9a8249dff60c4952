"""What an evaluation needs to know of an attack and of a model, and nothing more."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, Self

from torch import Tensor

from hsplid_core.attacks.balls import Norm

Model = Callable[[Tensor], Tensor]
"""Pixel images [B, C, H, W] in [0, 1] to logits [B, K]; normalisation is inside."""


class Attack(Protocol):
    """The settings of one attack, ready to be run on a batch.

    The next attack is one more frozen dataclass with these members.
    """

    @property
    def norm(self) -> Norm:
        """Norm of the ball."""
        ...

    @property
    def epsilon(self) -> float:
        """Radius of the ball around each image, in pixel units."""
        ...

    @property
    def targeted(self) -> bool:
        """Whether the classes given are to be reached, instead of to be left."""
        ...

    def with_epsilon(self, epsilon: float) -> Self:
        """Return the same attack with another radius."""
        ...

    def stopping_early(self) -> Self:
        """Return the form in which an image leaves as soon as it fools the model.

        It breaks at least the images that this form breaks, for less work.
        """
        ...

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
        ...
