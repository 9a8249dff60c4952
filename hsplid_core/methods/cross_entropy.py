"""Cross-entropy, the term that every method of the papers adds to.

Symbols: K classes; e the label smoothing; w_k the weight of class k; y_b the class of image b;
L_b the cross-entropy of image b against probability 1 - e on y_b and e / (K - 1) on each other
class (HBaR's smoothing, where torch's own spreads e over all K).

    weight * (sum over b of w_{y_b} L_b) / (sum over b of w_{y_b})
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config.methods import CrossEntropyConfig
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
        # A weighted mean's denominator is the whole batch's.
        self.couples_batch = class_weights is not None

    def rows(self, step: ForwardPass) -> tuple[Tensor, ...]:
        """Return the logits."""
        return (full_precision(step.logits),)

    def of_rows(self, rows: tuple[Tensor, ...], step: ForwardPass) -> list[Summand]:
        """Return the weighted cross-entropy."""
        value = cross_entropy(
            rows[0],
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


def build(config: CrossEntropyConfig, shape: Shape) -> CrossEntropyTerm | None:
    """Make the term; None where its weight is 0.

    Raises:
        ConfigError: The smoothing or the class weights do not fit the number of classes, or
            balanced weights are wanted and nobody counted the classes.
    """
    if not config.weight:
        return None
    if config.label_smoothing >= 1 - 1 / shape.num_classes:
        raise ConfigError(
            f"label_smoothing is {config.label_smoothing}: with {shape.num_classes} classes use "
            f"less than {1 - 1 / shape.num_classes:g}"
        )
    return CrossEntropyTerm(config.weight, config.label_smoothing, _class_weights(config, shape))


def _class_weights(config: CrossEntropyConfig, shape: Shape) -> Tensor | None:
    if config.class_weights == "none":
        return None
    if config.class_weights == "balanced":
        if shape.class_counts is None:
            raise ConfigError(
                "class_weights is balanced, but the images of each class were not counted: "
                "give the weights as a list"
            )
        counts = torch.tensor(shape.class_counts, dtype=torch.float64)
        # A class without images is never a target, so its weight is never used.
        return (counts.sum() / (len(counts) * counts.clamp_min(1))).float()
    if len(config.class_weights) != shape.num_classes:
        raise ConfigError(
            f"class_weights has {len(config.class_weights)} values: give one for each of the "
            f"{shape.num_classes} classes"
        )
    return torch.tensor(config.class_weights)
