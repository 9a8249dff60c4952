"""Agreement with the published masked PGD and FGSM."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from hsplid_core.attacks import PGD, fgsm, region_mask
from hsplid_core.data.batch import Batch
from tests.golden import load

GOLDEN = load("attacks")
REGION_NAMES = {"full": "full", "protected": "background", "right": "right"}
DTYPES = {"f32": torch.float32, "f64": torch.float64}


class PublishedNet(torch.nn.Module):
    """The stored net: two strided convolutions, spatial mean, linear head, normalised input."""

    def __init__(self, arrays: dict[str, NDArray[Any]], dtype: torch.dtype) -> None:
        super().__init__()
        self.eval()
        for key, array in arrays.items():
            if key.startswith("w_") or key in ("mean", "std"):
                value = torch.tensor(array, dtype=dtype)
                self.register_buffer(key.replace(".", "_"), value)

    def forward(self, image: Tensor) -> Tensor:
        part = dict(self.named_buffers())
        x = (image - part["mean"].view(3, 1, 1)) / part["std"].view(3, 1, 1)
        x = F.conv2d(x, part["w_c1_weight"], part["w_c1_bias"], stride=2, padding=1).relu()
        x = F.conv2d(x, part["w_c2_weight"], part["w_c2_bias"], stride=2, padding=1).relu()
        return F.linear(x.mean((2, 3)), part["w_fc_weight"], part["w_fc_bias"])


@pytest.mark.parametrize("precision", sorted(DTYPES))
@pytest.mark.parametrize("name", sorted(GOLDEN.catalogue["cases"]))
def test_agrees_with_published_code(name: str, precision: str) -> None:
    case = GOLDEN.catalogue["cases"][name]
    arrays = GOLDEN.case(name)
    dtype = DTYPES[precision]
    params = case["params"]
    net = PublishedNet(arrays, dtype)
    image = torch.tensor(arrays["img_u8"]).to(dtype) / 255
    target = torch.tensor(arrays["label"])
    mask = torch.tensor(arrays["protected"]).bool()
    batch = Batch(image, target, mask, torch.arange(len(image)))
    allowed = region_mask(REGION_NAMES[params["region"]], batch, seed=0)

    if case["kind"] == "fgsm":
        attack = fgsm(params["eps"])
    else:
        attack = PGD(
            epsilon=params["eps"],
            step_size=params["alpha"],
            steps=params["steps"],
            random_start=params["random_start"],
        )
    attacked = attack(net, image, target, allowed, seed=0, index=batch.index)

    # The subset keeps one precision's images; both agree (frac_differ_f32_f64 says how far).
    stored = arrays.get(f"adv_px_{precision}", arrays["adv_px_f32"])
    differs = (attacked.float() - torch.tensor(stored)).abs() > 1e-4
    assert differs.double().mean() <= float(arrays["frac_differ_f32_f64"]) + 4e-4
    loss = F.cross_entropy(net(attacked), target)
    assert float(loss) == pytest.approx(float(arrays[f"ce_adv_{precision}"]), rel=1e-3)
    clean = F.cross_entropy(net(image), target)
    assert float(clean) == pytest.approx(float(arrays[f"ce_clean_{precision}"]), rel=1e-5)
