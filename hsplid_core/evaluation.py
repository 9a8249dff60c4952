"""How well a model classifies: clean images, attacked ones, and ones on foreign backgrounds.

Accuracies are shares in [0, 1]. A model is any callable from pixels [B, C, H, W] in [0, 1] to
logits [B, K]; a module is put into eval mode meanwhile and restored.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from hsplid_core.attacks import Attack, Model, Scorer, find_region, frozen, region_mask
from hsplid_core.attacks.cascade import count_broken_each, count_broken_in_cascade
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError

# Not the attack's seed: trials of a sweep differ in seed and must be compared on the same images.
_SUBSET_SEED = 2510_20627
_GREY = 0.5


class Images(Protocol):
    """What an evaluation reads from; an `ImageSet` is one."""

    def __len__(self) -> int:
        """Return the number N of images."""
        ...

    def batch(self, indices: Tensor, device: torch.device | str = "cpu") -> Batch:
        """Return the images at some positions, int64, [B], in that order."""
        ...


@dataclass(frozen=True, kw_only=True)
class RobustCurve:
    """Accuracy under one attack in one region, against the radius of the attack's ball.

    Attributes:
        region: Name of the pixels that the attack could change.
        clean: Accuracy without an attack, on the same images.
        epsilons: Radii in pixel units, ascending.
        robust: Accuracy under attack at each radius.
        n_images: Images that all accuracies are shares of.
        n_untouched: Images without a single pixel in the region, which stay as they are.
        seed: Seed of the attack.
        cascade: Whether an image broken at one radius counted as broken at all larger ones.
    """

    region: str
    clean: float
    epsilons: tuple[float, ...]
    robust: tuple[float, ...]
    n_images: int
    n_untouched: int
    seed: int
    cascade: bool

    @property
    def mean_robust(self) -> float:
        """Mean of the robust accuracies over the radii."""
        return sum(self.robust) / len(self.robust)


def accuracy(
    model: Model, images: Images, *, batch_size: int, device: torch.device | str = "cpu"
) -> float:
    """Measure the share of images that a model classifies correctly.

    Args:
        model: Pixels to logits, on `device`.
        images: The images and their classes.
        batch_size: Images per forward pass, at least 1.
        device: Where the batches are put.

    Returns:
        The accuracy in [0, 1].

    Raises:
        ConfigError: The batch size is below 1.
        DataError: There is no image.
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    return _share_correct(model, _batches(images, _positions(images), batch_size, device))


def robust_accuracy(
    model: Model,
    images: Images,
    *,
    attack: Attack,
    region: str,
    epsilons: Sequence[float],
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    max_images: int | None = None,
    cascade: bool = True,
) -> RobustCurve:
    """Measure the share of images that a model still classifies correctly under attack.

    Images that are misclassified as they are count as broken and are not attacked.

    A cascade goes through the radii upwards and attacks only what still stands, so the curve
    cannot rise and each radius costs less than the one before. At each radius the perturbation
    left from the one before is tried first, scaled up, which costs one forward pass; what that
    does not break is attacked just as without a cascade, so no accuracy is higher than there.

    Args:
        model: Pixels to logits, on `device`.
        images: The images, their classes and, for some regions, their object masks.
        attack: The attack's settings; its own radius is replaced by each of `epsilons`.
        region: Name of the pixels it may change, a key of `attacks.REGIONS`.
        epsilons: Radii in pixel units, in any order, at least one.
        batch_size: Images per forward pass, at least 1; does not change the result.
        seed: Seed of the attack and of random regions.
        device: Where the batches are put.
        max_images: Attack only so many images, drawn once and for all from the set whatever the
            seed; None attacks all.
        cascade: False attacks every radius on its own, as the papers' tables do; then the curve
            may rise where an attack is too weak to fill its ball.

    Returns:
        The curve, with the clean accuracy of the same images.

    Raises:
        ConfigError: A value is out of range, the region is unknown, or it needs masks that the
            images lack.
        DataError: There is no image, or a batch is not what it should be.
        TrainingDivergedError: The model's logits are NaN or infinite.

    Reference:
        H-SPLID (arXiv 2510.20627), Table 2, for regions and radii.
    """
    if not epsilons:
        raise ConfigError("epsilons is empty: give at least one radius in pixel units")
    find_region(region)
    attacks = [attack.with_epsilon(epsilon) for epsilon in sorted(set(epsilons))]
    positions = _positions(images, max_images)
    counts = torch.zeros(len(attacks) + 2, dtype=torch.int64, device=device)
    count_broken = count_broken_in_cascade if cascade else count_broken_each
    with frozen(model):
        scorer = Scorer(model)
        for batch in _batches(images, positions, batch_size, device):
            allowed = region_mask(region, batch, seed=seed)
            untouched = ~allowed.flatten(1).any(1)
            wrong, _ = scorer.judge(batch.image, batch.target)
            scorer.verify()  # before any work on attacks
            rows = (~wrong & ~untouched).nonzero().squeeze(1)
            broken = count_broken(scorer, batch, allowed, rows, attacks, seed=seed)  # [E]
            standing = (~wrong).sum()
            counts += torch.stack([untouched.sum(), standing, *(standing - broken)])
        scorer.verify()
    n_untouched, correct, *robust = counts.tolist()
    n_images = len(positions)
    return RobustCurve(
        region=region,
        clean=correct / n_images,
        epsilons=tuple(attack.epsilon for attack in attacks),
        robust=tuple(count / n_images for count in robust),
        n_images=n_images,
        n_untouched=n_untouched,
        seed=seed,
        cascade=cascade,
    )


