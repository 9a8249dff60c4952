"""Settings of data, model, training and evaluation, as typed and checked values.

Each section is a frozen dataclass that validates itself, so an impossible value is refused where
it is written and never inside a training step. A field's path (``training.learning_rate``) is its
name everywhere: in a sweep's YAML, on the command line, in a search space and in MLflow.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from hsplid_core.config.analyses import (
    ConfirmationConfig,
    MarginsConfig,
    PixelConfig,
    SaliencyConfig,
    SinglePixelConfig,
)
from hsplid_core.config.augmentation import AugmentationConfig
from hsplid_core.config.mask_values import MaskValues, mask_values_rule
from hsplid_core.config.normalisation import normalisation_rule
from hsplid_core.config.rules import (
    MOST_EPOCHS,
    MOST_IMAGES,
    MOST_IN_BATCH,
    MOST_SEED,
    MOST_SIDE,
    MOST_STEPS,
    Section,
    check,
    positive,
    within,
)
from hsplid_core.config.schedule import ScheduleConfig


@dataclass(frozen=True, kw_only=True)
class DataConfig(Section):
    """Which images a trial sees.

    Attributes:
        name: Name of the data set, for instance ``coco_animals``.
        root: Folder of the real data set in its published layout; None uses the embedded demo.
        image_size: Side length in pixels after resizing and cropping.
        resize: How pictures become square: by their short side and a centre crop (crop), or
            without regard to their proportions (stretch). None takes the data set's own way,
            which is stretch for ISIC2017 and crop for all others.
        resize_size: Side in pixels that pictures are resized to before the centre crop, the short
            one where proportions are kept; None for ``image_size``, so that nothing of a square
            is cut off. Most of ImageNet's networks are judged at 224 pixels of 256.
        random_crop: Cut training images out of the ``resize_size`` pixels at a random place, anew
            in each epoch, and all others out of their middle.
        normalise: Statistics that networks are given pixels by: ``imagenet``, ``half`` (mean and
            deviation 0.5), ``none``, or means and deviations of the channels, as
            ``0.5,0.5,0.5/0.2,0.2,0.2``, or the data set's own (data). None takes those of
            ``model.weights``, or else the data set's. Behind a lowpass or highpass they are
            measured, whatever is said here.
        val_fraction: Share of the training images held out for validation (H-SPLID: 0.2).
        split_seed: Seed of that stratified split; the same for all trials of a sweep.
        split: What is tested on: ``own``, the data set's own test images; ``larger_test``, more
            than these where they are few (of ``coco_animals`` a fifth of train2017's beside
            val2017's 310); or, of ``coco_animals`` alone, ``published``: the split of H-SPLID's
            released code, whose test images were trained on.
        classes: Classes that the images are of, in the order of their labels; None takes all.
        boxes_as_masks: Whether the box of an object without an outline is filled to be its mask,
            in COCO's files; the image is left out otherwise.
        share: Share of each class's training images that is used, in training and validation;
            the test images stay. H-SPLID tunes on 0.3.
        mask_values: Which values of the mask files of a ``folder`` are the object: levels or
            palette indices (``1``), ranges (``128-255``), colours (``'#800000'``), or ``alpha``;
            None where the masks tell.
        duplicates: Whether training images stay that equal a test image, or a training image of
            another label (keep), or are left out, as are repetitions of one label (drop).
        cache_dir: Folder of the Arrow caches; None puts it into the sweep's storage.
        node_cache: Folder on the own disk of whatever machine runs a trial, to which the caches
            are copied once for all its trials; may have variables of that machine's environment,
            as in ``$TMPDIR/cache``. None reads them from ``cache_dir``.
        on_device: ``auto`` keeps the images' bytes on the GPU where training and validation
            together take no more than a quarter of the memory that the trial may use; they are
            shuffled and varied there, and the batches are the same. ``off`` sends each batch.
        pixel: Plant a pixel that gives the class away into every image; None plants none.
        transform: Filter of the images' frequencies (Ortiz-Jimenez et al., 2002.06349). It is the
            network's fixed first layer, so masks, attacks and corruptions stay in pixel space.
        bandwidth: Frequencies that lowpass and highpass keep along either axis.
    """

    name: str = "coco_animals"
    root: Path | None = None
    image_size: int = 224
    resize: Literal["crop", "stretch"] | None = None
    resize_size: int | None = None
    random_crop: bool = False
    normalise: str | None = None
    val_fraction: float = 0.2
    split_seed: int = 0
    split: Literal["own", "larger_test", "published"] = "own"
    classes: tuple[str, ...] | None = None
    boxes_as_masks: bool = False
    share: float = 1.0
    mask_values: MaskValues | None = None
    duplicates: Literal["keep", "drop"] = "keep"
    cache_dir: Path | None = None
    node_cache: Path | None = None
    on_device: Literal["auto", "off"] = "auto"
    pixel: PixelConfig | None = None
    transform: Literal["none", "flip", "lowpass", "highpass"] = "none"
    bandwidth: int = 16

    def __post_init__(self) -> None:
        check(
            [
                *within(self, 8, MOST_SIDE, "image_size"),
                *within(self, 1, MOST_SIDE, "resize_size", null="image_size"),
                (
                    # One below 1 is told above.
                    self.resize_size is None
                    or self.resize_size < 1
                    or self.resize_size >= self.image_size,
                    f"resize_size is {self.resize_size}: {self.image_size} pixels are cut out of "
                    "it, use as many or more, or null",
                ),
                (
                    not self.random_crop or (self.resize_size or 0) > self.image_size,
                    f"random_crop is true: with resize_size {self.resize_size} there is nothing "
                    f"beside {self.image_size} pixels to choose from, use more",
                ),
                (
                    # Its place is one of the image as it was resized.
                    not self.random_crop or self.pixel is None,
                    "random_crop is true: it would cut the planted pixel off, use false, or "
                    "pixel=null",
                ),
                normalisation_rule(self.normalise),
                *within(self, 0, MOST_SEED, "split_seed"),
                *within(self, 1, MOST_SIDE, "bandwidth"),
                (
                    0 < self.val_fraction < 1,
                    f"val_fraction is {self.val_fraction}: use a share between 0 and 1",
                ),
                (
                    self.split != "published" or self.name == "coco_animals",
                    f"split is published: that is one of coco_animals; use own for {self.name}",
                ),
                (
                    # One class leaves nothing to decide.
                    self.classes is None or len(set(self.classes)) == len(self.classes) >= 2,
                    f"classes is {list(self.classes or ())}: name two or more different classes, "
                    "or null for all",
                ),
                mask_values_rule(self.mask_values),
                (
                    not self.boxes_as_masks or self.name in ("coco", "coco_animals"),
                    f"boxes_as_masks is true: it is for COCO's files, and name is {self.name}",
                ),
                (0 < self.share <= 1, f"share is {self.share}: use a share in (0, 1]"),
                (
                    self.transform in ("none", "flip") or 1 <= self.bandwidth <= self.image_size,
                    f"bandwidth is {self.bandwidth}: {self.transform} keeps 1 to "
                    f"{self.image_size} frequencies of images of {self.image_size} pixels",
                ),
                (
                    self.pixel is None or self.pixel.side <= self.image_size,
                    f"pixel.side is {self.pixel and self.pixel.side}: images have "
                    f"{self.image_size} pixels a side",
                ),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class ModelConfig(Section):
    """Which network is trained.

    Attributes:
        name: ``lenet3``, ``lenet5``, ``resnet18_3x3`` (its first convolution is 3x3 of stride 1,
            pooling stays), or any classifier of torchvision, such as ``resnet18`` or ``vgg16``.
        width: Factor on every layer's number of channels; 1 is the published network. Others are
            possible for the LeNets, resnet18, resnet34, resnet50, VGG, DenseNet and mobilenet_v2.
        norm: Normalisation layers: ``batch``, those of the published network (which a transformer
            has in every layer, too), or none (as H-SPLID's ResNet on COCO).
        stem: First layers of a ResNet or DenseNet: 7x7 of stride 2 with pooling (imagenet), 3x3
            of stride 1 (small), or small below 224 pixels and imagenet from there on (auto, as
            H-SPLID's released code decides; 14 times dearer than imagenet at 64 pixels). A VGG has
            such first layers anyway; small gives it hidden layers of 512 values on the features
            as they come, as Hold me tight! has it for 32 pixels, and auto leaves it as published.
            Hold me tight!'s DenseNet has a 3x3 convolution with nothing behind it (bare).
        weights: Torchvision's published weights by their name, such as ``DEFAULT`` or
            ``IMAGENET1K_V1``; their normalisation replaces the data set's where
            ``data.normalise`` says nothing. None for random ones.
        checkpoint: File of weights to start from: a state dict, a checkpoint of this project, or
            one of the papers' authors.
        new_head: Leave the checkpoint's classification layer out, for other classes.
    """

    name: str = "resnet18"
    width: float = 1.0
    norm: Literal["none", "batch"] = "none"
    stem: Literal["imagenet", "small", "bare", "auto"] = "imagenet"
    weights: str | None = None
    checkpoint: Path | None = None
    new_head: bool = False

    def __post_init__(self) -> None:
        check(
            [
                # One channel of 64, the first layer of a ResNet, is the least there can be.
                (
                    1 / 64 <= self.width <= 4,
                    f"width is {self.width}: use a factor from 1/64 to 4",
                ),
                (
                    self.weights is None or self.checkpoint is None,
                    f"weights is {self.weights} and checkpoint is {self.checkpoint}: give one of "
                    "them",
                ),
                (
                    not self.new_head or self.checkpoint is not None,
                    "new_head is true: it says what to leave out of a checkpoint, name one",
                ),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class TrainingConfig(Section):
    """How the parameters are optimised (defaults: H-SPLID on COCO, 2510.20627, Table 9).

    Attributes:
        epochs: Passes over the training images; 0 measures the model that a trial starts from.
        batch_size: Images per step.
        accumulation: Parts that a batch is computed in, one after the other, to save memory. Loss
            and gradient stay those of the whole batch, also of terms such as HSIC; only batch
            normalisation takes its statistics from one part.
        learning_rate: Step size.
        weight_decay: L2 penalty of Adam and SGD; taken off the weights directly by AdamW.
        optimiser: Adam, AdamW (as S-IB's authors train), or SGD (the single-pixel benchmark).
        beta1: Adam's memory of the gradient's mean; SGD's momentum.
        clip_norm: Largest global L2 norm of the gradient.
        device: ``auto`` takes cuda where there is one.
        amp: ``auto`` uses mixed precision on cuda, bfloat16 where the hardware has it; the papers
            train without.
        tf32: What cuda may multiply with 10 bits of mantissa: ``convolutions`` is torch's default
            and so the papers', ``all`` adds matrix products.
        deterministic: Whether cuda computes a run the same way each time, at some cost in speed;
            an operation that cannot ends the trial with its name.
        compile: Whether ``torch.compile`` makes the steps' network faster, after some minutes for
            compiling; ``reduce-overhead`` also replays it as CUDA graphs, for small networks. A
            method that looks into the network or differentiates a gradient (HBaR, S-IB, penalties
            of activations) trains without.
        augmentation: How the images vary; not at all by default.
        schedule: How the learning rate changes; not at all by default.
        keep: Whose epoch's weights a trial ends with: the last one's, or those of the epoch with
            the best ``monitor``. Its last metrics, and so a front, are then that epoch's.
        monitor: Metric that decides about ``keep`` and ``patience``, measured on validation
            images: S-IB's and AdvGrad's code keep the best accuracy.
        monitor_mode: Whether more of it is better, or less.
        patience: Epochs without a better ``monitor`` after which a trial ends; None never ends it.
        frozen: Layers that stay as they are, batch statistics included, by their names in the
            published network, as layer1 or features.denseblock1; backbone stands for all but the
            classification layer.
    """

    epochs: int = 200
    batch_size: int = 256
    accumulation: int = 1
    learning_rate: float = 5e-4
    weight_decay: float = 0.0
    optimiser: Literal["adam", "adamw", "sgd"] = "adam"
    beta1: float = 0.9
    clip_norm: float = 1000.0
    device: str = "auto"
    amp: Literal["auto", "off"] = "off"
    tf32: Literal["convolutions", "all", "off"] = "convolutions"
    deterministic: bool = False
    compile: Literal["off", "default", "reduce-overhead"] = "off"
    augmentation: AugmentationConfig = AugmentationConfig()
    schedule: ScheduleConfig = ScheduleConfig()
    keep: Literal["last", "best"] = "last"
    monitor: str = "val/accuracy"
    monitor_mode: Literal["max", "min"] = "max"
    patience: int | None = None
    frozen: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        check(
            [
                *within(self, 0, MOST_EPOCHS, "epochs"),
                *within(self, 2, MOST_IN_BATCH, "batch_size"),
                (
                    1 <= self.accumulation <= max(1, self.batch_size // 2),
                    f"accumulation is {self.accumulation}: use 1 to half the batch_size, "
                    f"{self.batch_size}, for each part needs 2 images",
                ),
                (
                    0 < self.learning_rate <= 10,
                    f"learning_rate is {self.learning_rate}: use a value in (0, 10]",
                ),
                # At 10 and a step size of 0.1, AdamW leaves nothing of a weight after a step.
                *within(self, 0, 10, "weight_decay"),
                (0 <= self.beta1 < 1, f"beta1 is {self.beta1}: use a value in [0, 1)"),
                # So large that nothing is clipped, but finite.
                *positive(self, 1_000_000_000, "clip_norm"),
                (
                    self.schedule.warmup_epochs == 0 or self.schedule.warmup_epochs < self.epochs,
                    f"schedule.warmup_epochs is {self.schedule.warmup_epochs}: leave at least one "
                    f"of the {self.epochs} epochs for the rate that it leads to",
                ),
                *within(self, 1, MOST_EPOCHS, "patience", null="never"),
                (
                    len(set(self.frozen)) == len(self.frozen) and "" not in self.frozen,
                    f"frozen is {list(self.frozen)}: name each layer once",
                ),
            ]
        )

    @property
    def part_size(self) -> int:
        """Images that are computed at a time."""
        return -(-self.batch_size // self.accumulation)


@dataclass(frozen=True, kw_only=True)
class EvaluationConfig(Section):
    """How robustness is measured inside a trial: PGD in the L-infinity ball on one region.

    The second objective, ``val/robust_accuracy``, is the mean over the epsilons.

    Attributes:
        suite: Run this suite instead of the PGD described below: ``search`` costs less than a
            quarter of an epoch of the demo, so that it can run after each; ``paper`` and
            ``standard`` cost many. The mean is then over its regions and epsilons. None for PGD.
        region: Pixels that the attack may change: full, background, object, left, right, block,
            or a block of another size as block_16 (pixels) or block_0.5 (share of each side).
        epsilons_255: Radii of the ball, in 1/255 of the pixel range.
        steps: PGD steps.
        relative_step: Step size as a share of epsilon.
        random_start: Start from a uniform point of the ball.
        restarts: Independent starts per image.
        max_images: Validation images attacked (a fixed subset); None attacks all of them.
        every: Epochs between two robust evaluations; the last epoch is always evaluated.
        batch_size: Images per forward pass.
        saliency: Attributions against the masks, whenever robustness is due; None leaves them out.
        single_pixel: The single-pixel benchmark, likewise.
        confirmation: Robustness on the test split, likewise; only for models already chosen.
        margins: Distances to the decision boundary along frequencies, likewise.
    """

    suite: Literal["search", "paper", "standard"] | None = None
    region: str = "background"
    epsilons_255: tuple[float, ...] = (1.0, 2.0, 3.0)
    steps: int = 10
    relative_step: float = 0.25
    random_start: bool = True
    restarts: int = 1
    max_images: int | None = 512
    every: int = 1
    batch_size: int = 256
    saliency: SaliencyConfig | None = None
    single_pixel: SinglePixelConfig | None = None
    confirmation: ConfirmationConfig | None = None
    margins: MarginsConfig | None = None

    def __post_init__(self) -> None:
        check(
            [
                (
                    len(self.epsilons_255) > 0 and all(0 < e <= 255 for e in self.epsilons_255),
                    f"epsilons_255 is {self.epsilons_255}: give one or more values in (0, 255]",
                ),
                *within(self, 1, MOST_STEPS, "steps", "restarts"),
                # Two radii lead from any point of the ball to any other.
                *positive(self, 2, "relative_step"),
                *within(self, 1, MOST_IMAGES, "max_images", null="all"),
                *within(self, 1, MOST_EPOCHS, "every"),
                *within(self, 1, MOST_IN_BATCH, "batch_size"),
            ]
        )
