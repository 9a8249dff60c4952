"""Settings of the training methods, one section each, and the table of their names.

What a method computes with them is in ``hsplid_core.methods``, in a file of its name. Nothing here
needs torch, so a sweep's settings are checked in no time.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal, get_args

from hsplid_core.config.rules import (
    MOST_EPOCHS,
    MOST_SIDE,
    MOST_STEPS,
    MOST_WEIGHT,
    Section,
    check,
    one_of,
    positive,
    within,
)

KernelName = Literal["gaussian", "linear"]
CollapsedDims = Literal["nonsalient", "closed_form"]
SparsityKind = Literal[
    "l1_weights", "group_lasso_weights", "l1_activations", "group_lasso_activations"
]
ParameterChoice = Literal["modules", "published"]


def _released(name: str) -> dict[str, str]:
    """Name a field's counterpart in the released configuration, for help and error texts."""
    return {"released_name": name}


@dataclass(frozen=True, kw_only=True)
class CrossEntropyConfig(Section):
    """Weight and kind of the cross-entropy.

    Attributes:
        weight: Factor on the mean cross-entropy; 0 leaves it out.
        label_smoothing: Share of the probability that goes to the wrong classes, in equal
            parts; below 1 - 1/K, where nothing would be left to learn.
        class_weights: For imbalanced data: ``balanced`` weighs a class by N / (K times its
            images), a list gives one weight above 0 for each class.
    """

    weight: float = 1.0
    label_smoothing: float = 0.0
    class_weights: Literal["none", "balanced"] | tuple[float, ...] = "none"

    def __post_init__(self) -> None:
        given = self.class_weights
        check(
            [
                *within(self, 0, MOST_WEIGHT, "weight"),
                (
                    0 <= self.label_smoothing < 1,
                    f"label_smoothing is {self.label_smoothing}: use a share in [0, 1)",
                ),
                (
                    given in ("none", "balanced")
                    or (
                        not isinstance(given, str)
                        and len(given) > 0
                        and all(0 < weight <= MOST_WEIGHT for weight in given)
                    ),
                    f"class_weights is {given}: use none, balanced or weights above 0, at most "
                    f"{MOST_WEIGHT:,}",
                ),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class HsplidConfig(Section):
    """Hyperparameters of H-SPLID; the defaults are the paper's COCO values (Table 9).

    The HSIC weights are described as the paper pairs them with terms; ``hsic_pairing`` says which
    pairing holds, and its default is the released code's.

    Attributes:
        lambda_s: Weight of the salient compression L_s.
        lambda_n: Weight of the non-salient compression L_n.
        rho_s: Weight of HSIC(z_s, x), the information that salient features keep of the image.
        rho_n: Weight of HSIC(z_n, y), the information that non-salient features keep of labels.
        salient_label_weight: Weight of -HSIC(z_s, y).
        nonsalient_input_weight: Weight of -HSIC(z_n, x).
        cross_space_weight: Weight of HSIC(z_n, z_s).
        beta_step: Share of the old value when betas are averaged; in [0, 1).
        beta_update_fraction: Share of an epoch's images after which the averaged betas move.
        update_betas: Once per that fraction of an epoch, or at each step.
        variation: Margin above 1/2 that a dimension's beta must clear to be salient.
        hard_split: Separate columns (True) or scale all of them by beta (False).
        hsic_warmup: Epochs before the HSIC terms act, or ``hard_split``: from the first epoch
            that starts with more than one salient dimension under a hard split.
        beta_warmup_epochs: Epochs before a hard split may be used.
        init_fraction: Share of the training images that initialise centres and betas.
        sigma: Bandwidth of the Gaussian kernels.
        label_kernel: Kernel of the one-hot labels.
        hsic_pairing: Which terms the HSIC weights multiply: as the released code computes them,
            or as the paper writes them (see above).
        collapsed_dims: Fate of dimensions without scatter (see ``salient_betas``).
    """

    lambda_s: float = field(default=0.1, metadata=_released("lambda_cluster"))
    lambda_n: float = field(default=0.2, metadata=_released("lambda_shared"))
    rho_s: float = field(default=0.5, metadata=_released("l_cluster_hsicx_weight"))
    rho_n: float = field(default=0.05, metadata=_released("l_shared_hsicy_weight"))
    salient_label_weight: float = field(default=0.0, metadata=_released("lambda_y_cluster"))
    nonsalient_input_weight: float = field(default=0.0, metadata=_released("lambda_x_shared"))
    cross_space_weight: float = field(default=0.0, metadata=_released("l_hsic_z_z_weight"))
    beta_step: float = 0.8
    beta_update_fraction: float = field(
        default=1.0, metadata=_released("beta_update_step_fraction")
    )
    update_betas: Literal["per_epoch", "per_step"] = field(
        default="per_epoch", metadata=_released("update_betas_per_epoch")
    )
    variation: float = field(default=0.025, metadata=_released("shared_space_variation"))
    hard_split: bool = field(default=True, metadata=_released("hard_space_split"))
    hsic_warmup: int | Literal["hard_split"] = field(
        default="hard_split", metadata=_released("hsic_warmup_epochs")
    )
    beta_warmup_epochs: int = 0
    init_fraction: float = field(default=1.0, metadata=_released("beta_init_sample_fraction"))
    sigma: float | None = 5.0
    label_kernel: KernelName = field(default="linear", metadata=_released("k_type_y"))
    hsic_pairing: Literal["released", "paper"] = "released"
    collapsed_dims: CollapsedDims = "nonsalient"

    def __post_init__(self) -> None:
        check(
            [
                *within(self, 0, MOST_EPOCHS, "beta_warmup_epochs"),
                *within(
                    self,
                    0,
                    MOST_WEIGHT,
                    "lambda_s",
                    "lambda_n",
                    "rho_s",
                    "rho_n",
                    "salient_label_weight",
                    "nonsalient_input_weight",
                    "cross_space_weight",
                ),
                (0 <= self.beta_step < 1, f"beta_step is {self.beta_step}: use a value in [0, 1)"),
                (
                    0 < self.beta_update_fraction <= 1,
                    f"beta_update_fraction is {self.beta_update_fraction}: use a value in (0, 1]",
                ),
                (
                    0 <= self.variation < 0.5,
                    f"variation is {self.variation}: use a value in [0, 0.5)",
                ),
                (
                    self.hsic_warmup == "hard_split"
                    or (
                        isinstance(self.hsic_warmup, int) and 0 <= self.hsic_warmup <= MOST_EPOCHS
                    ),
                    f"hsic_warmup is {self.hsic_warmup}: use 0 to {MOST_EPOCHS:,} epochs or "
                    "hard_split",
                ),
                (
                    0 < self.init_fraction <= 1,
                    f"init_fraction is {self.init_fraction}: use a share in (0, 1]",
                ),
                *positive(self, MOST_WEIGHT, "sigma", null="the median"),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class HbarConfig(Section):
    """Hyperparameters of HBaR; the defaults are H-SPLID's for COCO.

    Attributes:
        lambda_x: Weight of HSIC(h_l, x), the information that layers keep of the image.
        lambda_y: Weight of -HSIC(h_l, y), the information that layers keep of the label.
        layer_decay: Factor r from each layer to the one before it, in [0, 1]; the last layer
            has full weight. 0 gives all layers full weight, as published (so does 1).
        sigma: Bandwidth of the Gaussian kernels; None takes the median.
        label_kernel: Kernel of the one-hot labels.
    """

    lambda_x: float = 0.001
    lambda_y: float = 0.1
    layer_decay: float = field(default=0.0, metadata=_released("hsic_layer_decay"))
    sigma: float | None = 5.0
    label_kernel: KernelName = field(default="linear", metadata=_released("k_type_y"))

    def __post_init__(self) -> None:
        check(
            [
                *within(self, 0, MOST_WEIGHT, "lambda_x", "lambda_y"),
                (
                    0 <= self.layer_decay <= 1,
                    f"layer_decay is {self.layer_decay}: use a factor in [0, 1]",
                ),
                *positive(self, MOST_WEIGHT, "sigma", null="the median"),
                one_of(self, "label_kernel", get_args(KernelName)),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class SibConfig(Section):
    """Hyperparameters of S-IB; the defaults are the authors'.

    Attributes:
        lambda_fg: Weight of the foreground term; 0 leaves it out.
        lambda_bg: Weight of the background term; 0 leaves it out.
        window: Side length in pixels of the square whose density decides; odd.
        temperature: Softness of the quantiles, in ranks.
        slope: Steepness of the mask's sigmoids.
        random_features: Width of a random projection of R * M and x * M before HSIC, drawn anew
            in each step; None takes them as they are. It costs C H W times this many numbers, and
            pays only if it is far below the batch size.
        objective: As the README writes it, or as the training scripts compute it.
    """

    lambda_fg: float = 0.01
    lambda_bg: float = 1000.0
    window: int = 31
    temperature: float = 0.1
    slope: float = 10.0
    random_features: int | None = None
    objective: Literal["linear", "exp"] = "linear"

    def __post_init__(self) -> None:
        check(
            [
                *within(self, 0, MOST_WEIGHT, "lambda_fg", "lambda_bg"),
                (
                    1 <= self.window <= MOST_SIDE and self.window % 2 == 1,
                    f"window is {self.window}: use an odd number of pixels, at most {MOST_SIDE}",
                ),
                *positive(self, MOST_WEIGHT, "temperature", "slope"),
                # A projection of more numbers than an image has saves nothing.
                *within(self, 1, 1_000_000, "random_features", null="none"),
                one_of(self, "objective", ("linear", "exp")),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class SparsityConfig(Section):
    """Which sparsity penalty, and how much of it.

    Attributes:
        kind: What is penalised. The released weights for COCO are 1e-5 (l1_weights), 1e-3
            (group_lasso_weights), 1e-6 (l1_activations) and 1e-5 (group_lasso_activations).
        weight: Factor on the penalty; 0 leaves it out.
        parameter_choice: Which weights count: all but those of normalisation ``modules``, or
            those whose name contains "weight" and not "bn", as ``published``.
    """

    kind: SparsityKind = "l1_weights"
    weight: float = 1e-5
    parameter_choice: ParameterChoice = "modules"

    def __post_init__(self) -> None:
        check(
            [
                one_of(self, "kind", get_args(SparsityKind)),
                *within(self, 0, MOST_WEIGHT, "weight"),
                one_of(self, "parameter_choice", get_args(ParameterChoice)),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class AdversarialConfig(Section):
    """Strength and kind of the attack that is trained against.

    Attributes:
        epsilon: Radius of the ball in pixel units; 0 leaves the images alone. In L2 over all of
            an image's values, so larger images take larger ones.
        norm: Norm of the ball.
        steps: Gradient steps for each batch: training takes so many times longer, and once more.
        relative_step: Length of a step as a share of epsilon; None for 2.5 / steps.
        random_start: Begin at a random point of the ball.
        projection: ``clip``, or ``dykstra`` for the nearest point (L2 only).
    """

    epsilon: float = 1.0
    norm: Literal["l2", "linf"] = "l2"
    steps: int = 7
    relative_step: float | None = None
    random_start: bool = True
    projection: Literal["clip", "dykstra"] = "clip"

    def __post_init__(self) -> None:
        step = self.relative_step
        check(
            [
                (
                    0 <= self.epsilon <= MOST_STEPS,
                    f"epsilon is {self.epsilon}: use 0 or more, at most {MOST_STEPS:,}, in pixel "
                    "units",
                ),
                one_of(self, "norm", ("l2", "linf")),
                (
                    self.norm != "linf" or not self.epsilon > 1,
                    f"epsilon is {self.epsilon}: pixels lie in [0, 1], so use at most 1 for linf "
                    "(8/255, not 8)",
                ),
                *within(self, 1, MOST_STEPS, "steps"),
                (
                    step is None or 0 < step <= 2,
                    f"relative_step is {step}: use a share in (0, 2], or null",
                ),
                one_of(self, "projection", ("clip", "dykstra")),
                (
                    self.projection != "dykstra" or self.norm == "l2",
                    f"projection is {self.projection}: use clip with linf, where clipping already "
                    "finds the nearest point",
                ),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class NormAdversarialConfig(Section):
    """Hyperparameters; the defaults are the authors' example for Imagenette.

    Attributes:
        mode: Norm that regularises the change; ``standard`` trains on clean images.
        training: One step (fast) or several (iterative).
        epsilon: Size of the change in normalised units: per value (l1, elastic) or per patch
            and channel as an L2 norm (group). 0 leaves the images alone, except for elastic.
        epsilon2: Weight of the gradient itself (elastic only); above 0 where it is iterative.
        patch: Side length in pixels of the patches that belong together (group only); it must
            divide the image's sides. The authors' 14 cuts 224 pixels into 16.
        iterations: Steps where training is iterative.
    """

    mode: Literal["standard", "l1", "elastic", "group"] = "elastic"
    training: Literal["fast", "iterative"] = "fast"
    epsilon: float = 0.01
    epsilon2: float = 0.05
    patch: int = 14
    iterations: int = 7

    def __post_init__(self) -> None:
        check(
            [
                one_of(self, "mode", ("standard", "l1", "elastic", "group")),
                one_of(self, "training", ("fast", "iterative")),
                *within(self, 0, MOST_WEIGHT, "epsilon", "epsilon2"),
                (
                    (self.mode, self.training) != ("elastic", "iterative") or self.epsilon2 > 0,
                    f"epsilon2 is {self.epsilon2}: iterative elastic training divides by it, "
                    "use a value above 0 or mode l1",
                ),
                *within(self, 1, MOST_SIDE, "patch"),
                *within(self, 1, MOST_STEPS, "iterations"),
            ]
        )


@dataclass(frozen=True, kw_only=True)
class HumanAttentionConfig(Section):
    """Strength of the perturbation; the default is the authors' for CUB.

    Attributes:
        epsilon: L2 length of the step over an image, in normalised units; 0 leaves images alone.
    """

    epsilon: float = 0.5

    def __post_init__(self) -> None:
        check(within(self, 0, MOST_WEIGHT, "epsilon"))


METHODS: dict[str, type[Any]] = {
    "adversarial": AdversarialConfig,
    "cross_entropy": CrossEntropyConfig,
    "hbar": HbarConfig,
    "hsplid": HsplidConfig,
    "human_attention": HumanAttentionConfig,
    "norm_adversarial": NormAdversarialConfig,
    "sib": SibConfig,
    "sparsity": SparsityConfig,
}
