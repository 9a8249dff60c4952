"""Exports of annotation tools, each as the tool writes it, with categories of one's own."""

from __future__ import annotations

import base64
import io
import json
import zlib
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS, load
from hsplid_core.data.check_files import Report, check_sources
from hsplid_core.data.readers.coco import CocoImages, coco
from hsplid_core.data.source import Sample
from hsplid_core.errors import ConfigError, DataError

SIZE = 16
N_EACH = 5
CLASSES = ("cat", "dog")
QUAD = [4.0, 2.0, 12.0, 2.0, 12.0, 10.0, 4.0, 10.0]
SQUARE = np.zeros((SIZE, SIZE), np.uint8)
SQUARE[2:10, 4:12] = 1

Json = dict[str, Any]


def picture(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = np.random.default_rng(zlib.crc32(bytes(path))).integers(0, 255, (SIZE, SIZE, 3))
    Image.fromarray(pixels.astype(np.uint8)).save(path, format="JPEG")


def document(
    names: list[str], *, first: int = 0, categories: list[Json] | None = None, **fields: Any
) -> Json:
    """Images of cats and dogs in turns."""
    categories = categories or [{"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]
    ids = {node["name"]: node["id"] for node in categories}
    return {
        "images": [
            {"id": first + n, "file_name": name, "width": SIZE, "height": SIZE}
            for n, name in enumerate(names)
        ],
        "annotations": [
            {
                "id": first + n,
                "image_id": first + n,
                "category_id": ids[CLASSES[n % 2]],
                "segmentation": [QUAD],
                "bbox": [4, 2, 8, 8],
                "area": 64,
                "iscrowd": 0,
                **fields,
            }
            for n in range(len(names))
        ],
        "categories": categories,
    }


def write(path: Path, content: Json) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(content))


NAMES = [f"{n:02d}.jpg" for n in range(2 * N_EACH)]


def label_studio(root: Path, sep: str = "/") -> None:
    for name in NAMES:
        picture(root / "images" / f"3f2a-{name}")
    write(root / "result.json", document([f"images{sep}3f2a-{name}" for name in NAMES], ignore=0))


def label_studio_of_windows(root: Path) -> None:
    label_studio(root, "\\")


def label_studio_with_urls(root: Path) -> None:
    label_studio(root)
    names = [f"http://localhost:8080/data/upload/1/3f2a-{name}?d=1" for name in NAMES]
    write(root / "result.json", document(names))


def cvat(root: Path, folder: str = "images/default") -> None:
    for name in NAMES:
        picture(root / folder / name)
    categories = [
        {"id": n, "name": name, "supercategory": ""} for n, name in ((1, "cat"), (2, "dog"))
    ]
    content = document(NAMES, first=1, categories=categories, attributes={"occluded": False})
    write(root / "annotations" / "instances_default.json", content)


def cvat_of_before(root: Path) -> None:
    cvat(root, "images")


def cvat_with_subsets(root: Path) -> None:
    for part in ("Train", "Validation"):
        for name in NAMES:
            picture(root / "images" / part / name)
        write(root / "annotations" / f"instances_{part}.json", document(NAMES, first=1))


def roboflow(root: Path, parts: tuple[str, ...] = ("train", "valid", "test")) -> None:
    categories = [
        {"id": 0, "name": "pets", "supercategory": "none"},
        {"id": 1, "name": "cat", "supercategory": "pets"},
        {"id": 2, "name": "dog", "supercategory": "pets"},
    ]
    for part in parts:
        names = [f"{name[:2]}_jpg.rf.{part}.jpg" for name in NAMES]
        for name in names:
            picture(root / part / name)
        write(root / part / "_annotations.coco.json", document(names, categories=categories))
    (root / "README.roboflow.txt").write_text("pets")


def roboflow_without_test(root: Path) -> None:
    roboflow(root, ("train", "valid"))


def labelme_exported(root: Path) -> None:
    """As its script labelme2coco.py writes it."""
    for name in NAMES:
        picture(root / "JPEGImages" / name)
    categories = [{"id": n, "name": name} for n, name in enumerate(("_background_", *CLASSES))]
    names = [f"JPEGImages/{name}" for name in NAMES]
    write(root / "annotations.json", document(names, categories=categories))


def labelme(root: Path, image_path: str = "{name}") -> None:
    encoded = io.BytesIO()
    Image.fromarray(SQUARE[2:10, 4:12] * 255).convert("1").save(encoded, format="PNG")
    mask = base64.b64encode(encoded.getvalue()).decode()
    for n, name in enumerate(NAMES):
        picture(root / name)
        points = np.reshape(QUAD, (-1, 2)).tolist()
        shape: Json = {"label": CLASSES[n % 2], "points": points, "shape_type": "polygon"}
        if n == 2:
            del shape["shape_type"]
        if n == 3:
            shape |= {"points": [[4, 2], [11, 9]], "shape_type": "mask", "mask": mask}
        content: Json = {
            "version": "5.5.0",
            "flags": {},
            "shapes": [shape],
            "imagePath": image_path.format(name=name),
            "imageData": None,
            "imageHeight": SIZE,
            "imageWidth": SIZE,
        }
        write(root / f"{name[:2]}.json", content)


def labelme_of_windows(root: Path) -> None:
    labelme(root, "..\\pics\\{name}")


def plain(root: Path) -> None:
    for name in NAMES:
        picture(root / name)
    write(root / "pets.json", document(NAMES))


def official(root: Path) -> None:
    """Of the layout of COCO 2017, with captions beside the instances."""
    for part in ("train", "val"):
        for name in NAMES:
            picture(root / f"{part}2017" / name)
        write(root / "annotations" / f"instances_{part}2017.json", document(NAMES))
        write(
            root / "annotations" / f"captions_{part}2017.json", {"images": [], "annotations": []}
        )


IN_ONE = [
    label_studio,
    label_studio_of_windows,
    label_studio_with_urls,
    cvat,
    cvat_of_before,
    labelme_exported,
    labelme,
    labelme_of_windows,
    plain,
]
IN_PARTS = [cvat_with_subsets, roboflow, roboflow_without_test, official]


def samples(source: CocoImages) -> list[Sample]:
    found = [source.sample(index) for index in range(len(source))]
    return [sample for sample in found if isinstance(sample, Sample)]


def both(root: Path, **options: Any) -> tuple[CocoImages, CocoImages]:
    return coco(root, "train", SIZE, **options), coco(root, "test", SIZE, **options)


def checked(*sources: CocoImages) -> Report:
    openers: list[Callable[[], CocoImages]] = [lambda source=s: source for s in sources]  # type: ignore[misc]
    return check_sources(openers, progress=lambda *_: None)


def masks_of(source: CocoImages) -> list[NDArray[np.uint8]]:
    return [sample.mask[0] for sample in samples(source) if sample.mask is not None]


@pytest.mark.parametrize("export", IN_ONE)
def test_one_file_is_split_by_share(tmp_path: Path, export: Callable[[Path], None]) -> None:
    export(tmp_path)
    train, test = both(tmp_path)
    assert train.class_names == test.class_names == CLASSES
    assert [sorted(s.label for s in samples(part)) for part in (train, test)] == [
        [0] * 4 + [1] * 4,
        [0, 1],
    ]
    assert len({sample.id for part in (train, test) for sample in samples(part)}) == 10
    for mask in (*masks_of(train), *masks_of(test)):
        np.testing.assert_array_equal(mask, SQUARE)
    assert checked(train, test).findings == ()


@pytest.mark.parametrize("export", IN_PARTS)
def test_parts_are_split_by_file(tmp_path: Path, export: Callable[[Path], None]) -> None:
    export(tmp_path)
    train, test = both(tmp_path)
    assert train.class_names == test.class_names == CLASSES
    assert (len(train), len(test)) == (10, 10)
    ids = [{sample.id for sample in samples(part)} for part in (train, test)]
    assert not ids[0] & ids[1]
    assert all("rain" in name for name in ids[0])
    expected = "test/" if export is roboflow else "al"
    assert all(expected in name for name in ids[1])
    for mask in (*masks_of(train), *masks_of(test)):
        np.testing.assert_array_equal(mask, SQUARE)
    assert checked(train, test).findings == ()


@pytest.mark.parametrize("classes", [None, ("cat",)])
def test_one_class_alone_is_refused(tmp_path: Path, classes: tuple[str, ...] | None) -> None:
    for name in NAMES:
        picture(tmp_path / "images" / name)
    content = document(NAMES)
    content["annotations"] = [a for a in content["annotations"] if a["category_id"] == 0]
    write(tmp_path / "annotations" / "instances_default.json", content)
    with pytest.raises(DataError, match="images of at least two classes, got cat alone"):
        len(coco(tmp_path, "train", SIZE, classes=classes))


def test_every_split_is_loaded(tmp_path: Path) -> None:
    label_studio(tmp_path / "root")
    data = DataConfig(
        name="coco",
        root=tmp_path / "root",
        image_size=SIZE,
        cache_dir=tmp_path,
        classes=("dog", "cat"),
        val_fraction=0.25,
    )
    sizes = {split: load(data, split) for split in DATA_SETS["coco"].splits}
    assert {split: len(images) for split, images in sizes.items()} == {
        "train": 6,
        "val": 2,
        "test": 2,
    }
    assert sizes["test"].class_names == ("dog", "cat")
    dogs = [int(Path(name).stem[-2:]) % 2 for name in sizes["test"].ids]
    assert sizes["test"].labels.tolist() == [1 - dog for dog in dogs]


def three(root: Path) -> Json:
    """Cats, dogs and a leash that is in every second image; an image of a cat and a dog."""
    plain(root)
    content = document(NAMES)
    content["categories"].append({"id": 5, "name": "leash", "supercategory": "things"})
    content["categories"].append({"id": 9, "name": "ball"})
    for n in (1, 3):
        content["annotations"].append({**content["annotations"][n], "category_id": 5})
    content["annotations"].append({**content["annotations"][0], "category_id": 1})
    picture(root / "nothing.jpg")
    content["images"].append({"id": 99, "file_name": "nothing.jpg"})
    return content


def test_all_categories_that_an_image_shows_alone(tmp_path: Path) -> None:
    write(tmp_path / "pets.json", three(tmp_path))
    train = coco(tmp_path, "train", SIZE)
    assert train.class_names == CLASSES  # no image shows a leash alone, or a ball
    assert dict(train.left_out()) == {
        "they show several of the classes, so that no single label is right": 3,
        "they have no annotation": 1,
    }


def test_chosen_classes_alone_count(tmp_path: Path) -> None:
    write(tmp_path / "pets.json", three(tmp_path))
    train, test = both(tmp_path, classes=("dog", "cat"))
    assert train.class_names == ("dog", "cat")
    assert len(train) + len(test) == 9
    assert list(train.left_out().values()) == [1]
    assert "1 images show none of the classes" in train.notes()
    assert sorted({sample.label for sample in samples(train) if sample.id in NAMES[::2]}) == [1]


def test_a_misspelt_class(tmp_path: Path) -> None:
    write(tmp_path / "pets.json", three(tmp_path))
    with pytest.raises(
        ConfigError, match=r"data.classes has dgo: .* has ball, cat, dog, leash; did you mean dog"
    ):
        len(coco(tmp_path, "train", SIZE, classes=("cat", "dgo")))


def test_a_category_without_a_name(tmp_path: Path) -> None:
    content = three(tmp_path)
    content["categories"][2] = {"id": 5, "supercategory": "things"}
    write(tmp_path / "pets.json", content)
    with pytest.raises(DataError, match="category 5 must have a name, as annotations use it"):
        len(coco(tmp_path, "train", SIZE))
    assert len(coco(tmp_path, "train", SIZE, classes=CLASSES)) == 7


def _no_file(root: Path) -> str:
    (root / "pets.json").unlink()
    return "holds no annotation file: the root must hold one COCO file"


def _two_files(root: Path) -> str:
    write(root / "more.json", document(NAMES))
    return "must hold one annotation file for all its images, got 2 (more.json, pets.json)"


def _nothing_to_train_on(root: Path) -> str:
    write(root / "test.json", document(NAMES))
    return "must have a file to train on among pets.json, test.json"


def _tested_on_what_is_trained_on(root: Path) -> str:
    (root / "pets.json").rename(root / "train.json")
    write(root / "test.json", document(NAMES[:2]))
    return "must name images that are not trained on, but 2 are in"


def _twice_of_one_name(root: Path) -> str:
    for folder in ("a", "b"):
        picture(root / folder / "x.jpg")
    write(root / "pets.json", document(["x.jpg", *NAMES]))
    return "must hold one file for the image x.jpg, got a/x.jpg and b/x.jpg"


def _tasks(root: Path) -> str:
    (root / "pets.json").write_text('[{"data": {"image": "00.jpg"}, "annotations": []}]')
    return "but is a list itself: a tool's own format"


@pytest.mark.parametrize(
    "damage",
    [
        _no_file,
        _two_files,
        _nothing_to_train_on,
        _tested_on_what_is_trained_on,
        _twice_of_one_name,
        _tasks,
    ],
)
def test_layouts_that_are_refused(tmp_path: Path, damage: Callable[[Path], str]) -> None:
    plain(tmp_path)
    expected = damage(tmp_path)
    with pytest.raises(DataError) as caught:
        [len(part) for part in both(tmp_path)]
    assert expected in str(caught.value)
    assert "\n" not in str(caught.value)


def test_labelmes_boxes_points_and_circles(tmp_path: Path) -> None:
    labelme(tmp_path)
    shapes = [
        {"shape_type": "rectangle", "points": [[12, 10], [4, 2]]},
        {"shape_type": "point", "points": [[4, 2]]},
        {"shape_type": "circle", "points": [[8, 8], [8, 4]]},
    ]
    for name, shape in zip(NAMES, shapes, strict=False):
        path = tmp_path / f"{name[:2]}.json"
        content = json.loads(path.read_text())
        content["shapes"] = [{"label": content["shapes"][0]["label"], **shape}]
        write(path, content)
    train, test = both(tmp_path)
    assert len(train) + len(test) == 8
    assert sorted(train.left_out().values()) == [1, 1]
    found = {s.id: s.mask for part in both(tmp_path, boxes_as_masks=True) for s in samples(part)}
    assert len(found) == 9
    assert found[NAMES[0]] is not None
    np.testing.assert_array_equal(found[NAMES[0]][0], SQUARE)  # type: ignore[index]
    circle = found[NAMES[2]]
    assert circle is not None
    assert abs(int(circle.sum()) - 3.14159 * 16) < 5
