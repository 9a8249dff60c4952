"""Steps and runs on a device: their precision, their waits, and that they can be repeated."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch

from hsplid_core.config import AugmentationConfig
from hsplid_core.data import ImageSet
from hsplid_core.data.batch import Batch
from hsplid_core.hsic import hsic_cca
from hsplid_core.methods import HbarConfig, HsplidConfig, SibConfig
from hsplid_core.training import Precision, train_step
from tests.gpu.conftest import MakeRun, same_weights

METHODS: dict[str, dict[str, Any]] = {
    "cross_entropy": {},
    "hsplid": {"hsplid": HsplidConfig(hsic_warmup=0, beta_update_fraction=0.5)},
    "hbar": {"hbar": HbarConfig()},
    "sib": {"sib": SibConfig(window=5)},
}


@pytest.mark.parametrize("name", METHODS)
def test_a_resumed_run_is_the_straight_one_to_the_last_bit(make_run: MakeRun, name: str) -> None:
    varied = AugmentationConfig(crop_scale=(0.5, 1.0), flip=0.5, brightness=0.2)
    runs = [make_run(METHODS[name], deterministic=True, augmentation=varied) for _ in range(2)]
    runs[0].train_epoch()
    runs[1].load_state_dict(copy.deepcopy(runs[0].state_dict()))
    losses = [run.train_epoch()["train/loss"] for run in runs]
    assert losses[0] == losses[1]
    assert same_weights(*runs)


@pytest.mark.parametrize("name", METHODS)
def test_mixed_precision_trains_as_full_precision_does(
    make_run: MakeRun, images: ImageSet, device: torch.device, name: str
) -> None:
    batch = images.batch(torch.arange(16), device)
    losses = []
    for half in (False, True):
        run = make_run(METHODS[name], amp="auto")
        # What amp takes on this GPU; on a CPU it takes none, and the step is shown the type.
        chosen = run.precision.autocast
        assert (chosen is not None) == (device.type == "cuda")
        run.start()
        run.objective.start_epoch(0)
        of_run = []
        for _ in range(4):
            step = train_step(
                run.model,
                run.objective,
                run.optimiser,
                batch,
                clip_norm=1000.0,
                autocast=(chosen or torch.bfloat16) if half else None,
                scaler=run.scaler if half else None,
            )
            of_run.append(float(step.loss))
        losses.append(torch.tensor(of_run))
    assert losses[0][-1] < losses[0][0]
    torch.testing.assert_close(losses[1], losses[0], rtol=0.05, atol=0.05)


@pytest.mark.parametrize("name", METHODS)
def test_a_step_has_the_numbers_of_the_cpu_in_double_precision(
    make_run: MakeRun, images: ImageSet, device: torch.device, name: str
) -> None:
    batch = images.batch(torch.arange(16))
    found = []
    for where in (torch.device("cpu"), device):
        run = make_run(METHODS[name], device=where.type)
        run.model.double()
        run.objective.double()
        moved = Batch(
            batch.image.to(where, torch.float64),
            batch.target.to(where),
            None,
            batch.index.to(where),
        )
        run.objective.start(run.model, [moved])
        run.objective.start_epoch(0)
        step = run.objective(run.model, moved)
        step.loss.backward()
        gradients = [p.grad.cpu() for p in run.model.parameters() if p.grad is not None]
        found.append((step.loss.detach().cpu(), gradients))
    torch.testing.assert_close(found[1], found[0], rtol=1e-7, atol=1e-9)


def test_hsic_is_that_of_the_cpu(device: torch.device) -> None:
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(64, 20, generator=generator)
    image = torch.randint(256, (64, 3 * 40 * 40), generator=generator).float() / 255
    here = hsic_cca(features.to(device), image.to(device)).cpu()
    exact = hsic_cca(features.double(), image.double())
    # Distances in float32, before a solve whose condition number is up to 1e5.
    torch.testing.assert_close(here.double(), exact, rtol=1e-3, atol=0)


@pytest.mark.gpu
@pytest.mark.parametrize("optimiser", ["adam", "adamw", "sgd"])
def test_the_fused_optimiser_steps_as_on_the_cpu(make_run: MakeRun, optimiser: str) -> None:
    here, there = (make_run({}, optimiser=optimiser, device=name) for name in ("cpu", "cuda"))
    assert there.optimiser.defaults["fused"]
    generator = torch.Generator().manual_seed(0)
    for one, other in zip(here.model.parameters(), there.model.parameters(), strict=True):
        one.grad = torch.randn(one.shape, generator=generator)
        other.grad = one.grad.to("cuda")
    here.optimiser.step()
    there.optimiser.step()
    for one, other in zip(here.model.parameters(), there.model.parameters(), strict=True):
        torch.testing.assert_close(one, other.cpu(), rtol=1e-5, atol=1e-7)


@pytest.mark.gpu
@pytest.mark.parametrize("held", [False, True])
def test_no_step_of_an_epoch_waits_for_the_gpu(
    make_run: MakeRun, images: ImageSet, held: bool
) -> None:
    """What a step reads back makes the GPU idle until the host has sent the next kernels."""
    cuda = torch.device("cuda")
    varied = AugmentationConfig(crop_scale=(0.5, 1.0), flip=0.5, brightness=0.2, hue=0.1, blur=0.5)
    run = make_run({}, device="cuda", augmentation=varied)
    data = images.held_on(cuda) if held else images
    run.images = data
    run.train_epoch()  # what is loaded and measured at first use may wait
    batches = iter(run._batches())
    batch = next(batches)
    torch.cuda.set_sync_debug_mode("error")
    try:
        for batch in batches:
            train_step(run.model, run.objective, run.optimiser, batch, clip_norm=1000.0)
    finally:
        torch.cuda.set_sync_debug_mode("default")


@pytest.mark.gpu
def test_bfloat16_only_where_the_hardware_has_it(make_run: MakeRun) -> None:
    run = make_run({}, device="cuda", amp="auto")
    newer = torch.cuda.get_device_capability() >= (8, 0)
    assert run.precision == Precision(torch.bfloat16 if newer else torch.float16)
    assert (run.scaler is None) == newer
    weight = next(run.model.encoder.parameters())
    assert weight.is_contiguous(memory_format=torch.channels_last)
