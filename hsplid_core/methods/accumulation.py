"""Accumulation of gradients: a batch computed in parts, to save memory, as if it were whole.

A mean over the images is the mean over the parts. A term that couples the images, such as HSIC,
is not: of two halves it is another number than of the whole. So its rows (what it needs of each
image, :meth:`Term.rows`) are collected from all parts first, without a graph; the term and its
gradient in the rows are those of the whole batch; and each part then carries its rows' share of
that gradient back through the network. This costs one more forward pass without a graph, and one
with a graph where the rows are gradients themselves (S-IB).

The idea is that of Gao et al. 2021, Scaling Deep Contrastive Learning Batch Size under Memory
Limited Setup (arXiv 2101.06983), for any term.

What remains different is what the network itself does with a batch: statistics of batch
normalisation are those of a part.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import torch
from torch import Tensor, nn

from hsplid_core.data.batch import Batch
from hsplid_core.methods.objective import (
    ForwardPass,
    Objective,
    Step,
    Term,
    add_up,
    classified,
)
from hsplid_core.models.masked import MaskedClassifier


def backward_in_parts(
    objective: Objective,
    model: MaskedClassifier,
    parts: Sequence[Batch],
    backward: Callable[[Tensor], None],
) -> Step:
    """Backpropagate an objective on a batch part by part.

    Args:
        objective: What to minimise.
        model: Its parameters get the gradient of the whole batch.
        parts: The batch, which they make up.
        backward: Called with a scalar of each part: its share of the gradient is the scalar's.

    Returns:
        The loss of the whole batch and the unweighted values, detached.
    """
    parts = [objective.perturb(model, part) for part in parts]
    coupled = {name: term for name, term in objective.named_terms() if term.couples_batch}
    device = parts[0].image.device
    states: list[Tensor] = []
    gradients: dict[str, list[tuple[Tensor, ...]]] = {}
    total = Step(torch.zeros((), device=device), {})
    if coupled:
        states, total, gradients = _whole(objective, coupled, model, parts)
    count = sum(len(part.target) for part in parts)
    values = dict(total.values)
    loss = total.loss
    for number, part in enumerate(parts):
        if coupled:
            _set_random_state(device, states[number])
        encoded = objective.encode(model, part)
        if not coupled:
            objective.after_encode(model, encoded.features, part.target)
        step = classified(model, part, encoded)
        share = len(part.target) / count
        others = {
            name: term(step) for name, term in objective.named_terms() if name not in coupled
        }
        own = add_up(others, step.features)
        carried = share * own.loss
        for name, term in coupled.items():
            for row, gradient in zip(term.rows(step), gradients[name][number], strict=True):
                carried = carried + (row * gradient).sum()
        backward(carried)
        loss = loss + share * own.loss.detach()
        for name, value in own.values.items():
            values[name] = values.get(name, 0) + share * value
    return Step(loss, values)


def _whole(
    objective: Objective,
    coupled: dict[str, Term],
    model: MaskedClassifier,
    parts: Sequence[Batch],
) -> tuple[list[Tensor], Step, dict[str, list[tuple[Tensor, ...]]]]:
    """Evaluate the coupling terms on all parts at once.

    Returns:
        The random state before each part, the terms' loss and values, and of each term the
        gradients in its rows, part by part.
    """
    device = parts[0].image.device
    with_graph = any(term.needs_input_gradient for term in coupled.values())
    states, encoded = [], []
    with _kept_buffers(model.encoder):
        with torch.no_grad():
            for part in parts:
                states.append(_random_state(device))
                encoded.append(objective.encode(model, part))
        features = torch.cat([one.features for one in encoded])
        target = torch.cat([part.target for part in parts])
        objective.after_encode(model, features, target)
        rows: dict[str, list[tuple[Tensor, ...]]] = {name: [] for name in coupled}
        logits = []
        for part, state, one in zip(parts, states, encoded, strict=True):
            with torch.set_grad_enabled(with_graph):
                if with_graph:
                    _set_random_state(device, state)
                    one = objective.encode(model, part)
                step = classified(model, part, one)
                for name, term in coupled.items():
                    rows[name].append(tuple(row.detach() for row in term.rows(step)))
                logits.append(step.logits.detach())
    step = ForwardPass(
        Batch(torch.cat([part.image for part in parts]), target, None, parts[0].index),
        torch.cat([one.inputs.detach() for one in encoded]),
        features,
        torch.cat(logits),
        model,
    )
    leaves = {
        name: tuple(torch.cat(column).requires_grad_() for column in zip(*found, strict=True))
        for name, found in rows.items()
    }
    total = add_up(
        {name: term.of_rows(leaves[name], step) for name, term in coupled.items()}, features
    )
    sizes = [len(part.target) for part in parts]
    flat = [leaf for found in leaves.values() for leaf in found]
    if total.loss.requires_grad:
        found = torch.autograd.grad(total.loss, flat, allow_unused=True, materialize_grads=True)
    else:
        found = tuple(torch.zeros_like(leaf) for leaf in flat)
    remaining = iter(found)
    gradients = {
        name: list(zip(*(torch.split(next(remaining), sizes) for _ in own), strict=True))
        for name, own in leaves.items()
    }
    return states, Step(total.loss.detach(), total.values), gradients


@contextmanager
def _kept_buffers(module: nn.Module) -> Iterator[None]:
    """Put back what forward passes change, such as running statistics: only one of them counts."""
    before = [(buffer, buffer.clone()) for buffer in module.buffers()]
    try:
        yield
    finally:
        with torch.no_grad():
            for buffer, value in before:
                buffer.copy_(value)


def _random_state(device: torch.device) -> Tensor:
    return torch.cuda.get_rng_state(device) if device.type == "cuda" else torch.get_rng_state()


def _set_random_state(device: torch.device, state: Tensor) -> None:
    """Let a part's dropout be the same in all of its forward passes."""
    if device.type == "cuda":
        torch.cuda.set_rng_state(state, device)
    else:
        torch.set_rng_state(state)
