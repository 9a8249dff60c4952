"""What each method's training step costs beside cross-entropy's.

    python -m tests.benchmarks.bench_methods

A norm-free ResNet-18 of a quarter's width on batches of 64 images of 64x64, in CPU seconds of one
thread. The targets follow from the passes that a method needs: a perturbation's step is one
forward and one backward pass more, so at most twice the step; seven such steps, eight times.
S-IB differentiates a gradient, which takes six products a layer instead of three, and measures it.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from hsplid_core.config import ModelConfig
from hsplid_core.data.batch import Batch
from hsplid_core.methods import (
    CrossEntropyConfig,
    HbarConfig,
    HsplidConfig,
    HumanAttentionConfig,
    NormAdversarialConfig,
    Shape,
    SibConfig,
    SparsityConfig,
    build_objective,
)
from hsplid_core.models import build_model
from hsplid_core.training import train_step
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare

ROUNDS = 9
SIZE, BATCH, CLASSES = 64, 64, 4
# Each method beside cross-entropy, and the largest ratio that its passes justify.
METHODS: dict[str, tuple[dict[str, Any], float]] = {
    "H-SPLID": ({"hsplid": HsplidConfig(hsic_warmup=0)}, 1.2),
    "HBaR": ({"hbar": HbarConfig()}, 1.4),
    "S-IB": ({"sib": SibConfig()}, 2.5),
    "H-SPLID and S-IB": ({"hsplid": HsplidConfig(hsic_warmup=0), "sib": SibConfig()}, 2.8),
    "L1 of the weights": ({"sparsity": SparsityConfig(kind="l1_weights")}, 1.2),
    "group lasso of the activations": (
        {"sparsity": SparsityConfig(kind="group_lasso_activations")},
        1.1,
    ),
    "l1 adversarial, fast": ({"norm_adversarial": NormAdversarialConfig(mode="l1")}, 2.0),
    "group adversarial, fast": (
        {"norm_adversarial": NormAdversarialConfig(mode="group", patch=16)},
        2.0,
    ),
    "elastic adversarial, iterative": (
        {"norm_adversarial": NormAdversarialConfig(training="iterative")},
        8.0,
    ),
    "human attention": ({"human_attention": HumanAttentionConfig()}, 2.0),
}


def stepper(methods: dict[str, Any]) -> Callable[[], None]:
    """Build a model of its own, and return a training step on one batch."""
    generator = torch.Generator().manual_seed(0)
    batch = Batch(
        torch.rand(BATCH, 3, SIZE, SIZE, generator=generator),
        torch.arange(BATCH) % CLASSES,
        torch.rand(BATCH, 1, SIZE, SIZE, generator=generator) > 0.5,
        torch.arange(BATCH),
    )
    model = build_model(
        ModelConfig(width=0.25),
        image_shape=(3, SIZE, SIZE),
        num_classes=CLASSES,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        seed=0,
    )
    objective = build_objective(
        {"cross_entropy": CrossEntropyConfig(), **methods},
        Shape(CLASSES, model.num_features, 1, BATCH),
    )
    objective.start(model, [batch])
    objective.start_epoch(0)
    optimiser = torch.optim.Adam(model.parameters(), lr=1e-6)

    def step() -> None:
        train_step(model, objective, optimiser, batch, clip_norm=1000.0)

    return step


def main() -> int:
    """Measure and print the ratios; return 0 if all reach their targets."""
    torch.set_num_threads(1)
    plain = stepper({})
    ratios = []
    for name, (methods, target) in METHODS.items():
        slow, fast = compare(stepper(methods), plain, rounds=ROUNDS, clock=time.process_time)
        ratios.append(Ratio(f"{name} step / cross-entropy step", slow / fast, target, False))
    return report(ratios)


if __name__ == "__main__":
    sys.exit(main())
