"""Accuracy on clean images, on corrupted ones, and on foreign or plain backgrounds.

Under attack it is measured by `evaluate_robustness`.

Accuracies are shares in [0, 1]. A model is any callable from pixels [B, C, H, W] in [0, 1] to
logits [B, K]; a module must be in eval mode.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from hsplid_core.attacks import Model, ModelQueries, frozen, refuse_training_mode
from hsplid_core.corruptions import (
    blur_background,
    choose_donors,
    corrupt,
    flatten_background,
    swap_background,
)
from hsplid_core.data.batch import Batch
from hsplid_core.data.evaluation_batches import Images, choose_positions, read_batches


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


def swapped_background_accuracy(
    model: Model,
    images: Images,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> float:
    """Measure the accuracy when every object stands on another image's background.

    The arguments, the errors and how backgrounds are chosen are `swapped_background_correct`'s.

    Returns:
        The accuracy in [0, 1].
    """
    correct = swapped_background_correct(
        model, images, batch_size=batch_size, seed=seed, device=device
    )
    return _share(correct)


def swapped_background_correct(
    model: Model,
    images: Images,
    *,
    batch_size: int,
    seed: int,
    device: torch.device | str = "cpu",
) -> Tensor:
    """Tell of each image whether it is classified correctly on another image's background.

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
        Whether it is, in the order of the images, bool, [N].

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
    return _correct(model, (swap_background(batch, donor) for batch, donor in pairs))


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
    return _share(_correct(model, batches))


def _share(correct: Tensor) -> float:
    return 1 - int((~correct).sum()) / len(correct)


def _correct(model: Model, batches: Iterator[Batch]) -> Tensor:
    refuse_training_mode(model)
    with frozen(model):
        scorer = ModelQueries(model)
        wrong = torch.cat([scorer.judge(batch.image, batch.target)[0] for batch in batches])
        scorer.verify()
    return ~wrong
