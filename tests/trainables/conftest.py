"""The tiny data set that the tests of this folder share."""

from __future__ import annotations

import pytest

from hsplid_core.config import DataConfig
from tests.tiny import tiny_data


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> DataConfig:
    return tiny_data(tmp_path_factory.mktemp("tiny"))
