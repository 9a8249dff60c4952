"""Judging one model on one data set: attacks, corruptions, other backgrounds."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from pydantic import TypeAdapter, ValidationError

from hsplid_core.attacks import Model, find_region
from hsplid_core.config import DataConfig, MarginsConfig, PixelConfig, check
from hsplid_core.corruptions import SEVERITIES, find_corruption
from hsplid_core.data import DATA_SETS, ImageSet, Split, load
from hsplid_core.data.evaluation_batches import choose_positions
from hsplid_core.data.readers.imagenet_classes import wordnet_ids
from hsplid_core.errors import ConfigError, did_you_mean
from hsplid_core.evaluation import RobustnessTable, Suite, Told, evaluate_robustness, judged_on
from hsplid_core.evaluation.accuracy import (
    accuracy,
    corrupted_accuracy,
    plain_background_accuracy,
    swapped_background_accuracy,
)
from hsplid_core.models.trained import TrainedModel
from hsplid_core.training import pick_device
from sweeps.model_evaluation.analyses import analyse_model, check_analyses
from trainables.analysis import Findings
from trainables.robustness import cell_name

_BLUR = 0.05  # of the image's side: a standard deviation that leaves colours and nothing else


@dataclass(frozen=True, kw_only=True)
class Wishes:
    """What to measure.

    Attributes:
        suite: Attacks; None for none.
        cascade: Whether attacks go on with survivors alone.
        corruptions: Kinds of worse images, each at all severities.
        backgrounds: Measure swapped, flat and blurred backgrounds.
        analyses: Names of analyses, keys of `ANALYSES`.
        margins: Settings of one of them.
        pixel_seed: Seed of the planted pixel that ``single_pixel`` looks for.
        split: Part of the data set.
        reading: Fields of a sweep's section ``data`` that replace those of the model's own data.
        image_size: Side of the images; None takes the model's own.
        max_images: Judge only so many images, the same for every seed; None takes all.
        batch_size: Images per forward pass.
        seed: Seed of attacks, regions, noise and swaps.
        device: Where the model runs.
    """

    suite: Suite | None = None
    cascade: bool = True
    corruptions: Sequence[str] = ()
    backgrounds: bool = False
    analyses: Sequence[str] = ()
    margins: MarginsConfig = field(default_factory=MarginsConfig)
    pixel_seed: int = 0
    split: Split = "test"
    reading: Mapping[str, Any] = field(default_factory=dict)
    image_size: int | None = None
    max_images: int | None = None
    batch_size: int = 256
    seed: int = 0
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))

    def __post_init__(self) -> None:
        """Raise ConfigError where a number is too small or a name unknown."""
        check(
            (number is None or number >= 1, f"{name} is {number}: use at least 1")
            for name, number in (
                ("batch_size", self.batch_size),
                ("max_images", self.max_images),
            )
        )
        for kind in self.corruptions:
            find_corruption(kind)
        check_analyses(self.analyses)


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What was measured on one data set.

    Attributes:
        data: Name of the data set.
        n_images: Images that all accuracies are shares of.
        is_demo: Whether the images are the embedded stand-in.
        relabelled: Whether the model's classes had to be mapped to the data set's.
        accuracies: Clean, corrupted and on other backgrounds, by name.
        robustness: The table under attack; None without a suite.
        left_out: Regions of the suite that need masks, which the images lack.
        seed: Seed of attacks, regions, noise and swaps.
        trained_on: Whether the test images are some that the model was trained on, as the split
            is a published one.
        findings: Metrics and tables of the analyses.
    """

    data: str
    n_images: int
    is_demo: bool
    relabelled: bool
    accuracies: Mapping[str, float]
    robustness: RobustnessTable | None
    left_out: tuple[str, ...]
    seed: int = 0
    trained_on: bool = False
    findings: Findings = field(default_factory=Findings)

    def metrics(self) -> dict[str, float]:
        """Return all accuracies under names that tell data sets and suites apart."""
        found = {f"evaluation/{self.data}/{name}": v for name, v in self.accuracies.items()}
        found |= {
            f"evaluation/{self.data}/{name.removeprefix('val/')}": value
            for name, value in self.findings.metrics.items()
        }
        if (table := self.robustness) is not None:
            prefix = f"evaluation/{self.data}/{table.suite}"
            found |= {f"{prefix}/{cell_name(cell)}": cell.robust for cell in table.cells}
            found[f"{prefix}/robust_accuracy"] = table.mean_robust
        return found

    def shares(self) -> dict[str, int]:
        """Return, of those that are shares of images, the number of images."""
        robust = self.metrics().keys() - self._others()
        n_robust = self.n_images if self.robustness is None else self.robustness.n_images
        counts = dict.fromkeys(sorted(robust), n_robust)
        return counts | {
            f"evaluation/{self.data}/{name}": self.n_images for name in self.accuracies
        }

    def _others(self) -> set[str]:
        names = (name.removeprefix("val/") for name in self.findings.metrics)
        return {f"evaluation/{self.data}/{name}" for name in (*names, *self.accuracies)}

    def tags(self) -> dict[str, str]:
        """Return the reasons to distrust the figures, empty where there is none."""
        if (table := self.robustness) is None:
            return {}
        codes = ",".join(sorted({finding.code for finding in table.warnings}))
        return {f"evaluation.{self.data}.{table.suite}.warnings": codes}

    def described(self) -> dict[str, Any]:
        """Return everything as JSON-able data."""
        table = self.robustness
        return {
            "data": self.data,
            "n_images": self.n_images,
            "is_demo": self.is_demo,
            "relabelled": self.relabelled,
            "accuracies": dict(self.accuracies),
            "left_out": list(self.left_out),
            "seed": self.seed,
            "trained_on": self.trained_on,
            "analyses": dict(self.findings.metrics),
            "robustness": None
            if table is None
            else {
                "suite": table.suite,
                "cascade": table.cascade,
                "seed": table.seed,
                "n_images": table.n_images,
                "cells": [dataclasses.asdict(cell) for cell in table.cells],
                "warnings": [dataclasses.asdict(finding) for finding in table.warnings],
            },
        }


