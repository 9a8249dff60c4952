"""Each damage to a data set is one clear line that names what is wrong and what to do."""

from __future__ import annotations

import gzip
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS, load
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.source import Listed, Source
from hsplid_core.errors import DataError

SIZE = 16
READ = DataConfig(image_size=SIZE)
SMALL = {"isic2017": (24, 6), "folder": (16, 8), "mnist": (30, 10), "cmnist": (30, 10)}


@pytest.fixture(scope="module")
def originals(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("originals")


@pytest.fixture
def copy(originals: Path, tmp_path: Path) -> Callable[[str], Path]:
    """A data set's small stand-in, to be damaged."""

    def copied(name: str) -> Path:
        n_train, n_test = SMALL.get(name, (20, 20))
        root = DATA_SETS[name].demo(originals, SIZE, n_train=n_train, n_test=n_test)
        return Path(shutil.copytree(root, tmp_path / "root"))

    return copied


def training(name: str, root: Path) -> Source:
    opener = DATA_SETS[name].training or DATA_SETS[name].testing
    return opener(root, READ)


def building(name: str, root: Path) -> str:
    """Build the cache, which must fail without leaving anything, and return the message."""
    cache = root.parent / "cache"
    with pytest.raises(DataError) as caught:
        build_or_open(training(name, root), cache)
    if cache.exists():
        assert [path.name for path in cache.rglob("*.arrow")] == []
    message = str(caught.value)
    assert "\n" not in message
    return message


def cause_of(source: Source, index: int) -> BaseException | None:
    try:
        source.sample(index)
    except DataError as error:
        return error.__cause__
    return None


def first(root: Path, pattern: str) -> Path:
    return min(root.glob(pattern))


PICTURES = {
    "isic2017": "ISIC-2017_Training_Data/*.jpg",
    "cub": "CUB_200_2011/images/*/*_1.jpg",
    "stanford_dogs": "Images/*/*_0.jpg",
    "imagenette": "imagenette2-160/train/*/*.JPEG",
    "imagenet": "train/*/*.JPEG",
    "imagenet9/mixed_rand": "bg_challenge/mixed_rand/val/*/*.JPEG",
    "counter_animal/counter": "LAION-final/*/counter-*/*.jpg",
    "folder": "train/*/*.jpg",
}
MASKS = {
    "isic2017": "ISIC-2017_Training_Part1_GroundTruth/*.png",
    "cub": "CUB_200_2011/segmentations/*/*_1.png",
    "cub_gha": "CUB_200_2011/CUB_GHA/1.jpg",
    "folder": "masks/train/*/*.png",
}


@pytest.mark.parametrize("name", PICTURES)
def test_a_damaged_picture(copy: Callable[[str], Path], name: str) -> None:
    root = copy(name)
    path = first(root, PICTURES[name])
    path.write_bytes(path.read_bytes()[:200])
    message = building(name, root)
    assert message.startswith(f"{path} must be a readable picture")
    assert "download it again" in message


@pytest.mark.parametrize("name", ["isic2017", "cub", "stanford_dogs"])
def test_a_listed_picture_that_is_missing(copy: Callable[[str], Path], name: str) -> None:
    """Only building fails: a check shall be able to name every missing file."""
    root = copy(name)
    path = first(root, PICTURES[name])
    count = len(training(name, root))
    path.unlink()
    assert building(name, root) == f"{path} is missing: finish the download"
    source = training(name, root)
    assert len(source) == count
    causes = [cause_of(source, index) for index in range(count)]
    assert [type(cause) for cause in causes if cause] == [FileNotFoundError]


@pytest.mark.parametrize("name", MASKS)
def test_an_image_without_mask(copy: Callable[[str], Path], name: str) -> None:
    root = copy(name)
    path = first(root, MASKS[name])
    path.unlink()
    assert building(name, root) == f"{path} is missing: finish the download"


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_without_image(copy: Callable[[str], Path], name: str) -> None:
    root = copy(name)
    path = first(root, MASKS[name])
    stray = path.with_stem(f"{path.stem}x")
    shutil.copy(path, stray)
    assert building(name, root).startswith(f"{stray} must belong to the data set, but no image")


@pytest.mark.parametrize("name", MASKS)
def test_a_mask_of_another_size(copy: Callable[[str], Path], name: str) -> None:
    root = copy(name)
    path = first(root, MASKS[name])
    Image.new("L", (9, 7)).save(path)
    message = building(name, root)
    assert str(path) in message
    assert "as its image, got 9x7" in message


@pytest.mark.parametrize("name", [name for name in PICTURES if name != "cub"])
def test_foreign_files_are_no_part_of_the_listing(copy: Callable[[str], Path], name: str) -> None:
    root = copy(name)
    source = training(name, root)
    assert isinstance(source, Listed)
    folders, files = source.listing()
    assert files
    assert all(any(path.is_relative_to(folder) for folder in folders) for path in files)
    found = {path for folder in folders for path in folder.rglob("*") if path.is_file()}
    assert found == set(files)
    stray = next(iter(files)).parent / "Thumbs.db"
    stray.write_bytes(b"")
    assert stray not in training(name, root).listing().files  # type: ignore[attr-defined]


def test_a_class_with_a_single_image(copy: Callable[[str], Path], tmp_path: Path) -> None:
    root = copy("folder")
    for path in sorted((root / "train" / "bear").iterdir())[1:]:
        path.unlink()
        (root / "masks" / "train" / "bear" / f"{path.stem}.png").unlink()
    with pytest.raises(DataError, match=r"class 0 \(bear\) has 1 images"):
        load(
            DataConfig(name="folder", root=root, image_size=SIZE, cache_dir=tmp_path / "cache"),
            "train",
        )


def test_an_empty_class(copy: Callable[[str], Path]) -> None:
    root = copy("folder")
    (root / "train" / "okapi").mkdir()
    assert "okapi must hold pictures, got none" in building("folder", root)


def test_a_class_that_is_only_tested(copy: Callable[[str], Path]) -> None:
    root = copy("folder")
    shutil.copytree(root / "test" / "bear", root / "test" / "okapi")
    with pytest.raises(DataError, match="okapi must be one of the 4 classes of the training"):
        len(DATA_SETS["folder"].testing(root, READ))


def _no_column(root: Path) -> str:
    path = root / "ISIC-2017_Training_Part3_GroundTruth.csv"
    path.write_text(path.read_text().replace("melanoma", "mole"))
    return "must have the columns image_id, melanoma, seborrheic_keratosis, got"


def _two_classes(root: Path) -> str:
    path = root / "ISIC-2017_Training_Part3_GroundTruth.csv"
    path.write_text(path.read_text().replace("1.0,0.0", "1.0,1.0"))
    return "of ISIC_0000001 must be 0 or 1, and at most one of them 1, got ('1.0', '1.0')"


def _unknown_species(root: Path) -> str:
    path = root / "CUB_200_2011" / "image_class_labels.txt"
    path.write_text(path.read_text().replace("1 1\n", "1 99\n", 1))
    return "image 1 must be of a class of classes.txt, got 99"


def _no_label(root: Path) -> str:
    path = root / "CUB_200_2011" / "image_class_labels.txt"
    path.write_text("\n".join(path.read_text().splitlines()[1:]))
    return "image_class_labels.txt must have a line for image 1, got none"


def _half_a_line(root: Path) -> str:
    path = root / "CUB_200_2011" / "images.txt"
    path.write_text(path.read_text() + "77\n")
    return "images.txt, line 41 must hold 2 fields, got '77'"


def _half_a_box(root: Path) -> str:
    path = root / "CUB_200_2011" / "bounding_boxes.txt"
    path.write_text(path.read_text().replace(".0\n", "\n", 1).replace("1 ", "1 x ", 1))
    return "must have x, y, width and height of image 1, got 'x "


def _no_list(root: Path) -> str:
    (root / "train_list.mat").write_bytes(b"MATLAB")
    return "train_list.mat must be a MATLAB file with a file_list"


def _no_box(root: Path) -> str:
    first(root, "Annotation/*/*_0").write_text("<annotation></annotation>")
    return "_0 must hold a box, got none"


def _no_xml(root: Path) -> str:
    first(root, "Annotation/*/*_0").write_text("<annotation>")
    return "_0 must be an annotation with boxes"


def _no_wordnet_id(root: Path) -> str:
    (root / "train" / "n01440764").rename(root / "train" / "tench")
    return "must hold folders of classes such as n01440764, got tench"


def _no_class_folder(root: Path) -> str:
    shutil.rmtree(root / "bg_challenge" / "mixed_rand" / "val" / "08_fish")
    return "08_fish must exist to read ImageNet-9"


def _no_id_in_the_name(root: Path) -> str:
    path = first(root, PICTURES["imagenet9/mixed_rand"])
    path.rename(path.with_name("rex.JPEG"))
    return "rex.JPEG must be named after its class of ImageNet"


def _no_number(root: Path) -> str:
    folder = first(root, "LAION-final/*")
    folder.rename(folder.with_name("ostrich"))
    return "ostrich must be named after a class of ImageNet's 1,000"


def _no_counter_part(root: Path) -> str:
    shutil.rmtree(first(root, "LAION-final/*/counter-*"))
    return "must have a folder counter-... with pictures, got none"


def _one_class(root: Path) -> str:
    for name in ("elephant", "giraffe", "zebra"):
        shutil.rmtree(root / "train" / name)
    return "must hold at least two class folders, got ['bear']"


def _missing_class(root: Path) -> str:
    shutil.rmtree(root / "imagenette2-160" / "train" / "n03888257")
    return "n03888257 must be a folder: finish the download"


def _half_a_batch(root: Path) -> str:
    path = root / "cifar-10-batches-py" / "data_batch_3"
    path.write_bytes(path.read_bytes()[:-500])
    return "data_batch_3 must be a whole batch of CIFAR-10"


def _another_pickle(root: Path) -> str:
    (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps({b"x": 1}))
    return "data_batch_3 must be a whole batch of CIFAR-10"


def _a_program(root: Path) -> str:
    (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(pickle.dumps(os.getcwd))
    return "posix.getcwd has no place in a batch of images"


def _label_ten(root: Path) -> str:
    path = root / "cifar-10-batches-py" / "data_batch_1"
    batch = {b"labels": [10], b"data": np.zeros((1, 3072), np.uint8)}
    path.write_bytes(pickle.dumps(batch, protocol=2))
    return "labels of train must lie from 0 to 9, got 10 for image 0"


def _half_an_archive(root: Path) -> str:
    path = root / "train-images-idx3-ubyte.gz"
    path.write_bytes(path.read_bytes()[:-100])
    return "train-images-idx3-ubyte.gz must be a whole gzip file"


def _another_magic(root: Path) -> str:
    shutil.copy(root / "train-labels-idx1-ubyte.gz", root / "train-images-idx3-ubyte.gz")
    return "must be an idx file of bytes in 3 dimensions, got one that begins with 00000801"


def _fewer_bytes(root: Path) -> str:
    path = root / "train-images-idx3-ubyte.gz"
    path.write_bytes(gzip.compress(gzip.decompress(path.read_bytes())[:-5]))
    return "must hold 23520 bytes after its header, got 23515"


def _fewer_labels(root: Path) -> str:
    shutil.copy(root / "t10k-labels-idx1-ubyte.gz", root / "train-labels-idx1-ubyte.gz")
    return "must hold a label for each of the 30 images, got 10"


@pytest.mark.parametrize(
    ("name", "damage"),
    [
        *(("isic2017", damage) for damage in (_no_column, _two_classes)),
        *(("cub", damage) for damage in (_unknown_species, _no_label, _half_a_line)),
        ("cub/boxes", _half_a_box),
        ("stanford_dogs", _no_list),
        *(("stanford_dogs/boxes", damage) for damage in (_no_box, _no_xml)),
        ("imagenet", _no_wordnet_id),
        ("imagenet9/mixed_rand", _no_class_folder),
        ("imagenet9/mixed_rand_fine", _no_id_in_the_name),
        *(("counter_animal/counter", damage) for damage in (_no_number, _no_counter_part)),
        ("folder", _one_class),
        ("imagenette", _missing_class),
        *(("cifar10", damage) for damage in (_half_a_batch, _another_pickle)),
        *(("cifar10", damage) for damage in (_a_program, _label_ten)),
        *(("mnist", damage) for damage in (_half_an_archive, _another_magic)),
        *(("cmnist", damage) for damage in (_fewer_bytes, _fewer_labels)),
    ],
)
def test_a_damaged_list_or_archive(
    copy: Callable[[str], Path], name: str, damage: Callable[[Path], str]
) -> None:
    root = copy(name)
    expected = damage(root)
    assert expected in building(name, root)
