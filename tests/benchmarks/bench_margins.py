"""Margins of many images in many subspaces at once, against one image and one class at a time.

Both measure 16 images of 28x28 in 8 diagonal blocks of frequencies, with the small convolutional
net of the golden vectors' shape and random weights. The plain form is the published formula
written down: a loop over images, subspaces and classes, and a dense basis for each subspace. The
second figure is the throughput of 64 images in one call against one image a call.

    python -m tests.benchmarks.bench_margins

A quarter of a minute on two CPU cores; seen 19 for the first there, and 11 with one thread, where
the convolutions' backward passes take 70% of the time.
"""

from __future__ import annotations

import sys

import torch
from torch import nn

from hsplid_core.margins import diagonal_blocks, subspace_deepfool
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare
from tests.hsplid_core.margins.published import dense_block, plain_deepfool

SIDE, SIZE, STEP, ROUNDS = 28, 7, 3, 3


def main() -> int:
    """Measure and print the ratios; return 0 if they reach their targets."""
    torch.manual_seed(0)
    model = nn.Sequential(
        nn.Conv2d(1, 6, 5, stride=2, padding=2),
        nn.ReLU(),
        nn.Conv2d(6, 12, 3, stride=2, padding=1),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(12 * 49, 10),
    ).eval()
    image = torch.rand(64, 1, SIDE, SIDE)
    blocks = diagonal_blocks((SIDE, SIDE), size=SIZE, step=STEP)
    bases = [dense_block(SIDE, 1, STEP * number, SIZE).float() for number in range(len(blocks))]

    def plain() -> list[list[float]]:
        return [
            [float(plain_deepfool(model, x, basis).perturbation.norm()) for basis in bases]
            for x in image[:16]
        ]

    def ours(count: int) -> torch.Tensor:
        return subspace_deepfool(model, image[:count], blocks).size

    furthest = (ours(16) - torch.tensor(plain())).abs().max()
    print(f"largest difference between the two forms {float(furthest):.2g}")
    slow, fast = compare(plain, lambda: ours(16), rounds=ROUNDS)
    print(f"one at a time {slow:.2f} s, at once {fast:.3f} s")
    times = {}
    for count in (1, 4, 16, 64):
        times[count], _ = compare(lambda count=count: ours(count), lambda: None, rounds=ROUNDS)  # type: ignore[misc]
    rates = {count: count / seconds for count, seconds in times.items()}
    print("images a second: " + ", ".join(f"{rates[n]:.0f} in calls of {n}" for n in rates))
    return report(
        [
            Ratio("margins, 16 images x 8 subspaces, at once", slow / fast, 15, True),
            Ratio("images a second, calls of 64 / calls of 1", rates[64] / rates[1], 1.5, True),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
