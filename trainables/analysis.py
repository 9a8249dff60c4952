"""Analysis of a trial: what it looks at, and what it leaves."""

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
