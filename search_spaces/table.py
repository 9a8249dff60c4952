"""Which search space a name stands for."""

from __future__ import annotations

from search_spaces import hbar, hsplid, norm_adversarial, pretrain, sib, sparsity
from search_spaces._suggest import SearchSpace

SPACES: dict[str, SearchSpace] = {
    "hbar": SearchSpace(hbar.suggest, hbar.PAPER),
    "hsplid": SearchSpace(hsplid.suggest, hsplid.PAPER),
    "human_attention": SearchSpace(
        norm_adversarial.suggest_human_attention, norm_adversarial.HUMAN_ATTENTION_PAPER
    ),
    "norm_adversarial": SearchSpace(norm_adversarial.suggest, norm_adversarial.PAPER),
    "pretrain": SearchSpace(pretrain.suggest, pretrain.PAPER),
    "sib": SearchSpace(sib.suggest, sib.PAPER),
    "sparsity": SearchSpace(sparsity.suggest, sparsity.PAPER),
}