def find_device(name: str) -> torch.device:
    """Return a device by its name, or the best one for ``auto``.

    Raises:
        ConfigError: There is no such device.
    """
    try:
        return pick_device(name)
    except RuntimeError as error:
        raise ConfigError(f"device is {name}: use auto, cpu, cuda, cuda:0 and so on") from error


def data_sets_of(name: str) -> list[str]:
    """Find a data set, or all variants of one; those of ImageNet's own classes are left out.

    Raises:
        ConfigError: There is no such data set.
    """
    if name in DATA_SETS:
        return [name]
    variants = [
        variant
        for variant in DATA_SETS
        if variant.startswith(f"{name}/") and not variant.endswith("_fine")
    ]
    if not variants:
        raise ConfigError(
            f"data is {name}: use one of {', '.join(DATA_SETS)}{did_you_mean(name, DATA_SETS)}"
        )
    return variants


def judge(
    trained: TrainedModel,
    data: str,
    wishes: Wishes,
    *,
    root: Path | None,
    cache_dir: Path,
    told: Told | None = None,
) -> Verdict:
    """Measure a model on a data set.

    Args:
        trained: The model; moved to the device.
        data: Name of the data set, a key of ``hsplid_core.data.DATA_SETS``.
        wishes: What to measure.
        root: Folder of the real data; None for the embedded stand-in.
        cache_dir: Folder of the Arrow caches.
        told: Called after each attack on each batch.

    Raises:
        ConfigError: A value is out of range, the classes have nothing in common, or what was
            asked for needs masks that the images lack.
        DataError: The data set is missing or damaged.
        TrainingDivergedError: The model's logits are NaN or infinite.
    """
    channels, side, _ = trained.image_shape
    size = wishes.image_size or side
    where = dataclasses.replace(
        _trained_on(trained, data),
        root=root,
        image_size=size,
        resize=trained.resize,
        # Of another size than the model's, the same share is cut off.
        resize_size=trained.resize_size and round(trained.resize_size * size / side),
        cache_dir=cache_dir,
        **wishes.reading,
    )
    if "single_pixel" in wishes.analyses and where.pixel is None:
        where = dataclasses.replace(where, pixel=PixelConfig(seed=wishes.pixel_seed))
    images = load(where, wishes.split)
    if images.image_shape[0] != channels:
        raise ConfigError(
            f"data is {data}, with images of {images.image_shape[0]} channels, and the model "
            f"takes {channels}: name a data set of the model's kind"
        )
    own = trained.class_names
    if root is None and own and data == trained.data and own != tuple(images.class_names):
        raise ConfigError(
            f"the model was trained on other images than the stand-in of {data} has, of the "
            f"classes {', '.join(own[:3])}, ...: give root=FOLDER"
        )
    images = images.select(choose_positions(images, wishes.max_images))
    suite, left_out = _usable(wishes, images)
    network = trained.model.to(wishes.device)
    if trained.normalised_by_data:
        network.set_normalisation(images.mean, images.std)
    class_names = trained.class_names or _assumed_classes(network.num_classes, images)
    model = judged_on(network, class_names, images.class_names)
    if wishes.analyses and model is not network:
        raise ConfigError(
            f"data is {data}, whose classes are not the model's: margins, saliency and single "
            "pixels are of a model's own classes; name data of these, or leave --analyses away"
        )
    table: RobustnessTable | None = None
    if suite is not None:
        table = evaluate_robustness(
            model,
            images,
            suite,
            batch_size=wishes.batch_size,
            seed=wishes.seed,
            device=wishes.device,
            cascade=wishes.cascade,
            told=told,
        )
    findings = Findings()
    if wishes.analyses:
        findings = analyse_model(
            network,
            images,
            where,
            wishes.analyses,
            margins=wishes.margins,
            max_images=wishes.max_images,
            batch_size=wishes.batch_size,
            seed=wishes.seed,
            device=wishes.device,
        )
    return Verdict(
        data=data,
        n_images=len(images),
        is_demo=images.is_demo,
        relabelled=model is not network,
        accuracies=_accuracies(model, images, wishes),
        robustness=table,
        left_out=left_out,
        seed=wishes.seed,
        trained_on=where.split == "published" and wishes.split == "test",
        findings=findings,
    )


