"""Registry of the sweeps that come with this package, by their names."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hsplid_core.errors import ConfigError, did_you_mean
from hsplid_core.files import from_home

_SPECS = Path(__file__).parent.parent / "specs"


@dataclass(frozen=True)
class SweepEntry:
    """A sweep that comes with this package.

    Attributes:
        spec: Its YAML file.
        summary: What it does, in one line.
        values: What replaces the file's values, where several sweeps share one file.
    """

    spec: Path
    summary: str
    values: Mapping[str, Any] = field(default_factory=dict)


# Name to summary; each has a file of its name, but for those on S-IB, which share one.
_SUMMARIES = {
    "coco_hsplid": "H-SPLID on COCO animals: accuracy against robustness to changed backgrounds",
    "coco_hsplid_paper": "The same over the paper's own parameters only",
    "coco_hsplid_grid": "The grid of H-SPLID's authors on COCO animals, all 384 points",
    "coco_pretrain": "Cross-entropy on COCO animals: the model that coco_hsplid starts from",
    "coco_baselines": "All methods of H-SPLID's table on COCO animals: the method is a choice",
    "coco_hbar": "HBaR on COCO animals",
    "coco_sparsity": "L1 and group lasso, on weights or activations, on COCO animals",
    "cmnist_hsplid": "H-SPLID on two digits, of which the right one is attacked",
    "cmnist_pretrain": "Cross-entropy on two digits: the model that cmnist_hsplid starts from",
    "sib_cifar": "S-IB on CIFAR-10, on four networks",
    "sib_imagenette": "S-IB on Imagenette, on four networks",
    "isic_hsplid": "H-SPLID on ISIC2017: robustness to what surrounds a lesion",
    "isic_pretrain": "Cross-entropy on ISIC2017: the model that isic_hsplid starts from",
    "isic_baselines": "All methods of H-SPLID's table on ISIC2017: the method is a choice",
    "imagenet_hsplid": "H-SPLID on ImageNet, from published weights",
    "imagenet_baselines": "All methods of H-SPLID's table on ImageNet: the method is a choice",
    "sib_cub": "S-IB on CUB birds, on four networks",
    "sib_dogs": "S-IB on Stanford Dogs, on four networks",
    "sib_coco": "S-IB on COCO animals, on four networks",
    "sib_folder": "S-IB on any folder of class folders, on four networks",
    "advgrad_imagenette": "Norm-regularised adversarial training on Imagenette",
    "advgrad_cub": "Training with human attention on CUB birds",
    "single_pixel": "Do attributions find the one pixel that decides? On two networks",
    "single_pixel_malhotra": "The same in images enlarged for VGG-16",
    "margins": "Margins along frequencies, against training epsilon and flipped or low-pass data",
}

_SMALL_IMAGES = {
    "data": {"image_size": 32, "resize_size": None, "normalise": None},
    "model": {"stem": "auto"},
    "demo": {"data": {"image_size": 32}},
}
_MASKS = {"evaluation": {"region": "background"}}
_LARGER_TEST = {"data": {"split": "larger_test"}, "demo": {"data": {"split": "own"}}}

# Data set, what it is called in a description, and what else it changes.
_SIB: Mapping[str, tuple[str, str, Mapping[str, Any]]] = {
    "sib_imagenette": ("imagenette", "Imagenette", {}),
    "sib_cifar": ("cifar10", "CIFAR-10", _SMALL_IMAGES),
    "sib_cub": ("cub", "CUB birds", _MASKS),
    "sib_dogs": ("stanford_dogs/boxes", "Stanford Dogs", _MASKS),
    "sib_coco": ("coco_animals", "COCO animals", {**_MASKS, **_LARGER_TEST}),
    "sib_folder": ("folder", "any image folder", {}),
}


def _entry(name: str, summary: str) -> SweepEntry:
    if name not in _SIB:
        return SweepEntry(_SPECS / f"{name}.yaml", summary)
    data, title, others = _SIB[name]
    values = {
        "name": name,
        "description": f"S-IB on {title}, four networks",
        **others,
        "data": {"name": data, **others.get("data", {})},
    }
    return SweepEntry(_SPECS / "sib.yaml", summary, values)


SWEEPS: dict[str, SweepEntry] = {
    name: _entry(name, summary) for name, summary in _SUMMARIES.items()
}


def find_sweep(name_or_file: str) -> SweepEntry:
    """Find a sweep.

    Args:
        name_or_file: A name in :data:`SWEEPS`, or the path of a YAML file.

    Raises:
        ConfigError: Neither such a sweep nor such a file exists.
    """
    if name_or_file in SWEEPS:
        return SWEEPS[name_or_file]
    path = from_home(Path(name_or_file))
    if path.suffix in (".yaml", ".yml"):
        if path.is_file():
            return SweepEntry(path, "")
        raise ConfigError(f"sweep file {name_or_file} does not exist: check the path")
    raise ConfigError(
        f"sweep {name_or_file} is unknown: use one of {', '.join(sorted(SWEEPS))}, "
        f"or the path of a .yaml file{did_you_mean(name_or_file, SWEEPS, cutoff=0.4)}"
    )
