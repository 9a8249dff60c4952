"""What a table of robust accuracies costs: the cascade's gain, and the search suite's share.

Both on the demo's model, a ResNet-18 of width 0.25 pretrained as in the demo, for 8 epochs on the
1,520 images of 64 pixels, with a fixed seed.

1. The `paper` suite (H-SPLID's Table 2: 8 pairs of region and radius, PGD-10, then AutoAttack's
   `rand`) cascaded against every cell on its own, on 200 test images. No accuracy may be higher in
   the cascade.
2. The `search` suite against one epoch of the training.
3. A trial of 20 epochs, as the demo's are, attacked by that suite at its end on 256 images, as an
   objective should be, against one attacked on the suite's own 32.

    python -m tests.benchmarks.bench_robustness

CPU seconds of one thread, which other processes disturb less than the clock; the seconds on the
wall are printed beside. Five minutes on one CPU core, the uncascaded half most of them.
"""

from __future__ import annotations

import sys
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import torch
import torch.nn.functional as F

from hsplid_core.config import DataConfig, ModelConfig
from hsplid_core.data import ImageSet, Split, load
from hsplid_core.evaluation import SUITES, RobustnessTable, Suite, evaluate_robustness
from hsplid_core.models import MaskedClassifier, build_model
from tests.benchmarks._report import Ratio, report

BATCH_SIZE = 64
LEARNING_RATE = 5e-4
EPOCHS = 8
SIDE = 64
PAPER_IMAGES = 200
ROUNDS = 3
TRIAL_EPOCHS, MORE_IMAGES = 20, 256


def load_split(split: Split, cache_dir: Path) -> ImageSet:
    """The demo's images."""
    return load(
        DataConfig(name="coco_animals", root=None, image_size=SIDE, cache_dir=cache_dir), split
    )


def build(images: ImageSet) -> MaskedClassifier:
    """The demo's network, untrained."""
    return build_model(
        ModelConfig(name="resnet18", width=0.25),
        image_shape=images.image_shape,
        num_classes=len(images.class_names),
        mean=images.mean,
        std=images.std,
        seed=0,
    )


def train(model: MaskedClassifier, images: ImageSet) -> float:
    """Train on the cross-entropy, into eval mode; return the CPU seconds of the fastest epoch."""
    optimiser = torch.optim.Adam(model.parameters(), lr=LEARNING_RATE)
    model.train()
    seconds = []
    for epoch in range(EPOCHS):
        start = time.process_time()
        for batch in images.batches(BATCH_SIZE, torch.Generator().manual_seed(epoch)):
            loss = F.cross_entropy(model(batch.image), batch.target)
            optimiser.zero_grad(set_to_none=True)
            loss.backward()
            optimiser.step()
        seconds.append(time.process_time() - start)
    model.eval()
    return min(seconds)


class Cost(NamedTuple):
    """Seconds of one evaluation."""

    cpu: float
    wall: float


def evaluate(
    model: MaskedClassifier, images: ImageSet, suite: Suite, *, cascade: bool
) -> tuple[RobustnessTable, Cost]:
    """Run a suite; return the table and what it took."""
    cpu, wall = time.process_time(), time.perf_counter()
    table = evaluate_robustness(model, images, suite, cascade=cascade)
    return table, Cost(time.process_time() - cpu, time.perf_counter() - wall)


def compare_paper(model: MaskedClassifier, test: ImageSet) -> list[Ratio]:
    """Cascade against single cells."""
    suite = replace(SUITES["paper"], max_images=PAPER_IMAGES)
    found, fast = evaluate(model, test, suite, cascade=True)
    each, slow = evaluate(model, test, suite, cascade=False)
    for name, cost in (("cascade", fast), ("single cells", slow)):
        print(f"paper suite, {name}: {cost.cpu:.1f} CPU seconds, {cost.wall:.1f} on the wall")
    print(f"ratio on the wall {slow.wall / fast.wall:.2f}")
    print(f"clean {found.clean:.3f}; region, attack, epsilon: cascade, single")
    for here, there in zip(found.cells, each.cells, strict=True):
        print(
            f"  {here.region:<10} {here.attack:<8} {here.epsilon * 255:3.0f}/255: "
            f"{here.robust:.3f}  {there.robust:.3f}"
        )
    pairs = zip(found.cells, each.cells, strict=True)
    highest = max(here.robust - there.robust for here, there in pairs)
    return [
        Ratio("paper suite: single cells / cascade, time", slow.cpu / fast.cpu, 2.5, True),
        Ratio("paper suite: largest accuracy above single cells", highest, 0.0, False),
    ]


def compare_search(
    model: MaskedClassifier, validation: ImageSet, epoch: float
) -> tuple[Ratio, Ratio]:
    """The search suite against an epoch, of so many CPU seconds, and on more images."""
    runs = [evaluate(model, validation, SUITES["search"], cascade=True) for _ in range(ROUNDS)]
    seconds = min(cost.cpu for _, cost in runs)
    table = runs[0][0]
    curve = ", ".join(f"{cell.robust:.3f}" for cell in table.cells)
    print(
        f"search suite, {table.n_images} images: {seconds:.2f} s, epoch {epoch:.2f} s; "
        f"clean {table.clean:.3f}, under attack {curve}"
    )
    more = replace(SUITES["search"], max_images=MORE_IMAGES)
    longer = min(evaluate(model, validation, more, cascade=True)[1].cpu for _ in range(ROUNDS))
    trial, other = TRIAL_EPOCHS * epoch + seconds, TRIAL_EPOCHS * epoch + longer
    return (
        Ratio("search suite / training epoch, time", seconds / epoch, 0.25, False),
        Ratio("trial with 256 / 32 images attacked, time", other / trial, 1.1, False),
    )


def main() -> int:
    """Measure and print the ratios; return 0 if they reach their targets."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder)
        images = load_split("train", cache)
        model = build(images)
        epoch = train(model, images)
        search = compare_search(model, load_split("val", cache), epoch)
        return report([*search, *compare_paper(model, load_split("test", cache))])


if __name__ == "__main__":
    sys.exit(main())
