"""Masks in every form that people keep them in: the right object, or one line that asks for it."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image, ImageFilter

from hsplid_core.config import DataConfig
from hsplid_core.config.mask_values import MaskValues
from hsplid_core.data import load
from hsplid_core.data.readers.mask_survey import MaskSurvey, object_pixels, survey_masks
from hsplid_core.errors import ConfigError

Squares = NDArray[np.bool_]
Save = Callable[[Squares, Path], None]
SIDES = (40, 30)
N_MASKS = 4


def square(number: int) -> Squares:
    """An object within the picture, at another place in each mask."""
    found = np.zeros((SIDES[1], SIDES[0]), dtype=bool)
    found[5 + number : 20 + number, 10 + number : 28 + number] = True
    return found


def levels(background: int, foreground: int, dtype: type = np.uint8) -> Save:
    def save(here: Squares, path: Path) -> None:
        Image.fromarray(np.where(here, foreground, background).astype(dtype)).save(path)

    return save


def colours(background: tuple[int, ...], foreground: tuple[int, ...], mode: str = "RGB") -> Save:
    def save(here: Squares, path: Path) -> None:
        pixels = np.where(here[..., None], foreground, background).astype(np.uint8)
        Image.fromarray(pixels, mode).save(path)

    return save


def palette(indices: tuple[int, int], shades: dict[int, tuple[int, int, int]]) -> Save:
    def save(here: Squares, path: Path) -> None:
        image = Image.fromarray(np.where(here, indices[1], indices[0]).astype(np.uint8))
        table = [0] * 768
        for index, shade in shades.items():
            table[3 * index : 3 * index + 3] = shade
        image.putpalette(table)
        image.save(path)

    return save


def floats(background: float, foreground: float) -> Save:
    return lambda here, path: Image.fromarray(
        np.where(here, foreground, background).astype(np.float32)
    ).save(path)


def one_bit(here: Squares, path: Path) -> None:
    Image.fromarray(here).convert("1").save(path)


def blurred(here: Squares, path: Path) -> None:
    image = Image.fromarray(here.astype(np.uint8) * np.uint8(255))
    image.filter(ImageFilter.GaussianBlur(0.8)).save(path)


def trimap(here: Squares, path: Path) -> None:
    """As Oxford-IIIT Pet's: a border of a pixel around the object, inside of `here`."""
    inner = here.copy()
    rows, columns = np.flatnonzero(here.any(1)), np.flatnonzero(here.any(0))
    inner[[rows[0], rows[-1]]] = inner[:, [columns[0], columns[-1]]] = False
    Image.fromarray(np.where(inner, 1, np.where(here, 3, 2)).astype(np.uint8)).save(path)


def cut_out(here: Squares, path: Path) -> None:
    rng = np.random.default_rng(0)
    pixels = rng.integers(0, 255, (*here.shape, 4)).astype(np.uint8)
    pixels[..., 3] = here * 255
    Image.fromarray(pixels, "RGBA").save(path)


