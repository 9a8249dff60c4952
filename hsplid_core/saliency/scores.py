"""Scores of attributions: against a mask, against the model's own answers, and of their shape.

Symbols: B images; h an image's heat map, the sum over channels of the attribution's absolute
values, [H, W]; m its mask, True on the object; N = H * W pixels; n the mask's pixels.

=============  ================================================================================
energy_inside  sum of h inside m / sum of h (Wang et al., Score-CAM, arXiv 1910.01279)
pointing_game  1 where the largest h lies in m, else 0 (Zhang et al., arXiv 1608.00507, without
               its tolerance); a tie counts with the share of its pixels inside
mask_iou       intersection over union of m and the n hottest pixels
insertion      area under the class's probability while the hottest pixels are put into the
               blurred image first (Petsiuk et al., RISE, arXiv 1806.07421); high is good
deletion       the same while they are made black first; low is good
gini           Gini index of h (Hurley and Rickard, arXiv 0811.4706): 0 for a constant map,
               1 - 1/N for a single pixel
patch_gini     Gini index of the sums of h over the patches of a grid: how much the map keeps to
               few regions
zero_patches   share of those patches that hold less than a thousandth of their mean
stability      Spearman's rank correlation of h with the map of the same image under noise, as
               Ghorbani et al. compare maps (arXiv 1710.10547); the noise is uniform
=============  ================================================================================

Every score is a number for each image, NaN where it has none: an empty mask, a map of zeros, or,
for `stability`, a constant one.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property

import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.v2.functional import gaussian_blur

from hsplid_core._noise import signed_uniform
from hsplid_core.attacks import Model, frozen
from hsplid_core.errors import ConfigError, did_you_mean

_ZERO = 1e-3  # of the patches' mean: rounding leaves little that is exactly zero
_NOISE_SEED = 1710_10547
# Blur of the image that insertion starts from, as a share of its side: no object survives it.
_BLUR = 0.1


@dataclass(frozen=True, kw_only=True)
class Explained:
    """A batch of images with the attributions that are to be scored.

    Attributes:
        model: Pixels to logits.
        image: Pixels in [0, 1], [B, C, H, W].
        target: The classes whose scores were attributed, int64, [B].
        attribution: [B, C or 1, H, W].
        mask: True on the objects, bool, [B, 1, H, W]; None without masks.
        steps: Points of the insertion and deletion curves, besides the first.
        patches: Patches along a side.
        attribute: Attributes other images' scores of the same classes as `attribution` was made,
            [B, C, H, W] to [B, C or 1, H, W]; None where `stability` is not asked for.
        index: Row of each image in its data set, int64, [B], which its noise is drawn for; None
            likewise.
        radius: Most that the noise changes a pixel.
    """

    model: Model
    image: Tensor
    target: Tensor
    attribution: Tensor
    mask: Tensor | None
    steps: int = 20
    patches: int = 8
    attribute: Callable[[Tensor], Tensor] | None = None
    index: Tensor | None = None
    radius: float = 0.05

    @cached_property
    def heat(self) -> Tensor:
        """Heat maps, [B, H, W], not negative."""
        return heat_map(self.attribution)

    @property
    def given_mask(self) -> Tensor:
        """The masks; for scores that need them."""
        assert self.mask is not None, "checked by check_scores"
        return self.mask


def heat_map(attribution: Tensor) -> Tensor:
    """Add up an attribution's absolute values over the channels: [B, C, H, W] to [B, H, W]."""
    return attribution.abs().sum(dim=1)


def energy_inside(heat: Tensor, mask: Tensor) -> Tensor:
    """Measure the share of each heat map that lies inside its mask.

    Args:
        heat: Not negative, [B, H, W].
        mask: Bool, [B, 1, H, W].

    Returns:
        Shares in [0, 1], [B]; NaN where the mask is empty or the map is zero.
    """
    total = heat.flatten(1).sum(1)
    inside = (heat * mask[:, 0]).flatten(1).sum(1)
    return _unless(_empty(mask), inside / total)  # 0 / 0 is NaN


