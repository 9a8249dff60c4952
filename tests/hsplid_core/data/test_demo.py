from __future__ import annotations

import hashlib
import json
from collections import Counter
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.demo.coco import demo_folder_name, write_coco_demo
from hsplid_core.data.demo.silhouettes import distinct_rows, silhouettes
from hsplid_core.data.demo.textures import BACKGROUNDS
from hsplid_core.data.readers.coco import coco_animals
from hsplid_core.data.readers.coco_annotations import CATEGORY_IDS, CLASS_NAMES
from hsplid_core.errors import ConfigError, DataError
from tests.hsplid_core.data.processes import outputs

SPLITS: tuple[Literal["train", "val"], ...] = ("train", "val")
OWN = dict(zip(CLASS_NAMES, BACKGROUNDS, strict=True))
NAMES = {number: name for name, number in CATEGORY_IDS.items()}


def document(root: Path, split: str) -> dict[str, Any]:
    path = root / "annotations" / f"instances_{split}2017.json"
    loaded: dict[str, Any] = json.loads(path.read_text())
    return loaded


def tree_hash(root: Path) -> str:
    digest = hashlib.sha256()
    for path in sorted(root.rglob("*")):
        digest.update(str(path.relative_to(root)).encode())
        digest.update(path.read_bytes() if path.is_file() else b"")
    return digest.hexdigest()


def test_layout_is_cocos(demo: Path) -> None:
    for split in SPLITS:
        content = document(demo, split)
        assert set(content) == {"info", "licenses", "images", "annotations", "categories"}
        declared = {category["id"]: category["name"] for category in content["categories"]}
        assert {number: declared[number] for number in NAMES} == NAMES
        files = {path.name for path in (demo / f"{split}2017").iterdir()}
        assert files == {image["file_name"] for image in content["images"]}
        numbers = [annotation["id"] for annotation in content["annotations"]]
        assert len(set(numbers)) == len(numbers)
        with Image.open(demo / f"{split}2017" / min(files)) as image:
            assert (image.format, image.mode, image.size) == ("JPEG", "RGB", (64, 64))
    train, val = ({image["id"] for image in document(demo, split)["images"]} for split in SPLITS)
    assert not train & val


def test_all_three_forms_of_masks_and_crowds_occur(demo: Path) -> None:
    for split in SPLITS:
        forms: Counter[tuple[str, int]] = Counter()
        for annotation in document(demo, split)["annotations"]:
            code = annotation["segmentation"]
            form = "polygon" if isinstance(code, list) else type(code["counts"]).__name__
            forms[form, annotation["iscrowd"]] += 1
        assert set(forms) == {("polygon", 0), ("str", 0), ("list", 1)}
        assert min(forms.values()) >= 15


def test_boxes_and_areas_fit_the_masks(demo: Path) -> None:
    for annotation in document(demo, "val")["annotations"]:
        _, _, width, height = annotation["bbox"]
        assert 20 <= annotation["area"] <= width * height <= 64 * 64


def test_the_reader_drops_mixed_and_empty_pictures(demo: Path) -> None:
    for split, n_usable in zip(SPLITS, (1900, 500), strict=True):
        content = document(demo, split)
        categories: dict[int, set[int]] = {image["id"]: set() for image in content["images"]}
        for annotation in content["annotations"]:
            categories[annotation["image_id"]].add(annotation["category_id"])
        sizes = Counter(len(kinds) for kinds in categories.values())
        assert sizes[0] >= 3
        assert sizes[2] >= 3
        assert sizes[1] == n_usable
        assert len(coco_animals(demo, split, 64)) == n_usable


def test_balanced_and_marked(demo: Path, tmp_path: Path) -> None:
    images = build_or_open(coco_animals(demo, "val", 64), tmp_path)
    assert images.is_demo
    assert torch.bincount(images.labels).tolist() == [125] * 4
    batch = images.batch(torch.arange(len(images)))
    assert batch.mask is not None
    covered = batch.mask.float().mean(dim=(1, 2, 3))
    assert float(covered.min()) > 0.01
    assert float(covered.max()) < 0.75
    assert float(covered.std()) > 0.05  # animals of varied size


def test_background_follows_the_class_in_training_only(demo: Path) -> None:
    agreement = {}
    for split in SPLITS:
        content = document(demo, split)
        family = {image["id"]: image["background"] for image in content["images"]}
        pairs = Counter(
            (NAMES[annotation["category_id"]], family[annotation["image_id"]])
            for annotation in content["annotations"]
        )
        own = sum(count for (name, shown), count in pairs.items() if OWN[name] == shown)
        agreement[split] = own / pairs.total()
        for name in CLASS_NAMES:
            assert {shown for shown in BACKGROUNDS if pairs[name, shown]} == set(BACKGROUNDS)
    assert agreement["train"] == pytest.approx(0.9, abs=0.03)
    assert agreement["val"] == pytest.approx(0.25, abs=0.06)


def test_no_silhouette_is_shown_twice(demo: Path) -> None:
    """Hence none straddles train and validation, nor training and test."""
    shown = [
        (NAMES[annotation["category_id"]], row)
        for split in SPLITS
        for annotation in document(demo, split)["annotations"]
        for row in annotation["silhouettes"]
    ]
    assert len(shown) > 2500
    assert len(set(shown)) == len(shown)
    contents = {silhouettes()[name][row].tobytes() for name, row in shown}
    assert len(contents) == len(shown)


