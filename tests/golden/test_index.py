"""Every golden vector is compared with: a kind that no test knows is refused here."""

from __future__ import annotations

import pytest

from tests.golden import load

# The kinds of cases that tests of each family go through, all cases of each.
VISITED = {
    "advgrad": {
        "shared_inputs",
        "l1_fast",
        "l1_iterative",
        "elastic_fast",
        "elastic_iterative",
        "group_fast",
        "group_iterative",
        "cub_human_attention",
        "agg_clip",
    },
    "attacks": {"pgd", "fgsm"},
    "hbar": {"hbar_loss", "sparsity"},
    "hsic": {"hsic_pair", "split_terms", "hsic_linear_sib"},
    "hsplid": {
        "training_sequence",
        "centers_betas_compression",
        "hard_and_split",
        "beta_special_cases",
        "compression_min",
    },
    "margin": {"subspace_deepfool", "dct_filters"},
    "sib": {"quantile", "mask", "full_loss"},
}


@pytest.mark.parametrize("family", VISITED)
def test_every_case_of_the_index_is_visited(family: str) -> None:
    golden = load(family)
    kinds = {name: case["kind"] for name, case in golden.catalogue["cases"].items()}
    assert {name: kind for name, kind in kinds.items() if kind not in VISITED[family]} == {}
    assert {key.partition("/")[0] for key in golden.arrays} == set(kinds)
