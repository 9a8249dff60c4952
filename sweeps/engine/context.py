"""Context of a run: what the parts of the engine pass to each other."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Protocol

import optuna

from hsplid_core.bucket_path import AnyPath
from hsplid_core.data import ImageSet, Split
from hsplid_core.errors import SaliencyError
from search_spaces import ParameterValue
from sweeps.cluster.shared_storage import SharedStorage
from sweeps.spec.sweep_spec import SweepSpec
from sweeps.tracking import default_uri
from sweeps.trials.listener import SweepListener
from sweeps.trials.record import TrialRecord

Baseline = tuple[float, ...] | None


class SweepFailedError(SaliencyError):
    """A sweep cannot go on: pretraining failed, or too many of its first trials."""


@dataclass(frozen=True, kw_only=True)
class SweepContext:
    """What a run of a sweep works with.

    Attributes:
        spec: The sweep.
        folder: Where its study, checkpoints and results are.
        fixed: Config fields that are no longer searched.
        images: The splits of its data set.
        weights: Starting weights of all trials.
        baseline: Objectives of the model that the trials start from.
        json_lines: Report progress as JSON lines.
        allow_changed: Go on with a study that was begun under other conditions.
        is_pretraining: Train what another sweep starts from.
        nodes: Looks at nodes that join the cluster on the way; None does not.
        write_outputs: Writes what the sweep leaves for people; None writes nothing.
        make_listener: Makes who else is told what happens, of the sweep's folder; None nobody.
    """

    spec: SweepSpec
    folder: Path
    fixed: Mapping[str, ParameterValue]
    images: Mapping[Split, ImageSet]
    weights: AnyPath | None = None
    baseline: Baseline = None
    json_lines: bool = False
    allow_changed: bool = False
    is_pretraining: bool = False
    nodes: SharedStorage | None = None
    write_outputs: WriteOutputs | None = None
    make_listener: Callable[[Path], SweepListener] | None = None

    @property
    def is_demo(self) -> bool:
        """Whether the images are the embedded stand-in."""
        return self.images["train"].is_demo

    @cached_property
    def masks(self) -> str | None:
        """How much of the training images' masks is object, in words; None without masks."""
        coverage = self.images["train"].coverage()
        return None if coverage is None else str(coverage)

    @property
    def tracking_uri(self) -> str:
        """Where MLflow records."""
        return self.spec.tracking.uri or default_uri(self.spec.local_storage)


class WriteOutputs(Protocol):
    """Writes a sweep's tables, pictures and report; the engine knows none of them."""

    def __call__(
        self, context: SweepContext, study: optuna.Study, records: Sequence[TrialRecord]
    ) -> list[Path]:
        """Write them; return the files that MLflow keeps with the sweep's run."""


@dataclass(frozen=True)
class SweepOutcome:
    """How a run of a sweep ended.

    Attributes:
        context: What the sweep worked with.
        records: All trials of the study.
        interrupted: Whether the user stopped before they were done.
        experiment_id: MLflow's id of the experiment.
        ended_by: What ended it before all trials ran, its budget or a wish, and how it goes on;
            None where neither.
    """

    context: SweepContext
    records: Sequence[TrialRecord]
    interrupted: bool
    experiment_id: str
    ended_by: str | None = None
