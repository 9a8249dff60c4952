"""Spec of a sweep: everything that its YAML file may say, typed and checked.

A spec is plain data. Its sections ``data``, ``model``, ``method``, ``training`` and
``evaluation`` are what one trial is made of; the others say how trials are chosen, scheduled and
recorded. ``sweeps.spec.loading`` reads a spec from a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    PlainSerializer,
    PlainValidator,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from hsplid_core.bucket_path import AnyPath, BucketPath, any_path
from hsplid_core.config import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig
from hsplid_core.config.rules import MOST_SEED, as_stored, rule
from hsplid_core.errors import ConfigError, did_you_mean
from hsplid_core.files import from_home
from sweeps.spec.addresses import check_tracking_uri
from sweeps.spec.budget_spec import BudgetSpec
from sweeps.spec.cluster_spec import MOST_TRIALS, ClusterSpec, ResourcesSpec, SpecSection
from sweeps.spec.method_settings import configured_methods
from sweeps.spec.metric_names import check_metrics, only_when_due
from sweeps.spec.name_checks import check_names
from sweeps.spec.notify_spec import NotifySpec
from sweeps.spec.objective import Objective
from sweeps.spec.search_spec import SearchSpec
from sweeps.spec.study_url import check_storage, is_same_database
from sweeps.storage.bucket_mirror import local_folder
from sweeps.storage.file_names import RESERVED_NAMES
from trainables.config import TrialConfig, check_recipe

PRETRAINING_SECTIONS = ("method", "recipe", "training", "evaluation")
"""What a sweep may change of the one that trains its initial weights."""


def absolute(path: Path) -> Path:
    """Return a path that means the same in every process; ``~`` is the user's home."""
    return from_home(path).absolute()


class FailuresSpec(SpecSection):
    """What is done about trials that fail.

    Attributes:
        stop_share: The sweep stops if more than this share of its first trials fails; diverged
            ones do not count, for the sampler learns from them.
        stop_after: How many first trials of a run that looks at.
        memory_retries: How often a trial's batch is halved when the GPU's memory is not enough.
        max_losses: Restarts of a trial that loses its worker again and again without finishing an
            epoch in between; other losses do not count.
    """

    stop_share: float = Field(default=0.5, ge=0, le=1)
    stop_after: int = Field(default=4, ge=1, le=MOST_TRIALS)
    # Half of the largest batch so many times is one image.
    memory_retries: int = Field(default=3, ge=0, le=16)
    # Each takes a worker's start, some seconds.
    max_losses: int = Field(default=3, ge=0, le=1000)


class StudySpec(SpecSection):
    """Where the study is kept, which only the driver writes.

    Attributes:
        storage: ``journal`` or ``sqlite`` for a file in the sweep's folder, or the URL of a
            PostgreSQL database: ``postgresql://user@host/database``. Its password comes from
            PGPASSWORD or a password file, for the spec is logged. None is what the sweep was
            begun with, and a journal for a new one.
    """

    storage: str | None = None

    @field_validator("storage")
    @classmethod
    @rule
    def _storage_is_known(cls, value: str | None) -> str | None:
        return None if value is None else check_storage(value)


class TrackingSpec(SpecSection):
    """Where MLflow records the sweep.

    Attributes:
        uri: Tracking server or database; None uses a sqlite file in the storage. A server's user
            and password come from MLFLOW_TRACKING_USERNAME and MLFLOW_TRACKING_PASSWORD, those
            of PostgreSQL from PGPASSWORD or a password file, for the spec is logged.
        experiment: Name of the experiment; None takes the sweep's name.
    """

    uri: str | None = None
    experiment: str | None = Field(default=None, max_length=500)  # MLflow takes no longer one

    @field_validator("uri")
    @classmethod
    @rule
    def _uri_is_one(cls, value: str | None) -> str | None:
        return None if value is None else check_tracking_uri(value)


def _as_storage(value: object) -> AnyPath:
    if isinstance(value, str):
        return any_path(value)
    if isinstance(value, Path | BucketPath):
        return value
    raise PydanticKnownError("string_type")


_Storage = Annotated[
    Path | BucketPath, PlainValidator(_as_storage), PlainSerializer(str, return_type=str)
]

_DEFAULT_OBJECTIVES = (
    Objective(metric="val/accuracy"),
    Objective(metric="val/robust_accuracy"),
)


