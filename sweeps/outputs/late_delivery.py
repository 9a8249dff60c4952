"""Delivery to MLflow of what a killed sweep left in its journal, its front's models included."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import optuna

from sweeps.study.stored_sweep import open_sweep
from sweeps.study.study import load_study, missing_trials
from sweeps.study.sweep_info import command_again, read_info
from sweeps.tracking.journal_replay import replay
from sweeps.tracking.reachability import REDELIVERY


def deliver(folder: Path, *, again: bool = False) -> Iterator[str]:
    """Deliver a sweep's journal, and register the front of one that has all its trials.

    Args:
        folder: The sweep's folder, held by the caller.
        again: Deliver also what was delivered before.

    Yields:
        What was done, and what remains for which command.
    """
    done = replay(folder, again=again)
    if done.delivered:
        yield f"{done.delivered} entries delivered to {done.uri}"
    else:
        yield "nothing is left to deliver"
    if done.missing:
        numbers = ", ".join(str(number) for number in sorted(done.missing))
        yield f"MLflow has no runs of the trials {numbers}: if they were lost, {REDELIVERY}"
    info = read_info(folder)
    if not done.uri or info is None or info.is_pretraining:
        return
    optuna.logging.set_verbosity(optuna.logging.ERROR)
    command = command_again(folder, info, fresh=False)
    if missing := missing_trials(load_study(folder), info.spec.trials):
        yield f"{missing} of {info.spec.trials} trials have not ended; this goes on: {command}"
        return
    if not done.is_complete:
        yield f"report and table were not written; this writes them: {command}"
    sweep = open_sweep(str(folder))
    if done.registered == frozenset(r.number for r in sweep.records if r.on_front):
        return
    # Opens models, and so imports torch: most deliveries end before.
    from sweeps.outputs.registered_models import register_front

    versions = register_front(sweep)
    told = ", ".join(f"{alias} is version {number}" for alias, number in versions.items())
    yield f"models of the front in the registry: {told or 'none'}"
