"""What all tests share."""

from __future__ import annotations

import os

import pytest
import torch


def pytest_configure() -> None:
    """Let Ray's workers compete with the tests as equals: they are nice by default, and starve."""
    os.environ.setdefault("RAY_worker_niceness", "0")


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """Keep torch to one thread: the tensors are small, and threads of parallel workers fight."""
    torch.set_num_threads(1)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Skip what needs a GPU where there is none."""
    if torch.cuda.is_available():
        return
    for item in items:
        if item.get_closest_marker("gpu"):
            item.add_marker(pytest.mark.skip(reason="no CUDA device"))