class SweepSpec(SpecSection):
    """A whole sweep.

    Attributes:
        name: Identity of the sweep: the same name and storage continue the same study.
        description: What the sweep is for, for people.
        data: Which images.
        model: Which network.
        method: Method name to its configuration, a dataclass of ``hsplid_core.methods``; the
            training objective is their sum.
        recipe: The methods that take part, joined by ``+``; None for all. A search may choose it.
        training: How the parameters are optimised.
        evaluation: How robustness is measured.
        seed: Seed of every trial.
        pretrain: Sweep (name or YAML file) whose trial gives all trials their initial weights.
        pretraining: What replaces values of that spec: its ``method``, ``recipe``, ``training``
            and ``evaluation``, for all else is this sweep's own.
        objectives: What the study optimises, in this order.
        search: How parameters are chosen.
        trials: Trials of the study in all, over every resumption.
        budget: What ends the sweep before it has all its trials.
        checkpoints: Whose are kept: those of the trials on the front, or of all that ended.
        resources: What one trial occupies.
        cluster: Where trials run.
        storage: Folder of the study, checkpoints, caches and results; or ``s3://bucket/folder``
            for checkpoints and results, with the study and MLflow on servers of their own.
        tracking: Where MLflow records.
        study: Where the study is kept.
        failures: What is done about trials that fail.
        notify: Who hears of the sweep's end.
    """

    # The folder's name, which file systems end at 255 bytes and to which numbers are added.
    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$", max_length=100)
    description: str = Field(default="", max_length=4000)  # a tag of MLflow holds 8000 bytes
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    method: dict[str, Any] = Field(min_length=1)
    recipe: str | None = None
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    pretrain: str | None = None
    pretraining: dict[str, Any] = Field(default_factory=dict)
    objectives: tuple[Objective, ...] = _DEFAULT_OBJECTIVES
    search: SearchSpec
    trials: int = Field(ge=1, le=MOST_TRIALS)
    budget: BudgetSpec = BudgetSpec()
    checkpoints: Literal["front", "all"] = "front"
    resources: ResourcesSpec = ResourcesSpec()
    cluster: ClusterSpec = ClusterSpec()
    storage: _Storage = Path("runs")
    tracking: TrackingSpec = TrackingSpec()
    study: StudySpec = StudySpec()
    failures: FailuresSpec = FailuresSpec()
    notify: NotifySpec = NotifySpec()

    @field_validator("name")
    @classmethod
    @rule
    def _name_is_free(cls, value: str) -> str:
        # Case does not tell files apart everywhere.
        if value.lower() in RESERVED_NAMES:
            raise ConfigError(
                f"name is {value}: the storage has a folder or file of that name that is no "
                "sweep's; use another"
            )
        return value

    @field_validator("method", mode="before")
    @classmethod
    def _configure_methods(cls, value: object) -> object:
        return configured_methods(value) if isinstance(value, Mapping) else value

    @model_validator(mode="after")
    @rule
    def _objectives_differ(self) -> Self:
        metrics = [objective.metric for objective in self.objectives]
        if not metrics or len(set(metrics)) < len(metrics):
            raise ConfigError(f"objectives is {metrics}: give one or more different metrics")
        return self

    @model_validator(mode="after")
    @rule
    def _bucket_has_servers(self) -> Self:
        # Neither can be kept in a bucket, and beside one nobody would find them again.
        if isinstance(self.storage, BucketPath):
            if "://" not in (self.study.storage or ""):
                raise ConfigError(
                    f"study.storage is {self.study.storage or 'journal'}, a file, and storage is "
                    f"{self.storage}, where no process can lock one: use a database, "
                    "study.storage=postgresql://user@host/database"
                )
            if self.tracking.uri is None:
                raise ConfigError(
                    f"tracking.uri is null, a file in the storage, which is {self.storage}: name "
                    "a server, tracking.uri=http://host:5000, or a database"
                )
        return self

    @model_validator(mode="after")
    @rule
    def _databases_differ(self) -> Self:
        # Optuna and MLflow both version their tables in one of the same name.
        if is_same_database(self.study.storage or "", self.tracking.uri or ""):
            raise ConfigError(
                f"tracking.uri is {self.tracking.uri}, the database of study.storage, too, whose "
                "tables are versioned as MLflow's are: name another database, which may be on the "
                "same server"
            )
        return self

    @model_validator(mode="after")
    @rule
    def _scheduler_fits(self) -> Self:
        search = self.search
        if search.scheduler in ("asha", "median") and len(self.objectives) > 1:
            raise ConfigError(
                f"search.scheduler is {search.scheduler}: it compares one objective, and there "
                f"are {len(self.objectives)}; use mo_asha"
            )
        if search.grace_epochs is not None and search.grace_epochs > max(1, self.training.epochs):
            raise ConfigError(
                f"search.grace_epochs is {search.grace_epochs}: a trial has training.epochs, "
                f"{self.training.epochs}; use at most as many"
            )
        late = [goal.metric for goal in self.objectives if only_when_due(goal.metric)]
        if search.scheduler != "none" and late and self.evaluation.every > self.grace_epochs:
            raise ConfigError(
                f"search.scheduler is {search.scheduler}, but {late[0]} is measured every "
                f"{self.evaluation.every} epochs only: lower evaluation.every to at most "
                f"search.grace_epochs, which is {self.grace_epochs}"
            )
        return self

    @model_validator(mode="after")
    @rule
    def _replicates_fit(self) -> Self:
        search = self.search
        if search.replicates.most > 1 and search.scheduler in ("asha", "median"):
            raise ConfigError(
                f"search.scheduler is {search.scheduler}: it would compare the seeds of one trial "
                "with each other; with search.replicates use mo_asha or none"
            )
        if self.seeds[-1] > MOST_SEED:
            raise ConfigError(
                f"seed is {self.seed}: search.replicates takes those up to {self.seeds[-1]}, and "
                f"the largest is {MOST_SEED}"
            )
        return self

    @model_validator(mode="after")
    @rule
    def _pretraining_is_its_own(self) -> Self:
        for name in self.pretraining:
            if name not in PRETRAINING_SECTIONS:
                raise ConfigError(
                    f"pretraining.{name} is given: of the sweep that pretrain names only "
                    f"{', '.join(PRETRAINING_SECTIONS)} can be changed, for all else is this "
                    f"sweep's own{did_you_mean(name, PRETRAINING_SECTIONS)}"
                )
        if self.pretraining and self.pretrain is None:
            raise ConfigError("pretraining is given, but pretrain is null: leave it out")
        return self

    @model_validator(mode="after")
    @rule
    def _names_exist(self) -> Self:
        check_recipe(self.recipe, self.method)
        check_names(self.data, self.model, self.training, self.evaluation)
        return self

    @model_validator(mode="after")
    @rule
    def _metrics_exist(self) -> Self:
        check_metrics(self.named_metrics, self.method, self.data, self.evaluation)
        trained = [each for each in self.named_metrics.items() if not each[1].startswith("val/")]
        if self.training.epochs == 0 and trained:
            field, metric = trained[0]
            raise ConfigError(
                f"{field} is {metric}: it is measured in training, and training.epochs is 0; name "
                "one of val/, or take it out, as ~search.constraints does"
            )
        return self

    @property
    def named_metrics(self) -> dict[str, str]:
        """Metrics that the spec names, by the path of the field that names each."""
        goals = {f"objectives.{i}.metric": goal.metric for i, goal in enumerate(self.objectives)}
        limits = enumerate(self.search.constraints)
        goals |= {f"search.constraints.{i}.metric": limit.metric for i, limit in limits}
        if self.training.keep == "best" or self.training.patience is not None:
            goals["training.monitor"] = self.training.monitor
        return goals

    @property
    def seeds(self) -> range:
        """Seeds that a trial may be trained under, the spec's own first."""
        return range(self.seed, self.seed + self.search.replicates.most)

    @property
    def local_storage(self) -> Path:
        """Folder of all sweeps on this machine: the storage, or what stands for a bucket here."""
        return local_folder(self.storage)

    @property
    def grace_epochs(self) -> int:
        """Epochs that every trial gets before a scheduler may stop it."""
        search = self.search
        default = max(1, round(self.training.epochs / (2 * search.reduction_factor)))
        return search.grace_epochs or default

    def trial_config(self, initial_weights: AnyPath | None = None) -> TrialConfig:
        """Return what every trial starts from, before its searched parameters.

        Paths become absolute, for a worker runs in a folder of its own.

        Args:
            initial_weights: Checkpoint of the pretrained model.
        """
        root, cache = self.data.root, self.data.cache_dir or self.local_storage / "cache"
        checkpoint = self.model.checkpoint
        # Paths alone change here, in sections that were held to their rules, or need not be.
        with as_stored():
            data = dataclasses.replace(
                self.data, root=root and absolute(root), cache_dir=absolute(cache)
            )
            model = dataclasses.replace(self.model, checkpoint=checkpoint and absolute(checkpoint))
        return TrialConfig(
            data=data,
            model=model,
            method=self.method,
            recipe=self.recipe,
            training=self.training,
            evaluation=self.evaluation,
            seed=self.seed,
            initial_weights=initial_weights,
        )

    def resolved(self) -> dict[str, Any]:
        """Return the whole spec as JSON-able data; loading it again gives an equal spec."""
        return self.model_dump(mode="json")
