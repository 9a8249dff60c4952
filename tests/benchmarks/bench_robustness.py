"""What a table of robust accuracies costs: the cascade's gain, and the search suite's share.

1. The `paper` suite (H-SPLID's Table 2: 8 pairs of region and radius, PGD-10, then AutoAttack's
   `rand`) cascaded against every cell on its own, on a LeNet-3 trained on the demo at 32 pixels.
   No accuracy may be higher in the cascade.
2. The `search` suite against one epoch of training the demo's ResNet-18 of width 0.25 on its
   1,520 training images of 64 pixels.

    python -m tests.benchmarks.bench_robustness

Some minutes on one slow CPU core, the first ratio's uncascaded half most of them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path

import torch
import torch.nn.functional as F

from hsplid_core.config import ModelConfig
from hsplid_core.data import ImageSet, load
from hsplid_core.models import MaskedClassifier, build_model
from hsplid_core.robustness import SUITES, RobustnessTable, evaluate_robustness
from tests.benchmarks._report import Ratio, report

BATCH_SIZE = 64
LEARNING_RATE = 1e-3
LENET_EPOCHS = 6
PAPER_IMAGES = 100
ROUNDS = 3


def build(images: ImageSet, config: ModelConfig) -> MaskedClassifier:
    """An untrained model for a set of images."""
    return build_model(
        config,
        image_shape=images.image_shape,
        num_classes=len(images.class_names),
        mean=images.mean,
        std=images.std,
        seed=0,
    )


def train(model: MaskedClassifier, images: ImageSet, epochs: int) -> float:
    """Train on the cross-entropy, into eval mode; return the CPU seconds of the fastest epoch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    model.train()
    seconds = []
    for epoch in range(epochs):
        start = time.process_time()
        for batch in images.batches(BATCH_SIZE, torch.Generator().manual_seed(epoch)):
            loss = F.cross_entropy(model(batch.image), batch.target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        seconds.append(time.process_time() - start)
    model.eval()
    return min(seconds)


def evaluate(
    model: MaskedClassifier, images: ImageSet, suite: str, cascade: bool, max_images: int | None
) -> tuple[RobustnessTable, float]:
    """Run a suite; return the table and the CPU seconds it took."""
    chosen = SUITES[suite]
    if max_images is not None:
        chosen = replace(chosen, max_images=max_images)
    start = time.process_time()
    table = evaluate_robustness(model, images, chosen, cascade=cascade)
    return table, time.process_time() - start


def compare_paper(cache_dir: Path) -> list[Ratio]:
    """Cascade against single cells."""
    images = load("coco_animals", root=None, split="train", image_size=32, cache_dir=cache_dir)
    test = load("coco_animals", root=None, split="test", image_size=32, cache_dir=cache_dir)
    model = build(images, ModelConfig(name="lenet3", width=0.25))
    train(model, images, LENET_EPOCHS)
    found, fast = evaluate(model, test, "paper", True, PAPER_IMAGES)
    each, slow = evaluate(model, test, "paper", False, PAPER_IMAGES)
    print(f"paper suite, {PAPER_IMAGES} images: cascade {fast:.1f} s, single cells {slow:.1f} s")
    print(f"clean {found.clean:.3f}; region, attack, epsilon: cascade, single")
    for here, there in zip(found.cells, each.cells, strict=True):
        print(
            f"  {here.region:<10} {here.attack:<8} {here.epsilon * 255:3.0f}/255: "
            f"{here.robust:.3f}  {there.robust:.3f}"
        )
    pairs = zip(found.cells, each.cells, strict=True)
    highest = max(here.robust - there.robust for here, there in pairs)
    return [
        Ratio("paper suite: single cells / cascade, time", slow / fast, 2.5, True),
        Ratio("paper suite: largest accuracy above single cells", highest, 0.0, False),
    ]


def compare_search(cache_dir: Path) -> Ratio:
    """The search suite against an epoch."""
    images = load("coco_animals", root=None, split="train", image_size=64, cache_dir=cache_dir)
    validation = load("coco_animals", root=None, split="val", image_size=64, cache_dir=cache_dir)
    model = build(images, ModelConfig(name="resnet18", width=0.25))
    epoch = train(model, images, ROUNDS)
    runs = [evaluate(model, validation, "search", True, None) for _ in range(ROUNDS)]
    seconds = min(run[1] for run in runs)
    table = runs[0][0]
    curve = ", ".join(f"{cell.robust:.3f}" for cell in table.cells)
    print(
        f"search suite, {table.n_images} images: {seconds:.2f} s, epoch of {len(images)} images: "
        f"{epoch:.2f} s; clean {table.clean:.3f}, under attack {curve}"
    )
    return Ratio("search suite / training epoch, time", seconds / epoch, 0.25, False)


def main() -> int:
    """Measure and print the ratios; return 0 if they reach their targets."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        search = compare_search(Path(folder))
        return report([search, *compare_paper(Path(folder))])


if __name__ == "__main__":
    sys.exit(main())
