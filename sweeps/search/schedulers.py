"""Schedulers, which end unpromising trials early, as a spec names them."""

from __future__ import annotations

from typing import Any

import optuna
from ray.tune.schedulers import ASHAScheduler, MedianStoppingRule

from sweeps.search.mo_asha import Fifo, MoAsha, OnRung, Rungs
from sweeps.spec.sweep_spec import SweepSpec
from trainables.result_keys import METRICS


class _Asha(Fifo, ASHAScheduler):
    """Ray's ASHA, with the order of :class:`Fifo`."""


class _Median(Fifo, MedianStoppingRule):
    """Ray's median stopping rule, with the order of :class:`Fifo`."""


_EPOCH = f"{METRICS}/epoch"
_MODES = {"maximize": "max", "minimize": "min"}


def build_scheduler(spec: SweepSpec, study: optuna.Study, on_rung: OnRung) -> Fifo:
    """Build the spec's scheduler.

    Args:
        spec: The sweep.
        study: What earlier runs left; ``mo_asha`` goes on from its rungs, while Ray's own
            schedulers, for one objective, begin again with each run of the sweep.
        on_rung: Writes a trial's rungs into the study (see :class:`MoAsha`).
    """
    search = spec.search
    if search.scheduler == "none":
        return Fifo()
    if search.scheduler == "mo_asha":
        rungs = Rungs(
            spec.objectives,
            grace_epochs=spec.grace_epochs,
            reduction_factor=search.reduction_factor,
            max_epochs=spec.training.epochs,
        )
        rungs.load(study.get_trials(deepcopy=False))
        return MoAsha(rungs, on_rung)
    (objective,) = spec.objectives
    compared: dict[str, Any] = {
        "time_attr": _EPOCH,
        "metric": f"{METRICS}/{objective.metric}",
        "mode": _MODES[objective.direction],
    }
    if search.scheduler == "median":
        return _Median(**compared, grace_period=spec.grace_epochs)
    return _Asha(
        **compared,
        grace_period=spec.grace_epochs,
        reduction_factor=search.reduction_factor,
        max_t=max(spec.training.epochs, spec.grace_epochs),
    )
