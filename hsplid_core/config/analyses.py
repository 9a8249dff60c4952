"""Settings of analyses, which an evaluation may measure beyond accuracy.

A section that is None is off. Its name in ``EvaluationConfig`` is its name in a sweep's YAML, for
instance ``evaluation.saliency``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from hsplid_core.config.rules import (
    MOST_IMAGES,
    MOST_IN_BATCH,
    MOST_SEED,
    MOST_SIDE,
    MOST_STEPS,
    MOST_WEIGHT,
    Section,
    check,
    one_of,
    positive,
    within,
)

# A test compares them with hsplid_core.evaluation.suites.
CONFIRMATION_SUITES = ("search", "fgsm", "paper", "standard", "plus", "objective")


@dataclass(frozen=True, kw_only=True)
class SaliencyConfig(Section):
    """Attributions of a trial's model, scored against the object masks.

    Metrics are ``val/saliency/METHOD/SCORE``, means over the images, and
    ``val/saliency/probe/salient_accuracy`` and its like.

    Attributes:
        methods: Attributions, keys of ``hsplid_core.saliency.ATTRIBUTIONS``.
        scores: What is measured of each, keys of ``hsplid_core.saliency.SCORES``.
        probes: Fit linear probes on the salient and on the non-salient features (H-SPLID).
        probe_images: Training images that the probes are fitted on (a fixed subset); None: all.
        max_images: Validation images (a fixed subset); None takes all of them.
        batch_size: Images per attribution; it changes only which noise SmoothGrad draws.
        target: Class whose score is attributed: the image's label or the model's answer.
        output: Attribute the logit or the probability of that class.
        steps: Points on the path of integrated gradients, and on insertion and deletion curves.
        samples: Noisy copies of an image in SmoothGrad.
        noise: Standard deviation of that noise, as a share of the pixel range.
        window: Side of the occluding square, as a share of the image's; it moves by half of it.
        patches: Patches along a side of the image, for the structure over patches.
        radius: Most that a pixel changes under the noise of ``stability``, as a share of the
            pixel range.
        ridge: Weight decay of the probes, relative to the number of images.
    """

    methods: tuple[str, ...] = ("gradient", "integrated_gradients")
    scores: tuple[str, ...] = (
        "energy_inside",
        "pointing_game",
        "mask_iou",
        "insertion",
        "deletion",
        "gini",
        "patch_gini",
    )
    probes: bool = True
    probe_images: int | None = 2000
    max_images: int | None = 128
    batch_size: int = 32
    target: Literal["label", "predicted"] = "label"
    output: Literal["logits", "softmax"] = "logits"
    steps: int = 20
    samples: int = 10
    noise: float = 0.15
    window: float = 0.2
    patches: int = 8
    radius: float = 0.05
    ridge: float = 1e-3

    def __post_init__(self) -> None:
        check(
            [
                (len(self.methods) > 0, "methods is empty: name at least one attribution"),
                (len(self.scores) > 0, "scores is empty: name at least one score"),
                *within(self, 1, MOST_IMAGES, "max_images", null="all"),
                *within(self, 2, MOST_IMAGES, "probe_images", null="all"),
                *within(self, 1, MOST_IN_BATCH, "batch_size"),
                *within(self, 2, MOST_STEPS, "steps"),
                *within(self, 1, MOST_STEPS, "samples"),
                (
                    0 < self.noise <= 1,
                    f"noise is {self.noise}: use a share in (0, 1], such as 0.15",
                ),
                (0 < self.window <= 1, f"window is {self.window}: use a share in (0, 1]"),
                (0 < self.radius <= 1, f"radius is {self.radius}: use a share in (0, 1]"),
                *within(self, 2, MOST_SIDE, "patches"),
                *positive(self, MOST_WEIGHT, "ridge"),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class SinglePixelConfig(Section):
    """The single-pixel benchmark: do attributions find the pixel that decides?

    Needs images with a planted pixel (``data.pixel``). See ``hsplid_core.saliency.single_pixel``.

    Attributes:
        jitters: Standard deviations of (position in pixels, colour in 1/255) of the test images.
        steps: Points on the path of integrated gradients.
        max_images: Validation images (a fixed subset); None takes all of them.
        batch_size: Images per forward pass; does not change the result.
    """

    jitters: tuple[tuple[float, float], ...] = (
        (0.0, 0.0),
        (0.0, 5.0),
        (3.0, 5.0),
        (3.0, 3.0),
        (1.0, 3.0),
    )
    steps: int = 100
    max_images: int | None = None
    batch_size: int = 256

    def __post_init__(self) -> None:
        check(
            [
                (
                    len(self.jitters) > 0
                    and all(0 <= p <= MOST_SIDE and 0 <= c <= 255 for p, c in self.jitters),
                    f"jitters is {self.jitters}: give pairs of standard deviations, of 0 to "
                    f"{MOST_SIDE} pixels and of 0 to 255 in colour",
                ),
                *within(self, 2, MOST_STEPS, "steps"),
                *within(self, 1, MOST_IMAGES, "max_images", null="all"),
                *within(self, 1, MOST_IN_BATCH, "batch_size"),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class MarginsConfig(Section):
    """Distances to the decision boundary in subspaces of frequencies, by DeepFool.

    Metrics are ``val/margin/LABEL``, the median over the images in the subspace of that label,
    such as ``004-011`` for row and column frequencies 4 to 11; ``val/margin/smallest``, the least
    of them; and ``val/margin/not_fooled``, the share of searches that found no boundary. The
    table ``margins`` has every image. See ``hsplid_core.margins``.

    Attributes:
        subspaces: Square ``blocks`` along the diagonal (the paper's), a ``grid`` of them over all
            frequencies, or ``bands`` of equal u + v.
        size: Frequencies of a block along either axis, or values of u + v in a band.
        step: Frequencies from one block to the next; bands lie side by side.
        max_images: Validation images (a fixed subset); None takes all of them.
        num_classes: Likeliest classes that a search looks at.
        max_iterations: Steps after which a search gives up.
        batch_size: Images in one pass through the model; does not change the result.
    """

    subspaces: Literal["blocks", "grid", "bands"] = "blocks"
    size: int = 8
    step: int = 4
    max_images: int | None = 128
    num_classes: int = 10
    max_iterations: int = 100
    batch_size: int = 1024

    def __post_init__(self) -> None:
        check(
            [
                *within(self, 1, MOST_SIDE, "size", "step"),
                *within(self, 1, MOST_IMAGES, "max_images", null="all"),
                *within(self, 2, 100_000, "num_classes"),
                *within(self, 1, MOST_STEPS, "max_iterations"),
                *within(self, 1, MOST_IN_BATCH, "batch_size"),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class PixelConfig(Section):
    """A pixel planted into every image, whose place and colour give the class away.

    Attributes:
        seed: Of the classes' places and colours, and of the jitter of each image.
        position_sd: Standard deviation of an image's pixel around its class's place, in pixels.
        colour_sd: Standard deviation of its colour around its class's, in 1/255.
        side: Side of the square that is planted: 1 is a single pixel, more a cluster.
        condition: ``same``: the image's class's pixel; ``diff``: another class's; ``nopix``: none.
    """

    seed: int = 0
    position_sd: float = 0.0
    colour_sd: float = 0.0
    side: int = 1
    condition: Literal["same", "diff", "nopix"] = "same"

    def __post_init__(self) -> None:
        check(
            [
                *within(self, 0, MOST_SEED, "seed"),
                *within(self, 0, MOST_SIDE, "position_sd"),
                *within(self, 0, 255, "colour_sd"),
                *within(self, 1, MOST_SIDE, "side"),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class ConfirmationConfig(Section):
    """Robustness on the test split, for models whose choice is over; ``sweeps.confirm`` sets it.

    It leaves the table ``confirmation`` and no metric, so that no search can make an objective of
    what it must not see.

    Attributes:
        suite: A key of ``hsplid_core.evaluation.SUITES``; or ``objective``, the regions and radii
            of the evaluation under the attacks of ``standard``.
        max_images: Attack only so many test images (a fixed subset); None takes the suite's own
            number.
        batch_size: Images per forward pass; does not change the result.
        cascade: Whether attacks and radii go on with survivors alone; without, every cell is
            attacked on its own, as published tables are.
    """

    suite: str = "standard"
    max_images: int | None = None
    batch_size: int = 256
    cascade: bool = True

    def __post_init__(self) -> None:
        check(
            [
                one_of(self, "suite", CONFIRMATION_SUITES),
                *within(self, 1, MOST_IMAGES, "max_images", null="the suite's"),
                *within(self, 1, MOST_IN_BATCH, "batch_size"),
            ]
        )
