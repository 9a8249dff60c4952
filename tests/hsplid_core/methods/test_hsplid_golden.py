"""H-SPLID against the published code's numbers (golden family hsplid)."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from hsplid_core.data.batch import Batch
from hsplid_core.methods import (
    CrossEntropyConfig,
    HsplidConfig,
    HsplidTerm,
    Objective,
    Shape,
    build_objective,
)
from hsplid_core.methods._hsplid_split import (
    Centres,
    compression,
    initial_centres,
    salient_betas,
    salient_mask,
    scatters,
    update_centres,
)
from hsplid_core.models import MaskedClassifier
from hsplid_core.training import train_step
from tests.golden import load

GOLDEN = load("hsplid")
CASES = GOLDEN.catalogue["cases"]
F64 = torch.float64


def cases(kind: str) -> list[str]:
    return [name for name, case in CASES.items() if case["kind"] == kind]


def tensor(array: NDArray[Any], dtype: torch.dtype = F64) -> Tensor:
    return torch.tensor(np.asarray(array), dtype=dtype)


def close(value: Tensor, expected: NDArray[Any], rtol: float) -> None:
    reference = torch.as_tensor(np.array(expected), dtype=F64)
    error = (value.detach().double() - reference).abs().max()
    assert error <= rtol * max(float(reference.abs().max()), 1e-12), f"{float(error):.2e}"


@pytest.mark.parametrize(("dtype", "rtol"), [("f64", 1e-8), ("f32", 2e-5)])
@pytest.mark.parametrize("name", cases("centers_betas_compression"))
def test_centres_betas_compression(name: str, dtype: str, rtol: float) -> None:
    arrays, params = GOLDEN.case(name), CASES[name]["params"]
    precision = F64 if dtype == "f64" else torch.float32
    z = tensor(arrays["z"], precision).requires_grad_()
    target = tensor(arrays["labels"], torch.int64)
    classes, counts, overall_centre = (
        tensor(arrays[key], precision) for key in ("c0", "n0", "m0")
    )
    before = Centres(classes, counts, overall_centre[0])
    after = update_centres(before, z, target, params["update_step"])
    close(after.classes, arrays[f"c1_{dtype}"], rtol)
    close(after.counts, arrays[f"n1_{dtype}"], rtol)
    close(after.overall[None], arrays[f"m1_{dtype}"], rtol)
    within, overall = scatters(z, target, after)
    close(within, arrays[f"Wc_{dtype}"], rtol)
    close(overall, arrays[f"Wa_{dtype}"], rtol)
    beta = salient_betas(within, overall)
    close(torch.stack([beta, 1 - beta]), arrays[f"betas_{dtype}"], rtol)
    close(salient_betas(within, overall, "closed_form"), arrays[f"beta_closed_{dtype}"], rtol)
    salient = salient_mask(beta, params["shared_space_variation"])
    close(torch.stack([salient, ~salient]).double(), arrays[f"hard_{dtype}"], 0)
    salient_loss = compression(z, after.classes, beta, target)
    nonsalient_loss = compression(z, after.overall[None], 1 - beta, None)
    close(salient_loss, arrays[f"Lc_{dtype}"], rtol)
    close(nonsalient_loss, arrays[f"Ls_{dtype}"], rtol)
    close(torch.autograd.grad(salient_loss, z)[0], arrays[f"gz_Lc_{dtype}"], rtol)
    close(torch.autograd.grad(nonsalient_loss, z)[0], arrays[f"gz_Ls_{dtype}"], rtol)


def term_with_beta(beta: Tensor, config: HsplidConfig) -> HsplidTerm:
    term = HsplidTerm(config, Shape(3, len(beta), 1, 8))
    term.beta = beta
    term.start_epoch(0)
    return term


@pytest.mark.parametrize("name", cases("hard_and_split"))
def test_hard_and_soft_split(name: str) -> None:
    arrays = GOLDEN.case(name)
    beta, z = tensor(arrays["beta_cs"], torch.float32), tensor(arrays["z"], torch.float32)
    variation = float(arrays["variation"])
    salient = salient_mask(beta, variation)
    close(torch.stack([salient, ~salient]).double(), arrays["hard"], 0)
    for kind in ("soft", "hard"):
        config = HsplidConfig(variation=variation, hard_split=kind == "hard")
        parts = term_with_beta(beta, config).split(z)
        close(parts[0], arrays[f"zc_{kind}"], 0)
        close(parts[1], arrays[f"zs_{kind}"], 1e-7)


@pytest.mark.parametrize("name", cases("beta_special_cases"))
def test_collapsed_dimensions(name: str) -> None:
    arrays = GOLDEN.case(name)
    z, target = tensor(arrays["z"], torch.float32), tensor(arrays["labels"], torch.int64)
    classes, overall = (tensor(arrays[key], torch.float32) for key in ("c1_f32", "m1_f32"))
    centres = Centres(classes, torch.full((3,), 100.0), overall[0])
    scatter = scatters(z, target, centres)
    beta = salient_betas(*scatter)
    close(torch.stack([beta, 1 - beta]), arrays["betas_f32"], 1e-6)
    # Dimensions: 0 all zero; 1 exactly on the class centres; 2 constant at the global centre.
    assert beta[:3].max() < 1e-6
    assert salient_betas(*scatter, "closed_form")[:3].tolist() == pytest.approx([0, 1, 0])


@pytest.mark.parametrize("name", cases("compression_min"))
def test_compression_to_the_nearest_centre(name: str) -> None:
    arrays = GOLDEN.case(name)
    z, centres, weights = (tensor(arrays[key]) for key in ("z", "c1_f32", "weights"))
    close(compression(z, centres, weights, None), arrays["Ls_f32"], 1e-6)


def published_config(params: dict[str, Any]) -> HsplidConfig:
    """Translate the released configuration's names."""
    hps = params["split_hps"]
    cross = hps["additional_hsic_z_z"]
    mixed = hps["additional_hsic_y_x"]
    warmup = hps["hsic_warmup_epochs"]
    return HsplidConfig(
        lambda_s=hps["lambda_cluster"],
        lambda_n=hps["lambda_shared"],
        rho_s=hps["l_cluster_hsicx_weight"] if mixed else 0,
        rho_n=hps["l_shared_hsicy_weight"] if mixed else 0,
        salient_label_weight=hps["lambda_y_cluster"],
        nonsalient_input_weight=hps["lambda_x_shared"],
        cross_space_weight=hps["l_hsic_z_z_weight"] if cross else 0,
        beta_step=hps["beta_step"],
        beta_update_fraction=hps["beta_update_step_fraction"],
        update_betas="per_epoch" if hps["update_betas_per_epoch"] else "per_step",
        variation=hps["shared_space_variation"],
        hard_split=hps["hard_space_split"],
        hsic_warmup="hard_split" if warmup == "on_hard_space_split" else warmup,
        beta_warmup_epochs=hps["beta_warmup_epochs"],
        init_fraction=hps["beta_init_sample_fraction"],
        sigma=params["sigma"],
        label_kernel=params["k_type_y"],
    )


