"""Picture files of every kind: decoded upright in 8 bits, or refused in one line with the name."""

from __future__ import annotations

import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.readers.bit_depth import Depth, survey_depth
from hsplid_core.data.readers.pictures import is_turned, open_picture, read_picture
from hsplid_core.errors import DataError
from tests.hsplid_core.data.folder_roots import SIZE, checked, mask, opened, picture, samples, tree

ORIENTATIONS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
"""What has to be done to an upright picture so that it is stored with this EXIF orientation."""


def as_stored(image: Image.Image, orientation: int) -> tuple[Image.Image, bytes]:
    exif = Image.Exif()
    exif[0x0112] = orientation
    return image.transpose(ORIENTATIONS[orientation]), exif.tobytes()


@pytest.mark.parametrize("orientation", ORIENTATIONS)
def test_orientation_turns_picture_and_mask_alike(tmp_path: Path, orientation: int) -> None:
    """The upper left quarter is white, and the object."""
    tree(tmp_path, masks="masks")
    corner = np.zeros((16, 20), np.uint8)
    corner[:8, :10] = 255
    upright = Image.fromarray(corner)
    stored, exif = as_stored(upright, orientation)
    photo = tmp_path / "train" / "cat" / "0.jpg"
    stored.save(photo, exif=exif, quality=100)
    path = tmp_path / "masks" / "train" / "cat" / "0.png"
    for file, is_stored in ((upright, False), (stored, True)):
        file.save(path, exif=exif if is_stored else b"")
        sample = samples(opened(tmp_path))[0]
        assert sample.mask is not None
        expected = np.zeros((SIZE, SIZE), bool)
        expected[:8, :8] = True
        np.testing.assert_array_equal(sample.mask[0] == 1, expected)
        np.testing.assert_array_equal(sample.image[0] > 127, expected)
    assert is_turned(photo.read_bytes())
    assert read_picture(photo).size == (20, 16)
    stored.save(path)  # drawn on the picture as it is stored, and without a note of that
    if orientation >= 5:
        with pytest.raises(DataError, match=r"the mask lies on its side; .* EXIF orientation"):
            opened(tmp_path).sample(0)


def test_an_orientation_changes_the_cache_and_others_do_not(tmp_path: Path) -> None:
    tree(tmp_path)
    photo = tmp_path / "train" / "cat" / "0.jpg"
    before = opened(tmp_path).identity()
    with Image.open(photo) as image:
        image.save(photo, exif=as_stored(image, 3)[1], quality="keep")
    turned = opened(tmp_path).identity()
    assert turned != before
    content = photo.read_bytes()
    assert is_turned(content)
    assert not is_turned(content.replace(b"Exif", b"Exit"))


def test_damaged_exif_turns_nothing_and_is_no_news(tmp_path: Path) -> None:
    path = picture(tmp_path / "a.jpg")
    with Image.open(path) as image:
        image.save(path, exif=b"Exif\0\0MM\0*" + b"\xff" * 20)
    read = "import sys, pathlib; from hsplid_core.data.readers.pictures import read_picture; "
    read += "print(read_picture(pathlib.Path(sys.argv[1])).size)"
    done = subprocess.run(
        [sys.executable, "-c", read, path], capture_output=True, text=True, check=True
    )
    assert (done.stdout, done.stderr) == ("(20, 16)\n", "")