def _trained_on(trained: TrainedModel, data: str) -> DataConfig:
    """Describe the images as those that the model was trained on, where they are of its data set.

    Raises:
        ConfigError: Another version of this program wrote the description.
    """
    if data != trained.data:
        return DataConfig(name=data)
    try:
        return TypeAdapter(DataConfig).validate_python({**trained.images, "name": data})
    except ValidationError as error:
        first = error.errors()[0]
        field = ".".join(map(str, first["loc"]))
        raise ConfigError(
            f"the model was trained with data.{field}, which this version does not know "
            f"({first['msg']}): judge it with the version that trained it"
        ) from error


def _assumed_classes(n_classes: int, images: ImageSet) -> Sequence[str]:
    """Say which classes a model tells apart whose weights do not: the data's, or ImageNet's."""
    if n_classes == len(images.class_names):
        return images.class_names
    imagenet = wordnet_ids()
    if n_classes == len(imagenet):
        return imagenet
    raise ConfigError(
        f"the model has {n_classes} classes, and the data has {len(images.class_names)}: name the "
        "data set that it was trained on"
    )


def _usable(wishes: Wishes, images: ImageSet) -> tuple[Suite | None, tuple[str, ...]]:
    """Leave out of a suite what needs masks that the images lack."""
    suite = wishes.suite
    if suite is None:
        return None, ()
    if wishes.max_images is not None:
        suite = dataclasses.replace(suite, max_images=wishes.max_images)
    if images.has_masks:
        return suite, ()
    kept = tuple(threat for threat in suite.threats if not find_region(threat.region).needs_mask)
    left_out = [t.region_name for t in suite.threats if find_region(t.region).needs_mask]
    if not kept:
        raise ConfigError(
            f"suite {suite.name} attacks only regions that need object masks "
            f"({', '.join(left_out)}), which this data set lacks: use suite standard"
        )
    return dataclasses.replace(suite, threats=kept), tuple(left_out)


def _accuracies(model: Model, images: ImageSet, wishes: Wishes) -> dict[str, float]:
    size, device, seed = wishes.batch_size, wishes.device, wishes.seed
    found = {"clean": accuracy(model, images, batch_size=size, device=device)}
    # As in H-SPLID's Table 3: the object stays as it is where it is known.
    region = "background" if images.has_masks else "full"
    for kind in wishes.corruptions:
        for severity in SEVERITIES:
            found[f"{kind}/{region}/severity_{severity}"] = corrupted_accuracy(
                model,
                images,
                corruption=kind,
                severity=severity,
                region=region,
                batch_size=size,
                seed=seed,
                device=device,
            )
    if wishes.backgrounds:
        found["background/swapped"] = swapped_background_accuracy(
            model, images, batch_size=size, seed=seed, device=device
        )
        found["background/flat"] = plain_background_accuracy(
            model, images, batch_size=size, device=device
        )
        found["background/blurred"] = plain_background_accuracy(
            model, images, blur=_BLUR * images.image_shape[1], batch_size=size, device=device
        )
    return found
