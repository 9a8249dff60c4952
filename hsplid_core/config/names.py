"""Names that a spec may use for data sets, networks, regions, attributions and scores.

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
    "resnet18_3x3": (),
    "resnet18": ("IMAGENET1K_V1", "DEFAULT"),
    "resnet34": ("IMAGENET1K_V1", "DEFAULT"),
    "resnet50": ("IMAGENET1K_V1", "IMAGENET1K_V2", "DEFAULT"),
    "densenet121": ("IMAGENET1K_V1", "DEFAULT"),
    "efficientnet_b0": ("IMAGENET1K_V1", "DEFAULT"),
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
)
