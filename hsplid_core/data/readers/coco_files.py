"""Files of a COCO data set: which annotation file is for which part, and where its images lie.

Programs name images as they please: with folders or without, with a drive of Windows, as an
address, as a path of the machine that wrote the file. What is read is always a file in the data
set's own folder: the one whose path ends as the name does.
"""

from __future__ import annotations

import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath
from typing import Literal, NamedTuple
from urllib.parse import unquote, urlsplit

import torch

from hsplid_core.data.readers.coco_annotations import AnnotatedImage, Selection
from hsplid_core.data.readers.file_lists import pictures_in
from hsplid_core.data.splits import stratified_split
from hsplid_core.errors import DataError

# Of COCO's animals, as many of train2017's images as the released split tests on.
MOVED_SHARE = 0.2
_MOVED_SEED = 0
Role = Literal["train", "val", "test"]
_ROLES: dict[str, Role] = {
    "train": "train",
    "training": "train",
    "val": "val",
    "valid": "val",
    "validation": "val",
    "test": "test",
    "testing": "test",
}
_SUFFIXES = (".json", ".json.gz")
LAYOUT = (
    "the root must hold one COCO file, or one for training and one for test or validation, named "
    "so or in folders named so (as train/_annotations.coco.json, annotations/instances_val.json), "
    "with the images in the same folders; or the JSON files of labelme beside their images"
)


class Part(NamedTuple):
    """The annotations of one part of a data set.

    Attributes:
        role: What it is for; None for a file that is for all.
        files: The annotation file; of labelme, one for each image.
        labelme: Whether these are labelme's own files.
    """

    role: Role | None
    files: tuple[Path, ...]
    labelme: bool


class Piece(NamedTuple):
    """Images of one annotation file, or a share of them.

    Attributes:
        part: The annotation file, or labelme's files.
        folder: Where its images lie, in the folder itself or below it.
        share: Whether only those images are taken that stay to be trained on, or only those that
            are moved to the test; None takes all.
    """

    part: Part
    folder: Path
    share: Literal["stay", "moved"] | None = None


class Located(NamedTuple):
    """An annotated image with its file, which may be missing.

    Attributes:
        path: The file.
        id: Its path below the folder of its images.
        image: What is annotated.
        in_shares: Whether coordinates are shares of the image's sides.
    """

    path: Path
    id: str
    image: AnnotatedImage
    in_shares: bool


def find_parts(root: Path) -> tuple[Part, Part | None]:
    """Find what is trained on, and what is tested on; None in its place where one file is for all.

    Validation images take the place of test images where there are none.

    Args:
        root: Folder of the data set.

    Raises:
        DataError: There is no annotation file, or there are several for the same part.
    """
    if not root.is_dir():
        raise DataError(f"{root} must be a folder to read COCO files: {LAYOUT}") from (
            FileNotFoundError(root)
        )
    parts: defaultdict[Role | None, list[Path]] = defaultdict(list)
    files = list(_annotation_files(root))
    instances = [path for path in files if path.name.startswith("instances_")]
    for path in instances or files:  # beside captions and keypoints in COCO's own archive
        parts[role_of(path, root)].append(path)
    if not parts:
        raise DataError(f"{root} holds no annotation file: {LAYOUT}") from (
            FileNotFoundError(root)
        )
    found = {role: _part(role, paths, root) for role, paths in parts.items()}
    training = found.get("train")
    testing = found.get("test") or found.get("val")
    if training is not None:
        return training, testing
    if len(found) > 1:
        names = ", ".join(str(part.files[0].relative_to(root)) for part in found.values())
        raise DataError(f"{root} must have a file to train on among {names}: {LAYOUT}")
    return next(iter(found.values())), None


def role_of(path: Path, root: Path) -> Role | None:
    """Tell what a file or folder below the root is for, by the words of its name or folders."""
    for name in reversed(path.relative_to(root).parts):
        for word in re.split(r"[^a-z]+", name.lower()):
            if word in _ROLES:
                return _ROLES[word]
    return None