def stored_layer(arrays: dict[str, NDArray[Any]], key: str, dtype: torch.dtype) -> nn.Linear:
    weight = tensor(arrays[f"{key}.weight"], dtype)
    layer = nn.Linear(weight.shape[1], weight.shape[0])
    layer.weight.data, layer.bias.data = weight, tensor(arrays[f"{key}.bias"], dtype)
    return layer


class Run:
    """A training run of a golden case: the two-layer net, its objective, its optimiser."""

    def __init__(self, name: str, dtype: torch.dtype) -> None:
        self.arrays, self.params = GOLDEN.case(name), CASES[name]["params"]
        self.dtype = dtype
        first, second, head = (
            stored_layer(self.arrays, f"p0_{key}", dtype) for key in ("fc0", "fc1", "fc2")
        )
        encoder = nn.Sequential(nn.Flatten(), first, nn.ReLU(), second)
        self.model = MaskedClassifier(encoder, head, mean=[0.0] * 3, std=[1.0] * 3).to(dtype)
        shape = Shape(
            self.params["C"], self.params["d"], self.params["batches_per_epoch"], self.params["N"]
        )
        methods = {
            "cross_entropy": CrossEntropyConfig(
                weight=self.params["split_hps"]["cross_entropy_weight"]
            ),
            "hsplid": published_config(self.params),
        }
        self.objective: Objective = build_objective(methods, shape).to(dtype)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=self.params["lr"])

    @property
    def term(self) -> HsplidTerm:
        term = self.objective.terms["hsplid"]
        assert isinstance(term, HsplidTerm)
        return term

    def start(self) -> None:
        self.objective.start(
            self.model, [self._batch(self.arrays["init_x"], self.arrays["init_y"])]
        )

    def _batch(self, x: NDArray[Any], y: NDArray[Any]) -> Batch:
        return Batch(tensor(x, self.dtype), tensor(y, torch.int64), None, torch.arange(len(y)))

    def steps(self) -> Iterator[tuple[int, float]]:
        epoch = -1
        for step, of_epoch in enumerate(self.arrays["epoch"]):
            if of_epoch != epoch:
                epoch = int(of_epoch)
                self.objective.start_epoch(epoch)
            batch = self._batch(self.arrays["x"][step], self.arrays["y"][step])
            outcome = train_step(
                self.model, self.objective, self.optimiser, batch, clip_norm=self.params["clip"]
            )
            yield step, float(outcome.loss)

    def parameters(self) -> Tensor:
        return torch.cat([p.detach().flatten() for p in self._ordered()])

    def gradients(self) -> Tensor:
        grads = [p.grad for p in self._ordered()]
        return torch.cat([grad.flatten() for grad in grads if grad is not None])

    def _ordered(self) -> list[nn.Parameter]:
        encoder = self.model.encoder
        assert isinstance(encoder, nn.Sequential)
        layers = [encoder[1], encoder[3], self.model.head]
        return [p for layer in layers for p in layer.parameters()]


