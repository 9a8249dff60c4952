"""Ids, names and encodings of COCO files: read as they are meant, or refused in one line."""

from __future__ import annotations

import codecs
import gzip
import json
import unicodedata
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from hsplid_core.data.check_files import Report, check_sources
from hsplid_core.data.readers.coco import CocoImages
from hsplid_core.data.source import Sample
from hsplid_core.errors import DataError
from tests.hsplid_core.data.coco_root import BEAR, ELEPHANT, GIRAFFE, ZEBRA, CocoRoot, box

ALL = ["1.jpg", "2.jpg", "3.jpg", "4.jpg"]


@pytest.fixture
def four(coco: CocoRoot) -> CocoRoot:
    """A picture of each animal, the third of which has an umlaut in its name."""
    for category in (BEAR, ELEPHANT, GIRAFFE, ZEBRA):
        number = coco.image()
        coco.animal(number, category, box(4, 4, 8, 8))
        rename(coco, number, f"{number}.jpg")
    return coco


def rename(coco: CocoRoot, number: int, name: str) -> None:
    image = coco.images[number - 1]
    (coco.path / "train2017" / image["file_name"]).rename(coco.path / "train2017" / name)
    image["file_name"] = name


def samples(source: CocoImages) -> dict[str, int]:
    found = (source.sample(index) for index in range(len(source)))
    return {sample.id: sample.label for sample in found if isinstance(sample, Sample)}


def checked(source: CocoImages) -> Report:
    return check_sources([lambda: source], progress=lambda *_: None)


def _as(kind: Callable[[int], object], *rows: int) -> Callable[[CocoRoot], None]:
    def change(coco: CocoRoot) -> None:
        for row in rows:
            coco.images[row]["id"] = kind(row + 1)
            coco.annotations[row]["image_id"] = kind(row + 1)

    return change


def _images_alone(coco: CocoRoot) -> None:
    for row in (1, 2):
        coco.images[row]["id"] = f" 00{row + 1}"


def _categories_as_text(coco: CocoRoot) -> None:
    coco.categories = [{**node, "id": str(node["id"])} for node in coco.categories]


def _images_listed_twice(coco: CocoRoot) -> None:
    coco.images += [dict(coco.images[0]), dict(coco.images[1])]


def _annotations_of_one_id(coco: CocoRoot) -> None:
    for annotation in coco.annotations:
        annotation["id"] = 1


def _folders(prefix: str) -> Callable[[CocoRoot], None]:
    def change(coco: CocoRoot) -> None:
        for image in coco.images:
            image["file_name"] = prefix + image["file_name"]

    return change


def _decomposed(coco: CocoRoot) -> None:
    rename(coco, 3, unicodedata.normalize("NFD", "bär.jpg"))
    coco.images[2]["file_name"] = unicodedata.normalize("NFC", "bär.jpg")


def _without_sizes(coco: CocoRoot) -> None:
    for image in coco.images:
        del image["width"]
        image["height"] = None


def _sizes_as_text(coco: CocoRoot) -> None:
    for image in coco.images:
        image |= {"width": "32", "height": 32.0}


def _other_fields(coco: CocoRoot) -> None:
    coco.annotations[0] |= {"score": float("nan"), "attributes": {"occluded": False}}


@pytest.mark.parametrize(
    "change",
    [
        _as(str, 2, 3),
        _as(float, 0, 1),
        _as(lambda number: f"{number}.0", 0, 1),
        _as(lambda number: f"image-{number}", 0, 1, 2, 3),
        _as(lambda number: 10**12 - number, 0, 1, 2, 3),
        _images_alone,
        _categories_as_text,
        _images_listed_twice,
        _annotations_of_one_id,
        _folders("train2017/"),
        _folders("/home/somebody/pics/"),
        _folders("../../media/upload/1/"),
        _folders("C:\\data\\pics\\"),
        _folders("https://example.org/media/train2017/"),
        _folders("./"),
        _decomposed,
        _without_sizes,
        _sizes_as_text,
        _other_fields,
    ],
)
def test_the_same_four_images(four: CocoRoot, change: Callable[[CocoRoot], None]) -> None:
    change(four)
    found = samples(four.source())
    names = {unicodedata.normalize("NFC", name): label for name, label in found.items()}
    third = "bär.jpg" if "bär.jpg" in names else "3.jpg"
    assert names == {"1.jpg": 0, "2.jpg": 1, third: 2, "4.jpg": 3}
    assert checked(four.source()).findings == ()


def test_names_of_other_machines_are_told(four: CocoRoot) -> None:
    _folders("C:\\data\\pics\\")(four)
    assert " ".join(checked(four.source()).notes).count(
        "coco_animals-train: 4 images are named with folders that are not here (first: C:\\data"
    )


@pytest.mark.parametrize(
    ("encode", "end"),
    [
        (lambda text: codecs.BOM_UTF8 + text.encode(), ""),
        (lambda text: text.encode("utf-16"), ""),
        (lambda text: gzip.compress(text.encode()), ""),
        (str.encode, "\n\n"),
    ],
)
def test_encodings(four: CocoRoot, encode: Callable[[str], bytes], end: str) -> None:
    source = four.source()
    four.json_file.write_bytes(encode(four.json_file.read_text() + end))
    assert list(samples(source)) == ALL


