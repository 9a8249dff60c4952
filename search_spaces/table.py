"""Which search space a name stands for."""

from __future__ import annotations

from search_spaces import hsplid, pretrain
from search_spaces._suggest import SearchSpace

SPACES: dict[str, SearchSpace] = {
    "hsplid": SearchSpace(hsplid.suggest, hsplid.PAPER),
    "pretrain": SearchSpace(pretrain.suggest, pretrain.PAPER),
}
