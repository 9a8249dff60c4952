"""Checking data sets on disk: every kind of fault is named, in every layout."""

from __future__ import annotations

import shutil
from functools import partial
from pathlib import Path

import pytest
from PIL import Image

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS, Sample
from hsplid_core.data.check_files import Finding, check_sources
from hsplid_core.data.readers.pictures import SUFFIXES
from hsplid_core.data.workers import Workers
from tests.hsplid_core.data.test_contract import small_demo

SIZE = 32
READ = DataConfig(image_size=SIZE)
MASK_FOLDERS = {
    "isic2017": "ISIC-2017_Training_Part1_GroundTruth",
    "cub": "CUB_200_2011/segmentations",
    "cub_gha": "CUB_200_2011/CUB_GHA",
    "folder": "masks",
}
TABLES = {
    "coco_animals": "annotations/instances_train2017.json",
    "isic2017": "ISIC-2017_Training_Part3_GroundTruth.csv",
    "cub": "CUB_200_2011/images.txt",
    "stanford_dogs": "train_list.mat",
    "cifar10": "cifar-10-batches-py/data_batch_1",
    "mnist": "train-images-idx3-ubyte.gz",
}
every = pytest.mark.parametrize("name", DATA_SETS)


def checked(name: str, root: Path) -> list[Finding]:
    entry = DATA_SETS[name]
    openers = [partial(opener, root, READ) for opener in (entry.training, entry.testing) if opener]
    report = check_sources(openers, progress=lambda *_: None, workers=Workers(count=2))
    return list(report.findings)


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demos")


@pytest.fixture
def root(demos: Path, tmp_path: Path, request: pytest.FixtureRequest) -> Path:
    """A copy of the data set's stand-in, to be damaged."""
    name: str = request.getfixturevalue("name")
    return Path(shutil.copytree(small_demo(name, demos), tmp_path / "root"))


def first_image(name: str, root: Path) -> Path:
    """An image file of the data set's first split."""
    entry = DATA_SETS[name]
    source = (entry.training or entry.testing)(root, READ)
    sample = source.sample(0)
    assert isinstance(sample, Sample)
    (path,) = (p for p in root.rglob("*") if p.as_posix().endswith(f"/{sample.id}"))
    assert path.suffix.lower() in SUFFIXES
    return path


@every
def test_a_whole_data_set_has_no_findings(name: str, root: Path) -> None:
    assert checked(name, root) == []


# In a folder of COCO's form, which may hold anything, nothing is foreign.
IMAGES = [name for name in DATA_SETS if name not in ("mnist", "cmnist", "cifar10", "coco")]


@pytest.mark.parametrize("name", IMAGES)
def test_damaged_and_foreign_files_are_named(name: str, root: Path) -> None:
    image = first_image(name, root)
    image.write_bytes(image.read_bytes()[:-80])
    foreign = image.with_name("notes.txt")
    foreign.write_text("mine")
    findings = checked(name, root)
    assert [finding.kind for finding in findings] == ["damaged", "foreign"]
    assert f"{image} must be a readable picture" in findings[0].text
    assert findings[1].text == f"{foreign} does not belong to the data set: it is not read"


LISTED = ["coco_animals", "isic2017", "cub", "cub_gha", "stanford_dogs"]


@pytest.mark.parametrize("name", LISTED)
def test_every_missing_image_is_named(name: str, root: Path) -> None:
    gone = first_image(name, root)
    also = sorted(gone.parent.glob(f"*{gone.suffix}"))[:3]
    before = checked(name, root)
    assert before == []
    gone.unlink()
    names = {str(gone)}
    for path in also[1:]:
        if "superpixels" not in path.name and path.exists():
            path.unlink()
            names.add(str(path))
    findings = [finding for finding in checked(name, root) if finding.kind == "missing"]
    told = {name for name in names if any(name in finding.text for finding in findings)}
    assert str(gone) in told
    # COCO's folders hold images that are not needed, too: those that show other things.
    assert told == names or name == "coco_animals"


@pytest.mark.parametrize("name", MASK_FOLDERS)
def test_masks_that_do_not_fit(name: str, root: Path) -> None:
    masks = sorted(path for path in (root / MASK_FOLDERS[name]).rglob("*") if path.is_file())
    wrong, gone = masks[0], masks[1]
    with Image.open(wrong) as mask:
        size = mask.size
        mask.resize((size[0] + 1, size[1])).save(wrong)
    gone.unlink()
    kinds = {finding.kind: finding.text for finding in checked(name, root)}
    assert f"{wrong} must be {size[0]}x{size[1]} as its image" in kinds["damaged"]
    assert str(gone) in kinds["missing"]


@pytest.mark.parametrize("name", TABLES)
def test_a_truncated_table_is_named(name: str, root: Path) -> None:
    path = root / TABLES[name]
    path.write_bytes(path.read_bytes()[:-30])
    # A text that was cut at the end of a line is a table still; its last image is then foreign.
    assert checked(name, root) != []
    path.unlink()
    missing = [finding for finding in checked(name, root) if finding.kind == "missing"]
    assert str(path) in missing[0].text


@pytest.mark.parametrize("name", ["mnist", "cmnist", "cifar10"])
def test_foreign_files_among_arrays(name: str, root: Path) -> None:
    folder = root / "cifar-10-batches-py" if name == "cifar10" else root
    (folder / "notes.txt").write_text("mine")
    assert [finding.kind for finding in checked(name, root)] == ["foreign"]


def test_several_missing_files_are_named_at_once(tmp_path: Path) -> None:
    findings = checked("isic2017", tmp_path)
    assert {finding.kind for finding in findings} == {"missing"}
    text = " ".join(finding.text for finding in findings)
    for part in ("Training", "Validation", "Test_v2"):
        for suffix in ("_Data", "_Part1_GroundTruth", "_Part3_GroundTruth.csv"):
            assert f"{tmp_path}/ISIC-2017_{part}{suffix}" in text


def test_progress_counts_all_images(demos: Path) -> None:
    root = small_demo("folder", demos)
    entry = DATA_SETS["folder"]
    assert entry.training is not None
    seen: list[tuple[int, int]] = []
    openers = [partial(entry.training, root, READ), partial(entry.testing, root, READ)]
    check_sources(openers, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(16, 24), (24, 24)]  # a call a run of images, which ends with its split
