"""What early stopping saves: hypervolume over epochs spent, on recorded learning curves.

Replays `tests/data/demo_curves.csv` (see `record_curves`): real trainings of the demo, after each
epoch clean and robust accuracy. Two simulated slots ask this project's own searcher, samplers and
scheduler as Ray would, an epoch at a time; only the training is looked up. What counts is the
hypervolume of the complete trials, as in a sweep, beyond the worst of the table in each objective
and as a share of the whole table's. Means over 20 seeds:

    MO-ASHA + TPE     search.sampler=tpe search.scheduler=mo_asha
      from epoch 1    the same with search.grace_epochs=1
    TPE               search.sampler=tpe, every trial to its last epoch
    NSGA-II           search.sampler=nsga2, every trial to its last epoch
    random search     search.sampler=random, every trial to its last epoch

Seeds 0 to 19 reach the target, with 0.30 of the epochs. Seeds differ much: resamplings of these
20 need 0.24 to 0.42 (90% of them), and 60 others, 1000 to 1059, together 0.47. What a training of
the demo has after a rung says little about its end (rank correlations after 3 and 9 of 20 epochs:
clean accuracy 0.37 and 0.41, robust accuracy 0.49 and 0.70), and about half of the trials live to
their end because they are on the current front when they reach a rung. To protect the front of
the rung alone, or of all values told so far, or none, stopped more and found less: 0.36, 0.61 and
0.55 with seeds 0 to 19, and with others not the level in all 800 epochs. A first rung at 5 epochs
made no difference to speak of.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import sys
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import optuna
from numpy.typing import NDArray
from ray.tune.schedulers import TrialScheduler

from search_spaces import ParameterValue, SearchSpace
from sweeps.engine.study_searcher import StudySearcher, TrialPlan
from sweeps.fronts.indicators import hypervolume
from sweeps.search.samplers import build_sampler
from sweeps.search.schedulers import build_scheduler
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.spec.sweep_spec import SweepSpec
from tests.benchmarks._report import Ratio, report
from tests.benchmarks.record_curves import EPOCHS, GRID, OBJECTIVES
from trainables.result_keys import ASSIGNMENT, ENDED, METRICS

TABLE = Path(__file__).parent.parent / "data" / "demo_curves.csv"
SLOTS = 2
TRIALS = 40  # of random search; all methods may spend as many epochs as these
BUDGET = TRIALS * EPOCHS
METHODS: Mapping[str, Sequence[str]] = {
    "MO-ASHA + TPE": ("tpe", "mo_asha"),
    "  from epoch 1": ("tpe", "mo_asha", "search.grace_epochs=1"),
    "TPE": ("tpe", "none"),
    "NSGA-II": ("nsga2", "none"),
    "random search": ("random", "none"),
}

Point = tuple[float, ...]
Values = tuple[float, ...]


def read_table(file: Path = TABLE) -> dict[Point, list[Values]]:
    """Read the objectives after each epoch, by the point of the grid."""
    table: dict[Point, list[Values]] = {}
    with file.open(newline="") as opened:
        for row in csv.DictReader(opened):
            point = tuple(float(row[name]) for name in GRID)
            table.setdefault(point, []).append(tuple(float(row[name]) for name in OBJECTIVES))
    return table


def suggest(trial: optuna.Trial) -> dict[str, ParameterValue]:
    """Suggest a point of the grid; its values are in order, so a sampler sees their places."""
    places = {name: trial.suggest_int(name, 0, len(values) - 1) for name, values in GRID.items()}
    return {name: GRID[name][place] for name, place in places.items()}


@dataclass
class Slot:
    """A trial on its worker.

    Attributes:
        name: Ray's name of it.
        config: What the searcher handed out.
        curve: What it will find.
        epoch: Finished epochs.
    """

    name: str
    config: Mapping[str, Any]
    curve: Sequence[Values]
    epoch: int = 0


@dataclass
class Search:
    """One seed of one method: how good it is after every epoch.

    Args:
        spec: What is searched, and how.
        table: Learning curves.
    """

    spec: SweepSpec
    table: Mapping[Point, Sequence[Values]]
    volumes: list[float] = field(default_factory=list)
    complete: list[Values] = field(default_factory=list)
    reached: float = 0.0

    def run(self) -> NDArray[np.float64]:
        """Return the hypervolume after each epoch, [BUDGET]."""
        directions = [objective.direction for objective in self.spec.objectives]
        study = optuna.create_study(directions=directions)
        study.sampler = build_sampler(self.spec, {}, n_trials=0)
        searcher = StudySearcher(
            study,
            TrialPlan(space=SearchSpace(suggest), objectives=OBJECTIVES),
            total=BUDGET,
            find_checkpoint=lambda *_: None,
            on_told=lambda number: None,
        )
        scheduler = build_scheduler(self.spec, study, searcher.note_rungs)
        searcher.on_end = scheduler.note_end
        names = map(str, itertools.count())
        slots = [self._next(searcher, next(names)) for _ in range(SLOTS)]
        while len(self.volumes) < BUDGET:
            for index, slot in enumerate(slots):
                if self._epoch_ends_trial(slot, searcher, scheduler):
                    slots[index] = self._next(searcher, next(names))
        return np.array(self.volumes[:BUDGET])

    def _next(self, searcher: StudySearcher, name: str) -> Slot:
        config = searcher.suggest(name)
        assert isinstance(config, dict)
        searcher.note_start(name)
        parameters = config[ASSIGNMENT]["parameters"]
        return Slot(name, config, self.table[tuple(parameters[field] for field in GRID)])

    def _epoch_ends_trial(
        self, slot: Slot, searcher: StudySearcher, scheduler: TrialScheduler
    ) -> bool:
        values = slot.curve[slot.epoch]
        slot.epoch += 1
        found = {"epoch": float(slot.epoch), **dict(zip(OBJECTIVES, values, strict=True))}
        result: dict[str, Any] = {f"{METRICS}/{key}": value for key, value in found.items()}
        trial: Any = SimpleNamespace(trial_id=slot.name, config=slot.config)
        controller: Any = None
        if ended := slot.epoch == EPOCHS:
            result[ENDED] = True
            scheduler.on_trial_complete(controller, trial, result)
            self.complete.append(values)
            self.reached = volume(self.complete, self.table, self.spec)
        else:
            ended = scheduler.on_trial_result(controller, trial, result) == TrialScheduler.STOP
        if ended:
            searcher.on_trial_complete(slot.name, result)
        self.volumes.append(self.reached)
        return ended


def volume(
    points: Sequence[Values], table: Mapping[Point, Sequence[Values]], spec: SweepSpec
) -> float:
    """Return the share of the whole table's hypervolume that some points reach."""
    final = np.array([curve[-1] for curve in table.values()])
    reference = np.nanmin(final, axis=0).tolist()
    reached = hypervolume(np.array(points), reference, spec.objectives)
    return reached / hypervolume(final, reference, spec.objectives)


