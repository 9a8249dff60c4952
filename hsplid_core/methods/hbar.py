"""HBaR: the HSIC bottleneck as a regulariser of every hidden layer.

Source: Wang et al. 2021, Revisiting Hilbert-Schmidt Information Bottleneck for Adversarial
Robustness (NeurIPS), as H-SPLID's released code trains its baseline. Symbols: h_l [B, ...] the
output of hidden layer l of n, flattened per image; x the normalised images, y the one-hot labels;
HSIC the normalised estimator, Gaussian in h and x:

    sum over l of  r^(n - l) (lambda_x HSIC(h_l, x) - lambda_y HSIC(h_l, y))

Cross-entropy, also with smoothed labels, is a term of its own. Which layers are hidden is the
model's to say (``encoder.hidden_layers``).

Deviation: the released loss starts at -1, a leftover without any gradient; here it starts at 0.
"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config.methods import HbarConfig
from hsplid_core.hsic import normalised_operator, operator_product
from hsplid_core.methods.objective import ForwardPass, Shape, Summand, Term


class HbarTerm(Term):
    """HBaR's part of an objective.

    Args:
        config: Hyperparameters.
    """

    needs_hidden = True
    couples_batch = True

    def __init__(self, config: HbarConfig) -> None:
        super().__init__()
        self.config = config

    def rows(self, step: ForwardPass) -> tuple[Tensor, ...]:
        """Return the outputs of the hidden layers."""
        return step.hidden

    def of_rows(self, rows: tuple[Tensor, ...], step: ForwardPass) -> list[Summand]:
        """Return the sums over the layers of both HSIC terms, each only if it has a weight."""
        config = self.config
        # One operator for each variable and step: the layers share those of images and labels.
        hidden = [normalised_operator(layer.flatten(1), sigma=config.sigma) for layer in rows]
        shares = layer_shares(len(hidden), config.layer_decay)
        summands = []
        if config.lambda_x:
            images = step.inputs.detach().flatten(1)
            operator = normalised_operator(images, sigma=config.sigma)
            value = _weighted_products(hidden, operator, shares)
            summands.append(Summand("hsic_hidden_input", config.lambda_x, value))
        if config.lambda_y:
            one_hot = F.one_hot(step.batch.target, step.logits.shape[1]).to(step.inputs.dtype)
            operator = normalised_operator(one_hot, kernel=config.label_kernel, sigma=config.sigma)
            value = _weighted_products(hidden, operator, shares)
            summands.append(Summand("hsic_hidden_label", -config.lambda_y, value))
        return summands


def layer_shares(num_layers: int, decay: float) -> list[float]:
    """Return each layer's factor, first layer first: r^(n - l), or 1 where r is 0.

    Args:
        num_layers: Number n of hidden layers.
        decay: Factor r in [0, 1].
    """
    return [decay**distance if decay else 1.0 for distance in reversed(range(num_layers))]


def _weighted_products(hidden: list[Tensor], other: Tensor, shares: list[float]) -> Tensor:
    products = [
        share * operator_product(layer, other) for layer, share in zip(hidden, shares, strict=True)
    ]
    return torch.stack(products).sum()


def build(config: HbarConfig, shape: Shape) -> HbarTerm | None:
    """Make the term; None where both weights are 0."""
    return HbarTerm(config) if config.lambda_x or config.lambda_y else None
