"""The embedded stand-in for COCO 2017 animals, written in COCO's own layout.

Real silhouettes (see assets/NOTICE) over procedural backgrounds. In train2017 the background's
family mostly agrees with the class, in val2017 it is independent: a model that leans on the
background looks good in training and fails on the test split, as in the papers' real data.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path

import numpy as np
from PIL import Image

from hsplid_core.data.demo.casting import Picture, plan
from hsplid_core.data.demo.coco_writer import CATEGORIES, Json, MaskForm, annotation
from hsplid_core.data.demo.scene import Scene, compose
from hsplid_core.data.demo.stand_in import write_once
from hsplid_core.data.readers.coco_annotations import CATEGORY_IDS, CLASS_NAMES
from hsplid_core.errors import ConfigError

N_TRAIN = 1900
N_VAL = 500
_JPEG_QUALITY = 92
# Part of the parameters: a change of the drawing gives the demo another folder.
_GENERATOR_VERSION = 1


@dataclass(frozen=True, kw_only=True)
class _Parameters:
    seed: int
    image_size: int
    n_train: int
    n_val: int
    background_correlation: float
    version: int = _GENERATOR_VERSION

    def __post_init__(self) -> None:
        if not 32 <= self.image_size <= 512:
            raise ConfigError(
                f"the demo's image_size must lie in [32, 512], got {self.image_size}: try 64"
            )
        if not 0 <= self.background_correlation <= 1:
            raise ConfigError(
                "background_correlation must lie in [0, 1], got "
                f"{self.background_correlation}: try 0.9"
            )
        for name, count in (("n_train", self.n_train), ("n_val", self.n_val)):
            if count < len(CLASS_NAMES):
                raise ConfigError(
                    f"the demo's {name} must be at least one image a class "
                    f"({len(CLASS_NAMES)}), got {count}"
                )


def demo_folder_name(
    *,
    seed: int = 0,
    image_size: int = 64,
    n_train: int = N_TRAIN,
    n_val: int = N_VAL,
    background_correlation: float = 0.9,
) -> str:
    """Name a folder after the demo's parameters, so that different ones lie side by side."""
    parameters = _Parameters(
        seed=seed,
        image_size=image_size,
        n_train=n_train,
        n_val=n_val,
        background_correlation=background_correlation,
    )
    return f"demo-{hashlib.sha256(json.dumps(asdict(parameters)).encode()).hexdigest()[:12]}"


def write_coco_demo(
    root: Path,
    *,
    seed: int = 0,
    image_size: int = 64,
    n_train: int = N_TRAIN,
    n_val: int = N_VAL,
    background_correlation: float = 0.9,
) -> Path:
    """Write the demo, or find it already written with the same parameters.

    The same parameters give the same bytes, with the same package versions and kind of
    processor. Safe when several processes ask at once.

    Args:
        root: Folder to create, with `annotations`, `train2017`, `val2017` and the marker.
        seed: Of every choice.
        image_size: Side of the square pictures in pixels, in [32, 512].
        n_train: Usable images in train2017, spread evenly over the classes; a few more hold two
            kinds of animal, or none, and a reader must leave them out.
        n_val: The same for val2017.
        background_correlation: Probability in train2017 that the background's family is the
            class's own; otherwise it is one of the others. val2017 is uncorrelated.

    Returns:
        The root.

    Raises:
        ConfigError: A value is out of range, or there are too few silhouettes.
        DataError: The root holds something else, or can't be written.
    """
    parameters = _Parameters(
        seed=seed,
        image_size=image_size,
        n_train=n_train,
        n_val=n_val,
        background_correlation=background_correlation,
    )
    return write_once(root, asdict(parameters), partial(_write, parameters=parameters))


def _write(root: Path, parameters: _Parameters) -> None:
    pictures = plan(
        parameters.seed,
        {"train": parameters.n_train, "val": parameters.n_val},
        parameters.background_correlation,
    )
    (root / "annotations").mkdir(parents=True)
    for split, planned in pictures.items():
        folder = root / f"{split}2017"
        folder.mkdir()
        images: list[Json] = []
        annotations: list[Json] = []
        for picture in planned:
            # Its own generator, so that one picture never depends on how others are drawn.
            rng = np.random.default_rng([parameters.seed, picture.image_id])
            scene = compose(rng, picture.family, picture.animals, parameters.image_size)
            images.append(_save(folder, picture, scene))
            annotations += _annotate(rng, picture, scene)
        _write_annotations(root, split, images, annotations)


def _save(folder: Path, picture: Picture, scene: Scene) -> Json:
    """Write the JPEG file; returns its entry in `images`."""
    file_name = f"{picture.image_id:012d}.jpg"
    image = Image.fromarray(scene.pixels)
    # Chroma at full resolution: these pictures are as small as COCO's are after resizing.
    image.save(folder / file_name, quality=_JPEG_QUALITY, subsampling="4:4:4")
    return {
        "id": picture.image_id,
        "file_name": file_name,
        "height": image.height,
        "width": image.width,
        "license": 1,
        "background": picture.family,  # not COCO's: lets tests and studies see the shortcut
    }


def _annotate(rng: np.random.Generator, picture: Picture, scene: Scene) -> Iterator[Json]:
    """An annotation per animal, or at times one crowd for two of a class."""
    names = [animal.class_name for animal in picture.animals]
    groups = [[position] for position in range(len(names))]
    if len(set(names)) < len(names) and rng.random() < 0.5:
        groups = [list(range(len(names)))]
    for offset, group in enumerate(groups):
        form: MaskForm = "polygon" if rng.random() < 0.6 else "compressed"
        yield {
            **annotation(
                number=2 * picture.image_id + offset,  # two at most
                image_id=picture.image_id,
                category_id=CATEGORY_IDS[names[group[0]]],
                covers=[scene.covers[position] for position in group],
                form=form,
            ),
            "silhouettes": [picture.animals[position].row for position in group],  # not COCO's
        }


def _write_annotations(
    root: Path, split: str, images: list[Json], annotations: list[Json]
) -> None:
    licence = {"id": 1, "name": "MIT License", "url": "https://opensource.org/license/mit"}
    document = {
        "info": {
            "description": "Synthetic stand-in for COCO 2017 animals, not the real data set",
            "version": str(_GENERATOR_VERSION),
            "year": 2017,
        },
        "licenses": [licence],
        "images": images,
        "annotations": annotations,
        "categories": CATEGORIES,
    }
    path = root / "annotations" / f"instances_{split}2017.json"
    path.write_text(json.dumps(document), encoding="utf-8")