def test_copies_and_near_copies_are_left_out() -> None:
    kept = {name: distinct_rows(name) for name in silhouettes()}
    assert list(kept) == list(CLASS_NAMES)
    assert len(kept["bear"]) <= 1000 - 63
    for name, rows in kept.items():
        assert len(rows) > 900
        flat = silhouettes()[name][rows].reshape(len(rows), -1) / 255.0
        products = flat @ flat.T
        norms = np.diag(products)
        distance = norms[:, None] + norms - 2 * products + 1e9 * np.eye(len(rows))
        assert distance.min() >= 5 - 1e-6


def test_same_seed_same_bytes(tmp_path: Path) -> None:
    small = {"n_train": 24, "n_val": 8}
    one = write_coco_demo(tmp_path / "one", **small)
    two = write_coco_demo(tmp_path / "two", **small)
    other = write_coco_demo(tmp_path / "other", seed=1, **small)
    assert tree_hash(one) == tree_hash(two)
    assert tree_hash(one) != tree_hash(other)


@pytest.mark.parametrize("correlation", [0.0, 1.0])
def test_extreme_correlations(tmp_path: Path, correlation: float) -> None:
    root = write_coco_demo(
        tmp_path / "demo", n_train=80, n_val=4, background_correlation=correlation
    )
    content = document(root, "train")
    family = {image["id"]: image["background"] for image in content["images"]}
    kinds: dict[int, set[str]] = {}
    for annotation in content["annotations"]:
        kinds.setdefault(annotation["image_id"], set()).add(NAMES[annotation["category_id"]])
    agrees = {
        OWN[names.pop()] == family[image] for image, names in kinds.items() if len(names) == 1
    }
    assert agrees == {correlation == 1.0}


def test_larger_pictures(tmp_path: Path) -> None:
    root = write_coco_demo(tmp_path / "demo", n_train=8, n_val=4, image_size=96)
    images = build_or_open(coco_animals(root, "train", 96), tmp_path / "cache")
    assert images.image_shape == (3, 96, 96)


def test_a_written_demo_is_reused(tmp_path: Path) -> None:
    root = write_coco_demo(tmp_path / "demo", n_train=8, n_val=4)
    before = {path: path.stat().st_mtime_ns for path in root.rglob("*")}
    assert write_coco_demo(root, n_train=8, n_val=4) == root
    assert {path: path.stat().st_mtime_ns for path in root.rglob("*")} == before


def test_something_else_is_never_overwritten(tmp_path: Path) -> None:
    root = write_coco_demo(tmp_path / "demo", n_train=8, n_val=4)
    with pytest.raises(DataError, match="must be free, or hold this very demo"):
        write_coco_demo(root, n_train=8, n_val=4, seed=3)
    other = tmp_path / "thesis"
    other.mkdir()
    (other / "chapter.txt").write_text("1")
    with pytest.raises(DataError, match="must be free"):
        write_coco_demo(other)
    assert (other / "chapter.txt").read_text() == "1"


def test_an_empty_folder_and_the_rest_of_a_killed_writer_do_not_matter(tmp_path: Path) -> None:
    root = tmp_path / "demo"
    root.mkdir()
    partial = tmp_path / ".demo.partial"
    partial.mkdir()
    (partial / "half.jpg").write_bytes(b"\xff\xd8")
    write_coco_demo(root, n_train=8, n_val=4)
    assert sorted(path.name for path in root.iterdir()) == [
        *("DEMO.json", "annotations", "train2017", "val2017")
    ]
    assert not partial.exists()


def test_two_processes_at_once(tmp_path: Path) -> None:
    code = (
        "import sys; from pathlib import Path;"
        "from hsplid_core.data.demo.coco import write_coco_demo;"
        "write_coco_demo(Path(sys.argv[1]), n_train=30, n_val=8)"
    )
    root = tmp_path / "demo"
    outputs(code, root, count=2)
    alone = write_coco_demo(tmp_path / "alone", n_train=30, n_val=8)
    assert tree_hash(root) == tree_hash(alone)
    assert [path.name for path in tmp_path.iterdir() if path.name.endswith(".partial")] == []


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 16}, r"image_size must lie in \[32, 512\], got 16"),
        ({"background_correlation": 1.5}, r"background_correlation must lie in \[0, 1\], got 1.5"),
        ({"n_val": 0}, "n_val must be at least one image a class"),
        ({"n_train": 9000}, "no .* silhouette left"),
    ],
)
def test_values_out_of_range(tmp_path: Path, arguments: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        write_coco_demo(tmp_path / "demo", **{"n_train": 8, "n_val": 4, **arguments})
    assert not (tmp_path / "demo").exists()
    assert not (tmp_path / ".demo.partial").exists()


def test_a_parent_that_is_a_file(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="parent folder must be a folder"):
        write_coco_demo(tmp_path / "file" / "demo", n_train=8, n_val=4)


def test_folder_names_tell_parameters_apart() -> None:
    names = {
        demo_folder_name(),
        demo_folder_name(seed=1),
        demo_folder_name(image_size=96),
        demo_folder_name(background_correlation=0.5),
    }
    assert len(names) == 4
    assert demo_folder_name() == demo_folder_name(seed=0, image_size=64)
