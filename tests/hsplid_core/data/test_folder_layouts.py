"""Folders of class folders in the layouts that people have: read as meant, or refused."""

from __future__ import annotations

import os
import unicodedata
from pathlib import Path

import pytest

from hsplid_core.data.readers.parts import role_of
from hsplid_core.errors import DataError
from tests.hsplid_core.data.folder_roots import (
    checked,
    ids,
    mask,
    opened,
    picture,
    samples,
    tree,
)


@pytest.mark.parametrize(
    ("names", "role"),
    [
        (
            "train Train TRAIN training Training_Set train-images seg_train trainset train2017",
            "train",
        ),
        ("test TEST Testing test_set testset tst", "test"),
        ("val Valid VALIDATION dev development val2017 validset", "validation"),
        ("eval Evaluation", "evaluation"),
        ("cat trainer contest valley device train_masks dog_train set 2017", None),
    ],
)
def test_names_of_parts(names: str, role: str | None) -> None:
    assert {name: role_of(name) for name in names.split()} == dict.fromkeys(names.split(), role)


@pytest.mark.parametrize(
    "parts", [("Train", "Test"), ("Training", "Testing"), ("train", "valid"), ("TRAIN_SET", "dev")]
)
def test_parts_by_any_name(tmp_path: Path, parts: tuple[str, str]) -> None:
    tree(tmp_path, parts, masks="Masks")
    for split, part in zip(("train", "test"), parts, strict=True):
        source = opened(tmp_path, split)
        assert source.class_names == ("cat", "dog")
        assert ids(source) == [f"{part}/{name}/{n}.jpg" for name in ("cat", "dog") for n in (0, 1)]
        for sample in samples(source):
            assert sample.mask is not None
            assert sample.mask[0, :, -1].all()
            assert not sample.mask[0, :, 0].any()


def test_the_parts_that_are_not_read_are_told(tmp_path: Path) -> None:
    tree(tmp_path, ("train", "valid", "test"))
    assert len(opened(tmp_path, "test")) == 4
    assert any("valid is not read" in note for note in checked(tmp_path).notes)


def test_test_images_without_labels_leave_the_test_to_others(tmp_path: Path) -> None:
    tree(tmp_path, ("train", "val"))
    picture(tmp_path / "test" / "0.jpg")
    assert ids(opened(tmp_path, "test"))[0] == "val/cat/0.jpg"
    assert any("test is not read" in note for note in checked(tmp_path).notes)


def test_a_class_may_be_called_train(tmp_path: Path) -> None:
    for name in ("bus", "car", "train"):
        for number in range(4):
            picture(tmp_path / name / f"{number}.jpg")
    assert opened(tmp_path).class_names == ("bus", "car", "train")
    assert len(opened(tmp_path)) == 9


REFUSED = {
    "two training parts": (("train/cat/1", "Training/cat/1", "test/cat/1"), "Training and train"),
    "test images without labels": (("train/cat/1", "train/dog/1", "test/1"), "with class folders"),
    "no test part": (("train/cat/1", "train/dog/1"), "test must exist"),
    "parts without classes": (("train/1", "test/1"), "train and test as classes"),
    "a test part beside classes": (("cat/1", "dog/1", "test/1"), "test as classes"),
    "folds": (("a/cat/1", "a/dog/1", "b/cat/1", "b/dog/1"), "have a folder cat"),
    "classes first": (("cat/train/1", "cat/test/1", "dog/train/1", "dog/test/1"), "folder test"),
    "masks called otherwise": (("cat/1", "dog/1", "object/cat/1", "object/dog/1"), "object would"),
    "pictures and annotations": (("images/1", "annotations/1"), "annotations and images"),
    "masks in the part": (
        ("train/images/cat/1", "train/labels/cat/1", "test/images/cat/1"),
        "images and labels as a class",
    ),
    "masks in the classes": (
        ("train/cat/images/1", "train/cat/masks/1", "train/dog/images/1", "train/dog/masks/1",
         "test/cat/1"),
        "have a folder masks",
    ),
    "one folder around": (("data/train/cat/1", "data/test/cat/1"), "give root="),
    "a class in two spellings": (("train/Cat/1", "train/cat/1", "test/cat/1"), "spelling alone"),
    "a class that is tested alone": (("train/cat/1", "train/dog/1", "test/dgo/1"), "mean dog?"),
    "two folders of masks": (("cat/1", "dog/1", "mask/cat/1", "masks/cat/1"), "mask and masks"),
}  # fmt: skip


@pytest.mark.parametrize("name", REFUSED)
def test_what_may_be_meant_otherwise_is_refused(tmp_path: Path, name: str) -> None:
    paths, text = REFUSED[name]
    for path in paths:
        for number in range(3):
            picture(tmp_path / f"{path}{number}.jpg")
    with pytest.raises(DataError) as caught:
        len(opened(tmp_path))
    assert text in str(caught.value)
    assert "\n" not in str(caught.value)


def test_spellings_of_a_class_in_training_and_test(tmp_path: Path) -> None:
    decomposed = unicodedata.normalize("NFD", "Bär")
    tree(tmp_path, ("train",), ("Bär", "Cat"))
    tree(tmp_path, ("test",), (decomposed, "cat"))
    assert opened(tmp_path, "test").class_names == ("Bär", "Cat")
    assert [sample.label for sample in samples(opened(tmp_path, "test"))] == [0, 0, 1, 1]


