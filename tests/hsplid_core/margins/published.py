"""The nets of the golden margins, and the published search written plainly: the slow reference."""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from hsplid_core.frequency import dct_matrix
from hsplid_core.margins import Subspaces


class PublishedNet(nn.Module):
    """``net_mlp`` or ``net_conv`` of the catalogue, with its stored weights."""

    def __init__(self, name: str, arrays: dict[str, NDArray[Any]], dtype: torch.dtype) -> None:
        super().__init__()
        self.name = name
        for key, array in arrays.items():
            if key.startswith("w_") or key in ("mean", "std"):
                value = torch.tensor(array).to(dtype)
                self.register_buffer(key.replace(".", "_"), value)

    def forward(self, image: Tensor) -> Tensor:
        part = dict(self.named_buffers())
        x = (image - part["mean"].view(-1, 1, 1)) / part["std"].view(-1, 1, 1)
        if self.name == "net_mlp":
            x = F.linear(x.flatten(1), part["w_fc0_weight"], part["w_fc0_bias"]).tanh()
            return F.linear(x, part["w_fc1_weight"], part["w_fc1_bias"])
        if self.name != "net_conv":
            raise ValueError(f"net is {self.name}: only net_mlp and net_conv are known")
        x = F.conv2d(x, part["w_c1_weight"], part["w_c1_bias"], stride=2, padding=2).relu()
        x = F.conv2d(x, part["w_c2_weight"], part["w_c2_bias"], stride=2, padding=1).relu()
        return F.linear(x.flatten(1), part["w_fc_weight"], part["w_fc_bias"])


def waves_of(subspaces: Subspaces, subspace: int) -> Tensor:
    """The waves of a subspace as images of one channel, [d, H, W], by ascending (u, v)."""
    kept = subspaces.kept[subspace]
    places = kept.flatten().nonzero().squeeze(1)
    units = torch.eye(kept.numel(), dtype=torch.float64)[places].view(-1, 1, *kept.shape)
    return subspaces.image_of(units, torch.full((len(places),), subspace)).squeeze(1)


def dense_block(size: int, channels: int, start: int, width: int) -> Tensor:
    """The paper's matrix P_s of a diagonal block, [C D D, C k k], float64."""
    waves = dct_matrix(size)[start : start + width]
    one_channel = torch.einsum("ah,bw->hwab", waves, waves).reshape(size * size, width * width)
    basis: Tensor = torch.block_diag(*[one_channel] * channels)
    return basis


class Found(NamedTuple):
    perturbation: Tensor
    iterations: int
    new_label: int


def plain_deepfool(
    model: nn.Module,
    image: Tensor,
    basis: Tensor,
    *,
    num_classes: int = 10,
    overshoot: float = 0.02,
    max_iterations: int = 100,
) -> Found:
    """One image [C, D, D] in one subspace, one class's gradient at a time, dense projections."""
    logits = model(image.unsqueeze(0))[0]
    ranked = logits.argsort(descending=True)[:num_classes].tolist()
    label = new_label = ranked[0]
    walked = torch.zeros_like(image)
    iterations = 0
    while new_label == label and iterations < max_iterations:
        point = (image + walked).requires_grad_()
        scores = model(point.unsqueeze(0))[0]
        (top,) = torch.autograd.grad(scores[label], point, retain_graph=True)
        best = None
        for rival in ranked[1:]:
            (gradient,) = torch.autograd.grad(scores[rival], point, retain_graph=True)
            direction = (gradient - top).flatten()
            inside = basis.T @ direction
            distance = float((scores[rival] - scores[label]).detach().abs() / inside.norm())
            if best is None or distance < best[0]:
                best = distance, basis @ inside
        assert best is not None
        length = max(best[0], 1e-4)
        walked = walked + (length * best[1] / best[1].norm()).view_as(image)
        iterations += 1
        new_label = int(model((image + (1 + overshoot) * walked).unsqueeze(0)).argmax())
    return Found((1 + overshoot) * walked.detach(), iterations, new_label)
