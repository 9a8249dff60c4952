"""A compiled network trains as the other does, and nothing outside of the steps sees it."""

from __future__ import annotations

import pytest
import torch

from hsplid_core.config import ModelConfig, TrainingConfig
from hsplid_core.data import ImageSet
from hsplid_core.methods import AdversarialConfig, HbarConfig, HsplidConfig, SibConfig
from hsplid_core.training import compiled
from tests.gpu.conftest import MakeRun

SMALL = ModelConfig(name="lenet3", width=1 / 16)

# torch's own, of the images that the network gets.
pytestmark = pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor")


@pytest.fixture(autouse=True)
def _without_a_compiler(device: torch.device, monkeypatch: pytest.MonkeyPatch) -> None:
    """On the CPU trace the network as for compiling, but generate no C++: that takes minutes."""
    if device.type == "cpu":
        traced = torch.compile
        monkeypatch.setattr(
            torch, "compile", lambda module, mode, dynamic: traced(module, backend="aot_eager")
        )


@pytest.mark.parametrize(
    "mode", ["default", pytest.param("reduce-overhead", marks=pytest.mark.gpu)]
)
def test_loss_and_gradients_are_the_same(
    make_run: MakeRun, images: ImageSet, device: torch.device, mode: str
) -> None:
    batch = images.batch(torch.arange(16), device)
    methods = {"hsplid": HsplidConfig(hsic_warmup=0), "adversarial": AdversarialConfig(steps=2)}
    found = []
    for compile in ("off", mode):
        # TF32 would round otherwise in each of them.
        run = make_run(methods, network=SMALL, compile=compile, tf32="off")
        run.start()
        run.objective.start_epoch(0)
        run.model.train()
        run.model.encoder = compiled(run.model.encoder, run.objective, run.config)
        torch.manual_seed(0)
        step = run.objective(run.model, batch)
        step.loss.backward()
        gradients = [p.grad for p in run.model.parameters() if p.grad is not None]
        found.append((step.loss.detach(), gradients))
    torch.testing.assert_close(found[1], found[0], rtol=1e-5, atol=1e-5)


def test_an_epoch_is_the_same_and_leaves_the_model_as_it_was(make_run: MakeRun) -> None:
    plain, fast = (
        make_run({}, network=SMALL, batch_size=13, compile=how, tf32="off")
        for how in ("off", "default")
    )
    encoder = fast.model.encoder
    expected, metrics = plain.train_epoch(), fast.train_epoch()
    assert metrics["train/loss"] == pytest.approx(expected["train/loss"], rel=1e-4)
    assert fast.model.encoder is encoder
    assert list(fast.model.state_dict()) == list(plain.model.state_dict())


@pytest.mark.parametrize("method", [{"hbar": HbarConfig()}, {"sib": SibConfig(window=5)}])
def test_what_looks_inside_is_not_compiled(make_run: MakeRun, method: dict[str, object]) -> None:
    run = make_run(method)
    config = TrainingConfig(compile="default")
    assert compiled(run.model.encoder, run.objective, config) is run.model.encoder