CLEAR: dict[str, tuple[str, Save]] = {
    "0 and 255": (".png", levels(0, 255)),
    "0 and 1": (".png", levels(0, 1)),
    "0 and a label": (".png", levels(0, 38)),
    "0 and 128": (".png", levels(0, 128)),
    "one bit": (".png", one_bit),
    "one bit, tiff": (".tif", one_bit),
    "16 bits, 0 and 65535": (".png", levels(0, 65535, np.uint16)),
    "16 bits, 0 and 1": (".tif", levels(0, 1, np.uint16)),
    "32 bits, 0 and 1": (".tif", levels(0, 1, np.int32)),
    "floats, 0 and 1": (".tif", floats(0, 1)),
    "floats, 0 and 255": (".tif", floats(0, 255)),
    "colours, black and white": (".png", colours((0, 0, 0), (255, 255, 255))),
    "colours, black and dark red": (".png", colours((0, 0, 0), (128, 0, 0))),
    "colours, nearly black": (".png", colours((0, 0, 0), (1, 1, 1))),
    "palette, red": (".png", palette((0, 1), {0: (0, 0, 0), 1: (128, 0, 0)})),
    "palette, any indices": (".png", palette((7, 3), {7: (0, 0, 0), 3: (0, 60, 200)})),
    "palette, white first": (".png", palette((1, 0), {1: (0, 0, 0), 0: (255, 255, 255)})),
    "palette, all black": (".png", palette((0, 1), {0: (0, 0, 0), 1: (0, 0, 0)})),
    "palette, gif": (".gif", palette((0, 1), {0: (0, 0, 0), 1: (255, 255, 255)})),
    "alpha alone": (".png", colours((0, 0, 0, 0), (0, 0, 0, 255), "RGBA")),
    "alpha and white": (".png", colours((0, 0, 0, 0), (255, 255, 255, 255), "RGBA")),
    "alpha, white all over": (".png", colours((255, 255, 255, 0), (255, 255, 255, 255), "RGBA")),
    "alpha, half": (".png", colours((255, 0, 0, 0), (255, 0, 0, 128), "RGBA")),
    "opaque colours": (".png", colours((0, 0, 0, 255), (9, 0, 0, 255), "RGBA")),
    "grey and alpha": (".png", colours((0, 0), (0, 255), "LA")),
    "opaque grey and alpha": (".png", colours((0, 255), (1, 255), "LA")),
    "a cut-out": (".png", cut_out),
    "CMYK": (".tif", colours((0, 0, 0, 255), (0, 0, 0, 0), "CMYK")),
    "a trimap": (".png", trimap),
    "1 and 2": (".png", levels(2, 1)),
    "bmp": (".bmp", levels(0, 255)),
    "webp": (
        ".webp",
        lambda here, path: Image.fromarray(here * np.uint8(255)).save(path, lossless=True),
    ),
}
SOFT: dict[str, tuple[str, Save]] = {
    "blurred": (".png", blurred),
    "jpeg": (".jpg", levels(0, 255)),
    "jpeg of dark grey": (".jpg", levels(0, 128)),
    "jpeg of a colour": (".jpg", colours((0, 0, 0), (255, 0, 0))),
}


def third(foreground: int, other: int, background: int = 0) -> Save:
    """Two labels, half of the object each."""

    def save(here: Squares, path: Path) -> None:
        pixels = np.where(here, foreground, background).astype(np.uint8)
        pixels[15:][here[15:]] = other
        Image.fromarray(pixels).save(path)

    return save


def trimap_of_jpeg(here: Squares, path: Path) -> None:
    with path.open("wb") as handle:
        pixels = np.where(here, 255, 0).astype(np.uint8)
        pixels[15:][here[15:]] = 128
        Image.fromarray(pixels).save(handle, format="JPEG")


def noise(here: Squares, path: Path) -> None:
    Image.fromarray(np.random.default_rng(1).integers(0, 255, here.shape, np.uint8)).save(path)


UNCLEAR: dict[str, tuple[Save, str]] = {
    "0, 128 and 255": (third(255, 128), "0 (77.5%), 255"),
    "0, 128 and 255, saved as JPEG": (trimap_of_jpeg, "it is not clear"),
    "labels": (third(1, 2), "0 (77.5%), 1"),
    "a label and a border of 255": (third(15, 255), "it is not clear"),
    "inverted": (levels(255, 0), "look inverted"),
    "inverted, 1 and 0": (levels(1, 0), "look inverted"),
    "inverted alpha": (colours((0, 0, 0, 255), (0, 0, 0, 0), "RGBA"), "look inverted"),
    "two colours": (colours((0, 0, 255), (255, 0, 0)), "#0000ff"),
    "three colours": (colours((9, 9, 9), (255, 0, 0)), "#090909"),
    "a palette without black": (
        palette((0, 1), {0: (68, 1, 84), 1: (253, 231, 37)}),
        "0 (77.5%), 1 (22.5%)",
    ),
    "all empty": (levels(0, 0), "4 of 4 masks are empty"),
    "all full": (levels(255, 255), "0 of 4 masks are empty and 4 full"),
    "a photograph": (noise, "it is not clear"),
    "grey on grey": (levels(100, 200), "it is not clear"),
}


def survey(
    folder: Path, suffix: str, save: Save, wanted: MaskValues | None = None
) -> tuple[MaskSurvey, list[Path]]:
    paths = [folder / f"{number}{suffix}" for number in range(N_MASKS)]
    for number, path in enumerate(paths):
        save(square(number), path)
    return survey_masks(paths, wanted), paths


def found(survey: MaskSurvey, path: Path) -> Squares:
    return object_pixels(path, SIDES, survey.rule).astype(bool)


