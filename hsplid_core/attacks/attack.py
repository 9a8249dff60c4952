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
        """Return the attacked images, [B, C, H, W].

        Args:
            model: Images to logits.
            image: Pixels in [0, 1], [B, C, H, W].
            target: Class indices, int64, [B].
            allowed: True where a pixel may change, bool, [B, 1, H, W].
            seed: Seed of everything random.
            index: Row of each image in its data set, int64, [B]; its randomness hangs on it.
        """
        ...
