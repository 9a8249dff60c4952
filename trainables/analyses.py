"""What a trial measures beyond accuracy and robustness.

An analysis is switched on by the section of ``EvaluationConfig`` that has its name. It runs
whenever robustness is due, on the model as it then is, and leaves two things: metrics, which join
the epoch's own and can be a sweep's objectives, and tables, which a sweep collects from all its
trials into one file each. The next analysis is one more function in :data:`ANALYSES`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import torch

from hsplid_core.data import ImageSet
from hsplid_core.models import MaskedClassifier
from trainables.config import ParameterValue, TrialConfig

Table = Mapping[str, Sequence[ParameterValue]]
"""Columns of equal length by name."""


@dataclass(frozen=True, kw_only=True)
class Subject:
    """What an analysis may look at.

    Attributes:
        model: The trial's model, on the device; in any mode, which an analysis puts back.
        training: Images that it was trained on.
        validation: Images that it is judged on.
        device: Where the model is.
        config: The trial's configuration.
    """

    model: MaskedClassifier
    training: ImageSet
    validation: ImageSet
    device: torch.device
    config: TrialConfig


@dataclass(frozen=True, kw_only=True)
class Findings:
    """What an analysis found.

    Attributes:
        metrics: Finite numbers under the names that they have everywhere.
        tables: Tables by name; a sweep writes ``tables/NAME.parquet`` and ``tables/NAME.csv``.
    """

    metrics: Mapping[str, float] = field(default_factory=dict)
    tables: Mapping[str, Table] = field(default_factory=dict)


Analysis = Callable[[Subject], Findings]

ANALYSES: dict[str, Analysis] = {}


def analyse(subject: Subject) -> Findings:
    """Run every analysis whose section is given.

    Args:
        subject: The trial's model and images.

    Returns:
        What all of them found, together.

    Raises:
        SaliencyError: An analysis cannot do what its section asks.
    """
    metrics: dict[str, float] = {}
    tables: dict[str, Table] = {}
    for name, run in ANALYSES.items():
        if getattr(subject.config.evaluation, name) is not None:
            found = run(subject)
            metrics |= found.metrics
            tables |= found.tables
    return Findings(metrics=metrics, tables=tables)
