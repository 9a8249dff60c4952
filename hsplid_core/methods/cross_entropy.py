"""Cross-entropy, the term that every method of the papers adds to.

Symbols: K classes; e the label smoothing; w_k the weight of class k; y_b the class of image b;
L_b the cross-entropy of image b against probability 1 - e on y_b and e / (K - 1) on each other
class (HBaR's smoothing, where torch's own spreads e over all K).

    weight * (sum over b of w_{y_b} L_b) / (sum over b of w_{y_b})
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config import STRICT, check
from hsplid_core.errors import ConfigError
from hsplid_core.methods.objective import ForwardPass, Shape, Summand, Term, full_precision


class CrossEntropyTerm(Term):
    """Mean cross-entropy of the logits over the batch.

    Args:
        weight: Factor on the mean.
        label_smoothing: Share e of the probability that goes to the wrong classes.
        class_weights: Weight of each class, [K]; None for equal ones.
    """

    class_weights: Tensor | None

    def __init__(
        self,
        weight: float,
        label_smoothing: float = 0.0,
        class_weights: Tensor | None = None,
    ) -> None:
        super().__init__()
        self.weight = weight
        self.label_smoothing = label_smoothing
        # Follows from the configuration and the data, so a checkpoint need not keep it.
        self.register_buffer("class_weights", class_weights, persistent=False)

    def forward(self, step: ForwardPass) -> list[Summand]:
        """Return the weighted cross-entropy."""
        value = cross_entropy(
            full_precision(step.logits),
            step.batch.target,
            label_smoothing=self.label_smoothing,
            class_weights=self.class_weights,
        )
        return [Summand("loss", self.weight, value)]


def cross_entropy(
    logits: Tensor,
    target: Tensor,
    *,
    label_smoothing: float = 0.0,
    class_weights: Tensor | None = None,
) -> Tensor:
    """Average the cross-entropy over a batch.

    Args:
        logits: Class scores, [B, K].
        target: Classes, [B].
        label_smoothing: Share e of the probability that goes to the wrong classes.
        class_weights: Weight of each class, [K]; an image counts as its own class does.

    Returns:
        A scalar.
    """
    num_classes = logits.shape[1]
    # torch gives (1 - s) + s / K to the true class and s / K to the others.
    smoothing = label_smoothing * num_classes / (num_classes - 1) if label_smoothing else 0.0
    if class_weights is None:
        return F.cross_entropy(logits, target, label_smoothing=smoothing)
    losses = F.cross_entropy(logits, target, label_smoothing=smoothing, reduction="none")
    weights = class_weights.to(losses.dtype)[target]
    return (weights * losses).sum() / weights.sum()


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig:
    """Weight and kind of the cross-entropy.

    Attributes:
        weight: Factor on the mean cross-entropy; 0 leaves it out.
        label_smoothing: Share of the probability that goes to the wrong classes, in equal
            parts; below 1 - 1/K, where nothing would be left to learn.
        class_weights: For imbalanced data: ``balanced`` weighs a class by N / (K times its
            images), a list gives one weight above 0 for each class.
    """

    __pydantic_config__: ClassVar[dict[str, Any]] = STRICT

    weight: float = 1.0
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"

    def __post_init__(self) -> None:
        given = self.class_weights
        check(
            [
                (self.weight >= 0, f"weight is {self.weight}: use 0 or more"),
                (
                    0 <= self.label_smoothing < 1,
                    f"label_smoothing is {self.label_smoothing}: use a share in [0, 1)",
                ),
                (
                    given in ("none", "balanced")
                    or (not isinstance(given, str) and all(weight > 0 for weight in given)),
                    f"class_weights is {given}: use none, balanced or weights above 0",
                ),
            ]
        )

    def build(self, shape: Shape) -> CrossEntropyTerm | None:
        """Make the term; None where its weight is 0.

        Raises:
            ConfigError: The smoothing or the class weights do not fit the number of classes, or
                balanced weights are wanted and nobody counted the classes.
        """
        if not self.weight:
            return None
        if self.label_smoothing >= 1 - 1 / shape.num_classes:
            raise ConfigError(
                f"label_smoothing is {self.label_smoothing}: with {shape.num_classes} classes use "
                f"less than {1 - 1 / shape.num_classes:g}"
            )
        return CrossEntropyTerm(self.weight, self.label_smoothing, self._class_weights(shape))

    def _class_weights(self, shape: Shape) -> Tensor | None:
        if self.class_weights == "none":
            return None
        if self.class_weights == "balanced":
            if shape.class_counts is None:
                raise ConfigError(
                    "class_weights is balanced, but the images of each class were not counted: "
                    "give the weights as a list"
                )
            counts = torch.tensor(shape.class_counts, dtype=torch.float64)
            # A class without images is never a target, so its weight is never used.
            return (counts.sum() / (len(counts) * counts.clamp_min(1))).float()
        if len(self.class_weights) != shape.num_classes:
            raise ConfigError(
                f"class_weights has {len(self.class_weights)} values: give one for each of the "
                f"{shape.num_classes} classes"
            )
        return torch.tensor(self.class_weights)
