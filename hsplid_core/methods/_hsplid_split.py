"""The closed-form decomposition of a latent space into salient and non-salient dimensions.

Source: H-SPLID, arXiv 2510.20627, section on the latent decomposition, as its released code
computes it. Symbols: z [n, D] features of n samples; y [n] their classes; mu [K, D] running class
centres; m [D] the running global centre; per dimension j

    within_j = sum_n (z_nj - mu_{y_n, j})^2      overall_j = sum_n (z_nj - m_j)^2

and beta_j = overall_j^2 / (overall_j^2 + within_j^2), near 1 where a dimension separates the
classes. The published names for salient / non-salient are cluster / shared. All functions here
are pure; what they return carries no gradient except the compression losses, which differentiate
in z only.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config.methods import CollapsedDims
from hsplid_core.errors import DataError

INITIAL_COUNT = 100.0


class Centres(NamedTuple):
    """Running averages: class centres [K, D], their counts [K], the global centre [D]."""

    classes: Tensor
    counts: Tensor
    overall: Tensor


def initial_centres(num_classes: int, num_features: int) -> Centres:
    """Return the state before any batch: zeros, and a count of 100 for each class."""
    return Centres(
        torch.zeros(num_classes, num_features),
        torch.full((num_classes,), INITIAL_COUNT),
        torch.zeros(num_features),
    )


@torch.no_grad()
def update_centres(centres: Centres, z: Tensor, target: Tensor, step: float = 0.5) -> Centres:
    """Move the running averages towards a batch.

    Classes absent from the batch keep their centre and count. Centres that are all zero (no batch
    seen yet) are replaced by the batch's means; the global centre, which starts at zero, then
    holds only ``step`` of the mean, as published.

    Args:
        centres: State before the batch.
        z: Features, [n, D].
        target: Classes, [n].
        step: Share of the new batch in the counts and in the global centre.

    Raises:
        DataError: The centres are still zero and a class is missing from the batch.
    """
    num_classes = centres.classes.shape[0]
    one_hot = F.one_hot(target, num_classes).to(z.dtype)
    sizes = one_hot.sum(dim=0)
    present = sizes > 0
    means = (one_hot.T @ z) / sizes.clamp_min(1)[:, None]
    counts = torch.where(present, (1 - step) * centres.counts + step * sizes, centres.counts)
    rate = (present / (counts + 1))[:, None].to(z.dtype)
    moved = (1 - rate) * centres.classes + rate * means
    fresh = (centres.classes == 0).all()
    classes = torch.where(fresh, means, moved)
    overall = (1 - step) * centres.overall + step * z.mean(dim=0)
    return Centres(classes, counts, overall)


def require_all_classes(target: Tensor, num_classes: int) -> None:
    """Refuse to initialise centres while a class has no sample.

    Raises:
        DataError: A class is missing; the published code would crash or broadcast silently.
    """
    missing = sorted(set(range(num_classes)) - set(target.tolist()))
    if missing:
        raise DataError(
            f"classes {missing} have no image among the {len(target)} that initialise the class "
            "centres: raise method.hsplid.init_fraction or add images of these classes"
        )


@torch.no_grad()
def scatters(z: Tensor, target: Tensor, centres: Centres) -> tuple[Tensor, Tensor]:
    """Return the scatter within classes and about the global centre, each [D]."""
    within = (z - centres.classes[target]).square().sum(dim=0)
    overall = (z - centres.overall).square().sum(dim=0)
    return within, overall


@torch.no_grad()
def salient_betas(
    within: Tensor, overall: Tensor, collapsed: CollapsedDims = "nonsalient"
) -> Tensor:
    """Return beta, [D], in [0, 1]: the degree to which each dimension is salient.

    Args:
        within: Scatter within the classes, [D].
        overall: Scatter about the global centre, [D].
        collapsed: What a dimension without any scatter of one kind becomes. ``nonsalient`` is
            the published behaviour, which also sends a dimension that separates the classes
            perfectly (within = 0) to the non-salient space; ``closed_form`` follows the formula
            there: 1 where only within is 0, and 0 where overall is 0.
    """
    if collapsed == "closed_form":
        squares = overall.square(), within.square()
        return (squares[0] / (squares[0] + squares[1])).nan_to_num(nan=0.0)
    ratios = torch.stack([within / (overall + 1e-12), overall / (within + 1e-12)])
    return torch.softmax(-ratios.log(), dim=0)[0].nan_to_num(nan=1e-12)


def salient_mask(beta: Tensor, variation: float) -> Tensor:
    """Return the hard assignment, bool [D]: salient iff beta >= 1/2 + variation.

    Written through 1 - beta as published, so that ties round the same way.

    Args:
        beta: Averaged betas, [D].
        variation: Margin that a dimension must clear above one half.
    """
    other = 1 - beta
    return ~((other > 0.5 - variation) | (other > beta))


def compression(z: Tensor, centres: Tensor, weights: Tensor, target: Tensor | None) -> Tensor:
    """Mean weighted squared distance of the samples to centres; the weights enter squared.

    Args:
        z: Features, [n, D].
        centres: Centres, [K, D].
        weights: Weight per dimension, [D].
        target: Class of each sample, [n]: the distance to its own centre, averaged over n * K
            entries as published. None: the distance to the nearest centre, averaged over n.
    """
    if target is not None:
        distance = ((z - centres[target]) * weights).square().sum(dim=1)
        return distance.mean() / centres.shape[0]
    gaps = (z[:, None, :] - centres[None, :, :]) * weights
    return gaps.square().sum(dim=2).amin(dim=1).mean()