def grey(values: NDArray[np.generic], path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(values).save(path)
    return path


RAMP = np.linspace(0, 1, 320).reshape(16, 20)


@pytest.mark.parametrize(
    ("most", "dtype", "suffix"),
    [
        (65535, np.uint16, ".png"),
        (4095, np.uint16, ".png"),
        (1023, np.uint16, ".tif"),
        (16383, np.uint16, ".tif"),
        (255, np.uint16, ".png"),
        (65535, np.int32, ".tif"),
        (1.0, np.float32, ".tif"),
        (255, np.float32, ".tif"),
    ],
)
def test_deep_pictures_are_scaled(
    tmp_path: Path, most: float, dtype: type[np.generic], suffix: str
) -> None:
    values = RAMP * most
    values = (values if most == 1 else np.rint(values)).astype(dtype)
    paths = [grey(values, tmp_path / f"a{suffix}"), picture(tmp_path / "b.jpg")]
    depth = survey_depth(paths)
    assert depth is not None
    read = np.asarray(read_picture(paths[0], depth=depth), np.float64)
    np.testing.assert_allclose(read, 255 * RAMP, atol=0.51 + 255 / most / 2)
    assert survey_depth(paths[1:]) is None


def test_all_deep_pictures_of_a_data_set_have_one_white(tmp_path: Path) -> None:
    """Dark test images stay dark: what is white is not decided for each picture."""
    tree(tmp_path)
    for split, most in (("train", 4095), ("test", 1000)):
        for path in (tmp_path / split / "cat").iterdir():
            path.unlink()
            grey(np.full((16, 20), most, np.uint16), path.with_suffix(".png"))
    assert samples(opened(tmp_path))[0].image.max() == 255
    test = samples(opened(tmp_path, "test"))[0]
    np.testing.assert_array_equal(test.image, round(255 * 1000 / 4095))
    assert checked(tmp_path).findings == ()
    images = build_or_open(opened(tmp_path, "test"), tmp_path / "cache")
    assert len(images) == 4


@pytest.mark.parametrize(
    ("values", "text"),
    [
        (RAMP.astype(np.float32) * 7, "values from 0 to 1, got 0 to 7"),
        (RAMP.astype(np.float32) - 0.5, "got -0.5 to 0.5"),
        (np.where(RAMP > 0.5, np.nan, RAMP).astype(np.float32), "got nan"),
        ((RAMP * 1e6).astype(np.int32), "values from 0 to 65535"),
        ((RAMP * 100 - 50).astype(np.int32), "got -50 to 50"),
    ],
)
def test_values_whose_white_is_not_clear(
    tmp_path: Path, values: NDArray[np.generic], text: str
) -> None:
    path = grey(values, tmp_path / "a.tif")
    with pytest.raises(DataError) as caught:
        read_picture(path, depth=survey_depth([path]) or Depth())
    assert text in str(caught.value)
    assert str(path) in str(caught.value)


def deep_colours(path: Path, most: int) -> Path:
    """Write a PNG of 16 bits a channel, which Pillow can't."""
    values = np.repeat((RAMP * most).astype(">u2")[..., None], 3, axis=2)
    rows = b"".join(b"\0" + row.tobytes() for row in values)
    path.write_bytes(png((20, 16), 16, 2, rows))
    return path


def png(size: tuple[int, int], bits: int, colour_type: int, rows: bytes) -> bytes:

    def chunk(kind: bytes, data: bytes) -> bytes:
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    header = struct.pack(">IIBBBBB", *size, bits, colour_type, 0, 0, 0)
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", zlib.compress(rows)), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def test_colours_of_16_bits(tmp_path: Path) -> None:
    bright, dark = deep_colours(tmp_path / "a.png", 65535), deep_colours(tmp_path / "b.png", 4095)
    depth = survey_depth([bright])
    assert depth == Depth(65535)
    read = np.asarray(read_picture(bright, depth=depth), np.float64)
    np.testing.assert_allclose(read[..., 1], 255 * RAMP, atol=1.1)
    with pytest.raises(DataError, match=r"colours of 16 bits, and none .* brighter than 4095"):
        read_picture(dark, depth=survey_depth([dark]) or Depth())


@pytest.mark.parametrize(
    "name",
    ["a.jfif", "a.JPG", "a.jpe", "a.gif", "a.jp2", "a.webp", "a.bmp", "a.tif", "a.TIFF", "a.ppm",
     "a.avif", "a.apng"],
)  # fmt: skip
def test_suffixes(tmp_path: Path, name: str) -> None:
    tree(tmp_path)
    formats = {".jfif": "JPEG", ".jpe": "JPEG", ".apng": "PNG"}
    picture(tmp_path / "train" / "cat" / name, formats.get(Path(name).suffix))
    assert len(samples(opened(tmp_path))) == 5
    assert checked(tmp_path).findings == ()


def test_of_several_frames_the_first_is_read(tmp_path: Path) -> None:
    frames = [Image.new("RGB", (20, 16), shade) for shade in ("white", "black")]
    for name in ("a.gif", "a.webp", "a.png", "a.tif"):
        frames[0].save(tmp_path / name, save_all=True, append_images=frames[1:])
        assert np.asarray(read_picture(tmp_path / name).convert("L")).min() > 250


def test_colours_of_printers(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("CMYK", (20, 16), (0, 255, 255, 0)).save(path, quality=95)
    red = np.asarray(read_picture(path).convert("RGB"))[5, 5]
    assert red[0] > 250
    assert max(red[1:]) < 5


def test_pictures_that_are_none(tmp_path: Path) -> None:
    good = picture(tmp_path / "good.jpg").read_bytes()
    contents = {
        "cut.jpg": (good[: len(good) // 2], "is cut off or damaged, copy or download it again"),
        "empty.png": (b"", "is empty (0 bytes)"),
        "page.jpg": (b"<!DOCTYPE html><html>", "holds text, such as a server's answer"),
        "drawing.png": (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "holds SVG"),
        "noise.jpg": (bytes(range(7, 200)), "convert it to PNG or JPEG"),
        "phone.jpg": (b"\0\0\0\x18ftypheic" + bytes(99), "convert it to PNG or JPEG"),
    }
    for name, (content, text) in contents.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(DataError) as caught:
            open_picture(tmp_path / name)
        assert text in str(caught.value)
        assert str(caught.value).startswith(str(tmp_path / name))
        damaged = name in ("cut.jpg", "empty.png", "page.jpg")
        assert ("download it again" in str(caught.value)) == damaged


def test_a_picture_of_too_many_pixels(tmp_path: Path) -> None:
    tree(tmp_path)
    path = tmp_path / "train" / "cat" / "0.jpg"
    path.write_bytes(png((14_000, 13_000), 1, 0, b""))
    (finding,) = checked(tmp_path).findings
    assert finding.text.startswith(f"{path} is too large a picture")
    assert finding.text.endswith("more than 178 megapixels): scale it down")


@pytest.mark.parametrize(
    ("named", "lies"),
    [("a.jpg", "A.JPG"), ("a.jpg", "a.png"), ("a%20b.jpg", "a b.jpg"), ("a.jpg?x=1", "a.jpg")],
)
def test_a_missing_picture_that_lies_there_under_another_name(
    tmp_path: Path, named: str, lies: str
) -> None:
    picture(tmp_path / lies)
    with pytest.raises(DataError, match=f"is missing, but {re.escape(lies)} lies there"):
        read_picture(tmp_path / named)


def test_a_missing_picture_that_labelme_kept(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_text("{}")
    with pytest.raises(DataError, match=r"a.json lies there: if labelme kept the picture in it"):
        read_picture(tmp_path / "a.png")


def test_a_missing_mask_that_lies_there_under_another_name(tmp_path: Path) -> None:
    tree(tmp_path, masks="masks")
    place = tmp_path / "masks" / "train" / "cat"
    (place / "0.png").rename(place / "0.npy")
    with pytest.raises(DataError, match=r"0.png is missing, but 0.npy lies there"):
        opened(tmp_path).sample(0)
    mask(place / "0.png")
    assert samples(opened(tmp_path))[0].mask is not None