def test_what_systems_and_editors_leave_behind_is_no_picture(tmp_path: Path) -> None:
    tree(tmp_path, masks="masks")
    left = [".ipynb_checkpoints/0-checkpoint.jpg", "._0.jpg", ".hidden/1.jpg", "__MACOSX/0.jpg"]
    for name in left:
        picture(tmp_path / "train" / "cat" / name)
    picture(tmp_path / "__MACOSX" / "train" / "cat" / "0.jpg")
    for name in ("Thumbs.db", ".DS_Store", "desktop.ini"):
        (tmp_path / "train" / "cat" / name).write_bytes(b"x")
    assert len(opened(tmp_path)) == 4
    report = checked(tmp_path)
    assert report.findings == ()
    assert any(note.startswith("7 hidden files and leftovers") for note in report.notes)


def test_links(tmp_path: Path) -> None:
    root = tree(tmp_path / "root")
    elsewhere = tmp_path / "elsewhere"
    picture(elsewhere / "more" / "5.jpg")
    cats = root / "train" / "cat"
    (cats / "more").symlink_to(elsewhere)
    (cats / "around").symlink_to(root / "train")
    (cats / "file.jpg").symlink_to(elsewhere / "more" / "5.jpg")
    assert "train/cat/more/more/5.jpg" in ids(opened(root))
    before = opened(root).stamp()
    picture(elsewhere / "6.jpg")
    assert opened(root).stamp() != before
    (cats / "gone.jpg").symlink_to("/nowhere/gone.jpg")
    (cats / "gone").symlink_to("/nowhere")
    (cats / "self.jpg").symlink_to(cats / "self.jpg")
    report = checked(root)
    missing = " ".join(finding.text for finding in report.findings)
    for name in ("gone.jpg", "gone is a link to /nowhere", "self.jpg"):
        assert name in missing
    assert "download" not in missing
    assert any("cat/around is a link to a folder around it" in note for note in report.notes)
    with pytest.raises(DataError, match=r"gone.jpg is missing: it is a link to /nowhere"):
        opened(root).identity()
    assert isinstance(opened(root).stamp(), str)


def test_names_that_are_no_utf8(tmp_path: Path) -> None:
    tree(tmp_path, masks="masks")
    odd = os.fsdecode(b"caf\xe9")
    picture(tmp_path / "train" / "cat" / f"{odd}.jpg")
    mask(tmp_path / "masks" / "train" / "cat" / f"{odd}.png")
    source = opened(tmp_path)
    assert "train/cat/caf\\udce9.jpg" in ids(source)
    assert source.identity() == opened(tmp_path).identity()
    assert source.stamp()
    (tmp_path / "train" / "cat" / f"{odd}.jpg").write_bytes(b"")
    (finding,) = (f for f in checked(tmp_path).findings if f.kind == "damaged")
    assert finding.text.encode()  # can be printed
    assert "caf\\udce9.jpg must be a readable picture, but is empty" in finding.text


@pytest.mark.parametrize(
    ("image", "other"),
    [
        ("bär", unicodedata.normalize("NFD", "bär") + ".png"),
        (unicodedata.normalize("NFD", "bär"), "bär.png"),
        ("IMG_1", "img_1.PNG"),
        ("a", "a.gif"),
        ("a", "a.tif"),
        ("a.b", "a.b.png"),
        ("a", "a.jpg.png"),
        ("a", "a_mask.png"),
        ("a", "A-Segmentation.png"),
    ],
)
def test_spellings_of_a_mask(tmp_path: Path, image: str, other: str) -> None:
    tree(tmp_path, masks="masks")
    picture(tmp_path / "train" / "cat" / f"{image}.jpg")
    mask(tmp_path / "masks" / "Train" / "cat" / other)
    assert len(samples(opened(tmp_path))) == 5
    assert checked(tmp_path).findings == ()
    assert opened(tmp_path).identity()


def test_a_mask_of_two_pictures_and_a_picture_of_two_masks(tmp_path: Path) -> None:
    tree(tmp_path, masks="masks")
    other = picture(tmp_path / "train" / "cat" / "0.png", "PNG")
    with pytest.raises(DataError, match=r"0.png must be the mask of one picture, got .*0.jpg"):
        len(opened(tmp_path))
    other.unlink()
    place = tmp_path / "masks" / "train" / "cat"
    (place / "0.png").rename(place / "0.gif")
    mask(place / "0.bmp")
    with pytest.raises(DataError, match=r"cat/0.jpg must have one mask"):
        len(opened(tmp_path))


def test_what_is_told_of_strangers(tmp_path: Path) -> None:
    tree(tmp_path, masks="masks")
    cats = tmp_path / "train" / "cat"
    (cats / "0.jpg").rename(cats / "9")
    (cats / "1.jpg").rename(cats / "1.jpg.download")
    (cats / "raw.heic").write_bytes(b"\0\0\0\x18ftypheic")
    (cats / "notes.txt").write_text("mine")
    picture(cats / "0.jpg")
    texts = {Path(f.text.split()[0]).name: f.text for f in checked(tmp_path).findings}
    assert "it holds a JPEG picture" in texts["9"]
    assert "it holds a JPEG picture" in texts["1.jpg.download"]
    assert ".heic is not read; convert it" in texts["raw.heic"]
    assert texts["notes.txt"].endswith("does not belong to the data set: it is not read")
    assert "is one missing, or named otherwise?" in texts["1.png"]
    assert not any("remove" in text or "download it" in text for text in texts.values())


def test_a_class_of_files_that_are_not_read(tmp_path: Path) -> None:
    tree(tmp_path)
    for path in (tmp_path / "train" / "cat").iterdir():
        path.rename(path.with_suffix(".heic"))
    with pytest.raises(DataError, match=r"cat must hold pictures, got other files, .heic \(2\)"):
        len(opened(tmp_path))
