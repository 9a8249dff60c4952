"""Cross-entropy, the term that every method of the papers adds to."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

import torch.nn.functional as F

from hsplid_core.config import STRICT, check
from hsplid_core.methods.objective import ForwardPass, Shape, Summand, Term, full_precision


class CrossEntropyTerm(Term):
    """Mean cross-entropy of the logits over the batch."""

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight

    def forward(self, step: ForwardPass) -> list[Summand]:
        """Return the weighted cross-entropy."""
        value = F.cross_entropy(full_precision(step.logits), step.batch.target)
        return [Summand("loss", self.weight, value)]


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig:
    """Weight of the cross-entropy.

    Attributes:
        weight: Factor on the mean cross-entropy; 0 leaves it out.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    weight: float = 1.0

    def __post_init__(self) -> None:
        check([(self.weight >= 0, f"weight is {self.weight}: use 0 or more")])

    def build(self, shape: Shape) -> CrossEntropyTerm | None:
        """Make the term."""
        return CrossEntropyTerm(self.weight) if self.weight else None
