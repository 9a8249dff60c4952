"""Empirical attainment of several fronts: what one of them, half of them, and all have reached.

Of one search under several seeds it shows what is chance: where the lines lie apart, another seed
would have drawn another front. After Fonseca, Guerreiro, López-Ibáñez and Paquete 2011, On the
Computation of the Empirical Attainment Function (EMO 2011), as moocore has it.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import moocore
import numpy as np
from optuna.trial import FrozenTrial, TrialState

from sweeps.fronts.indicators import Points
from sweeps.spec.objective import Objective
from sweeps.trials.attributes import METRICS, REPLICATES


def attainment(fronts: Sequence[Points], objectives: Sequence[Objective]) -> dict[str, Points]:
    """Find what so many of several fronts have reached.

    Args:
        fronts: Two or more, each [N, M] with N > 0; dominated points change nothing.
        objectives: What is better, M of them, 2 or 3.

    Returns:
        Corners of the attained region, [K, M], by what they are in words, from what one front has
        reached to what all have.
    """
    count = len(fronts)
    signs = np.array([-1.0 if goal.direction == "maximize" else 1.0 for goal in objectives])
    sets = np.repeat(np.arange(1, count + 1), [len(front) for front in fronts])
    levels = dict.fromkeys((1, math.ceil(count / 2), count))
    found = moocore.eaf(
        np.vstack(fronts) * signs, sets, percentiles=[100 * level / count for level in levels]
    )
    shares = [100 * level / count for level in levels]
    return {
        f"reached by {level} of {count}": found[np.isclose(found[:, -1], share), :-1] * signs
        for level, share in zip(levels, shares, strict=True)
    }


def points_by_seed(
    trials: Iterable[FrozenTrial], objectives: Sequence[Objective]
) -> dict[int, Points]:
    """Collect what trials with replicates reached under each of their seeds.

    Args:
        trials: A study's.
        objectives: The sweep's.

    Returns:
        Points [N, M] of those complete trials that ran under all seeds that any did, by seed.
    """
    found: list[dict[int, list[float]]] = []
    for trial in trials:
        results = trial.user_attrs.get(REPLICATES, {}).values()
        if trial.state == TrialState.COMPLETE and results:
            found.append(
                {
                    each["seed"]: [each[METRICS][goal.metric] for goal in objectives]
                    for each in results
                }
            )
    seeds = sorted({seed for each in found for seed in each})
    whole = [each for each in found if len(each) == len(seeds)]
    return {seed: np.array([each[seed] for each in whole]) for seed in seeds} if whole else {}