def pointing_game(heat: Tensor, mask: Tensor) -> Tensor:
    """Tell whether each map's hottest pixel lies in its mask.

    Args:
        heat: [B, H, W].
        mask: Bool, [B, 1, H, W].

    Returns:
        1 or 0, [B], or the share of the hottest pixels inside where several tie; NaN where the
        mask is empty or the map is zero.
    """
    flat = heat.flatten(1)
    hottest = (flat == flat.amax(1, keepdim=True)).float()
    hit = (hottest * mask.flatten(1)).sum(1) / hottest.sum(1)
    return _unless(_empty(mask) | ~flat.any(1), hit)


def mask_iou(heat: Tensor, mask: Tensor) -> Tensor:
    """Measure how far as many hottest pixels as the mask has cover it.

    Args:
        heat: [B, H, W].
        mask: Bool, [B, 1, H, W].

    Returns:
        Intersection over union, [B]; NaN where the mask is empty or the map is zero.
    """
    inside = mask.flatten(1)
    area = inside.sum(1)
    order = heat.flatten(1).argsort(dim=1, descending=True, stable=True)
    hits = inside.gather(1, order).cumsum(1)
    common = hits.gather(1, (area - 1).clamp_min(0)[:, None])[:, 0]
    return _unless((area == 0) | ~heat.flatten(1).any(1), common / (2 * area - common))


def gini(values: Tensor) -> Tensor:
    """Measure how unequal numbers are.

    Args:
        values: Not negative, [B, N].

    Returns:
        The Gini index, [B]: 0 where all are equal, 1 - 1/N where all but one are 0; NaN where all
        are 0.
    """
    ascending = values.sort(1).values
    n = values.shape[1]
    rank = torch.arange(1, n + 1, dtype=values.dtype, device=values.device)
    weighted = (ascending * (n - rank + 0.5)).sum(1)
    return 1 - 2 * weighted / (n * ascending.sum(1))


def patch_gini(heat: Tensor, patches: int) -> Tensor:
    """Measure how unequally a heat map is spread over a grid of patches.

    Args:
        heat: Not negative, [B, H, W].
        patches: Patches along a side; no more than pixels are used.

    Returns:
        The Gini index of the patches' mean heat, [B].
    """
    return gini(_patch_means(heat, patches))


def zero_patches(heat: Tensor, patches: int) -> Tensor:
    """Measure the share of a grid's patches that a heat map leaves out.

    Args:
        heat: Not negative, [B, H, W].
        patches: Patches along a side; no more than pixels are used.

    Returns:
        Shares of patches with less than a thousandth of the mean heat, [B]; NaN where a map is
        zero.
    """
    means = _patch_means(heat, patches)
    out = means < _ZERO * means.mean(1, keepdim=True)
    return _unless(~means.any(1), out.to(means.dtype).mean(1))


def _patch_means(heat: Tensor, patches: int) -> Tensor:
    grid = min(patches, heat.shape[1]), min(patches, heat.shape[2])
    return F.adaptive_avg_pool2d(heat[:, None], grid).flatten(1)


def rank_correlation(one: Tensor, other: Tensor) -> Tensor:
    """Compute Spearman's rank correlation; equal values share their mean rank.

    Args:
        one: [B, N].
        other: [B, N].

    Returns:
        Correlations in [-1, 1], [B]; NaN where one of the two is constant.
    """
    ranks = [_mean_ranks(values) for values in (one, other)]
    first, second = (each - each.mean(1, keepdim=True) for each in ranks)
    lengths: Tensor = torch.linalg.vector_norm(first, dim=1) * torch.linalg.vector_norm(
        second, dim=1
    )
    return (first * second).sum(1) / lengths


def _mean_ranks(values: Tensor) -> Tensor:
    ascending = values.sort(1).values
    below = torch.searchsorted(ascending, values)
    not_above = torch.searchsorted(ascending, values, right=True)
    return (below + not_above).double() / 2


def stability(explained: Explained) -> Tensor:
    """Rank correlation of each heat map with that of the image under noise, [B]."""
    image, again, index = explained.image, explained.attribute, explained.index
    assert again is not None, "given by evaluate_saliency"
    assert index is not None, "given by evaluate_saliency"
    noise = signed_uniform(_NOISE_SEED, 0, index, image[0].numel(), dtype=image.dtype)
    noisy = (image + explained.radius * noise.view(image.shape)).clamp(0, 1)
    return rank_correlation(explained.heat.flatten(1), heat_map(again(noisy)).flatten(1))


