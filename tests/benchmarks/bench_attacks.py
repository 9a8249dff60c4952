"""PGD on the image alone against torchattacks' own: time, and memory at its peak.

Both take ten L-infinity steps on 64 images of 64x64 with the norm-free ResNet-18 of H-SPLID's
COCO experiments. torchattacks 3.5.1 differentiates the images alone, too, so step for step there
is nothing left to gain: that ratio is near 1 and has no target. What evaluations run, and what the
target is for, is the form in which an image leaves the batch as soon as it fools the model; it
breaks at least the same images.

    python -m tests.benchmarks.bench_attacks

About two minutes on one slow CPU core.
"""

from __future__ import annotations

import functools
import multiprocessing
import re
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Literal

import torch
from torch import Tensor, nn
from torchvision.models import resnet18

from hsplid_core.attacks import PGD
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare

ROUNDS = 3
EPSILON, STEP, STEPS = 8 / 255, 2 / 255, 10
IMAGES, SIDE = 64, 64


def make_problem() -> tuple[nn.Module, Tensor, Tensor]:
    """A model, images, and the classes that it takes them for."""
    torch.manual_seed(0)
    torch.set_num_threads(1)
    model = resnet18(norm_layer=nn.Identity, num_classes=4).eval()
    image = torch.rand(IMAGES, 3, SIDE, SIDE)
    with torch.no_grad():
        return model, image, model(image).argmax(1)


def by_ours(iterate: Literal["last", "first_fooling"]) -> Callable[[], object]:
    """Make a run of this project's PGD."""
    model, image, target = make_problem()
    allowed, index = torch.ones_like(image[:, :1], dtype=torch.bool), torch.arange(IMAGES)
    attack = PGD(epsilon=EPSILON, step_size=STEP, steps=STEPS, iterate=iterate)
    return lambda: attack(model, image, target, allowed, seed=0, index=index)


def by_torchattacks() -> Callable[[], object]:
    """Make a run of torchattacks' PGD, with the same settings."""
    import torchattacks

    model, image, target = make_problem()
    attack = torchattacks.PGD(model, eps=EPSILON, alpha=STEP, steps=STEPS)
    return lambda: attack(image, target)


def peak_mib(make: Callable[[], Callable[[], object]]) -> float:
    """How much an attack raises the peak memory of a process of its own."""
    with multiprocessing.get_context("spawn").Pool(1) as pool:
        return pool.apply(_raised_by, (make,))


def _raised_by(make: Callable[[], Callable[[], object]]) -> float:
    run = make()
    # Imports have had a higher peak: Linux forgets it on this word (proc(5)).
    Path("/proc/self/clear_refs").write_text("5")
    before = _peak()
    run()
    return _peak() - before


def _peak() -> float:
    found = re.search(r"VmHWM:\s+(\d+) kB", Path("/proc/self/status").read_text())
    assert found is not None
    return int(found[1]) / 2**10


def main() -> int:
    """Measure and print the ratios; return 0 if they reach their targets."""
    slow, alike = compare(by_torchattacks(), by_ours("last"), rounds=ROUNDS)
    again, early = compare(by_torchattacks(), by_ours("first_fooling"), rounds=ROUNDS)
    print(f"torchattacks {slow:.2f} s, ours step for step {alike:.2f} s: ratio {slow / alike:.2f}")
    print(f"torchattacks {again:.2f} s, ours leaving early {early:.2f} s")
    theirs, ours = peak_mib(by_torchattacks), peak_mib(functools.partial(by_ours, "last"))
    print(f"peak memory: torchattacks +{theirs:.0f} MiB, ours +{ours:.0f} MiB")
    name = "PGD-10, ResNet-18, 64 images of 64x64"
    return report(
        [
            Ratio(f"{name}, leaving early: torchattacks / ours", again / early, 1.2, True),
            Ratio(f"{name}: peak memory of ours / torchattacks", ours / theirs, 1.0, False),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
