"""How busy a sweep keeps its workers: both slots of a small demo sweep, and reused processes.

Two runs of the demo of `coco_hsplid_paper`, from random weights. In the first, trials as long as
the demo's in two slots on two cores: the share of the time after the first trial, and before a
slot has nothing left to start, in which both slots are inside of a training step (checkpoints and
all that Ray and the driver do lie between steps). In the second, one slot and trials of a single
epoch: seconds from the end of a trial's last step to the beginning of the next one's first, in the
worker that stays, as sweeps do it, and in a new one for every trial.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import logging
import os
import statistics
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest.mock import patch

import optuna
from ray import tune

from hsplid_core.data import prepare
from sweeps.cluster.connection import connected
from sweeps.engine.context import SweepContext
from sweeps.engine.front_keeper import FrontKeeper
from sweeps.engine.study_run import run_trials
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.study.study import open_study
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._tracked import tracker_of
from trainables.trainable import SweepTrainable

_STEPS = "steps.csv"


@dataclass(frozen=True)
class Step:
    """One epoch of a trial, between two readings of the clock, in seconds."""

    trial: int
    process: int
    begin: float
    end: float


class Timed(SweepTrainable):
    """Writes down when each of its steps began and ended."""

    def step(self) -> dict[str, Any]:
        """Do what it always does."""
        begin = time.time()
        result = super().step()
        folder = self.base.data.cache_dir
        assert folder is not None
        with (folder / _STEPS).open("a") as file:
            file.write(f"{self._assignment['number']},{os.getpid()},{begin},{time.time()}\n")
        return result


def steps_of(folder: Path, *changes: str, reuse: bool = True) -> list[Step]:
    """Run a sweep's trials and return their steps, in the order in which they ended."""
    given = ["data.root=null", f"storage={folder}", f"data.cache_dir={folder}", *changes]
    spec = load_spec("coco_hsplid_paper", parse_overrides(given))
    sweep = folder / spec.name
    sweep.mkdir()
    context = SweepContext(
        spec=spec, folder=sweep, fixed={}, images=prepare(spec.trial_config().data)
    )
    study = open_study(sweep, spec, {}, [])
    tracker = tracker_of(spec, sweep)
    keeper = FrontKeeper(study, spec.objectives, sweep, [tracker])
    made = tune.TuneConfig

    def configure(**settings: Any) -> tune.TuneConfig:
        return made(**{**settings, "reuse_actors": reuse})

    with patch("sweeps.engine.ray_tuner.tune.TuneConfig", configure):
        keeper.start()
        try:
            run_trials(context, study, keeper, [tracker], Timed)
        finally:
            tracker.close()
    with (folder / _STEPS).open() as file:
        return [Step(int(n), int(pid), float(a), float(b)) for n, pid, a, b in csv.reader(file)]


def shares(steps: list[Step], slots: int) -> dict[str, float]:
    """Return the share of the time in which all slots are in a step.

    Returns:
        ``full`` while there is something to start, and ``all`` to the end of the last trial.
    """
    ends, begins = _edges(steps, max, "end"), _edges(steps, min, "begin")
    first, last_start, over = min(ends.values()), max(begins.values()), max(ends.values())
    # From then on a slot that gets free has nothing to start.
    idle = min((end for end in ends.values() if end > last_start), default=over)
    return {"full": _share(steps, slots, first, idle), "all": _share(steps, slots, first, over)}


def _edges(steps: list[Step], choose: Any, edge: str) -> dict[int, float]:
    trials = {step.trial for step in steps}
    return {n: choose(getattr(step, edge) for step in steps if step.trial == n) for n in trials}


def _share(steps: list[Step], slots: int, begin: float, end: float) -> float:
    inside = [(max(s.begin, begin), min(s.end, end)) for s in steps if s.end > begin < end]
    moments = sorted({begin, end, *itertools.chain(*inside)})
    busy = 0.0
    for before, after in itertools.pairwise(m for m in moments if begin <= m <= end):
        middle = (before + after) / 2
        if sum(a <= middle < b for a, b in inside) >= slots:
            busy += after - before
    return busy / (end - begin)


def gaps(steps: list[Step]) -> list[float]:
    """Return the seconds between the end of a trial and the first step of the next one."""
    pairs = itertools.pairwise(steps)
    return [after.begin - before.end for before, after in pairs if before.trial != after.trial]


def run(*changes: str, reuse: bool = True) -> list[Step]:
    """Run in a folder of its own."""
    with tempfile.TemporaryDirectory() as folder:
        return steps_of(Path(folder), *changes, reuse=reuse)


def main(argv: list[str] | None = None) -> int:
    """Run the sweeps, and print what they say."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--trials", type=int, default=6, help="of the sweep on two slots")
    parser.add_argument("--epochs", type=int, default=20, help="of each of these")
    arguments = parser.parse_args(argv)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    logging.getLogger("ray.tune").setLevel(logging.CRITICAL)
    short = ("trials=5", "training.epochs=1", "data.image_size=32", "resources.max_concurrent=1")
    with connected(load_spec("coco_pretrain", parse_overrides(["cluster.num_cpus=2"])).cluster):
        both = run(f"trials={arguments.trials}", f"training.epochs={arguments.epochs}")
        reused, fresh = run(*short), run(*short, reuse=False)
    share = shares(both, slots=2)
    print(
        f"two slots: {arguments.trials} trials of {arguments.epochs} epochs, in steps "
        f"{100 * share['full']:.1f}% of the time; with the tail of the last trial "
        f"{100 * share['all']:.1f}%"
    )
    for name, steps in (("reused", reused), ("fresh", fresh)):
        found, processes = gaps(steps), len({step.process for step in steps})
        each = ", ".join(f"{seconds:.2f}" for seconds in found)
        print(
            f"{name} worker: {statistics.median(found):.2f} s from a trial's end to the next "
            f"one's first step ({each}), {processes} processes"
        )
    ratio = statistics.median(gaps(fresh)) / statistics.median(gaps(reused))
    return report(
        [
            Ratio("share of time in which both slots train", share["full"], 0.9, True),
            Ratio("to the next trial: fresh / reused worker", ratio, 5.0, True),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
