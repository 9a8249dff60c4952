"""Augmentation of training images, as typed and checked values."""

from __future__ import annotations

from dataclasses import dataclass

from hsplid_core.config.rules import Section, at_least, check


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(Section):
    """How training images vary from epoch to epoch; each on its own, masks along with them.

    Nothing varies by default, as in most of the papers' own code. Changes follow one another in
    the order of these fields, named after torchvision's transforms.

    Attributes:
        rotation: Largest turn to either side, in degrees; what comes in from outside is black.
        crop_scale: Least and largest area of a random crop as shares of the image, which is then
            scaled back to the image's size; None leaves the image whole.
        crop_ratio: Least and largest width of such a crop as multiples of its height.
        padding: Pixels of black that are put around the image before a crop of its own size is
            taken (for CIFAR-10 mostly 4).
        flip: Probability of mirroring left to right.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
    """

    rotation: float = 0.0
    crop_scale: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    padding: int = 0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0

    def __post_init__(self) -> None:
        scale, ratio = self.crop_scale, self.crop_ratio
        check(
            [
                (
                    0 <= self.rotation <= 180,
                    f"rotation is {self.rotation}: use degrees from 0 to 180",
                ),
                (
                    scale is None or 0 < scale[0] <= scale[1] <= 1,
                    f"crop_scale is {scale}: use two shares in (0, 1], the lesser one first, or "
                    "null",
                ),
                (
                    0 < ratio[0] <= 1 <= ratio[1],
                    f"crop_ratio is {ratio}: use two positive numbers with 1 between them",
                ),
                *at_least(self, 0, "padding"),
                (
                    self.padding == 0 or scale is None,
                    f"padding is {self.padding} and crop_scale is {scale}: use one kind of crop",
                ),
                (0 <= self.flip <= 1, f"flip is {self.flip}: use a probability from 0 to 1"),
                *at_least(self, 0, "brightness", "contrast", "saturation"),
            ]
        )

    @property
    def moves(self) -> bool:
        """Whether pixels change their place."""
        return bool(self.rotation or self.crop_scale or self.padding or self.flip)