@pytest.mark.parametrize("name", CLEAR)
def test_the_object_is_found_whatever_the_form(tmp_path: Path, name: str) -> None:
    looked, paths = survey(tmp_path, *CLEAR[name])
    assert looked.fault is None
    for number, path in enumerate(paths):
        np.testing.assert_array_equal(found(looked, path), square(number))


@pytest.mark.parametrize("name", SOFT)
def test_soft_edges_are_cut_at_half(tmp_path: Path, name: str) -> None:
    looked, paths = survey(tmp_path, *SOFT[name])
    assert looked.fault is None
    for number, path in enumerate(paths):
        # Blur rounds the four corners, and JPEG's colours have half the pixels.
        assert (found(looked, path) != square(number)).sum() <= 40


@pytest.mark.parametrize("name", UNCLEAR)
def test_what_is_not_clear_is_asked_for(tmp_path: Path, name: str) -> None:
    save, text = UNCLEAR[name]
    looked, _ = survey(tmp_path, ".png", save)
    assert looked.fault is not None
    assert text in looked.fault
    assert "mask_values" in looked.fault
    assert "\n" not in looked.fault


@pytest.mark.parametrize(
    ("save", "wanted"),
    [
        (third(255, 128), (128, 255)),
        (third(255, 128), ("128-255",)),
        (levels(255, 0), (0,)),
        (levels(1, 0), ("0",)),
        (third(15, 255), (15, "255")),
        (colours((0, 0, 255), (255, 0, 0)), ("#FF0000",)),
        (colours((9, 9, 9), (255, 255, 255)), ("#ffffff",)),
        (palette((0, 1), {0: (68, 1, 84), 1: (253, 231, 37)}), (1,)),
        (palette((0, 1), {0: (68, 1, 84), 1: (253, 231, 37)}), ("#fde725",)),
        (colours((0, 0, 0, 0), (0, 0, 0, 255), "RGBA"), ("alpha",)),
        (levels(0, 40_000, np.uint16), ("256-65535",)),
    ],
)
def test_values_that_are_named(tmp_path: Path, save: Save, wanted: MaskValues) -> None:
    looked, paths = survey(tmp_path, ".png", save, wanted)
    assert looked.fault is None
    np.testing.assert_array_equal(found(looked, paths[1]), square(1))


def test_named_values_that_no_mask_has(tmp_path: Path) -> None:
    looked, _ = survey(tmp_path, ".png", levels(0, 1), (7,))
    assert looked.fault == (
        "mask_values is [7], by which all 4 masks are empty: they hold 0 (77.5%), 1 (22.5%); "
        "name those of the object"
    )


def test_forms_may_differ_from_mask_to_mask(tmp_path: Path) -> None:
    """A label a class, exports of two programs, a mask without object, one that it fills."""
    saves = [levels(0, 1), levels(0, 255), levels(0, 2), levels(0, 0), levels(255, 255)]
    saves += [CLEAR["palette, red"][1], CLEAR["alpha alone"][1]]
    paths = [tmp_path / f"{number}.png" for number in range(len(saves))]
    for number, (save, path) in enumerate(zip(saves, paths, strict=True)):
        save(square(number), path)
    looked = survey_masks(paths, None)
    assert looked.fault is None
    shares = [float(found(looked, path).mean()) for path in paths]
    usual = float(square(0).mean())
    assert shares == pytest.approx([usual, usual, usual, 0, 1, usual, usual])


def test_masks_as_ever_are_known_for_such(tmp_path: Path) -> None:
    """Caches that were built when all masks were 128 and brighter stay what they are."""
    for name, expected in (("0 and 255", True), ("one bit", True), ("0 and 1", False)):
        (tmp_path / name).mkdir()
        assert survey(tmp_path / name, *CLEAR[name])[0].as_ever == expected


@pytest.mark.parametrize(
    ("values", "message"),
    [
        ((), "mask_values is []: use levels"),
        (("red",), "red is none of its values"),
        ((-1,), "-1 is none"),
        (("9-3",), "9-3 ends before it begins"),
        (("#80",), "#80 is none"),
        ((70_000,), "70000 is none"),
    ],
)
def test_slips_in_the_field(values: MaskValues, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        DataConfig(name="folder", mask_values=values)
    assert message in str(caught.value)
    with pytest.raises(ConfigError, match=r"only those of .* need it"):
        load(DataConfig(name="cub", mask_values=(1,)), "train")
