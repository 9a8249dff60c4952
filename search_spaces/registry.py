"""Registry of the search spaces, by their names."""

from __future__ import annotations

from search_spaces import (
    architectures,
    baselines,
    hbar,
    hsplid,
    hsplid_grid,
    margins,
    norm_adversarial,
    pretrain,
    seeds,
    sib,
    single_pixel,
    sparsity,
)
from search_spaces import hsplid_composed as composition
from search_spaces.search_space import SearchSpace

SPACES: dict[str, SearchSpace] = {
    "baselines": baselines.COCO,
    "baselines_imagenet": baselines.IMAGENET,
    "baselines_isic": baselines.ISIC,
    "hbar": SearchSpace(hbar.suggest, hbar.PAPER),
    "hsplid": hsplid.COCO,
    "hsplid_cmnist": hsplid.CMNIST,
    "hsplid_composed": SearchSpace(composition.suggest, composition.PAPER),
    "hsplid_grid": hsplid_grid.COCO,
    "hsplid_imagenet": hsplid.IMAGENET,
    "hsplid_isic": hsplid.ISIC,
    "human_attention": SearchSpace(
        norm_adversarial.suggest_human_attention, norm_adversarial.HUMAN_ATTENTION_PAPER
    ),
    "margins": SearchSpace(margins.suggest, margins.PAPER, margins.OTHERS),
    "norm_adversarial": SearchSpace(norm_adversarial.suggest, norm_adversarial.PAPER),
    "pretrain": pretrain.COCO,
    "pretrain_cmnist": pretrain.CMNIST,
    "pretrain_isic": pretrain.ISIC,
    "seeds": seeds.SEEDS,
    "sib": SearchSpace(sib.suggest, sib.PAPER),
    "sib_architectures": SearchSpace(
        architectures.suggest, architectures.PAPER, architectures.OTHERS
    ),
    "single_pixel": SearchSpace(single_pixel.suggest, single_pixel.PAPER),
    "single_pixel_malhotra": SearchSpace(
        single_pixel.suggest_malhotra, single_pixel.MALHOTRA_PAPER
    ),
    "sparsity": SearchSpace(sparsity.suggest, sparsity.PAPER, sparsity.OTHERS),
}