def search(
    seed: int, table: Mapping[Point, Sequence[Values]], sampler: str, scheduler: str, *further: str
) -> Search:
    """Make one seed of a method."""
    return Search(spec_for(seed, sampler, scheduler, *further), table)


def spec_for(seed: int, sampler: str, scheduler: str, *further: str) -> SweepSpec:
    """Make the spec of a search: the demo's, with its objectives measured after every epoch."""
    changes = [
        "data.root=null",
        "evaluation.every=1",
        f"training.epochs={EPOCHS}",
        f"search.sampler={sampler}",
        f"search.scheduler={scheduler}",
        f"search.seed={seed}",
        *further,
    ]
    return load_spec("coco_hsplid_paper", parse_overrides(changes))


def epochs_to(level: float, curve: NDArray[np.float64]) -> float:
    """Return after how many epochs a curve reaches a level; infinite if it never does."""
    reached = np.flatnonzero(curve >= level)
    return float(reached[0] + 1) if len(reached) else float("inf")


def main(argv: list[str] | None = None) -> int:
    """Replay all methods, and print their curves and what the stopping saved."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--first-seed", type=int, default=0)
    arguments = parser.parse_args(argv)
    seeds = range(arguments.first_seed, arguments.first_seed + arguments.seeds)
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    table = read_table()
    curves = {
        name: np.array([search(seed, table, *how).run() for seed in seeds])
        for name, how in METHODS.items()
    }
    marks = [BUDGET // 12, BUDGET // 6, BUDGET // 3, BUDGET // 2, BUDGET]
    print(f"share of the hypervolume of {len(table)} configurations, mean of {len(seeds)} seeds")
    print(f"{'after epochs':<15}" + "".join(f"{mark:>16}" for mark in marks))
    for name, found in curves.items():
        cells = [f"{found[:, n - 1].mean():.3f} ± {found[:, n - 1].std():.3f}" for n in marks]
        print(f"{name:<15}" + "".join(f"{cell:>16}" for cell in cells))
    means = {name: found.mean(axis=0) for name, found in curves.items()}
    ours = means["MO-ASHA + TPE"]
    saved = {name: epochs_to(means[name][-1], ours) / BUDGET for name in METHODS}
    print(
        f"NSGA-II's final hypervolume is reached in {saved['NSGA-II']:.3f} of its {BUDGET} epochs"
    )
    return report(
        [
            Ratio(
                f"epochs to random search's final hypervolume / its {BUDGET}",
                saved["random search"],
                1 / 3,
                False,
            )
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
