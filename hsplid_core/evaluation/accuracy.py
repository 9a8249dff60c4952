"""How well a model classifies: clean images, attacked, corrupted, and on foreign backgrounds.

Accuracies are shares in [0, 1]. A model is any callable from pixels [B, C, H, W] in [0, 1] to
logits [B, K]; a module must be in eval mode.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch

from hsplid_core.attacks import (
    Attack,
    Attempt,
    Model,
    Region,
    Scorer,
    find_region,
    frozen,
    refuse_training_mode,
    region_mask,
)
from hsplid_core.attacks.cascade import Breaker, break_each, break_in_cascade
from hsplid_core.corruptions import (
    blur_background,
    choose_donors,
    corrupt,
    flatten_background,
    swap_background,
)
from hsplid_core.data.batch import Batch
from hsplid_core.data.evaluation_batches import Images, choose_positions, read_batches
from hsplid_core.errors import ConfigError


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
        ConfigError: The batch size is below 1, or the model is in training mode.
        DataError: There is no image.
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    return _share_correct(
        model, read_batches(images, choose_positions(images), batch_size, device)
    )


def robust_accuracy(
    model: Model,
    images: Images,
    *,
    attack: Attack,
    region: str | Region,
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
    APGD alone goes on from there by a shorter run (`attacks.cascade`).

    Args:
        model: Pixels to logits, on `device`.
        images: The images, their classes and, for some regions, their object masks.
        attack: The attack's settings, untargeted; its own radius is replaced by each of
            `epsilons`.
        region: Pixels it may change: a name that `attacks.find_region` knows, or a region.
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
        ConfigError: A value is out of range, the model is in training mode, the region is
            unknown, or it needs masks that the images lack.
        DataError: There is no image, or a batch is not what it should be.
        TrainingDivergedError: The model's logits are NaN or infinite.

    Reference:
        H-SPLID (arXiv 2510.20627), Table 2, for regions and radii.
    """
    if not epsilons:
        raise ConfigError("epsilons is empty: give at least one radius in pixel units")
    if attack.targeted:
        raise ConfigError("the attack is targeted: robust accuracy needs its untargeted form")
    refuse_training_mode(model)
    region = find_region(region)
    attacks = [attack.with_epsilon(epsilon) for epsilon in sorted(set(epsilons))]
    positions = choose_positions(images, max_images)
    counts = torch.zeros(len(attacks) + 2, dtype=torch.int64, device=device)
    break_images: Breaker = break_in_cascade if cascade else break_each
    with frozen(model), torch.inference_mode(False), torch.no_grad():
        scorer = Scorer(model)
        for batch in read_batches(images, positions, batch_size, device):
            allowed = region_mask(region, batch, seed=seed)
            untouched = ~allowed.flatten(1).any(1)
            wrong, _ = scorer.judge(batch.image, batch.target)
            scorer.verify()  # before any work on attacks
            rows = (~wrong & ~untouched).nonzero().squeeze(1)
            attempt = Attempt.of(batch, allowed, scorer, seed=seed)
            outcome = break_images(attempt.take(rows), attacks)
            broken = outcome.broken.sum(0)  # [E]
            standing = (~wrong).sum()
            counts += torch.stack([untouched.sum(), standing, *(standing - broken)])
        scorer.verify()
    n_untouched, correct, *robust = counts.tolist()
    n_images = len(positions)
    return RobustCurve(
        region=region.name,
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
        ConfigError: The images have no masks, the batch size is below 1, or the model is in
            training mode.
        DataError: There are fewer than two images.
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    positions = choose_positions(images)
    pairs = zip(
        read_batches(images, positions, batch_size, device),
        read_batches(images, choose_donors(len(positions), seed=seed), batch_size, device),
        strict=True,
    )
    return _share_correct(model, (swap_background(batch, donor) for batch, donor in pairs))


def plain_background_accuracy(
    model: Model,
    images: Images,
    *,
    blur: float | None = None,
    batch_size: int,
    device: torch.device | str = "cpu",
) -> float:
    """Measure the accuracy when backgrounds lose their content but not their mean colour.

    Args:
        model: Pixels to logits, on `device`.
        images: Images with object masks.
        blur: Standard deviation of a Gaussian in pixels, above 0; None makes each background flat.
        batch_size: Images per forward pass, at least 1; does not change the result.
        device: Where the batches are put.

    Returns:
        The accuracy in [0, 1].

    Raises:
        ConfigError: The images have no masks, a value is out of range, or the model is in
            training mode.
        DataError: There is no image.
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    batches = read_batches(images, choose_positions(images), batch_size, device)
    changed = (
        flatten_background(batch) if blur is None else blur_background(batch, blur)
        for batch in batches
    )
    return _share_correct(model, changed)


def corrupted_accuracy(
    model: Model,
    images: Images,
    *,
    corruption: str,
    severity: int,
    region: str = "full",
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
    max_images: int | None = None,
) -> float:
    """Measure the accuracy on images of worse quality.

    Args:
        model: Pixels to logits, on `device`.
        images: The images, their classes and, for some regions, their object masks.
        corruption: A key of `corruptions.CORRUPTIONS`.
        severity: 1 to 5.
        region: Name of the pixels that change, a key of `attacks.REGIONS`: "background" leaves
            the object as it is (H-SPLID, arXiv 2510.20627, Table 3).
        batch_size: Images per forward pass, at least 1; does not change the result.
        seed: Seed of random corruptions and of random regions.
        device: Where the batches are put.
        max_images: Evaluate only so many images, the same for every seed; None takes all.

    Returns:
        The accuracy in [0, 1].

    Raises:
        ConfigError: A name is unknown, a value out of range, the model in training mode, or the
            region needs masks that the images lack.
        DataError: There is no image, or a batch is not what it should be.
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    positions = choose_positions(images, max_images)
    batches = read_batches(images, positions, batch_size, device)
    changed = (
        corrupt(batch, corruption, severity=severity, region=region, seed=seed)
        for batch in batches
    )
    return _share_correct(model, changed)


def _share_correct(model: Model, batches: Iterator[Batch]) -> float:
    refuse_training_mode(model)
    with frozen(model):
        scorer = Scorer(model)
        wrong = torch.cat([scorer.judge(batch.image, batch.target)[0] for batch in batches])
        scorer.verify()
    return 1 - int(wrong.sum()) / len(wrong)
