"""What a sweep is: everything that its YAML file may say, typed and checked.

A spec is plain data. Its sections ``data``, ``model``, ``method``, ``training`` and
``evaluation`` are what one trial is made of; the others say how trials are chosen, scheduled and
recorded. ``sweeps.loading`` reads a spec from a file.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)
from pydantic_core import ErrorDetails

from hsplid_core.config import DataConfig, EvaluationConfig, ModelConfig, TrainingConfig
from hsplid_core.errors import ConfigError
from hsplid_core.methods import method_class
from sweeps._names import check_names
from sweeps.spaces import find_space
from trainables.config import TrialConfig, check_recipe


def absolute(path: Path) -> Path:
    """Return a path that means the same in every process; ``~`` is the user's home."""
    return path.expanduser().absolute()


def _configure_method(name: str, given: object) -> object:
    """Turn what a spec says about a method into its configuration; None takes the defaults."""
    kind = method_class(name)
    if isinstance(given, Mapping) and dataclasses.is_dataclass(kind):
        # A class from outside has no reason to know pydantic, which would pass over slips.
        known = [field.name for field in dataclasses.fields(kind)]
        unknown = sorted(str(key) for key in given if key not in known)
        if unknown and not hasattr(kind, "__pydantic_config__"):
            raise ConfigError(f"method {name} has no {unknown[0]}, only {', '.join(known)}")
    return TypeAdapter(kind).validate_python({} if given is None else given)


class MethodFaultsError(ValueError):
    """Faults in the configurations of methods, each located below ``method``."""

    def __init__(self, errors: list[ErrorDetails]) -> None:
        super().__init__("; ".join(f"{error['loc']}: {error['msg']}" for error in errors))
        self.errors = errors


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class ObjectiveSpec(_Section):
    """One number to optimise.

    Attributes:
        metric: Name of an epoch metric; its value in the last epoch counts.
        direction: What is better.
    """

    metric: str = Field(min_length=1)
    direction: Literal["maximize", "minimize"] = "maximize"


class SearchSpec(_Section):
    """How the parameters of trials are chosen.

    Attributes:
        space: Name in ``search_spaces.SPACES``, ``package.module:function`` or
            ``path/to/file.py:function``.
        sampler: Optuna's sampler.
        seed: Seed of the sampler.
        startup_trials: Random trials before the sampler trusts its model.
        paper_first: Run the published values first; the spec's own come next in any case.
    """

    space: str
    sampler: Literal["tpe", "nsga2", "random"] = "tpe"
    seed: int = Field(default=0, ge=0)
    startup_trials: int = Field(default=10, ge=0)
    paper_first: bool = True

    @field_validator("space")
    @classmethod
    def _space_exists(cls, value: str) -> str:
        find_space(value)
        return value


class ResourcesSpec(_Section):
    """What one trial occupies.

    Attributes:
        cpu: CPU cores; also the number of threads that a trial uses.
        gpu: GPUs; a fraction shares one by count, not by memory.
        max_concurrent: Most trials at a time; None fills the cluster.
    """

    cpu: float = Field(default=1.0, gt=0)
    gpu: float = Field(default=0.0, ge=0)
    max_concurrent: int | None = Field(default=None, ge=1)


class ClusterSpec(_Section):
    """Which Ray cluster runs the trials.

    Attributes:
        address: Address of a running cluster; None starts one on this machine.
        num_cpus: Cores given to the cluster started here; None takes all.
    """

    address: str | None = None
    num_cpus: int | None = Field(default=None, ge=1)


class TrackingSpec(_Section):
    """Where MLflow records the sweep.

    Attributes:
        uri: Tracking server or database; None uses a sqlite file in the storage.
        experiment: Name of the experiment; None takes the sweep's name.
    """

    uri: str | None = None
    experiment: str | None = None


_DEFAULT_OBJECTIVES = (
    ObjectiveSpec(metric="val/accuracy"),
    ObjectiveSpec(metric="val/robust_accuracy"),
)


class SweepSpec(_Section):
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
        objectives: What the study optimises, in this order.
        search: How parameters are chosen.
        trials: Trials of the study in all, over every resumption.
        resources: What one trial occupies.
        cluster: Where trials run.
        storage: Folder of the study, checkpoints, caches and results.
        tracking: Where MLflow records.
        max_failures: Restarts of a trial that lost its worker.
    """

    name: str = Field(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    description: str = ""
    data: DataConfig = DataConfig()
    model: ModelConfig = ModelConfig()
    method: dict[str, Any] = Field(min_length=1)
    recipe: str | None = None
    training: TrainingConfig = TrainingConfig()
    evaluation: EvaluationConfig = EvaluationConfig()
    seed: int = Field(default=0, ge=0)
    pretrain: str | None = None
    objectives: tuple[ObjectiveSpec, ...] = _DEFAULT_OBJECTIVES
    search: SearchSpec
    trials: int = Field(ge=1)
    resources: ResourcesSpec = ResourcesSpec()
    cluster: ClusterSpec = ClusterSpec()
    storage: Path = Path("runs")
    tracking: TrackingSpec = TrackingSpec()
    max_failures: int = Field(default=3, ge=0)

    @field_validator("method", mode="before")
    @classmethod
    def _configure_methods(cls, value: object) -> object:
        if not isinstance(value, Mapping):
            return value
        configs: dict[str, Any] = {}
        errors: list[ErrorDetails] = []
        for name, given in value.items():
            try:
                configs[name] = _configure_method(name, given)
            except ValidationError as error:
                errors += [{**e, "loc": (name, *e["loc"])} for e in error.errors()]
            except ConfigError as error:
                fault = ErrorDetails(type="value_error", loc=(name,), msg=str(error), input=given)
                errors.append({**fault, "ctx": {"error": error}})
        if errors:
            raise MethodFaultsError(errors)
        return configs

    @model_validator(mode="after")
    def _objectives_differ(self) -> Self:
        metrics = [objective.metric for objective in self.objectives]
        if not metrics or len(set(metrics)) < len(metrics):
            raise ConfigError(f"objectives is {metrics}: give one or more different metrics")
        return self

    @model_validator(mode="after")
    def _recipe_fits(self) -> Self:
        check_recipe(self.recipe, self.method)
        return self

    @model_validator(mode="after")
    def _margins_are_measured(self) -> Self:
        wanted = [o.metric for o in self.objectives if o.metric.startswith("val/margin/")]
        if wanted and self.evaluation.margins is None:
            raise ConfigError(
                f"evaluation.margins is null: objectives has {wanted[0]}, which nothing measures "
                "then; write {} for the default settings"
            )
        return self

    @model_validator(mode="after")
    def _names_exist(self) -> Self:
        check_names(self.data, self.model, self.training, self.evaluation)
        return self

    def trial_config(self, initial_weights: Path | None = None) -> TrialConfig:
        """Return what every trial starts from, before its searched parameters.

        Paths become absolute, for a worker runs in a folder of its own.

        Args:
            initial_weights: Checkpoint of the pretrained model.
        """
        root, cache = self.data.root, self.data.cache_dir or self.storage / "cache"
        data = dataclasses.replace(
            self.data, root=root and absolute(root), cache_dir=absolute(cache)
        )
        checkpoint = self.model.checkpoint
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
