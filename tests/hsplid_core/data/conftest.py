from __future__ import annotations

from pathlib import Path

import pytest

from hsplid_core.data.demo.coco import write_coco_demo
from tests.hsplid_core.data.coco_root import CocoRoot


@pytest.fixture
def coco(tmp_path: Path) -> CocoRoot:
    """An empty COCO root to be filled."""
    return CocoRoot(tmp_path / "coco")


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The whole demo as a user gets it; read only."""
    return write_coco_demo(tmp_path_factory.mktemp("demo") / "coco")