def _merged(coco: CocoRoot) -> str:
    for row in (2, 3):
        coco.images[row]["id"] = coco.annotations[row]["image_id"] = row - 1
    return (
        "2 are given to several (first: 1 to 1.jpg and 3.jpg): was it merged from several files?"
    )


def _merged_as_text(coco: CocoRoot) -> str:
    coco.images[2]["id"] = coco.annotations[2]["image_id"] = "1"
    return "1 are given to several (first: 1 to 1.jpg and 3.jpg)"


def _no_id(coco: CocoRoot) -> str:
    coco.images[0]["id"] = None
    return "image None must have a number or a text as 'id', got None"


def _half_an_id(coco: CocoRoot) -> str:
    coco.annotations[0]["image_id"] = 1.5
    return "annotation 1 must have a number or a text as 'image_id', got 1.5"


def _list_as_id(coco: CocoRoot) -> str:
    coco.annotations[0]["category_id"] = [23]
    return "annotation 1 must have a number or a text as 'category_id', got [23]"


def _two_categories(coco: CocoRoot) -> str:
    coco.categories.append({"id": 24, "name": "bear"})
    return "category id 24 must stand for one category, got 'zebra' and 'bear'"


def _no_such_category(coco: CocoRoot) -> str:
    coco.annotations[0]["category_id"] = 99
    return "annotation 1 has category_id 99, which the file's categories do not list"


def _no_such_image(coco: CocoRoot) -> str:
    coco.annotations[0]["image_id"] = "five"
    return "annotation 1 belongs to image five, which the file's images do not list"


def _one_file_for_two(coco: CocoRoot) -> str:
    coco.images[0]["file_name"], coco.images[1]["file_name"] = "a/1.jpg", "b/1.jpg"
    return "the images a/1.jpg and b/1.jpg must be two files, but"


def _outside(coco: CocoRoot) -> str:
    coco.images[0]["file_name"] = "../../etc/passwd.jpg"
    return "must have a file_name in the image folder, got '../../etc/passwd.jpg'"


def _no_object(coco: CocoRoot) -> str:
    coco.images[0] = [1, "1.jpg"]  # type: ignore[call-overload]
    return "every entry of 'images' must be an object, got [1, '1.jpg']"


@pytest.mark.parametrize(
    "change",
    [
        _merged,
        _merged_as_text,
        _no_id,
        _half_an_id,
        _list_as_id,
        _two_categories,
        _no_such_category,
        _no_such_image,
        _one_file_for_two,
        _outside,
        _no_object,
    ],
)
def test_what_is_refused(four: CocoRoot, change: Callable[[CocoRoot], str]) -> None:
    expected = change(four)
    (finding,) = checked(four.source()).findings
    assert expected in finding.text
    assert "\n" not in finding.text
    assert "download" not in finding.text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ('[{"image_id": 1}]', "but is a list itself"),
        ('{"images": []} more', "must be valid JSON (Extra data"),
        ("[" * 200_000, "must be valid JSON"),
        ('{"images": [], "annotations": [], "categories": {"1": "cat"}}', "a list 'categories'"),
    ],
)
def test_other_files(four: CocoRoot, text: str, expected: str) -> None:
    source = four.source()
    four.json_file.write_text(text)
    with pytest.raises(DataError) as caught:
        len(source)
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_one_file_under_two_ids_is_one_image(four: CocoRoot) -> None:
    """Else it were trained on twice, or trained on and validated with."""
    for row, category in ((0, BEAR), (1, ZEBRA)):
        four.images.append({**four.images[row], "id": 10 + row})
        four.animal(10 + row, category, box(16, 16, 8, 8))
    source = four.source()
    # 1.jpg is a bear twice; 2.jpg is an elephant and a zebra.
    assert list(samples(source)) == ["1.jpg", "3.jpg", "4.jpg"]
    first = source.sample(0)
    assert isinstance(first, Sample)
    assert first.mask is not None
    assert int(first.mask.sum()) == 2 * 64
    report = checked(source)
    assert any("they show several of the classes" in note for note in report.notes)
    assert any("2 images are listed again" in note for note in report.notes)


def test_the_rest_of_a_file_is_kept_out_of_memory(four: CocoRoot) -> None:
    person: dict[str, Any] = {"id": 9, "image_id": 1, "category_id": 1, "segmentation": "odd"}
    four.annotations.append(person)
    assert list(samples(four.source())) == ALL
    document = json.loads(four.json_file.read_text())
    assert document["annotations"][-1]["segmentation"] == "odd"


def test_a_file_that_is_not_there(four: CocoRoot) -> None:
    source = four.source()
    Path(four.path / "train2017" / "2.jpg").unlink()
    (finding,) = checked(source).findings
    assert finding.kind == "missing"
    assert "2.jpg is missing" in finding.text
