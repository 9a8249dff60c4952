"""Sparsity baselines: L1 and group lasso on weights or on penultimate activations.

Source: the baselines of H-SPLID (arXiv 2510.20627) as its released code computes them. Symbols: W
a weight; z [B, D] the penultimate activations.

    l1_weights               sum of |W| over all weights
    group_lasso_weights      sum of the L2 norms of a convolution's filters (4-D W) and of a linear
                             layer's rows (2-D W); weights of other ranks add nothing
    l1_activations           sum of |z| over batch and features, not divided by either
    group_lasso_activations  sum over SAMPLES of the L2 norm of z_b

Deviation: the released code tells normalisation layers by the letters "bn" in a parameter's name,
so it penalises those with another name, such as a ResNet's ``downsample.1.weight``. Here they are
told by their type; ``parameter_choice`` keeps the test by name. Without normalisation layers, as
in the paper's COCO runs, both agree.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from hsplid_core.config.methods import ParameterChoice, SparsityConfig, SparsityKind
from hsplid_core.methods.objective import ForwardPass, Shape, Summand, Term, full_precision

_NORMALISATIONS = (
    nn.BatchNorm1d,
    nn.BatchNorm2d,
    nn.BatchNorm3d,
    nn.SyncBatchNorm,
    nn.InstanceNorm1d,
    nn.InstanceNorm2d,
    nn.InstanceNorm3d,
    nn.GroupNorm,
    nn.LayerNorm,
    nn.RMSNorm,
)


class SparsityTerm(Term):
    """A sparsity penalty as part of an objective.

    Args:
        kind: What is penalised.
        weight: Factor on the penalty.
        parameter_choice: Which weights count.
    """

    def __init__(self, kind: SparsityKind, weight: float, parameter_choice: ParameterChoice):
        super().__init__()
        self.kind = kind
        self.weight = weight
        self.parameter_choice = parameter_choice
        # A sum over the images is not the mean of its parts.
        self.couples_batch = kind in ("l1_activations", "group_lasso_activations")

    def forward(self, step: ForwardPass) -> list[Summand]:
        """Return the weighted penalty."""
        if self.couples_batch:
            return super().forward(step)
        weights = penalised_weights(step.model, self.parameter_choice)
        value = l1_penalty(weights) if self.kind == "l1_weights" else group_penalty(weights)
        return [Summand(self.kind, self.weight, value)]

    def rows(self, step: ForwardPass) -> tuple[Tensor, ...]:
        """Return the features."""
        return (full_precision(step.features),)

    def of_rows(self, rows: tuple[Tensor, ...], step: ForwardPass) -> list[Summand]:
        """Return the weighted penalty of the features."""
        value = rows[0].abs().sum() if self.kind == "l1_activations" else _lengths(rows[0])
        return [Summand(self.kind, self.weight, value)]


def penalised_weights(model: nn.Module, choice: ParameterChoice) -> list[Tensor]:
    """Return the trainable weights that a weight penalty counts; biases are none.

    Args:
        model: The network.
        choice: How normalisation layers are told (see above).
    """
    trainable = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    if choice == "published":
        return [p for name, p in trainable if "weight" in name and "bn" not in name.lower()]
    scales = {
        id(parameter)
        for module in model.modules()
        if isinstance(module, _NORMALISATIONS)
        for parameter in module.parameters(recurse=False)
    }
    return [
        p for name, p in trainable if "weight" in name.rpartition(".")[2] and id(p) not in scales
    ]


def l1_penalty(weights: list[Tensor]) -> Tensor:
    """Sum the absolute values of some weights."""
    return torch.stack([weight.abs().sum() for weight in weights]).sum()


def group_penalty(weights: list[Tensor]) -> Tensor:
    """Sum the L2 norms of filters (4-D) and rows (2-D); other ranks add nothing."""
    return torch.stack(
        [_lengths(weight.flatten(1)) for weight in weights if weight.ndim in (2, 4)]
    ).sum()


def _lengths(rows: Tensor) -> Tensor:
    """Sum the L2 norms of rows; a row of zeros has gradient zero."""
    total: Tensor = torch.linalg.vector_norm(rows, dim=1).sum()
    return total


def build(config: SparsityConfig, shape: Shape) -> SparsityTerm | None:
    """Make the term; None where the weight is 0."""
    if not config.weight:
        return None
    return SparsityTerm(config.kind, config.weight, config.parameter_choice)
