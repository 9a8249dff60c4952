"""GPU sharing: how many trials fit, by the memory that one of them was measured to need.

The trial that is measured need not be the dearest: a search space may have wider networks, larger
batches or terms that keep more. So the measured peak is scaled by how much more a step of the
dearest configuration keeps, which is estimated on the CPU (``trainables.step_memory``).

Ray counts fractions of a GPU, but nothing keeps a trial from taking more of the memory than its
fraction: torch's own limit does that (``trainables.gpu_memory``), so that one trial cannot bring
down its neighbours.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

import optuna
from optuna.trial import TrialState

from search_spaces import ParameterValue
from sweeps.spec.cluster_spec import ResourcesSpec
from sweeps.trials.attributes import PARAMETERS
from sweeps.trials.outcome import PEAK_MEMORY
from trainables.gpu_memory import CONTEXT_MIB
from trainables.result_keys import GPU_MEMORY, METRICS

# Over the measured peak: the allocator's fragments, and estimates that are too low.
_HEADROOM = 1.25
_MOST_SLOTS = 16


def slots_per_gpu(peak_mib: float, total_mib: float) -> int:
    """Say how many trials fit on a GPU, at least 1.

    Args:
        peak_mib: Most memory that torch allocated in a trial.
        total_mib: All memory of the GPU.
    """
    needed = _HEADROOM * peak_mib + CONTEXT_MIB
    return max(1, min(_MOST_SLOTS, int(total_mib / needed)))


Growth = Callable[[Mapping[str, ParameterValue]], float]
"""Says how many times the memory of a trial, by its parameters, the dearest one may need."""


def measured_slots(study: optuna.Study, growth: Growth) -> int | None:
    """Pack by the largest peak among a study's trials; None before one was measured on a GPU.

    Args:
        study: The study.
        growth: Of what was measured to what the search may still try.
    """
    measured = _measured(study)
    if not measured:
        return None
    largest = max(measured, key=lambda known: float(known[METRICS][PEAK_MEMORY]))
    times = max(1.0, growth(largest.get(PARAMETERS, {})))
    total = min(known[GPU_MEMORY] for known in measured)
    return slots_per_gpu(times * largest[METRICS][PEAK_MEMORY], total)


def _measured(study: optuna.Study) -> list[dict[str, Any]]:
    """Return what is known of the trials whose memory was measured on a GPU."""
    attributes = [trial.user_attrs for trial in study.get_trials(deepcopy=False)]
    return [
        known
        for known in attributes
        if GPU_MEMORY in known and PEAK_MEMORY in known.get(METRICS, {})
    ]


def rounds(
    study: optuna.Study,
    resources: ResourcesSpec,
    trials: int,
    gpus: float,
    growth: Growth = lambda parameters: 1.0,
) -> Iterator[tuple[dict[str, float], int]]:
    """Say what each trial occupies: with ``gpu: auto`` first one trial alone, then what it needed.

    Args:
        study: Asked again for each round, so that the first one's measurement counts.
        resources: The spec's.
        trials: Trials of the study in all.
        gpus: GPUs of the cluster; without any, ``auto`` is none.
        growth: Of the memory that was measured to what the search may still try.

    Yields:
        What a trial occupies, ``cpu`` and ``gpu``, and how many trials the study has in all when
        that round is over.
    """
    if resources.gpu != "auto" or not gpus:
        gpu = 0.0 if resources.gpu == "auto" else resources.gpu
        yield {"cpu": resources.cpu, "gpu": gpu}, trials
        return
    if not _measured(study):
        states = [trial.state for trial in study.get_trials(deepcopy=False)]
        asked = sum(state != TrialState.WAITING for state in states)
        first = asked if TrialState.RUNNING in states else asked + 1
        yield {"cpu": resources.cpu, "gpu": 1.0}, min(trials, first)
    yield {"cpu": resources.cpu, "gpu": 1 / (measured_slots(study, growth) or 1)}, trials
