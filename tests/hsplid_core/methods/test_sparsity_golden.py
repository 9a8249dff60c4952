"""The sparsity penalties against the published code's numbers (golden family hbar)."""

from __future__ import annotations

from typing import get_args

import pytest
import torch
from torch import Tensor, nn

from hsplid_core.config.methods import SparsityKind
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from hsplid_core.methods import ForwardPass, Shape, SparsityConfig, Summand
from hsplid_core.methods.sparsity import build, group_penalty, penalised_weights
from hsplid_core.models import MaskedClassifier, ResNetEncoder
from tests.golden import load
from tests.hsplid_core.methods.comparing import DTYPES, Arrays, cases, close, tensor

GOLDEN = load("hbar")
CASES = GOLDEN.catalogue["cases"]
KINDS: dict[str, SparsityKind] = {
    "L1-activation": "l1_activations",
    "group_lasso-activation": "group_lasso_activations",
    "L1-weights": "l1_weights",
    "group_lasso-weights": "group_lasso_weights",
}


class StoredNet(nn.Module):
    """The net of the stored cases, under its published parameter names, in eval mode."""

    def __init__(self, arrays: Arrays, dtype: torch.dtype) -> None:
        super().__init__()
        width, channels, side, _ = arrays["w_conv1.weight"].shape
        self.conv1 = nn.Conv2d(channels, width, side, padding=side // 2, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        shortcut = nn.Conv2d(channels, width, 1, bias=False)
        self.downsample = nn.Sequential(shortcut, nn.BatchNorm2d(width))
        self.fc = nn.Linear(width, len(arrays["w_fc.bias"]))
        self.to(dtype).eval()
        for name, parameter in self.named_parameters():
            parameter.data = tensor(arrays[f"w_{name}"], dtype)

    def forward(self, x: Tensor) -> Tensor:
        """Penultimate activations."""
        return torch.relu(self.bn1(self.conv1(x)) + self.downsample(x)).mean(dim=(2, 3))


def one_pass(model: nn.Module, features: Tensor) -> ForwardPass:
    batch = Batch(torch.zeros(1), torch.zeros(1, dtype=torch.int64), None, torch.zeros(1))
    return ForwardPass(batch, torch.zeros(1), features, torch.zeros(1), model)  # type: ignore[arg-type]


def only_summand(config: SparsityConfig, step: ForwardPass) -> Summand:
    term = build(config, Shape(5, 4, 1, 6))
    assert term is not None
    summands: list[Summand] = term(step)
    assert len(summands) == 1
    return summands[0]


@pytest.mark.parametrize("precision", ["f64", "f32"])
@pytest.mark.parametrize("name", cases(GOLDEN, "sparsity"))
def test_penalty_and_gradients(name: str, precision: str) -> None:
    arrays, kind = GOLDEN.case(name), KINDS[CASES[name]["params"]["type"]]
    dtype, rtol = DTYPES[precision], 1e-8 if precision == "f64" else 2e-6
    net = StoredNet(arrays, dtype)
    features = net(tensor(arrays["x"], dtype))
    features.retain_grad()
    config = SparsityConfig(kind=kind, weight=0.5, parameter_choice="published")
    summand = only_summand(config, one_pass(net, features))
    assert summand.weight == 0.5
    close(summand.value, arrays["pen_f64"], rtol)
    torch.autograd.backward(summand.value)
    variables = {"g_act": features, **{f"g_w_{key}": p for key, p in net.named_parameters()}}
    for key, variable in variables.items():
        expected = arrays.get(f"{key}_f64")
        assert (variable.grad is None) == (expected is None)
        if variable.grad is not None and expected is not None:
            close(variable.grad, expected, rtol)


def test_normalisation_layers_are_told_by_their_type() -> None:
    net = StoredNet(GOLDEN.case(cases(GOLDEN, "sparsity")[0]), torch.float32)
    by_name = {id(p): name for name, p in net.named_parameters()}

    def names(choice: str) -> list[str]:
        return [by_name[id(p)] for p in penalised_weights(net, choice)]  # type: ignore[arg-type]

    convolutions_and_head = ["conv1.weight", "downsample.0.weight", "fc.weight"]
    assert names("modules") == convolutions_and_head
    assert sorted(names("published")) == sorted([*convolutions_and_head, "downsample.1.weight"])


@pytest.mark.parametrize("norm", ["none", "batch"])
def test_without_normalisation_both_choices_agree(norm: str) -> None:
    encoder = ResNetEncoder("resnet18", width=0.125, norm=norm)  # type: ignore[arg-type]
    model = MaskedClassifier(encoder, nn.Linear(64, 3), mean=[0.0] * 3, std=[1.0] * 3)
    counts = [len(penalised_weights(model, choice)) for choice in ("modules", "published")]
    assert counts == ([21, 21] if norm == "none" else [21, 24])


def test_frozen_weights_do_not_count() -> None:
    net = StoredNet(GOLDEN.case(cases(GOLDEN, "sparsity")[0]), torch.float32)
    net.conv1.requires_grad_(False)
    assert len(penalised_weights(net, "modules")) == 2


@pytest.mark.parametrize("kind", get_args(SparsityKind))
def test_zeros_have_finite_gradients(kind: SparsityKind) -> None:
    net = nn.Linear(3, 2)
    nn.init.zeros_(net.weight)
    features = torch.zeros(2, 3, requires_grad=True)
    summand = only_summand(SparsityConfig(kind=kind), one_pass(net, features))
    torch.autograd.backward(summand.value)
    gradients = [x.grad for x in (net.weight, features) if x.grad is not None]
    assert len(gradients) == 1
    assert not gradients[0].any()


def test_group_lasso_sums_filters_and_rows() -> None:
    filters, rows, scales = torch.ones(2, 3, 2, 2), torch.full((4, 9), 2.0), torch.ones(7)
    expected = 2 * 12**0.5 + 4 * 6.0
    assert float(group_penalty([filters, rows, scales])) == pytest.approx(expected)


def test_impossible_values_are_refused() -> None:
    with pytest.raises(ConfigError, match=r"kind is l0.*weight is -1"):
        SparsityConfig(kind="l0", weight=-1.0)  # type: ignore[arg-type]
    assert build(SparsityConfig(weight=0.0), Shape(5, 4, 1, 6)) is None
