"""Images that show the same in two splits or under two labels: told, and left out by choice."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from hsplid_core.config import DataConfig
from hsplid_core.data import Split, load
from tests.hsplid_core.data.folder_roots import SIZE, checked, picture


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Ten cats and dogs to train on, four to test on, and copies among them."""
    root = tmp_path / "root"
    for part, count in (("train", 10), ("test", 4)):
        for name in ("cat", "dog"):
            for number in range(count):
                picture(root / part / name / f"{number}.jpg")
    for source, copy in (
        ("train/cat/0", "test/dog/0"),
        ("train/cat/1", "test/cat/1"),
        ("train/cat/2", "train/dog/2"),
        ("train/dog/3", "train/dog/4"),
    ):
        shutil.copy(root / f"{source}.jpg", root / f"{copy}.jpg")
    return root


def test_equal_images_are_findings_and_repetitions_a_note(root: Path) -> None:
    report = checked(root)
    assert {finding.kind for finding in report.findings} == {"duplicate"}
    assert sorted(finding.text for finding in report.findings) == [
        "train/cat/0.jpg (cat) and test/dog/0.jpg (dog) show the same, in training and test, "
        "under different labels",
        "train/cat/2.jpg (cat) and train/dog/2.jpg (dog) show the same, in one split, under "
        "different labels",
    ]
    assert (
        "1 images are in training and test "
        "(first: train/cat/1.jpg (cat) and test/cat/1.jpg (cat)); "
        "data.duplicates=drop leaves them out of training"
    ) in report.notes
    assert "1 images repeat others of their class" in report.notes


def test_equal_images_are_left_out_of_training_by_choice(root: Path, tmp_path: Path) -> None:
    def names(split: Split, duplicates: str) -> set[str]:
        data = DataConfig(
            name="folder",
            root=root,
            image_size=SIZE,
            cache_dir=tmp_path / "cache",
            duplicates=duplicates,  # type: ignore[arg-type]
        )
        return set(load(data, split).ids)

    kept = names("train", "keep") | names("val", "keep")
    assert len(kept) == 20
    for _ in range(2):  # the second time from what is remembered
        dropped = kept - names("train", "drop") - names("val", "drop")
        assert dropped == {
            *("train/cat/0.jpg", "train/cat/1.jpg", "train/cat/2.jpg"),
            *("train/dog/2.jpg", "train/dog/4.jpg"),
        }
        # What is held out stays where it was.
        assert names("val", "drop") <= names("val", "keep")
    assert names("test", "drop") == names("test", "keep")
    (memo,) = (tmp_path / "cache").glob("unequal-*.npy")
    written, chosen = memo.read_bytes(), names("train", "drop")
    # Damaged, what is remembered is found out once more.
    for content in (b"", b"my diary", written[:-1]):
        memo.write_bytes(content)
        assert names("train", "drop") == chosen
        assert memo.read_bytes() == written
