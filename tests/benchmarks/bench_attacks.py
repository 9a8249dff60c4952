"""PGD on the image alone against a straightforward PGD that also differentiates the weights.

Both take ten L-infinity steps on 64 images of 64x64 with the norm-free ResNet-18 of H-SPLID's
COCO experiments. The straightforward form calls `loss.backward()`, as common attack libraries
do, so it pays for the gradients of all weights and throws them away.

    python -m tests.benchmarks.bench_attacks

Half a minute on one slow CPU core; expected near 1.5.
"""

from __future__ import annotations

import sys

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import resnet18

from hsplid_core.attacks import PGD, pgd
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare

ROUNDS = 3
EPSILON, STEP, STEPS = 8 / 255, 2 / 255, 10


def straightforward_pgd(model: nn.Module, image: Tensor, target: Tensor) -> Tensor:
    """Masked nowhere, one graph a step through everything that has a gradient."""
    attacked = image + torch.empty_like(image).uniform_(-EPSILON, EPSILON)
    attacked = attacked.clamp(0, 1).detach()
    for _ in range(STEPS):
        attacked.requires_grad_(True)
        loss = F.cross_entropy(model(attacked), target)
        model.zero_grad()
        loss.backward()
        assert attacked.grad is not None
        moved = attacked.detach() + STEP * attacked.grad.sign()
        change = (moved - image).clamp(-EPSILON, EPSILON)
        attacked = (image + change).clamp(0, 1).detach()
    return attacked


def main() -> int:
    """Measure and print the ratio; return 0 if it reaches its target."""
    torch.manual_seed(0)
    model = resnet18(norm_layer=nn.Identity, num_classes=4).eval()
    image, target = torch.rand(64, 3, 64, 64), torch.randint(4, (64,))
    allowed, index = torch.ones(64, 1, 64, 64, dtype=torch.bool), torch.arange(64)
    config = PGD(epsilon=EPSILON, step_size=STEP, steps=STEPS)

    def ours() -> Tensor:
        return pgd(model, image, target, allowed, config, seed=0, index=index)

    def theirs() -> Tensor:
        return straightforward_pgd(model, image, target)

    slow, fast = compare(theirs, ours, rounds=ROUNDS)
    print(f"straightforward {slow:.2f} s, ours {fast:.2f} s")
    ratio = Ratio("PGD-10, ResNet-18, 64 images of 64x64", slow / fast, 1.2, True)
    return report([ratio])


if __name__ == "__main__":
    sys.exit(main())