def insertion(explained: Explained) -> Tensor:
    """Area under the class's probability while the hottest pixels come back first, [B]."""
    height, width = explained.image.shape[2:]
    sigma = _BLUR * min(height, width)
    side = 2 * min(round(2 * sigma), (min(height, width) - 1) // 2) + 1
    blurred = gaussian_blur(explained.image, [side, side], [sigma, sigma])
    return revealing_curve(explained, shown_first=explained.image, shown_last=blurred).mean_height


def deletion(explained: Explained) -> Tensor:
    """Area under the class's probability while the hottest pixels are made black first, [B]."""
    black = torch.zeros_like(explained.image)
    return revealing_curve(explained, shown_first=black, shown_last=explained.image).mean_height


@dataclass(frozen=True)
class Curve:
    """The class's probability while pixels are exchanged, hottest first.

    Attributes:
        fraction: Share of the pixels that are exchanged, [S + 1], from 0 to 1.
        probability: Of the class, [B, S + 1].
    """

    fraction: Tensor
    probability: Tensor

    @property
    def mean_height(self) -> Tensor:
        """Area under each curve by the trapezoidal rule, [B]."""
        return torch.trapezoid(self.probability, self.fraction, dim=1)


def revealing_curve(explained: Explained, *, shown_first: Tensor, shown_last: Tensor) -> Curve:
    """Exchange the pixels of images, hottest first, and watch the class's probability.

    Args:
        explained: Images and attributions; pixels of equal heat go in the order of their rows.
        shown_first: Where the hottest pixels come from, [B, C, H, W].
        shown_last: What stands there before, [B, C, H, W].

    Returns:
        The curve of every image, over equal numbers of pixels.
    """
    flat = explained.heat.flatten(1)
    n_pixels = flat.shape[1]
    order = flat.argsort(dim=1, descending=True, stable=True)
    places = torch.arange(n_pixels, device=flat.device).expand_as(order)
    rank = torch.empty_like(order).scatter_(1, order, places)
    rank = rank.view(len(flat), 1, *explained.heat.shape[1:])
    fraction = torch.linspace(0, 1, explained.steps + 1, device=flat.device)
    probability: list[Tensor] = []
    with frozen(explained.model), torch.no_grad():
        for count in (fraction * n_pixels).round().tolist():
            mixed = torch.where(rank < count, shown_first, shown_last)
            answers = explained.model(mixed).softmax(1)
            probability.append(answers.gather(1, explained.target[:, None])[:, 0])
    return Curve(fraction, torch.stack(probability, dim=1))


def _empty(mask: Tensor) -> Tensor:
    return ~mask.flatten(1).any(1)


def _unless(undefined: Tensor, value: Tensor) -> Tensor:
    return torch.where(undefined, torch.nan, value)


Score = Callable[[Explained], Tensor]

SCORES: dict[str, Score] = {
    "energy_inside": lambda given: energy_inside(given.heat, given.given_mask),
    "pointing_game": lambda given: pointing_game(given.heat, given.given_mask),
    "mask_iou": lambda given: mask_iou(given.heat, given.given_mask),
    "insertion": insertion,
    "deletion": deletion,
    "gini": lambda given: gini(given.heat.flatten(1)),
    "patch_gini": lambda given: patch_gini(given.heat, given.patches),
    "zero_patches": lambda given: zero_patches(given.heat, given.patches),
    "stability": stability,
}
NEEDS_MASK = ("energy_inside", "pointing_game", "mask_iou")


def check_scores(scores: Iterable[str], *, has_masks: bool) -> None:
    """Refuse scores that cannot be computed.

    Args:
        scores: Their names.
        has_masks: Whether the images have masks.

    Raises:
        ConfigError: A score is unknown, or needs masks where there are none.
    """
    for name in scores:
        if name not in SCORES:
            raise ConfigError(
                f"score is {name!r}: use one of {', '.join(SCORES)}{did_you_mean(name, SCORES)}"
            )
    needing = [name for name in scores if name in NEEDS_MASK]
    if needing and not has_masks:
        raise ConfigError(
            f"scores {', '.join(needing)} need object masks, and these images have none: leave "
            "them out, or use a data set with masks"
        )
