"""Settings of the papers' specs against one table of what papers and released code have.

Each value stands under the place that states it: a file of the release, its README, or a section
of the paper. What a spec leaves to a search is compared with the space's published values, the
first trial. Values that no place states are none of the table's; their specs say so.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest

from search_spaces import SPACES, optuna_parameters
from sweeps.search.first_trials import first_trials
from sweeps.spec.find_space import find_space
from sweeps.spec.loading import load_pretrain_spec, load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.registry import SWEEPS

Values = Mapping[str, Any]
# Nothing is published of these.
OWN = {"sib_folder"}


def augmentation(**values: Any) -> dict[str, Any]:
    """The whole section: what is not named does not vary."""
    off = {
        **dict.fromkeys(("rotation", "translation", "shear", "brightness", "contrast"), 0.0),
        **dict.fromkeys(("saturation", "hue", "flip", "greyscale", "solarise", "blur"), 0.0),
        "crop_scale": None,
        "padding": 0,
    }
    return {f"training.augmentation.{name}": v for name, v in {**off, **values}.items()}


# H-SPLID (arXiv 2510.20627). RandomResizedCrop's scale and ratio are torchvision's defaults.
AUG_TRANSFORM = augmentation(
    crop_scale=[0.08, 1.0],
    crop_ratio=[3 / 4, 4 / 3],
    crop_probability=1.0,
    brightness=0.4,
    contrast=0.4,
    saturation=0.2,
    hue=0.1,
    jitter_probability=0.8,
    greyscale=0.2,
    flip=0.5,
    solarise=0.2,
    solarise_threshold=0.5,
)
ADAM = {"training.optimiser": "adam", "training.beta1": 0.9, "training.schedule.kind": "constant"}
COCO: dict[str, Values] = {
    "configs/dataset/coco-animals.yaml": {
        "data.name": "coco_animals",
        "data.image_size": 224,
        "data.normalise": "0.4785,0.4678,0.3966/0.2466,0.2396,0.2494",
    },
    "src/datasets/datamodule.py": {
        "data.resize": "stretch",
        "data.resize_size": None,
        **AUG_TRANSFORM,
    },
}
COCO_TRAINING = {
    "model.name": "resnet18",
    "model.norm": "none",
    "model.weights": None,
    "data.val_fraction": 0.2,
    "training.epochs": 200,
    "training.batch_size": 256,
    "training.learning_rate": 5e-4,
    "training.weight_decay": 0.0,
    **ADAM,
}
ISIC: dict[str, Values] = {
    "configs/dataset/isic2017.yaml": {
        "data.name": "isic2017",
        "data.image_size": 224,
        "data.normalise": "0.7232,0.6168,0.5692/0.1668,0.1750,0.1955",
    },
    "src/datasets/datamodule.py": COCO["src/datasets/datamodule.py"],
    "src/models/model_init.py": {
        "model.name": "resnet50",
        "model.norm": "batch",
        "model.weights": "DEFAULT",
    },
}
ISIC_TRAINING = {
    "data.val_fraction": 0.2,
    "training.epochs": 50,
    "training.batch_size": 32,
    "training.weight_decay": 0.0,
    **ADAM,
}
IMAGENET: dict[str, Values] = {
    "configs/dataset/imagenet.yaml": {"data.name": "imagenet", "data.share": 1.0},
    "src/datasets/datamodule.py": {
        "data.image_size": 224,
        "data.resize": None,  # the data set's own way, which is crop
        "data.resize_size": 256,
        "data.normalise": "imagenet",
        **AUG_TRANSFORM,
    },
    "src/models/model_init.py": {
        "model.name": "resnet50",
        "model.norm": "batch",
        "model.weights": "IMAGENET1K_V2",  # what DEFAULT stands for
    },
    "configs/imagenet_hsplid.yaml": {
        "data.val_fraction": 0.2,
        "training.epochs": 20,
        "training.batch_size": 256,
        "training.learning_rate": 5e-4,
        "training.weight_decay": 0.0,
        **ADAM,
    },
}


def split(
    lambda_s: float, lambda_n: float, rho_s: float, rho_n: float, **others: float
) -> dict[str, Any]:
    """Name H-SPLID's values.

    The release has them as lambda_cluster, lambda_shared, l_cluster_hsicx_weight and
    l_shared_hsicy_weight: its cluster space is the salient one.
    """
    values = {
        "lambda_s": lambda_s,
        "lambda_n": lambda_n,
        "rho_s": rho_s,
        "rho_n": rho_n,
        "beta_step": 0.8,
        "beta_update_fraction": 1.0,
        "variation": 0.025,
        "init_fraction": 1.0,
        "sigma": 5.0,
        **others,
    }
    named = {f"method.hsplid.{name}": value for name, value in values.items()}
    return {"method.cross_entropy.weight": 10.0, **named}


COCO_SPLIT = split(0.1, 0.2, 0.5, 0.05)
ISIC_SPLIT = split(0.2, 0.1, 0.05, 0.1)
IMAGENET_SPLIT = split(
    *(0.1, 0.1, 0.1, 0.1),
    beta_step=0.995,
    beta_update_fraction=0.05,
    variation=0.1,
    init_fraction=0.2,
)
HBAR = {"method.hbar.layer_decay": 0.0, "method.hbar.sigma": 5.0}
COCO_HSPLID = {**COCO, "configs/coco_hsplid.yaml": COCO_TRAINING, "hsplid_coco.yaml": COCO_SPLIT}
CMNIST: dict[str, Values] = {
    "configs/dataset/cmnist.yaml": {
        "data.name": "cmnist",
        "data.image_size": 64,
        "data.normalise": "0.0500/0.2009",
    },
    "src/datasets/datamodule.py": augmentation(rotation=16.0, translation=0.1, shear=8.0),
}

# S-IB (arXiv 2511.09239): its README, and the one script whose settings are stored with its code.
SIB_README = {
    "method.sib.lambda_fg": 0.01,
    "method.sib.lambda_bg": 1000.0,
    "method.sib.window": 31,
    "method.sib.temperature": 0.1,
    "method.sib.slope": 10.0,
    "method.sib.random_features": None,
}
SIB_TRAINING = {
    "model.weights": None,
    "method.sib.objective": "exp",
    "training.epochs": 90,
    "training.batch_size": 97,
    "training.optimiser": "adamw",
    "training.learning_rate": 1e-4,
    "training.weight_decay": 1e-4,
    "training.keep": "best",
    "training.monitor": "val/accuracy",
    **augmentation(),
}
SIB_IMAGES = {
    "data.image_size": 224,
    "data.resize": None,  # crop
    "data.resize_size": 256,
    "data.normalise": "half",
}
SIB_STEPS = {
    "training.schedule.kind": "step",
    "training.schedule.per": "epoch",
    "training.schedule.step_epochs": 30,
    "training.schedule.factor": 0.1,
}
DOGS = "script for Stanford Dogs"
SIB: dict[str, Values] = {
    "README": SIB_README,
    DOGS: {**SIB_TRAINING, **SIB_IMAGES},
    "Inferred": SIB_STEPS,
}

# Norm-regularised adversarial training (arXiv 2404.04647).
ADVGRAD_TRAINING = {
    "model.name": "efficientnet_b0",
    "model.weights": None,
    "training.epochs": 200,
    "training.optimiser": "adam",
    "training.learning_rate": 3e-4,
    "training.beta1": 0.999,
    "training.weight_decay": 1e-4,
    "training.keep": "best",
    "training.monitor": "val/accuracy",
    "training.schedule.kind": "constant",
}

# Is Saliency Really Captured by Sensitivity?
PIXEL_SCRIPT = {
    "data.name": "cifar10",
    "data.normalise": "imagenet",
    "training.batch_size": 256,
    "training.optimiser": "sgd",
    "training.learning_rate": 1e-3,
    "training.beta1": 0.9,
    "training.weight_decay": 0.0,
    "training.schedule.kind": "constant",
    "model.weights": None,
    **augmentation(),
}

SETTINGS: Mapping[str, Mapping[str, Values]] = {
    "coco_hsplid": COCO_HSPLID,
    "coco_hsplid_paper": COCO_HSPLID,
    "coco_hsplid_grid": COCO_HSPLID,
    "coco_pretrain": {
        **COCO,
        "configs/coco_pretrain.yaml": {**COCO_TRAINING, "training.epochs": 100},
    },
    "coco_hbar": {
        **COCO,
        "configs/coco_hsplid.yaml": COCO_TRAINING,
        "hbar_coco.yaml": {
            "method.hbar.lambda_x": 0.001,
            "method.hbar.lambda_y": 0.1,
            **HBAR,
            "method.cross_entropy.weight": 1.0,
        },
    },
    "coco_sparsity": {
        **COCO,
        "configs/coco_hsplid.yaml": COCO_TRAINING,
        "lsw_coco.yaml": {"method.sparsity.kind": "l1_weights", "method.sparsity.weight": 1e-5},
    },
    "coco_baselines": {
        **COCO,
        "configs/coco_hsplid.yaml": COCO_TRAINING,
        "configs/experiment/coco-animals/resnet18": COCO_SPLIT,
    },
    "isic_hsplid": {
        **ISIC,
        "configs/isic_hsplid.yaml": ISIC_TRAINING,
        "hsplid_isic2017.yaml": {**ISIC_SPLIT, "training.learning_rate": 5e-5},
        "src/models/split_model.py": {"method.cross_entropy.class_weights": "none"},
    },
    "isic_pretrain": {
        **ISIC,
        "configs/isic_pretrain.yaml": ISIC_TRAINING,
        "vanilla_isic2017.yaml": {
            "training.learning_rate": 5e-5,
            "method.cross_entropy.class_weights": "balanced",
        },
    },
    "isic_baselines": {
        **ISIC,
        "configs/isic_hsplid.yaml": ISIC_TRAINING,
        "configs/experiment/isic2017/resnet50": {**ISIC_SPLIT, "training.learning_rate": 5e-5},
    },
    "imagenet_hsplid": {**IMAGENET, "hsplid_imagenet.yaml": IMAGENET_SPLIT},
    "imagenet_baselines": {
        **IMAGENET,
        "configs/experiment/imagenet/resnet50": IMAGENET_SPLIT,
    },
    # H-SPLID's own values for it are given nowhere.
    "cmnist_hsplid": {
        **CMNIST,
        "appendix F.4": {
            "training.epochs": 50,
            "training.learning_rate": 1e-5,
            "model.name": "lenet3",
            "model.weights": None,
            "pretrain": None,
        },
        "GrayScaleDataModule": {"training.batch_size": 256},
    },
    "cmnist_pretrain": {**CMNIST},
    **{
        name: {**SIB, DOGS: {**SIB[DOGS], "data.name": data}}
        for name, data in (
            ("sib_dogs", "stanford_dogs/boxes"),
            ("sib_imagenette", "imagenette"),
            ("sib_cub", "cub"),
            ("sib_coco", "coco_animals"),
        )
    },
    # Of 32 pixels none is cut off.
    "sib_cifar": {**SIB, DOGS: {**SIB_TRAINING, "data.name": "cifar10", "data.image_size": 32}},
    "advgrad_imagenette": {
        "README": {
            "method.norm_adversarial.mode": "elastic",
            "method.norm_adversarial.training": "fast",
            "method.norm_adversarial.epsilon": 0.01,
            "method.norm_adversarial.epsilon2": 0.05,
        },
        "imagenet_train.py": {
            **ADVGRAD_TRAINING,
            "training.batch_size": 8,
            "method.norm_adversarial.patch": 14,
            "method.norm_adversarial.iterations": 7,
        },
        "datasets.py": {
            "data.name": "imagenette",
            "data.image_size": 224,
            "data.resize": "crop",
            "data.resize_size": None,
            "data.normalise": "imagenet",
            # GaussianBlur's deviations are torchvision's defaults.
            **augmentation(rotation=30.0, flip=0.5, blur=1.0, blur_size=5, blur_sigma=[0.1, 2.0]),
        },
    },
    "advgrad_cub": {
        "README": {"method.human_attention.epsilon": 0.5},
        "cub_train.py": {**ADVGRAD_TRAINING, "training.batch_size": 16},
        "datasets.py": {
            "data.name": "cub_gha",
            "data.image_size": 448,
            "data.resize": "stretch",
            "data.resize_size": 600,
            "data.random_crop": True,
            "data.normalise": "imagenet",
            **augmentation(flip=0.5),
        },
    },
    "single_pixel": {
        "README": {
            "model.name": "resnet18_3x3",
            "data.image_size": 32,
            "data.pixel.position_sd": 0.0,
            "data.pixel.colour_sd": 0.0,
            "data.pixel.seed": 0,
            "seed": 0,
            "training.epochs": 200,
        },
        "single_pixel_experiments.py": PIXEL_SCRIPT,
    },
    "single_pixel_malhotra": {
        "single_pixel_experiments.py": {
            **PIXEL_SCRIPT,
            "model.name": "vgg16",
            "data.image_size": 224,
            "data.pixel.position_sd": 1.0,
            "data.pixel.colour_sd": 1.0,
            "training.epochs": 150,
        },
    },
    # Hold me tight! (arXiv 2002.06349), LeNet on MNIST.
    "margins": {
        "README": {"method.adversarial.norm": "l2"},
        "scripts/margin_mnist.py": {
            "data.name": "mnist",
            "data.image_size": 28,
            "training.epochs": 30,
            "training.batch_size": 128,
            "training.optimiser": "sgd",
            "training.learning_rate": 0.21,
            "training.beta1": 0.9,
            "training.weight_decay": 5e-4,
            "training.schedule.kind": "triangle",
            "training.schedule.per": "step",
            "training.schedule.peak": 0.4,
            "evaluation.margins.subspaces": "blocks",
            "evaluation.margins.size": 8,
            "evaluation.margins.step": 1,
            "evaluation.margins.max_images": 100,
            **augmentation(),
        },
        "model_classes/mnist/lenet.py": {"model.name": "lenet5", "model.norm": "none"},
        "utils.py": {
            "data.normalise": "0.1307/0.3081",
            "training.clip_norm": 0.5,
            "evaluation.margins.num_classes": 10,
            "evaluation.margins.max_iterations": 100,
        },
    },
}
# What the first trial has in place of the spec's own value: standard training is the spec's.
FIRST: Mapping[str, Mapping[str, Values]] = {
    "margins": {"README": {"method.adversarial.epsilon": 2.0, "data.transform": "none"}},
    # The nearest to 0.2 that the paper's grid has.
    "coco_hsplid_grid": {"grid": {"method.hsplid.lambda_n": 0.1}},
}

PLAIN, HSPLID = "cross_entropy", "cross_entropy+hsplid"
WITH_HBAR, SPARSITY = "cross_entropy+hbar", "cross_entropy+sparsity"


def rows(
    decay: float, hbar: tuple[float, float], penalties: tuple[float, float, float, float]
) -> dict[str, Values]:
    """The other files of a folder of configs/experiment, by the first part of their names."""
    kinds = ("l1_weights", "group_lasso_weights", "l1_activations", "group_lasso_activations")
    return {
        "vanilla": {"recipe": PLAIN, "training.weight_decay": 0.0},
        "wd": {"recipe": PLAIN, "training.weight_decay": decay},
        "hbar": {
            "recipe": WITH_HBAR,
            "method.hbar.lambda_x": hbar[0],
            "method.hbar.lambda_y": hbar[1],
            **HBAR,
        },
        **{
            name: {
                "recipe": SPARSITY,
                "method.sparsity.kind": kind,
                "method.sparsity.weight": weight,
            }
            for name, kind, weight in zip(
                ("lsw", "glw", "lsa", "gla"), kinds, penalties, strict=True
            )
        },
    }


ROWS = {
    "baselines": rows(1e-3, (0.001, 0.1), (1e-5, 1e-3, 1e-6, 1e-5)),
    "baselines_isic": rows(1e-4, (0.001, 0.1), (1e-5, 1e-2, 1e-6, 1e-5)),
    "baselines_imagenet": rows(1e-5, (0.005, 0.05), (1e-6, 1e-5, 1e-4, 1e-4)),
}
# Of src/models, only StandardClassificationModel ever has the class weights that are asked for.
CLASS_WEIGHTS = {PLAIN: "balanced", SPARSITY: "balanced", WITH_HBAR: "none", HSPLID: "none"}


def lookup(values: Mapping[str, Any], path: str) -> Any:
    for key in path.split("."):
        values = values[key]
    return values


def of(places: Mapping[str, Values]) -> dict[str, Any]:
    return {path: value for values in places.values() for path, value in values.items()}


def test_every_spec_of_a_paper_is_in_the_table() -> None:
    assert set(SETTINGS) == set(SWEEPS) - OWN


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_spec_has_the_published_settings(name: str) -> None:
    resolved = load_spec(name, parse_overrides(["data.root=/data"])).resolved()
    published = of(SETTINGS[name])
    assert {path: lookup(resolved, path) for path in published} == published


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_a_spec_names_each_place(name: str) -> None:
    text = SWEEPS[name].spec.read_text()
    assert [place for place in SETTINGS[name] if place.rpartition("/")[2] not in text] == []


@pytest.mark.parametrize("name", sorted(SETTINGS))
def test_its_first_trial_has_them_too(name: str) -> None:
    spec = load_spec(name, parse_overrides(["data.root=/data"]))
    assert spec.search.space is not None
    space = find_space(spec.search.space)
    published = of(SETTINGS[name]) | of(FIRST.get(name, {}))
    searched = {path: value for path, value in published.items() if path in space.paper}
    assert searched or not space.has_published
    assert {path: space.paper[path] for path in searched} == searched
    if spec.search.sampler != "grid":  # a grid has the point once already
        first, *_ = first_trials(spec, {})
        assert first.items() >= optuna_parameters(searched).items()


@pytest.mark.parametrize("name", sorted(ROWS))
def test_every_row_of_a_table_is_tried_with_its_released_values(name: str) -> None:
    space = SPACES[name]
    assert len(space.others) == len(ROWS[name])
    for found, (row, expected) in zip(space.others, ROWS[name].items(), strict=True):
        whole = {**space.paper, **found}
        assert {path: whole[path] for path in expected} == expected, row
        assert whole["method.cross_entropy.weight"] == 1.0
        weights = CLASS_WEIGHTS[str(whole["recipe"])] if name == "baselines_isic" else None
        assert whole.get("method.cross_entropy.class_weights") == weights, row


@pytest.mark.parametrize("name", ["coco_hsplid", "isic_hsplid"])
def test_what_a_sweep_starts_from_is_read_and_varied_likewise(name: str) -> None:
    spec = load_spec(name, parse_overrides(["data.root=/data"]))
    start = load_pretrain_spec(spec)
    assert start is not None
    assert start.data == spec.data
    assert start.training.augmentation == spec.training.augmentation
