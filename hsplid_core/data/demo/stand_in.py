"""Writing a stand-in for a data set: once, whole or not at all, and marked as what it is."""

from __future__ import annotations

import contextlib
import hashlib
import json
import shutil
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Protocol

from hsplid_core.data.readers.demo_marker import DEMO_MARKER
from hsplid_core.errors import ConfigError, DataError
from hsplid_core.files import locked, make_folder, sync_folder

"""A file of this name in the root says that the data set is an embedded stand-in."""


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """What a stand-in's content depends on.

    Attributes:
        image_size: Side of its square pictures, in pixels.
        n_train: Images to train on.
        n_test: Images to test on.
        seed: Of every choice.
        version: Of the program that draws it.
    """

    image_size: int
    n_train: int
    n_test: int
    seed: int
    version: int


class Write(Protocol):
    """Draws a stand-in."""

    def __call__(self, root: Path, *, parameters: Parameters) -> None:
        """Create a folder and fill it."""


class Demo(Protocol):
    """Writes a data set's stand-in, or finds it."""

    def __call__(
        self,
        folder: Path,
        image_size: int,
        *,
        n_train: int | None = None,
        n_test: int | None = None,
    ) -> Path:
        """Return its root.

        Args:
            folder: Where its own folder lies.
            image_size: Side of the images that will be read from it, in pixels.
            n_train: Images to train on; None takes the usual number.
            n_test: Images to test on.
        """


@dataclass(frozen=True, kw_only=True)
class StandIn:
    """A stand-in that is drawn into a data set's own layout.

    Attributes:
        name: The data set's.
        write: Fills a folder that does not exist yet.
        n_classes: Fewest images of a split.
        n_train: Usual number of images to train on; 0 where the data set is there to test on.
        n_test: Usual number of images to test on.
        sizes: Smallest and largest side of the pictures, in pixels; smaller images are shrunk
            from them, as real photographs are.
        version: Changes whenever the same parameters would give other files.
    """

    name: str
    write: Write
    n_classes: int
    n_train: int
    n_test: int
    sizes: tuple[int, int] = (64, 512)
    version: int = 1

    def __call__(
        self,
        folder: Path,
        image_size: int,
        *,
        n_train: int | None = None,
        n_test: int | None = None,
    ) -> Path:
        """Write the stand-in into a folder, or find it there; as `Demo`.

        Raises:
            ConfigError: There would be less than an image a class.
            DataError: The folder can't be written.
        """
        smallest, largest = self.sizes
        parameters = Parameters(
            image_size=min(max(image_size, smallest), largest),
            n_train=self.n_train if n_train is None or self.n_train == 0 else n_train,
            n_test=self.n_test if n_test is None else n_test,
            seed=0,
            version=self.version,
        )
        for name, count in (("n_train", parameters.n_train), ("n_test", parameters.n_test)):
            if count < self.n_classes and (name == "n_test" or self.n_train):
                raise ConfigError(
                    f"{name} of the {self.name} demo must be at least one image a class "
                    f"({self.n_classes}), got {count}"
                )
        root = folder / stand_in_name(self.name, asdict(parameters))
        return write_once(root, asdict(parameters), partial(self.write, parameters=parameters))


def stand_in_name(name: str, parameters: Mapping[str, object]) -> str:
    """Name a folder after what it holds, so that different stand-ins lie side by side.

    Args:
        name: The data set's.
        parameters: All that the content depends on, JSON-able.
    """
    digest = hashlib.sha256(json.dumps(parameters, sort_keys=True).encode()).hexdigest()
    return f"{name}-demo-{digest[:12]}"


def write_once(
    root: Path, parameters: Mapping[str, object], write: Callable[[Path], None]
) -> Path:
    """Write a stand-in with its marker, or find it already written with the same parameters.

    Safe when several processes ask at once. What is half-written bears another name.

    Args:
        root: Folder to create.
        parameters: All that the content depends on, JSON-able; kept in the marker.
        write: Fills a folder; it has to create it.

    Returns:
        The root.

    Raises:
        DataError: The root holds something else, or can't be written.
    """
    if _is_written(root, parameters):
        return root
    make_folder(root.parent, "the demo's parent folder")
    with locked(root.with_name(f".{root.name}.lock")):
        if not _is_written(root, parameters):
            _write_atomically(root, parameters, write)
    return root


def _is_written(root: Path, parameters: Mapping[str, object]) -> bool:
    """Whether the stand-in is there; the marker is renamed into place with all the rest."""
    if not root.exists() or (root.is_dir() and not any(root.iterdir())):
        return False
    with contextlib.suppress(OSError, ValueError):  # then it is no marker of ours
        if json.loads((root / DEMO_MARKER).read_text(encoding="utf-8")) == parameters:
            return True
    raise DataError(
        f"{root} must be free, or hold this very demo, to write it there: choose another folder, "
        "or move this one away"
    )


def _write_atomically(
    root: Path, parameters: Mapping[str, object], write: Callable[[Path], None]
) -> None:
    partial = root.with_name(f".{root.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)  # of a process that was killed
    try:
        write(partial)
        (partial / DEMO_MARKER).write_text(json.dumps(parameters, indent=1), encoding="utf-8")
        partial.rename(root)
        sync_folder(root.parent)
    except OSError as error:
        raise DataError(
            f"writing the demo to {root} failed ({error.strerror}): free space or choose another "
            "folder"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)
