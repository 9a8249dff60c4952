from __future__ import annotations

from pathlib import Path

import pytest

from hsplid_core.errors import ConfigError
from trainables.node_folder import node_folder


def test_the_nodes_own_environment_decides(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NODE_DISK", "/local/7")
    assert node_folder(Path("$NODE_DISK/cache")) == Path("/local/7/cache")
    assert node_folder(None) is None


@pytest.mark.parametrize("given", ["$NOT_SET_HERE/cache", "cache"])
def test_a_folder_that_says_nothing_is_refused(given: str) -> None:
    with pytest.raises(ConfigError, match=r"data\.node_cache is .*: name an absolute path"):
        node_folder(Path(given))
