"""What the tests of whole sweeps share."""

from __future__ import annotations

import os
import signal
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsplid_core.data.demo import write_coco_demo
from tests.sweeps.whole_sweep import Sweep


@pytest.fixture(scope="session")
def small_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder of 200 pictures of 32 pixels."""
    folder = tmp_path_factory.mktemp("data") / "coco"
    return write_coco_demo(folder, image_size=32, n_train=160, n_val=40)


@pytest.fixture
def sweep(tmp_path: Path, small_coco: Path) -> Iterator[Sweep]:
    """A sweep in a folder of its own; what it started ends with the test."""
    (tmp_path / "coco").symlink_to(small_coco)
    made = Sweep(tmp_path)
    made.write()
    yield made
    for process in made.started:
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)
            process.communicate()
