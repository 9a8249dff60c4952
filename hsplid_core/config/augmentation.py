"""Augmentation of training images, as typed and checked values."""

from __future__ import annotations

from dataclasses import dataclass

from hsplid_core.config.rules import MOST_SIDE, Rule, Section, check, within

_PROBABILITIES = (
    "rotation_probability",
    "translation_probability",
    "shear_probability",
    "crop_probability",
    "flip",
    "jitter_probability",
    "greyscale",
    "solarise",
    "blur",
)


@dataclass(frozen=True, kw_only=True)
class AugmentationConfig(Section):
    """How training images vary from epoch to epoch; each on its own, masks along with them.

    Nothing varies by default. Changes follow one another in the order of these fields, named after
    torchvision's transforms.

    Attributes:
        rotation: Largest turn to either side, in degrees; what comes in from outside is black.
        rotation_probability: Share of the images that are turned.
        translation: Largest shift along each axis, as a share of the side, by whole pixels.
        translation_probability: Share of the images that are shifted.
        shear: Largest shear along the rows to either side, in degrees.
        shear_probability: Share of the images that are sheared.
        crop_scale: Least and largest area of a random crop as shares of the image, which is then
            scaled back to the image's size; None leaves the image whole.
        crop_ratio: Least and largest width of such a crop as multiples of its height.
        padding: Pixels of black that are put around the image before a crop of its own size is
            taken (for CIFAR-10 mostly 4).
        crop_probability: Share of the images that are cropped, either way.
        flip: Probability of mirroring left to right.
        brightness: Largest relative change of brightness.
        contrast: Largest relative change of contrast.
        saturation: Largest relative change of saturation.
        hue: Largest turn of the hue to either side, as a share of the colour circle.
        jitter_probability: Share of the images whose brightness, contrast, saturation and hue
            change, all four together.
        greyscale: Probability of losing all colour.
        solarise: Probability of inverting the values from ``solarise_threshold`` on.
        solarise_threshold: Least value that is inverted, of pixels in [0, 1].
        blur: Probability of a Gaussian blur.
        blur_size: Side of its kernel, in pixels.
        blur_sigma: Least and largest standard deviation of the blur, in pixels.
    """

    rotation: float = 0.0
    rotation_probability: float = 1.0
    translation: float = 0.0
    translation_probability: float = 1.0
    shear: float = 0.0
    shear_probability: float = 1.0
    crop_scale: tuple[float, float] | None = None
    crop_ratio: tuple[float, float] = (3 / 4, 4 / 3)
    padding: int = 0
    crop_probability: float = 1.0
    flip: float = 0.0
    brightness: float = 0.0
    contrast: float = 0.0
    saturation: float = 0.0
    hue: float = 0.0
    jitter_probability: float = 1.0
    greyscale: float = 0.0
    solarise: float = 0.0
    solarise_threshold: float = 0.5
    blur: float = 0.0
    blur_size: int = 5
    blur_sigma: tuple[float, float] = (0.1, 2.0)

    def __post_init__(self) -> None:
        check(
            [
                *self._places(),
                *(
                    (0 <= getattr(self, name) <= 1, f"{name} is {getattr(self, name)}: {_SHARE}")
                    for name in _PROBABILITIES
                ),
                # Beyond ten times, nothing is left but black and white.
                *within(self, 0, 10, "brightness", "contrast", "saturation"),
                # Half the circle to either side is every hue already.
                (0 <= self.hue <= 0.5, f"hue is {self.hue}: use a share from 0 to 0.5"),
                (
                    0 <= self.solarise_threshold <= 1,
                    f"solarise_threshold is {self.solarise_threshold}: use a value in [0, 1]",
                ),
                (
                    3 <= self.blur_size <= MOST_SIDE and self.blur_size % 2 == 1,
                    f"blur_size is {self.blur_size}: use an odd number from 3 on",
                ),
                (
                    0 < self.blur_sigma[0] <= self.blur_sigma[1] <= MOST_SIDE,
                    f"blur_sigma is {self.blur_sigma}: use two values above 0, the lesser one "
                    f"first, at most {MOST_SIDE}",
                ),
            ]
        )

    def _places(self) -> list[Rule]:
        scale, ratio = self.crop_scale, self.crop_ratio
        return [
            (
                0 <= self.rotation <= 180,
                f"rotation is {self.rotation}: use degrees from 0 to 180",
            ),
            # A shift by the whole side would leave nothing of the image.
            (
                0 <= self.translation < 1,
                f"translation is {self.translation}: use a share in [0, 1)",
            ),
            # At 90 degrees every row would be infinitely far away.
            (0 <= self.shear < 90, f"shear is {self.shear}: use degrees from 0 to below 90"),
            (
                scale is None or 0 < scale[0] <= scale[1] <= 1,
                f"crop_scale is {scale}: use two shares in (0, 1], the lesser one first, or null",
            ),
            (
                0 < ratio[0] <= 1 <= ratio[1] <= MOST_SIDE,
                f"crop_ratio is {ratio}: use two positive numbers with 1 between them, at "
                f"most {MOST_SIDE}",
            ),
            *within(self, 0, MOST_SIDE, "padding"),
            (
                self.padding == 0 or scale is None,
                f"padding is {self.padding} and crop_scale is {scale}: use one kind of crop",
            ),
        ]

    @property
    def moves(self) -> bool:
        """Whether pixels change their place."""
        return bool(
            self.rotation
            or self.translation
            or self.shear
            or self.crop_scale
            or self.padding
            or self.flip
        )


_SHARE = "use a probability from 0 to 1"
