"""Names that a spec may use for data sets, networks, regions, attributions, scores and metrics.

What they stand for needs torch; a test compares the names with the tables that hold it.
"""

from __future__ import annotations

from collections.abc import Mapping

TEST_SETS = (
    "imagenet9/original",
    "imagenet9/mixed_rand",
    "imagenet9/only_fg",
    "imagenet9/original_fine",
    "imagenet9/mixed_rand_fine",
    "imagenet9/only_fg_fine",
    "counter_animal/common",
    "counter_animal/counter",
)
"""Data sets of which no image is to be trained on."""

DATA_SETS = (
    "coco_animals",
    "coco",
    "isic2017",
    "imagenet",
    *TEST_SETS,
    "imagenette",
    "cub",
    "cub/boxes",
    "cub_gha",
    "stanford_dogs",
    "stanford_dogs/boxes",
    "cifar10",
    "mnist",
    "cmnist",
    "folder",
)

NETWORKS: Mapping[str, tuple[str, ...]] = {
    "lenet3": (),
    "lenet5": (),
    "resnet18_3x3": (),
    "resnet18": ("IMAGENET1K_V1", "DEFAULT"),
    "resnet34": ("IMAGENET1K_V1", "DEFAULT"),
    "resnet50": ("IMAGENET1K_V1", "IMAGENET1K_V2", "DEFAULT"),
    "densenet121": ("IMAGENET1K_V1", "DEFAULT"),
    "efficientnet_b0": ("IMAGENET1K_V1", "DEFAULT"),
    "vgg19": ("IMAGENET1K_V1", "DEFAULT"),
    "vgg16": ("IMAGENET1K_V1", "IMAGENET1K_FEATURES", "DEFAULT"),
}
"""Networks that the sweeps use, and their published weights; torchvision knows others."""

REGIONS = ("full", "background", "object", "left", "right", "block")
"""Regions by name; blocks of other sizes have names that say their size."""

ATTRIBUTIONS = (
    "gradient",
    "gradient_x_input",
    "integrated_gradients",
    "integrated_gradients_white",
    "smoothgrad",
    "guided_backprop",
    "deconvolution",
    "grad_cam",
    "guided_grad_cam",
    "occlusion",
)

SCORES = (
    "energy_inside",
    "pointing_game",
    "mask_iou",
    "insertion",
    "deletion",
    "gini",
    "patch_gini",
    "zero_patches",
    "stability",
)

EPOCH_METRICS = (
    "epoch",
    "memory_mib",
    "train/loss",
    "train/learning_rate",
    "train/seconds",
    "val/accuracy",
)
"""Metrics of every epoch, whatever is trained."""

METHOD_METRICS: Mapping[str, tuple[str, ...]] = {
    "adversarial": (),
    "cross_entropy": ("train/cross_entropy/loss",),
    "hbar": ("train/hbar/hsic_hidden_input", "train/hbar/hsic_hidden_label"),
    "hsplid": (
        "hsplid/salient_dims",
        "hsplid/nonsalient_dims",
        "hsplid/beta_mean",
        "train/hsplid/salient_compression",
        "train/hsplid/nonsalient_compression",
        "train/hsplid/hsic_salient_input",
        "train/hsplid/hsic_salient_label",
        "train/hsplid/hsic_nonsalient_input",
        "train/hsplid/hsic_nonsalient_label",
        "train/hsplid/hsic_nonsalient_salient",
    ),
    "human_attention": (),
    "norm_adversarial": (),
    "sib": (
        "train/sib/foreground_hsic",
        "train/sib/foreground_exp",
        "train/sib/background_variance",
        "train/sib/background_exp",
    ),
    "sparsity": (
        "train/sparsity/l1_weights",
        "train/sparsity/group_lasso_weights",
        "train/sparsity/l1_activations",
        "train/sparsity/group_lasso_activations",
    ),
}
"""Metrics that each method's part of the objective may report; a term of weight 0 reports none."""