def swapped_background_accuracy(
    model: Model,
    images: Images,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> float:
    """Measure the accuracy when every object stands on another image's background.

    A seeded random cycle through the whole set gives each image its donor, so no image keeps its
    own background and each background is used once. The object's pixels stay. Elsewhere come the
    donor's background pixels and, where the donor's own object was, the mean colour of its
    background, so that nothing of the donor's class but its background gets in. A donor without
    any background pixel gives mid-grey.

    Args:
        model: Pixels to logits, on `device`.
        images: At least two images, with object masks.
        batch_size: Images per forward pass, at least 1; does not change the result.
        seed: Seed of the cycle.
        device: Where the batches are put.

    Returns:
        The accuracy in [0, 1].

    Raises:
        ConfigError: The images have no masks, or the batch size is below 1.
        DataError: There are fewer than two images.
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    positions = _positions(images)
    if len(positions) < 2:
        raise DataError("backgrounds cannot be swapped within 1 image: give at least two")
    cycle = torch.randperm(len(positions), generator=torch.Generator().manual_seed(seed))
    donor = torch.empty_like(cycle)
    donor[cycle] = cycle.roll(1)
    pairs = zip(
        _batches(images, positions, batch_size, device),
        _batches(images, donor, batch_size, device),
        strict=True,
    )
    return _share_correct(model, (_on_background(batch, other) for batch, other in pairs))


def _on_background(batch: Batch, donor: Batch) -> Batch:
    if batch.mask is None or donor.mask is None:
        raise ConfigError("backgrounds can only be swapped on data with object masks")
    ground = ~donor.mask  # [B, 1, H, W]
    area = ground.sum((2, 3), keepdim=True)  # [B, 1, 1, 1]
    colour = (donor.image * ground).sum((2, 3), keepdim=True) / area.clamp(min=1)  # [B, C, 1, 1]
    colour = colour.masked_fill(area == 0, _GREY)
    background = torch.where(ground, donor.image, colour)
    return replace(batch, image=torch.where(batch.mask, batch.image, background))


def _share_correct(model: Model, batches: Iterator[Batch]) -> float:
    with frozen(model):
        scorer = Scorer(model)
        wrong = torch.cat([scorer.judge(batch.image, batch.target)[0] for batch in batches])
        scorer.verify()
    return 1 - int(wrong.sum()) / len(wrong)


def _positions(images: Images, max_images: int | None = None) -> Tensor:
    """Choose the images to evaluate: positions in ascending order, int64, [N]."""
    if len(images) == 0:
        raise DataError("there is no image to evaluate on: the set is empty")
    if max_images is not None and max_images < 1:
        raise ConfigError(f"max_images is {max_images}: use at least 1, or None for all")
    if max_images is None or max_images >= len(images):
        return torch.arange(len(images))
    generator = torch.Generator().manual_seed(_SUBSET_SEED)
    drawn = torch.randperm(len(images), generator=generator)[:max_images]
    return drawn.sort().values


def _batches(
    images: Images, positions: Tensor, batch_size: int, device: torch.device | str
) -> Iterator[Batch]:
    if batch_size < 1:
        raise ConfigError(f"batch_size is {batch_size}: use at least 1")
    return (images.batch(part, device) for part in torch.split(positions, batch_size))
