"""The sweep's Pareto points against cross-entropy, under new seeds, on images no search saw.

    python -m tests.benchmarks.compare_demo runs/coco_hsplid --seeds 3

For every seed it pretrains a model, then trains it on with cross-entropy alone and with the
configuration of each member of the sweep's front, for the same number of epochs. All are judged
on the test split: clean accuracy, PGD-10 on the background at three epsilons, and accuracy with
the backgrounds swapped. Not part of `make bench`: it trains models for minutes to hours.
"""

from __future__ import annotations

import argparse
import dataclasses
import statistics
import sys
import tempfile
from collections.abc import Iterator, Mapping, Sequence
from multiprocessing import get_context
from pathlib import Path

import optuna
import torch

from hsplid_core.attacks import PGD
from hsplid_core.evaluation import robust_accuracy, swapped_background_accuracy
from hsplid_core.models.state_files import write_state
from sweeps.loading import load_pretrain_spec
from sweeps.results import records_of
from sweeps.spec import SweepSpec
from sweeps.study import load_study
from sweeps.yaml_files import read_mapping
from trainables.config import ParameterValue, TrialConfig
from trainables.trial import Trial, open_images

EPSILONS_255 = (1.0, 2.0, 3.0)
COLUMNS = ("clean", *(f"PGD {epsilon:g}/255" for epsilon in EPSILONS_255), "swapped")

Job = tuple[TrialConfig, TrialConfig, Mapping[str, Mapping[str, ParameterValue]], int]


def judge(trial: Trial) -> list[float]:
    """Measure a trained model on the test split; shares in [0, 1], in the order of COLUMNS."""
    images, model = open_images(trial.config, "test"), trial.run.model.eval()
    curve = robust_accuracy(
        model,
        images,
        attack=PGD(epsilon=1 / 255, steps=10, relative_step=0.25, iterate="first_fooling"),
        region="background",
        epsilons=[epsilon / 255 for epsilon in EPSILONS_255],
        batch_size=256,
        seed=0,
        device=trial.run.device,
    )
    swapped = swapped_background_accuracy(
        model, images, batch_size=256, seed=0, device=trial.run.device
    )
    return [curve.clean, *curve.robust, swapped]


def train(config: TrialConfig) -> Trial:
    """Train to the last epoch, without measuring robustness on the way."""
    trial = Trial(config)
    while not trial.finished:
        trial.run.train_epoch()
    return trial


def run_seed(job: Job) -> list[tuple[str, list[float]]]:
    """Pretrain under one seed, then train on in every way; a row for each."""
    pretraining, base, points, seed = job
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        weights = Path(folder) / "weights.pt"
        write_state(weights, train(dataclasses.replace(pretraining, seed=seed)).state_dict())
        start = dataclasses.replace(base, seed=seed, initial_weights=weights)
        plain = {"cross_entropy": base.method["cross_entropy"]}
        rows = [("cross-entropy", judge(train(dataclasses.replace(start, method=plain))))]
        for name, parameters in points.items():
            rows.append((name, judge(train(start.with_parameters(parameters)))))
    return rows


def read_front(
    folder: Path, chosen: Sequence[int]
) -> tuple[SweepSpec, dict[str, Mapping[str, ParameterValue]]]:
    """Read a sweep's spec, and the parameters of its front or of chosen trials."""
    spec = SweepSpec.model_validate(read_mapping(folder / "spec.yaml"))
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    study = load_study(folder)
    wanted = [
        record
        for record in records_of(study)
        if (record.number in chosen if chosen else record.on_front)
    ]
    return spec, {f"trial {record.number}": record.parameters for record in wanted}


def lines(rows: Sequence[tuple[str, list[float]]]) -> Iterator[str]:
    """Format mean and standard deviation over the seeds, in percent."""
    names = list(dict.fromkeys(name for name, _ in rows))
    yield "| model | " + " | ".join(COLUMNS) + " |"
    yield "|---" * (len(COLUMNS) + 1) + "|"
    for name in names:
        columns = zip(*(values for other, values in rows if other == name), strict=True)
        cells = [
            f"{100 * statistics.mean(column):.1f} ± {100 * statistics.stdev(column):.1f}"
            if len(column) > 1
            else f"{100 * column[0]:.1f}"
            for column in columns
        ]
        yield f"| {name} | " + " | ".join(cells) + " |"


def main() -> int:
    """Train, judge and print a table in Markdown."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("folder", type=Path, help="a sweep's folder, such as runs/coco_hsplid")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--first-seed", type=int, default=1, help="the sweep itself uses 0")
    parser.add_argument("--trials", type=int, nargs="*", default=(), help="instead of the front")
    parser.add_argument("--processes", type=int, default=2)
    arguments = parser.parse_args()
    spec, points = read_front(arguments.folder, arguments.trials)
    pretraining = load_pretrain_spec(spec)
    if pretraining is None:
        parser.error(f"{arguments.folder}: the sweep has no pretraining to compare with")
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    jobs = [(pretraining.trial_config(), spec.trial_config(), points, seed) for seed in seeds]
    # Fresh interpreters: a fork after torch has started its threads may hang.
    with get_context("spawn").Pool(arguments.processes) as pool:
        rows = [row for rows in pool.map(run_seed, jobs, chunksize=1) for row in rows]
    print("\n".join(lines(rows)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
