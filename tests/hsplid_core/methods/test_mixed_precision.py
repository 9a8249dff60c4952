"""Every method under autocast: on cuda where there is one, and in bfloat16 on the CPU."""

from __future__ import annotations

from typing import Any

import pytest
import torch

from hsplid_core.data.batch import Batch
from hsplid_core.methods import (
    CrossEntropyConfig,
    NormAdversarialConfig,
    Shape,
    build_objective,
)
from hsplid_core.models import MaskedClassifier
from hsplid_core.training import train_step
from tests.hsplid_core.methods.test_composition import (
    BATCH,
    CLASSES,
    CONFIGS,
    FEATURES,
    tiny_batch,
    tiny_model,
)

SHAPE = Shape(CLASSES, FEATURES, batches_per_epoch=2, batch_size=BATCH)
METHODS: dict[str, Any] = {
    **CONFIGS,
    "l1": NormAdversarialConfig(mode="l1"),
    "elastic": NormAdversarialConfig(mode="elastic", training="iterative"),
}
ON_CUDA = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device"),
]


def moved(batch: Batch, device: str) -> Batch:
    mask = None if batch.mask is None else batch.mask.to(device)
    return Batch(batch.image.to(device), batch.target.to(device), mask, batch.index.to(device))


def cases() -> list[Any]:
    made = []
    for name in METHODS:
        made.append(pytest.param("cpu", torch.bfloat16, name, id=f"{name}-cpu"))
        for dtype in (torch.bfloat16, torch.float16):
            made.append(
                pytest.param("cuda", dtype, name, id=f"{name}-cuda-{dtype}", marks=ON_CUDA)
            )
    return made


@pytest.mark.parametrize(("device", "dtype", "name"), cases())
def test_a_method_trains_in_half_precision(device: str, dtype: torch.dtype, name: str) -> None:
    model: MaskedClassifier = tiny_model().to(device)
    methods = {"cross_entropy": CrossEntropyConfig(), name: METHODS[name]}
    objective = build_objective(methods, SHAPE).to(device)
    objective.start(model, [moved(tiny_batch(), device)])
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-3)
    scaler = torch.amp.GradScaler(device) if dtype == torch.float16 else None
    before = [parameter.detach().clone() for parameter in model.parameters()]
    for epoch in range(2):
        objective.start_epoch(epoch)
        for seed in range(3):
            step = train_step(
                model,
                objective,
                optimiser,
                moved(tiny_batch(seed), device),
                clip_norm=1000.0,
                autocast=dtype,
                scaler=scaler,
            )
            # HSIC is solved in float64.
            assert step.loss.dtype in (torch.float32, torch.float64)
            assert step.loss.isfinite()
            assert all(value.isfinite() for value in step.values.values())
    for parameter, start in zip(model.parameters(), before, strict=True):
        assert parameter.isfinite().all()
        assert not torch.equal(parameter, start)


def test_centres_are_means_in_full_precision() -> None:
    """In bfloat16 the product that sums a class loses all but three digits."""
    model = tiny_model()
    objective = build_objective({"hsplid": METHODS["hsplid"]}, SHAPE)
    features = 5 + 0.003 * torch.randn(BATCH, FEATURES, generator=torch.Generator().manual_seed(0))
    target = torch.arange(BATCH) % CLASSES
    with torch.autocast("cpu", torch.bfloat16):
        objective.after_encode(model, features.bfloat16(), target)
    centres = objective.state_dict()["terms.hsplid.centres"]
    for number, centre in enumerate(centres):
        expected = features.bfloat16().float()[target == number].mean(dim=0)
        torch.testing.assert_close(centre, expected, rtol=1e-6, atol=0)
