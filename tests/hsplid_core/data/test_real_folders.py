"""Real photographs with masks, laid out in the forms that people have them in."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data.cache.build import build_or_open
from tests.hsplid_core.data.folder_roots import checked, opened

DATA = Path(os.environ.get("SALIENCY_REAL_DATA", Path(__file__).parents[4] / "shared" / "data"))
PETS = DATA / "pets3_88.npz"
N_EACH = 5

Pixels = NDArray[np.uint8]


@pytest.fixture(scope="module")
def pets() -> tuple[Pixels, Pixels, list[str]]:
    """Photographs [N, 88, 88, 3], masks of 0 and 1 [N, 88, 88], and the class of each."""
    if not PETS.is_file():
        pytest.skip(f"{PETS} is not there: set SALIENCY_REAL_DATA to the folder of real data")
    with np.load(PETS) as opened_file:
        labels, names = opened_file["labels"], opened_file["class_names"]
        rows = np.concatenate(
            [np.flatnonzero(labels == label)[: 2 * N_EACH] for label in range(len(names))]
        )
        masks = np.unpackbits(opened_file["masks"][rows], axis=-1)
        return opened_file["images"][rows], masks, [str(names[label]) for label in labels[rows]]


def as_zero_and_one(mask: Pixels) -> Image.Image:
    return Image.fromarray(mask)


def as_trimap(mask: Pixels) -> Image.Image:
    return Image.fromarray(2 - mask)


def as_palette(mask: Pixels) -> Image.Image:
    image = Image.fromarray(mask)
    image.putpalette([0, 0, 0, 128, 0, 0])
    return image


def as_alpha(mask: Pixels) -> Image.Image:
    return Image.fromarray(np.dstack([mask * 0] * 3 + [mask * 255]))


@pytest.mark.parametrize("form", [as_zero_and_one, as_trimap, as_palette, as_alpha])
def test_masks_of_pets_in_every_form(
    pets: tuple[Pixels, Pixels, list[str]], tmp_path: Path, form: object
) -> None:
    images, masks, classes = pets
    for row, (image, mask, name) in enumerate(zip(images, masks, classes, strict=True)):
        place = Path("Train" if row % 2 else "Valid", name, f"{row:03d}.png")
        for path, picture in (
            (tmp_path / "pets" / place, Image.fromarray(image)),
            (tmp_path / "pets" / "masks" / place, form(mask)),  # type: ignore[operator]
        ):
            path.parent.mkdir(parents=True, exist_ok=True)
            picture.save(path)
    report = checked(tmp_path / "pets")
    assert report.findings == ()
    assert any("the object covers" in note for note in report.notes)
    for split, first in (("train", 1), ("test", 0)):
        cached = build_or_open(opened(tmp_path / "pets", split, side=88), tmp_path / "cache")
        coverage = cached.coverage()
        assert coverage is not None
        assert len(cached) == 3 * N_EACH
        assert coverage.mean == pytest.approx(float(masks[first::2].mean()), abs=1e-6)
