"""Confidence over seeds and images: how far a mean over both may be from that of all there are.

Models of S seeds answer the same N test images. Other seeds would have given other models, and
other images other answers, so a mean is only as sure as both allow: its variance has a part of
the seeds and a part of the images (two-way random effects; Searle, Casella and McCulloch 1992,
chapter 4). With few seeds the normal interval, and percentiles of a bootstrap more so, cover less
than they promise. So the seeds' part is as wide as Student's t has it for S seeds, the images' as
the normal law has it, and their squares add up (MOVER; Zou and Donner 2008). In the simulation of
the tests this covers 94 to 98% where 95% is promised.

What is no mean, such as whether a point stays on a front, is asked of draws of seeds and images
with replacement (Owen 2007, "The pigeonhole bootstrap"). S - 1 of S seeds are drawn, so that the
spread over seeds is neither too small nor too large (Rao and Wu 1988). An interval is
not taken from such draws: they count what a seed makes of an image three times.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri, stdtrit  # scipy.stats takes a second to import

Array = NDArray[np.float64]

_CONFIDENCE = 0.95
_SEED = 0


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Numbers of one configuration over the seeds.

    Attributes:
        n: Seeds.
        mean: Mean.
        sd: Standard deviation (n - 1); None for one seed.
        low: Lower end of the interval of the mean over seeds and images (95%); None for one seed.
        high: Upper end.
    """

    n: int
    mean: float
    sd: float | None
    low: float | None
    high: float | None


def spread(
    values: Sequence[float],
    *,
    of_images: float = 0.0,
    bounds: tuple[float, float] = (-math.inf, math.inf),
) -> Spread:
    """Sum up numbers over seeds.

    Args:
        values: At least one number.
        of_images: Variance that other images would bring to their mean (`variance_of_images`); 0
            where it is not known, and the interval then speaks of these images under other seeds.
        bounds: Where the interval ends at the latest: 0 and 1 for shares.
    """
    data = np.asarray(values, dtype=np.float64)
    mean = float(data.mean())
    if len(data) < 2:
        return Spread(n=len(data), mean=mean, sd=None, low=None, high=None)
    quantile = (1 + _CONFIDENCE) / 2
    of_seeds = float(stdtrit(len(data) - 1, quantile)) ** 2 * float(data.var(ddof=1))
    half = (of_seeds / len(data) + float(ndtri(quantile)) ** 2 * of_images) ** 0.5
    return Spread(
        n=len(data),
        mean=mean,
        sd=float(data.std(ddof=1)),
        low=max(bounds[0], mean - half),
        high=min(bounds[1], mean + half),
    )


def variance_of_images(answers: Array) -> float:
    """Estimate the part of a mean's variance that other images for the same seeds would bring.

    Args:
        answers: Answers [S, N] of at least two seeds to N images.
    """
    n_seeds, n_images = answers.shape
    if n_images < 2:
        return 0.0
    by_image = answers.mean(axis=0)
    rest = answers - answers.mean(axis=1, keepdims=True) - by_image + by_image.mean()
    # What a seed makes of an image is within the variance of the seeds' means already.
    both = float((rest**2).sum()) / (n_seeds - 1) / (n_images - 1) / (n_seeds * n_images)
    alone = float(by_image.var(ddof=1)) / n_images
    return float(max(0.0, alone - both))


def resampled_means(answers: Array, n_resamples: int) -> Iterator[Array]:
    """Draw seeds and images with replacement, alike for all tables of answers.

    Args:
        answers: Answers [..., S, N] of S seeds to N images; N is 1 where only a mean over the
            images is known, and then seeds alone are drawn.
        n_resamples: Number of draws.

    Yields:
        The means in one draw, [...].
    """
    n_seeds, n_images = answers.shape[-2:]
    random = np.random.default_rng(_SEED)
    for _ in range(n_resamples):
        seeds = random.integers(n_seeds, size=max(1, n_seeds - 1))
        counts = np.bincount(random.integers(n_images, size=n_images), minlength=n_images)
        yield (answers @ counts / n_images)[..., seeds].mean(axis=-1)
