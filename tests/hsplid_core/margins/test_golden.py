"""Agreement with the published subspace DeepFool."""

from __future__ import annotations

import pytest
import torch

from hsplid_core.margins import DeepFool, diagonal_blocks
from tests.golden import load
from tests.hsplid_core.margins.published import PublishedNet, waves_of

GOLDEN = load("margin")
CASES = [n for n, case in GOLDEN.catalogue["cases"].items() if case["kind"] == "subspace_deepfool"]
DTYPES = {"f32": torch.float32, "f64": torch.float64}


@pytest.mark.parametrize("batch_size", [1024, 7])
@pytest.mark.parametrize("precision", sorted(DTYPES))
@pytest.mark.parametrize("name", CASES)
def test_agrees_with_published_code(name: str, precision: str, batch_size: int) -> None:
    params, arrays = GOLDEN.catalogue["cases"][name]["params"], GOLDEN.case(name)
    dtype = DTYPES[precision]
    net = PublishedNet(params["net"], arrays, dtype)
    image = torch.tensor(arrays["img"]).to(dtype)
    blocks = diagonal_blocks(
        (params["D"], params["D"]), size=params["subspace_dim"], step=params["subspace_step"]
    )
    settings = DeepFool(
        num_classes=params["num_classes"],
        overshoot=params["overshoot"],
        max_iterations=params["max_iter"],
        batch_size=batch_size,
    )

    margins = settings(net, image, blocks)

    def stored(key: str) -> torch.Tensor:
        return torch.tensor(arrays[f"{key}_{precision}"])

    assert len(blocks) == params["num_subspaces"]
    assert margins.fooled.all()
    assert torch.equal(margins.label, torch.tensor(arrays["lab0"]))
    assert torch.equal(margins.new_label, stored("lab1"))
    assert torch.equal(margins.iterations, stored("iters"))
    accuracy = 1e-4 if precision == "f32" else 1e-9
    torch.testing.assert_close(margins.size, stored("margins"), rtol=accuracy, atol=0)
    for subspace in range(len(blocks)):
        torch.testing.assert_close(
            margins.perturbation(subspace)[0].float(),
            stored("pert")[subspace],
            rtol=1e-3,
            atol=1e-4,
        )


def test_waves_are_the_columns_of_the_published_basis() -> None:
    params, arrays = GOLDEN.catalogue["cases"][CASES[0]]["params"], GOLDEN.case(CASES[0])
    blocks = diagonal_blocks(
        (params["D"], params["D"]), size=params["subspace_dim"], step=params["subspace_step"]
    )
    for subspace, columns in ((0, slice(8)), (-1, slice(-8, None))):
        key = "Sp_first" if subspace == 0 else "Sp_last"
        waves = waves_of(blocks, subspace)[columns].flatten(1).T.float()
        torch.testing.assert_close(waves, torch.tensor(arrays[key]), rtol=0, atol=1e-6)
