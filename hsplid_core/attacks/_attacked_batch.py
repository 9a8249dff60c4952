"""A batch under attack: what every search starts from."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace

from torch import Tensor

from hsplid_core._noise import signed_uniform
from hsplid_core.attacks.balls import BALLS, Ball, Norm, take
from hsplid_core.attacks.model_queries import ModelQueries
from hsplid_core.data.batch import Batch


@dataclass(frozen=True, kw_only=True)
class AttackedBatch:
    """Images to attack, and the model to fool.

    Attributes:
        scorer: The model, held still.
        image: Clean images in [0, 1], [B, C, H, W].
        target: True classes, or those to reach, int64, [B].
        allowed: True where a pixel may change, bool, [B, 1, H, W].
        index: Row of each image in its data set, int64, [B].
        seed: Seed of everything random.
    """

    scorer: ModelQueries
    image: Tensor
    target: Tensor
    allowed: Tensor
    index: Tensor
    seed: int

    @classmethod
    def of(
        cls, batch: Batch, allowed: Tensor, scorer: ModelQueries, *, seed: int
    ) -> AttackedBatch:
        """Attempt all images of a batch."""
        return cls(
            scorer=scorer,
            image=batch.image,
            target=batch.target,
            allowed=allowed,
            index=batch.index,
            seed=seed,
        )

    def __len__(self) -> int:
        return len(self.image)

    def take(self, rows: Tensor) -> AttackedBatch:
        """Return the attempt on some of the images."""
        return replace(
            self,
            image=take(self.image, rows),
            target=self.target[rows],
            allowed=self.allowed[rows],
            index=self.index[rows],
        )

    def under(self, attack: Callable[..., Tensor]) -> Tensor:
        """Attack the images, [B, C, H, W], with all that a call of an attack checks."""
        return attack(
            self.scorer.model,
            self.image,
            self.target,
            self.allowed,
            seed=self.seed,
            index=self.index,
        )

    def ball(self, norm: Norm, epsilon: float) -> Ball:
        """Return the sets that attacked images lie in."""
        return BALLS[norm](self.image, self.allowed, epsilon)

    def noise(self, stream: int, more: int = 0) -> Tensor:
        """Draw numbers in (-1, 1): one for each pixel and channel, and some more, [B, N]."""
        count = self.image.shape[1:].numel() + more
        return signed_uniform(self.seed, stream, self.index, count, dtype=self.image.dtype)
