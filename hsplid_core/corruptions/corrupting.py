"""The table of corruptions, and their application to the whole image or to a region."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from hsplid_core.attacks import region_mask
from hsplid_core.corruptions import kinds
from hsplid_core.corruptions.kinds import Source
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError, DataError, did_you_mean

SEVERITIES = (1, 2, 3, 4, 5)


@dataclass(frozen=True)
class Corruption:
    """One kind of corruption.

    Attributes:
        summary: What it does, in a few words.
        apply: Images [B, C, H, W], their random source and a level's numbers to images.
        levels: The numbers of severities 1 to 5.
    """

    summary: str
    apply: Callable[..., Tensor]
    levels: tuple[tuple[Any, ...], ...]


def corrupt(batch: Batch, name: str, *, severity: int, region: str = "full", seed: int) -> Batch:
    """Make images worse, everywhere or in a region.

    The whole image is corrupted and then its region taken over, so a blur carries what borders
    on the region into it. Randomness hangs on (seed, index) of each image, not on the batch.

    Args:
        batch: Pixels in [0, 1], and object masks where the region needs them.
        name: A key of `CORRUPTIONS`.
        severity: 1 to 5.
        region: Name of the pixels that change, a key of `attacks.REGIONS`; "background" leaves
            the object as it is.
        seed: Seed of noise and of random regions.

    Returns:
        The batch with other pixels, in [0, 1]; device and dtype stay.

    Raises:
        ConfigError: The name is unknown, the severity not one of 1 to 5, or the region cannot be
            had.
        DataError: Pixels lie outside [0, 1], or the masks do not fit the images.

    Reference:
        Hendrycks and Dietterich 2019 (arXiv 1903.12261); outside a mask, H-SPLID
        (arXiv 2510.20627), Table 3.
    """
    corruption = find_corruption(name)
    if severity not in SEVERITIES:
        raise ConfigError(f"severity is {severity}: use one of {list(SEVERITIES)}")
    image = batch.image
    if len(image) and not (float(image.min()) >= 0 and float(image.max()) <= 1):
        raise DataError(
            f"pixels lie in [{float(image.min()):.4g}, {float(image.max()):.4g}]: corruptions "
            "work in pixel space [0, 1]; leave normalisation to the model"
        )
    allowed = region_mask(region, batch, seed=seed)
    with torch.no_grad():
        worse = corruption.apply(
            image, Source(seed, batch.index), *corruption.levels[severity - 1]
        )
        return replace(batch, image=torch.where(allowed, worse.clamp_(0, 1), image))


def find_corruption(name: str) -> Corruption:
    """Look a corruption up by its name.

    Raises:
        ConfigError: There is none of that name.
    """
    corruption = CORRUPTIONS.get(name)
    if corruption is None:
        raise ConfigError(
            f"corruption is {name!r}: use one of {sorted(CORRUPTIONS)}"
            f"{did_you_mean(name, CORRUPTIONS)}"
        )
    return corruption


# The numbers of the published make_imagenet_c, but for occlusion.
CORRUPTIONS: dict[str, Corruption] = {
    "brightness": Corruption("lighter", kinds.brighten, ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))),
    "contrast": Corruption(
        "less contrast", kinds.lower_contrast, ((0.4,), (0.3,), (0.2,), (0.1,), (0.05,))
    ),
    "defocus_blur": Corruption(
        "out of focus",
        kinds.blur_defocus,
        ((3, 0.1), (4, 0.5), (6, 0.5), (8, 0.5), (10, 0.5)),
    ),
    "gaussian_blur": Corruption(
        "Gaussian blur", kinds.blur_gaussian, ((1,), (2,), (3,), (4,), (6,))
    ),
    "gaussian_noise": Corruption(
        "normal noise",
        kinds.add_gaussian_noise,
        ((0.08,), (0.12,), (0.18,), (0.26,), (0.38,)),
    ),
    "impulse_noise": Corruption(
        "black and white values",
        kinds.add_impulse_noise,
        ((0.03,), (0.06,), (0.09,), (0.17,), (0.27,)),
    ),
    "motion_blur": Corruption(
        "smeared near the horizontal",
        kinds.blur_motion,
        ((10, 3), (15, 5), (15, 8), (15, 12), (20, 15)),
    ),
    "occlusion": Corruption(
        "a grey rectangle", kinds.occlude, ((0.1,), (0.2,), (0.3,), (0.4,), (0.5,))
    ),
    "saturate": Corruption(
        "paler (1, 2), then more colourful",
        kinds.saturate,
        ((0.3, 0.0), (0.1, 0.0), (2.0, 0.0), (5.0, 0.1), (20.0, 0.2)),
    ),
    "shot_noise": Corruption(
        "few photons", kinds.add_shot_noise, ((60.0,), (25.0,), (12.0,), (5.0,), (3.0,))
    ),
    "snow": Corruption(
        "falling snow",
        kinds.snow,
        (
            (0.1, 0.3, 3.0, 0.5, 10, 4, 0.8),
            (0.2, 0.3, 2.0, 0.5, 12, 4, 0.7),
            (0.55, 0.3, 4.0, 0.9, 12, 8, 0.7),
            (0.55, 0.3, 4.5, 0.85, 12, 8, 0.65),
            (0.55, 0.3, 2.5, 0.85, 12, 12, 0.55),
        ),
    ),
    "speckle_noise": Corruption(
        "normal noise in proportion to the value",
        kinds.add_speckle_noise,
        ((0.15,), (0.2,), (0.35,), (0.45,), (0.6,)),
    ),
    "zoom_blur": Corruption(
        "moved towards while the shutter is open",
        kinds.blur_zoom,
        ((1.11, 0.01), (1.16, 0.01), (1.21, 0.02), (1.26, 0.02), (1.31, 0.03)),
    ),
}
"""All corruptions by name."""