class Pictures:
    """The pictures below a root, found by the names that annotations give them.

    Args:
        root: Folder of the data set.
        part: Whose images are looked for; those in folders of other parts are none of it.
        folders: Where they are looked for first.
    """

    def __init__(self, root: Path, role: Role | None, folders: Sequence[Path]) -> None:
        self._root = root
        self._first = [folder.relative_to(root) for folder in folders]
        self._by_name: defaultdict[str, list[tuple[PurePosixPath, Path]]] = defaultdict(list)
        for path in pictures_in(root):
            theirs = role_of(path.parent, root)
            if role is None or theirs in (None, role):
                below = PurePosixPath(_spelt(path.relative_to(root).as_posix()))
                self._by_name[below.name].append((below, path))

    def find(self, name: str) -> Path | None:
        """Find the file that a name of an annotation file means.

        Args:
            name: As it stands there.

        Returns:
            The file whose path ends with most of the name; None if no file's does.

        Raises:
            DataError: The paths of several end so, and none lies where it is looked for first.
        """
        parts = plain_parts(name)
        found = self._by_name.get(parts[-1], []) if parts else []
        for n_parts in range(len(parts), 0, -1):
            ending = parts[-n_parts:]
            like = [(below, path) for below, path in found if below.parts[-n_parts:] == ending]
            wanted = [PurePosixPath(_spelt(folder.as_posix()), *ending) for folder in self._first]
            first = [path for place in wanted for below, path in like if below == place]
            if first or len(like) == 1:
                return (first or [path for _, path in like])[0]
            if like:
                raise DataError(
                    f"{self._root} must hold one file for the image {name}, got {like[0][0]} and "
                    f"{like[1][0]}: name the folder, too, in the annotation file"
                )
        return None


def plain_parts(name: str) -> tuple[str, ...]:
    """Split a name of an image into folders and file, whatever system or server wrote it."""
    if re.match(r"[A-Za-z][A-Za-z0-9+.-]+://", name):
        name = unquote(urlsplit(name).path)
    parts = re.split(r"[/\\]+", _spelt(name))
    return tuple(part for part in parts if part not in ("", ".", "..") and part[-1:] != ":")


def pictures_of(piece: Piece) -> Pictures:
    """Find the pictures that a piece's images may be."""
    first = [piece.part.files[0].parent, piece.folder]
    inside = [place for place in first if place.is_relative_to(piece.folder)]
    return Pictures(piece.folder, piece.part.role, inside)


def located(piece: Piece, selection: Selection) -> list[Located]:
    """Find the files of a piece's images, whether these exist or not.

    Args:
        piece: The piece.
        selection: Its images that are of use.

    Raises:
        DataError: Two images are one file, a name leads out of the folder or to several files, or
            a class has too few images to be shared.
    """
    pictures, first, found = pictures_of(piece), dict[Path, str](), []
    for image in selection.images:
        path = _path(piece, pictures, image.file_name)
        other = first.setdefault(path, image.file_name)
        if other != image.file_name:
            raise DataError(
                f"{piece.part.files[0]}: the images {other} and {image.file_name} must be two "
                f"files, but {path} is the only one of that name: add the folders, or the file"
            )
        name = path.relative_to(piece.folder).as_posix()
        found.append(Located(path, name, image, selection.in_shares))
    if piece.share is None:
        return found
    labels = torch.tensor([image.label for _, _, image, _ in found], dtype=torch.int64)
    stay, moved = stratified_split(labels, MOVED_SHARE, _MOVED_SEED, selection.class_names)
    return [found[row] for row in (stay if piece.share == "stay" else moved).tolist()]


def _path(piece: Piece, pictures: Pictures, name: str) -> Path:
    path = pictures.find(name)
    if path is not None:
        return path
    parts, place = plain_parts(name), Path(name)
    if not parts or place.is_absolute() or ".." in place.parts:
        raise DataError(
            f"{piece.part.files[0]}: an image must have a file_name in the image folder, got "
            f"{name!r}: nothing outside of {piece.folder} is read, and no file in it is called so"
        )
    return piece.folder.joinpath(*parts)


def _annotation_files(root: Path) -> Iterator[Path]:
    """Find the JSON files in the root and down to two folders below it."""
    for depth in ("*", "*/*", "*/*/*"):
        for path in sorted(root.glob(depth)):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if path.name.lower().endswith(_SUFFIXES) and path.is_file() and not hidden:
                yield path


def _part(role: Role | None, paths: list[Path], root: Path) -> Part:
    coco = [path for path in paths if _is_coco(path)]
    labelme = tuple(path for path in paths if _is_labelme(path))
    if not coco and labelme:
        return Part(role, labelme, True)
    chosen = coco or paths
    if len(chosen) > 1:
        names = ", ".join(str(path.relative_to(root)) for path in chosen[:4])
        raise DataError(
            f"{root} must hold one annotation file for {role or 'all its images'}, got "
            f"{len(chosen)} ({names}): {LAYOUT}"
        )
    return Part(role, (chosen[0],), False)


def _begins(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(4096).decode("utf-8", "replace")


def _is_labelme(path: Path) -> bool:
    """Whether a file has one of labelme's first keys, and none of COCO's."""
    start = _begins(path)
    return '"shapes"' in start and '"categories"' not in start and '"images"' not in start


def _is_coco(path: Path) -> bool:
    start = _begins(path)
    keys = ('"images"', '"annotations"', '"categories"', '"info"', '"licenses"')
    return path.suffix == ".gz" or any(key in start for key in keys)


def _spelt(name: str) -> str:
    """One spelling of a name: macOS stores an umlaut as two code points, others as one."""
    return unicodedata.normalize("NFC", name)