@pytest.mark.parametrize("name", cases("training_sequence"))
def test_training_sequence_in_float64(name: str) -> None:
    run = Run(name, F64)
    arrays = run.arrays
    run.start()
    close(run.term.centres, arrays["init_centers_f64"], 1e-8)
    close(run.term.overall_centre[None], arrays["init_adv_center_f64"], 1e-8)
    close(run.term.beta, arrays["init_beta_cs_f64"], 1e-8)
    close(torch.stack([run.term.salient, ~run.term.salient]).double(), arrays["init_hard_f64"], 0)
    for step, loss in run.steps():
        assert loss == pytest.approx(float(arrays["loss_total_f64"][step]), rel=1e-8)
        if step == 0:
            close(run.gradients(), arrays["grad0_f64"], 1e-8)
        close(run.term.beta, arrays["step_beta_cs_f64"][step], 1e-8)
        close(run.term.beta_running, arrays["step_savg_f64"][step], 1e-8)
        close(run.term.salient.double(), arrays["step_hard_f64"][step], 0)
        close(run.term.centres, arrays["step_centers_f64"][step], 1e-8)
        close(run.term.overall_centre, arrays["step_adv_center_f64"][step], 1e-8)
        close(run.term.counts, arrays["step_counts_f64"][step], 1e-8)
        # Adam divides by the gradient's own size, so where a gradient is nearly zero the
        # published form's rounding shows in the parameters.
        close(run.parameters(), arrays["p_step_f64"][step], 1e-7)


@pytest.mark.parametrize("name", cases("training_sequence"))
def test_training_sequence_in_float32(name: str) -> None:
    run = Run(name, torch.float32)
    run.start()
    tolerance = max(float(run.arrays["relerr_loss"]), 1e-5)
    for step, loss in run.steps():
        truth = float(run.arrays["loss_total_f64"][step])
        assert abs(loss - truth) <= tolerance * abs(truth)
        close(run.term.salient.double(), run.arrays["step_hard_f64"][step], 0)
    close(run.parameters(), run.arrays["p_step_f64"][-1], 4e-3)


def test_every_class_must_be_there_at_the_start() -> None:
    name = cases("training_sequence")[0]
    run = Run(name, F64)
    present = run.arrays["init_y"] != 2
    batch = run._batch(run.arrays["init_x"][present], run.arrays["init_y"][present])
    with pytest.raises(ValueError, match=r"classes \[2\] have no image"):
        run.objective.start(run.model, [batch])


def test_initial_centres() -> None:
    centres = initial_centres(3, 5)
    assert centres.counts.tolist() == [100.0] * 3
    assert centres.classes.shape == (3, 5)
    assert not centres.overall.any()
