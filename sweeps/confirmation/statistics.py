"""Statistics of new seeds: spreads, fronts, and the search's luck.

A search keeps the trials that look best, and some of them look best by chance; under new seeds
such a trial falls back. Here, *luck* is an objective's value in the search minus its mean under
new seeds on the same validation images, counted so that more is flattery.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from sweeps.fronts.indicators import Points, pareto_ranks
from sweeps.model_evaluation.confidence import Array, resampled_means
from sweeps.spec.objective import Objective

CROSS_ENTROPY = "cross-entropy"
CLEAN = "clean"
MEAN_ROBUST = "mean robust"

_RESAMPLES = 2000


@dataclass(frozen=True, kw_only=True)
class Measurement:
    """One number of one configuration under one seed.

    Attributes:
        configuration: Name of the configuration.
        seed: The seed.
        split: ``val`` for the sweep's objectives, ``test`` for what the search never saw.
        measure: Name of the metric or of the attack.
        value: The number.
        images: What it is the mean of: how often each image was classified correctly, [N]. None
            where that is not known.
    """

    configuration: str
    seed: int
    split: str
    measure: str
    value: float
    images: NDArray[np.float32] | None = field(default=None, compare=False, repr=False)


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What running a confirmation has brought.

    Attributes:
        measurements: All numbers.
        doubts: Codes of the evaluation's warnings, by configuration; each once.
    """

    measurements: tuple[Measurement, ...] = ()
    doubts: Mapping[str, tuple[str, ...]] = field(default_factory=dict)

    def __add__(self, other: Evidence) -> Evidence:
        names = dict.fromkeys((*self.doubts, *other.doubts))
        doubts = {
            name: tuple(dict.fromkeys(self.doubts.get(name, ()) + other.doubts.get(name, ())))
            for name in names
        }
        return Evidence(measurements=self.measurements + other.measurements, doubts=doubts)


def by_seed(
    measurements: Sequence[Measurement], split: str, measure: str
) -> dict[str, dict[int, float]]:
    """Collect one measure: configuration to seed to value."""
    found: dict[str, dict[int, float]] = {}
    for m in measurements:
        if (m.split, m.measure) == (split, measure):
            found.setdefault(m.configuration, {})[m.seed] = m.value
    return found


def answers_by_seed(
    measurements: Sequence[Measurement], split: str, measure: str
) -> dict[str, Array]:
    """Collect what one measure is the mean of: configuration to answers [S, N].

    Returns:
        Those of configurations whose answers are known under all their seeds.
    """
    found: dict[str, list[NDArray[np.float32] | None]] = {}
    for m in measurements:
        if (m.split, m.measure) == (split, measure):
            found.setdefault(m.configuration, []).append(m.images)
    known = {name: [row for row in rows if row is not None] for name, rows in found.items()}
    return {
        name: np.stack(rows).astype(np.float64)
        for name, rows in known.items()
        # Confirmations with another --max-images are kept apart, so all rows are equally long.
        if len(rows) == len(found[name])
    }


@dataclass(frozen=True, kw_only=True)
class FrontStanding:
    """Whether a configuration is still on the front on test images.

    Attributes:
        on_front: By the means over the seeds, among all that were confirmed.
        share: Share of draws of seeds and images, alike for all configurations, in which it is.
    """

    on_front: bool
    share: float


def front_standings(
    measurements: Sequence[Measurement], axes: Sequence[tuple[str, Objective]]
) -> dict[str, FrontStanding]:
    """Tell which configurations stay non-dominated.

    Args:
        measurements: All numbers.
        axes: Split and objective of each axis.

    Returns:
        The standing of each configuration that has all axes under every seed that any has;
        others, such as one that failed under a seed, are left out.
    """
    columns = [by_seed(measurements, split, axis.metric) for split, axis in axes]
    seeds = sorted({seed for column in columns for own in column.values() for seed in own})
    names = [
        name
        for name in dict.fromkeys(name for column in columns for name in column)
        if all(set(column.get(name, ())) == set(seeds) for column in columns)
    ]
    if not names:
        return {}
    # [configurations, axes, seeds]
    cube = np.array([[[column[name][s] for s in seeds] for column in columns] for name in names])
    objectives = [axis for _, axis in axes]
    means: Points = cube.mean(axis=2)
    ranks = pareto_ranks(means, objectives)
    hits = np.zeros(len(names))
    for drawn in resampled_means(_answers(measurements, axes, names, cube), _RESAMPLES):
        hits += pareto_ranks(drawn, objectives) == 1
    return {
        name: FrontStanding(on_front=bool(rank == 1), share=float(hit / _RESAMPLES))
        for name, rank, hit in zip(names, ranks, hits, strict=True)
    }


def _answers(
    measurements: Sequence[Measurement],
    axes: Sequence[tuple[str, Objective]],
    names: Sequence[str],
    cube: Array,
) -> Array:
    """Stack all answers, [configurations, axes, S, N], or the means alone with N = 1."""
    columns = [answers_by_seed(measurements, split, axis.metric) for split, axis in axes]
    if any(name not in column for column in columns for name in names):
        return cube[..., np.newaxis]
    return np.stack([np.stack([column[name] for column in columns]) for name in names])


@dataclass(frozen=True, kw_only=True)
class Luck:
    """How much of a search's result chance explains, in one objective of one configuration.

    Attributes:
        searched: Value in the search.
        confirmed: Mean under new seeds, on the same validation images.
        luck: What the search flattered, in the objective's units; negative where it was unlucky.
        promised: Gain over the baseline in the search; None without a baseline.
        kept: Mean gain over the baseline under the same new seeds; None without a baseline.
    """

    searched: float
    confirmed: float
    luck: float
    promised: float | None
    kept: float | None


def luck_of(
    searched: float,
    confirmed: Mapping[int, float],
    direction: str,
    *,
    searched_baseline: float | None,
    confirmed_baseline: Mapping[int, float],
) -> Luck:
    """Compare the search's value with those under new seeds.

    Args:
        searched: Value in the search.
        confirmed: Value by seed; at least one.
        direction: ``maximize`` or ``minimize``.
        searched_baseline: The baseline's value in the search.
        confirmed_baseline: The baseline's value by seed; pairs are made by seed.
    """
    sign = 1.0 if direction == "maximize" else -1.0
    mean = float(np.mean(list(confirmed.values())))
    pairs = [
        sign * (value - confirmed_baseline[seed])
        for seed, value in confirmed.items()
        if seed in confirmed_baseline
    ]
    promised = None if searched_baseline is None else sign * (searched - searched_baseline)
    return Luck(
        searched=searched,
        confirmed=mean,
        luck=sign * (searched - mean),
        promised=promised if pairs else None,
        kept=float(np.mean(pairs)) if pairs and promised is not None else None,
    )
