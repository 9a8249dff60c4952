"""Record learning curves of a real grid of the demo, for benchmarks that replay them.

    python -m tests.benchmarks.record_curves tests/data/demo_curves.csv

Trains the demo of `coco_hsplid_paper`, at 32 instead of 64 pixels, once for every point of a grid
over four of its parameters, all from the same pretrained weights, and writes clean and robust
accuracy on the validation images after every epoch. It goes on behind the points that the file
holds already. About 20 minutes on two cores; not part of `make bench`.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import math
import sys
import tempfile
from collections.abc import Mapping
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch

from hsplid_core.data import prepare
from hsplid_core.errors import TrainingDivergedError
from hsplid_core.models.state_files import write_state
from sweeps.spec.loading import load_pretrain_spec, load_spec
from sweeps.spec.overrides import parse_overrides
from trainables.config import TrialConfig
from trainables.trial import Trial

EPOCHS = 20
OBJECTIVES = ("val/accuracy", "val/robust_accuracy")
GRID: Mapping[str, tuple[float, ...]] = {
    "training.learning_rate": (5e-5, 2e-4, 7e-4, 2e-3),
    "method.hsplid.rho_s": (0.02, 0.2, 1.0),
    "method.hsplid.lambda_n": (0.03, 0.1, 0.3),
    "method.cross_entropy.weight": (3.0, 10.0, 25.0),
}
_CHANGES = (
    "data.root=null",
    "data.image_size=32",
    "evaluation.every=1",
    "evaluation.epsilons_255=[2]",  # as many images as the demo's, of its three radii the middle
)


def curve(base: TrialConfig, point: tuple[float, ...]) -> list[tuple[float, ...]]:
    """Train once; the objectives after each epoch, NaN from where the training diverged."""
    trial = Trial(base.with_parameters(dict(zip(GRID, point, strict=True))))
    found: list[tuple[float, ...]] = []
    try:
        while not trial.finished:
            metrics = trial.epoch()
            found.append(tuple(metrics[name] for name in OBJECTIVES))
    except TrainingDivergedError:
        found += [(math.nan,) * len(OBJECTIVES)] * (EPOCHS - len(found))
    return found


def start(folder: Path) -> TrialConfig:
    """Pretrain, and return what all points of the grid have in common."""
    changes = parse_overrides([*_CHANGES, f"training.epochs={EPOCHS}", f"storage={folder}"])
    spec = load_spec("coco_hsplid_paper", changes)
    pretraining = load_pretrain_spec(spec)
    assert pretraining is not None
    prepare(spec.trial_config().data)
    first = Trial(pretraining.trial_config())
    while not first.finished:
        first.run.train_epoch()
    weights = folder / "weights.pt"
    write_state(weights, first.state_dict())
    return spec.trial_config(weights)


def main(argv: list[str] | None = None) -> int:
    """Record what is missing; return 0 when the file is complete."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("file", type=Path)
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args(argv)
    file = arguments.file
    torch.set_num_threads(1)  # the same sums in the same order on any machine
    done = 0
    if file.exists():
        done = (len(file.read_text().splitlines()) - 1) // EPOCHS
    points = list(itertools.product(*GRID.values()))
    if done == len(points):
        return 0
    with tempfile.TemporaryDirectory() as folder, file.open("a", newline="") as opened:
        rows = csv.writer(opened, lineterminator="\n")
        if not done:
            rows.writerow([*GRID, "epoch", *OBJECTIVES])
        one = partial(curve, start(Path(folder)))
        spawned = get_context("spawn")  # a fork would inherit torch's threads, but not their work
        with spawned.Pool(arguments.processes, torch.set_num_threads, (1,)) as pool:
            for point, found in zip(points[done:], pool.imap(one, points[done:]), strict=True):
                for epoch, values in enumerate(found, 1):
                    rows.writerow([*point, epoch, *(f"{value:.4f}" for value in values)])
                opened.flush()
    return 0


if __name__ == "__main__":
    sys.exit(main())
