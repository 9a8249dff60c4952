"""Coverage: how much of a data set's masks is object, and whether that can be meant."""

from __future__ import annotations

from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

NEARLY_ALL = 0.95
"""Share of masks that must not be empty or full; of defects, most pictures may have none."""


class Coverage(NamedTuple):
    """How much of a set's masks is object.

    Attributes:
        mean: Mean share of a mask's pixels.
        empty: Masks without any.
        full: Masks with nothing else.
        n_masks: All masks, at least one.
    """

    mean: float
    empty: int
    full: int
    n_masks: int

    @classmethod
    def of(cls, shares: NDArray[np.float64]) -> Self:
        """Sum up the share of object pixels in each mask, float, [N]."""
        empty, full = int((shares == 0).sum()), int((shares == 1).sum())
        return cls(float(shares.mean()), empty, full, len(shares))

    @property
    def is_nearly_nothing(self) -> bool:
        """Whether nearly all masks tell nothing, being empty or full."""
        return self.empty + self.full >= NEARLY_ALL * self.n_masks

    def __str__(self) -> str:
        text = f"the object covers {100 * self.mean:.1f}% of the pixels"
        for name, number in (("empty", self.empty), ("full", self.full)):
            if number:
                text += f", {number} of {self.n_masks} masks are {name}"
        return text
