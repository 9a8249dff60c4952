"""A batch in parts has the loss and the gradient of the whole batch, whatever the method."""

from __future__ import annotations

import copy
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hsplid_core.data.batch import Batch
from hsplid_core.methods import (
    CrossEntropyConfig,
    HbarConfig,
    HsplidConfig,
    NormAdversarialConfig,
    Objective,
    Shape,
    SibConfig,
    SparsityConfig,
    build_objective,
)
from hsplid_core.methods.objective import Step
from hsplid_core.models import LeNet3Encoder, MaskedClassifier
from hsplid_core.training import train_step

CLASSES, FEATURES, IMAGES = 3, 16, 11
SHAPE = Shape(CLASSES, FEATURES, batches_per_epoch=2, batch_size=IMAGES, class_counts=(9, 3, 6))
PLAIN = CrossEntropyConfig(label_smoothing=0.1)
METHODS: dict[str, dict[str, Any]] = {
    "weighted": {"cross_entropy": CrossEntropyConfig(class_weights="balanced")},
    "hsplid": {"cross_entropy": PLAIN, "hsplid": HsplidConfig(hsic_warmup=0)},
    "hsplid per step": {
        "cross_entropy": PLAIN,
        "hsplid": HsplidConfig(hsic_warmup=0, update_betas="per_step"),
    },
    "hbar": {"cross_entropy": PLAIN, "hbar": HbarConfig(layer_decay=0.8)},
    "sib": {"cross_entropy": PLAIN, "sib": SibConfig(window=5, random_features=8)},
    "sib exp": {"cross_entropy": PLAIN, "sib": SibConfig(window=5, objective="exp")},
    "l1 activations": {"cross_entropy": PLAIN, "sparsity": SparsityConfig(kind="l1_activations")},
    "group lasso": {
        "cross_entropy": PLAIN,
        "sparsity": SparsityConfig(kind="group_lasso_activations"),
    },
    "weights": {"cross_entropy": PLAIN, "sparsity": SparsityConfig(kind="l1_weights")},
    "norm adversarial": {
        "cross_entropy": PLAIN,
        "norm_adversarial": NormAdversarialConfig(mode="elastic"),
    },
    "all": {
        "cross_entropy": PLAIN,
        "hsplid": HsplidConfig(hsic_warmup=0),
        "hbar": HbarConfig(layer_decay=0.8),
        "sib": SibConfig(window=5),
    },
}


def net(dtype: torch.dtype = torch.float64) -> MaskedClassifier:
    torch.manual_seed(0)
    encoder = LeNet3Encoder(image_size=16, width=FEATURES / 1024)
    model = MaskedClassifier(encoder, nn.Linear(FEATURES, CLASSES), mean=[0.5] * 3, std=[0.25] * 3)
    return model.to(dtype)


def batch() -> Batch:
    generator = torch.Generator().manual_seed(1)
    image = torch.rand(IMAGES, 3, 16, 16, generator=generator, dtype=torch.float64)
    return Batch(image, torch.arange(IMAGES) % CLASSES, None, torch.arange(IMAGES))


def stepped(
    model: MaskedClassifier, objective: Objective, part_size: int | None
) -> tuple[Step, list[Tensor], dict[str, Any]]:
    optimiser = torch.optim.SGD(model.parameters(), lr=0.0)
    step = train_step(model, objective, optimiser, batch(), clip_norm=1e9, part_size=part_size)
    gradients = [p.grad for p in model.parameters() if p.grad is not None]
    return step, gradients, objective.state_dict()


@pytest.mark.parametrize("part_size", [2, 4, 6])
@pytest.mark.parametrize("name", METHODS)
def test_parts_have_the_loss_and_the_gradient_of_the_whole(name: str, part_size: int) -> None:
    whole, split = net(), net()
    objective = build_objective(METHODS[name], SHAPE).double()
    objective.start(whole, [batch()])
    objective.start_epoch(0)
    other = copy.deepcopy(objective)
    for _ in range(2):  # the second step has moved centres, betas and the mask behind it
        expected, gradients, state = stepped(whole, objective, None)
        step, found, other_state = stepped(split, other, part_size)
        assert float(step.loss) == pytest.approx(float(expected.loss), rel=1e-9)
        assert {key: float(value) for key, value in step.values.items()} == pytest.approx(
            {key: float(value) for key, value in expected.values.items()}, rel=1e-9
        )
        assert len(found) == len(gradients) > 4
        for one, two in zip(found, gradients, strict=True):
            torch.testing.assert_close(one, two, rtol=1e-7, atol=1e-10)
        assert state.keys() == other_state.keys()
        for key, value in state.items():
            torch.testing.assert_close(other_state[key], value)
    torch.testing.assert_close(whole.feature_mask, split.feature_mask)


def test_batch_statistics_move_once_and_dropout_is_the_same() -> None:
    """The first look at a part leaves no trace, and sees what the second one sees."""

    class Watched(nn.Sequential):
        seen: list[Tensor]

        def forward(self, x: Tensor) -> Tensor:
            y: Tensor = super().forward(x)
            self.seen.append(y.detach())
            return y

    torch.manual_seed(0)
    layers = nn.Conv2d(3, 4, 16), nn.Flatten(), nn.BatchNorm1d(4), nn.Dropout(0.5)
    encoder = Watched(*layers)
    encoder.seen = []
    model = MaskedClassifier(encoder, nn.Linear(4, CLASSES), mean=[0.5] * 3, std=[0.25] * 3)
    model.double().train()
    objective = build_objective(METHODS["weighted"], SHAPE).double()
    stepped(model, objective, 6)
    first, second = encoder.seen[:2], encoder.seen[2:]
    assert [len(part) for part in first] == [6, 5]
    for one, two in zip(first, second, strict=True):
        torch.testing.assert_close(one, two)
    assert layers[2].num_batches_tracked == torch.tensor(2)
