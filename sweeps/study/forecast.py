"""Forecast of what a sweep will take: its epochs, and its hours by earlier trials of its kind."""

from __future__ import annotations

from collections.abc import Iterator
from statistics import median
from typing import Any

from optuna.trial import TrialState

from hsplid_core.data.workers import n_cores
from hsplid_core.errors import SaliencyError
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.storage.bucket_mirror import CHECKPOINTS
from sweeps.study.study import load_study, study_folders
from sweeps.study.sweep_info import read_info
from sweeps.trials.attributes import METRICS, SECONDS
from sweeps.trials.labels import N_SEEDS

_HOUR_S = 3600.0
_MIB = 2**20
_CHECKPOINT = f"{CHECKPOINTS}/*/trial_*/checkpoint_*/state.pt"


def forecast(spec: SweepSpec, pretraining: SweepSpec | None) -> Iterator[str]:
    """Say in lines what a sweep will take, as far as that is known.

    Args:
        spec: The sweep.
        pretraining: The spec that trains its initial weights; None without.
    """
    search = spec.search
    most = 1 if search.replicates.front_alone else search.replicates.most
    every_epoch = spec.trials * spec.training.epochs * most
    before = ""
    if pretraining is not None:
        before = f", after {pretraining.training.epochs} of pretraining, where that is to be done"
    trials = f"{spec.trials} trials of {spec.training.epochs} epochs"
    if most > 1:
        trials += f" under {most} seeds"
    yield f"{trials}, at most {every_epoch:,} in all{before}"
    if search.replicates.front_alone:
        yield f"{search.replicates.most} times as many for each trial that reaches the front"
    paces: list[float] = []
    sizes: list[int] = []
    sweeps: list[str] = []
    for folder in study_folders(spec.local_storage):
        try:
            info = read_info(folder)
            if info is None or _kind(info.spec) != _kind(spec):
                continue
            study = load_study(folder)
        except SaliencyError:  # another sweep's damage is not this one's concern
            continue
        # Whole trials and those that were stopped early; failed ones tell little of an epoch.
        ended = study.get_trials(states=[TrialState.COMPLETE, TrialState.PRUNED], deepcopy=False)
        known = [
            seconds / (epochs * metrics.get(N_SEEDS, 1))
            for trial in ended
            if (seconds := trial.user_attrs.get(SECONDS))
            and (epochs := (metrics := trial.user_attrs.get(METRICS, {})).get("epoch"))
        ]
        paces += known
        sweeps += [folder.name] * bool(known)
        sizes += [file.stat().st_size for file in sorted(folder.glob(_CHECKPOINT))[-1:]]
    if not paces:
        yield (
            "hours and disk are not known: no trial on the same data with the same network, "
            f"methods, batch and resources lies in {spec.local_storage}"
        )
        return
    low, high = min(paces) * every_epoch, max(paces) * every_epoch
    at_once = _at_once(spec)
    shared = f"; {at_once} run at a time on this machine" if at_once else ""
    yield (
        f"about {_hours(median(paces) * every_epoch)} of trials ({_hours(low)} to "
        f"{_hours(high)}), by {len(paces)} of this kind in {', '.join(sweeps)}{shared}"
    )
    if sizes:
        size = max(sizes) / _MIB
        yield f"{size:,.0f} MiB a checkpoint, two for each trial that runs or is on the front"


def _kind(spec: SweepSpec) -> tuple[Any, ...]:
    """Return what decides how long an epoch takes, besides values that are searched."""
    data, training, resources = spec.data, spec.training, spec.resources
    evaluation = spec.evaluation
    return (
        (data.name, data.root is None, data.image_size, data.share, data.classes),
        (spec.model.name, spec.model.width, sorted(spec.method), training.batch_size),
        (evaluation.every, evaluation.max_images, evaluation.steps),
        (resources.cpu, resources.gpu),
    )


def _at_once(spec: SweepSpec) -> int | None:
    """Return how many trials this machine runs at a time; None where GPUs or a cluster decide."""
    if spec.cluster.address is not None or spec.resources.gpu != 0:
        return None
    cores = spec.cluster.num_cpus or n_cores()
    fitting = max(1, int(cores / spec.resources.cpu))
    return min(fitting, spec.resources.max_concurrent or fitting, spec.trials)


def _hours(seconds: float) -> str:
    return f"{seconds / _HOUR_S:.2g} h" if seconds >= _HOUR_S else f"{seconds / 60:.2g} min"
