"""The models of a sweep's front, handed to MLflow's registry when the sweep ends.

The registered model has the name of the sweep's folder. Its aliases are ``knee`` and, for each end
of the front, ``best-`` and the objective's name with ``-`` for ``/``: ``best-val-accuracy``. A
model that the evaluation warns of has the warnings' codes in the tag ``sweep.warnings``.
"""

from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path

import torch

from hsplid_core.data import load
from hsplid_core.errors import SaliencyError
from sweeps.fronts.selection import Selection, select
from sweeps.study.stored_sweep import StoredSweep, open_sweep
from sweeps.tracking.journal_replay import note_registered
from sweeps.tracking.model_registry import FrontModel, register_models

KNEE = "knee"

logger = logging.getLogger(__name__)


def end_alias(metric: str) -> str:
    """Return the alias of the model that is best in a metric: ``best-val-accuracy``."""
    return f"best-{metric.replace('/', '-')}"


def aliases_of(selection: Selection) -> Mapping[int, list[str]]:
    """Return the registry's aliases of the front's trials, by number; some have none."""
    aliases: dict[int, list[str]] = {record.number: [] for record in selection.front}
    if selection.knee is not None:
        aliases[selection.knee].append(KNEE)
    for metric, number in selection.ends.items():
        aliases[number].append(end_alias(metric))
    return aliases


def register_front(sweep: StoredSweep) -> Mapping[str, str]:
    """Register the models of a sweep's front; doing it again changes nothing.

    Args:
        sweep: The sweep; its trials have runs in MLflow.

    Returns:
        The version of each alias; empty without a front, or where no checkpoint is left.

    Raises:
        SaliencyError: The folder does not say where the sweep is recorded, a checkpoint does not
            say which model it is, or MLflow does not answer.
    """
    selection = select(sweep.records, sweep.objectives)
    aliases = aliases_of(selection)
    given = {alias for own in aliases.values() for alias in own}
    possible = [KNEE, *(end_alias(objective.metric) for objective in sweep.objectives)]
    config = sweep.spec.trial_config()
    versions = register_models(
        sweep.recording,
        name=sweep.name,
        models=[
            FrontModel(
                trial=record.number,
                checkpoint=sweep.checkpoints.find(record.number, record.parameters),
                aliases=aliases[record.number],
                warnings=sorted(record.warnings),
            )
            for record in selection.front
        ],
        unused_aliases=[alias for alias in possible if alias not in given],
        example=lambda: load(config.data, "val").batch(torch.tensor([0])).image.numpy(),
    )
    note_registered(sweep.folder, aliases)
    return versions


def register_or_warn(folder: Path) -> None:
    """Register the front of a sweep that has just ended; a fault takes no result down.

    Args:
        folder: The sweep's folder.
    """
    try:
        register_front(open_sweep(str(folder)))
    except SaliencyError as error:
        logger.warning("%s: the same command tries again to register the front's models", error)
    except Exception:
        logger.warning("the models of %s are not in MLflow", folder, exc_info=True)
