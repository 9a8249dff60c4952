"""Settings of H-SPLID's specs against what its release and paper (2510.20627) have.

Paths are files of the released code; what the specs leave to a search is compared with the space's
published values, the first trial.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from search_spaces import optuna_parameters
from sweeps.search.first_trials import first_trials
from sweeps.search.ranged_space import space_of
from sweeps.spec.loading import load_pretrain_spec, load_spec
from sweeps.spec.overrides import parse_overrides

# src/datasets/datamodule.py, aug_transform; RandomResizedCrop's scale and ratio are torchvision's.
AUGMENTATION = {
    "crop_scale": [0.08, 1.0],
    "crop_ratio": [3 / 4, 4 / 3],
    "crop_probability": 1.0,
    "brightness": 0.4,
    "contrast": 0.4,
    "saturation": 0.2,
    "hue": 0.1,
    "jitter_probability": 0.8,
    "greyscale": 0.2,
    "flip": 0.5,
    "solarise": 0.2,
    "solarise_threshold": 0.5,
    "rotation": 0.0,
    "blur": 0.0,
}
# The same file, the colour data module.
AFFINE = {"rotation": 16.0, "translation": 0.1, "shear": 8.0, "crop_scale": None, "flip": 0.0}

# configs/coco_hsplid.yaml, configs/experiment/coco-animals/resnet18/hsplid_coco.yaml
COCO = {"training.epochs": 200, "training.batch_size": 256, "training.learning_rate": 5e-4}
# configs/isic_hsplid.yaml, configs/experiment/isic2017/resnet50/hsplid_isic2017.yaml
ISIC = {"training.epochs": 50, "training.batch_size": 32, "training.learning_rate": 5e-5}
SPLIT = {
    "method.cross_entropy.weight": 10.0,
    "method.hsplid.sigma": 5.0,
    "method.hsplid.beta_step": 0.8,
    "method.hsplid.beta_update_fraction": 1.0,
    "method.hsplid.variation": 0.025,
}
# The release's shared and cluster spaces are the salient and the non-salient one:
# l_shared_hsicy_weight, l_cluster_hsicx_weight, lambda_cluster and lambda_shared.
COCO_SPLIT = {
    **SPLIT,
    "method.hsplid.lambda_s": 0.1,
    "method.hsplid.lambda_n": 0.2,
    "method.hsplid.rho_s": 0.5,
    "method.hsplid.rho_n": 0.05,
}
SETTINGS: Mapping[str, Mapping[str, Any]] = {
    "coco_hsplid": {**COCO, **COCO_SPLIT, "model.name": "resnet18", "model.norm": "none"},
    "coco_hsplid_paper": {**COCO, **COCO_SPLIT, "model.name": "resnet18", "model.norm": "none"},
    "coco_baselines": {**COCO, **COCO_SPLIT, "model.name": "resnet18", "model.norm": "none"},
    # configs/coco_pretrain.yaml
    "coco_pretrain": {**COCO, "training.epochs": 100, "model.norm": "none"},
    "isic_hsplid": {
        **ISIC,
        **SPLIT,
        "method.hsplid.lambda_s": 0.2,
        "method.hsplid.lambda_n": 0.1,
        "method.hsplid.rho_s": 0.05,
        "method.hsplid.rho_n": 0.1,
        # SplitTrain.on_fit_start in src/models/split_model.py never sets the weights up.
        "method.cross_entropy.class_weights": "none",
        "model.name": "resnet50",
        "model.norm": "batch",
    },
    # configs/isic_pretrain.yaml, configs/experiment/isic2017/resnet50/vanilla_isic2017.yaml
    "isic_pretrain": {**ISIC, "method.cross_entropy.class_weights": "balanced"},
    # configs/imagenet_hsplid.yaml, configs/experiment/imagenet/resnet50/hsplid_imagenet.yaml
    "imagenet_hsplid": {
        **COCO,
        **SPLIT,
        "training.epochs": 20,
        "method.hsplid.lambda_s": 0.1,
        "method.hsplid.lambda_n": 0.1,
        "method.hsplid.rho_s": 0.1,
        "method.hsplid.rho_n": 0.1,
        "method.hsplid.beta_step": 0.995,
        "method.hsplid.beta_update_fraction": 0.05,
        "method.hsplid.variation": 0.1,
        "method.hsplid.init_fraction": 0.2,
        # ResNet50_Weights.DEFAULT in src/models/model_init.py
        "model.weights": "IMAGENET1K_V2",
    },
    # Appendix F.4; H-SPLID's own values for it are given nowhere.
    "cmnist_hsplid": {
        "training.epochs": 50,
        "training.learning_rate": 1e-5,
        "model.name": "lenet3",
        "pretrain": None,
    },
}


def lookup(values: Mapping[str, Any], path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_spec_has_the_published_settings(name: str) -> None:
    spec = load_spec(name, parse_overrides(["data.root=/data"]))
    resolved = spec.resolved()
    assert {path: lookup(resolved, path) for path in SETTINGS[name]} == SETTINGS[name]
    augmentation = AFFINE if spec.data.name == "cmnist" else AUGMENTATION
    found = resolved["training"]["augmentation"]
    assert {key: found[key] for key in augmentation} == augmentation


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_its_first_trial_has_them_too(name: str) -> None:
    spec = load_spec(name, parse_overrides(["data.root=/data"]))
    space = space_of(spec)
    searched = {path: value for path, value in SETTINGS[name].items() if path in space.paper}
    assert "training.learning_rate" in searched
    first, *_ = first_trials(spec, {})
    assert {path: first[path] for path in searched} == searched
    assert first.items() >= optuna_parameters(searched).items()


@pytest.mark.parametrize("name", ["coco_hsplid", "isic_hsplid"])
def test_what_a_sweep_starts_from_is_augmented_as_well(name: str) -> None:
    spec = load_pretrain_spec(load_spec(name, parse_overrides(["data.root=/data"])))
    assert spec is not None
    found = spec.resolved()["training"]["augmentation"]
    assert {key: found[key] for key in AUGMENTATION} == AUGMENTATION
