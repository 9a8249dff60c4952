"""Search section of a spec: how trials get their parameters, and what they have to keep."""

from __future__ import annotations

from typing import Annotated, Any, Literal, Self

from pydantic import (
    Field,
    StringConstraints,
    field_validator,
    model_serializer,
    model_validator,
)

from hsplid_core.config.rules import MOST_EPOCHS, MOST_SEED, rule
from hsplid_core.errors import ConfigError, Fault
from sweeps.spec.cluster_spec import MOST_TRIALS, SpecSection
from sweeps.spec.find_space import find_space
from sweeps.spec.range_spec import RangeSpec

# What they stand for is in sweeps.search: samplers and schedulers.
SamplerName = Literal["tpe", "nsga2", "nsga3", "gp", "random", "qmc", "grid"]
# One's own, which is called with a seed.
OutsideName = Annotated[str, StringConstraints(pattern=r".:.")]
SchedulerName = Literal["none", "mo_asha", "asha", "median"]

MOST_REPLICATES = 100


class ConstraintSpec(SpecSection):
    """A limit that a usable trial keeps; one beyond it is infeasible and never on the front.

    Attributes:
        metric: Name of an epoch metric; its value in the last epoch counts.
        minimum: Smallest value allowed; None for no limit.
        maximum: Largest value allowed; None for no limit.
    """

    metric: str = Field(min_length=1)
    minimum: float | None = None
    maximum: float | None = None

    @model_validator(mode="after")
    @rule
    def _limits(self) -> Self:
        if self.minimum is None and self.maximum is None:
            raise ConfigError(f"constraint on {self.metric}: give a minimum or a maximum")
        low, high = self.minimum, self.maximum
        if low is not None and high is not None and low > high:
            raise ConfigError(
                f"minimum is {low:g}, above the maximum, {high:g}: no trial is within"
            )
        return self


class ReplicatesSpec(SpecSection):
    """Under how many seeds trials are trained; the means over them decide.

    A number stands for every trial's.

    Attributes:
        every: Seeds of each trial.
        front: Seeds in all of those trials alone that nobody dominates by their first one.
    """

    every: int = Field(default=1, ge=1, le=MOST_REPLICATES)
    front: int = Field(default=1, ge=1, le=MOST_REPLICATES)

    @model_validator(mode="before")
    @classmethod
    def _number_is_every(cls, value: Any) -> Any:
        is_number = isinstance(value, int) and not isinstance(value, bool)
        return {"every": value} if is_number else value

    @model_validator(mode="after")
    @rule
    def _one_of_them(self) -> Self:
        if self.every > 1 and self.front > 1:
            raise ConfigError(Fault("front", f"is {self.front}: give it alone, without every"))
        return self

    @model_serializer
    def _shortest(self) -> Any:
        return {"front": self.front} if self.front > 1 else self.every

    @property
    def most(self) -> int:
        """Seeds that a trial may be trained under, in all."""
        return max(self.every, self.front)

    @property
    def front_alone(self) -> bool:
        """Whether only trials that reach the front get more than one."""
        return self.front > 1


class SearchSpec(SpecSection):
    """How the parameters of trials are chosen, and which trials end early.

    Attributes:
        space: Name in ``search_spaces.SPACES``, ``package.module:function`` or
            ``path/to/file.py:function``; None where ``ranges`` are all that is searched.
        ranges: Where the values of fields come from, by dotted path: further fields than the
            space's, or other ranges of its own.
        sampler: Optuna's sampler; ``grid`` goes through every combination of a space whose
            parameters are all choices. ``package.module:factory`` or ``path/to/file.py:factory``
            is called with ``seed`` and returns one, as OptunaHub's or ``optuna.samplers:NAME``.
        seed: Seed of the sampler.
        startup_trials: Random trials before the sampler trusts its model; the population of
            NSGA-II and NSGA-III.
        paper_first: Run the published values first; the spec's own come next in any case.
        warm_start: Names or folders of earlier sweeps, whose fronts a new one tries before all
            else, as far as they are points of its search; they are trained anew. The samplers
            ``tpe`` and ``gp`` also learn from all of their complete trials.
        replicates: Seeds that each trial is trained under, one after the spec's own; the means
            over them decide. ``{front: 3}`` gives three to those trials alone that reach the
            front with their first seed. All go on from the same initial weights.
        constraints: Limits of usable trials, for instance against collapsed models.
        scheduler: What ends unpromising trials early: ``mo_asha`` for any number of objectives,
            Ray's ``asha`` and ``median`` for one, or nothing.
        grace_epochs: Epochs that every trial gets; the first rung of the successive halving. By
            default half of a trial's, divided by the reduction factor, so that a second rung is
            at about the half: after fewer epochs trials' order says little about their ends.
        reduction_factor: Of as many trials at a rung, one goes on; the next rung is at as many
            times the epochs.
    """

    space: str | None = None
    ranges: dict[str, RangeSpec] = Field(default_factory=dict)
    sampler: SamplerName | OutsideName = "tpe"
    seed: int = Field(default=0, ge=0, le=MOST_SEED)
    startup_trials: int = Field(default=10, ge=0, le=MOST_TRIALS)
    paper_first: bool = True
    warm_start: tuple[str, ...] = ()
    replicates: ReplicatesSpec = ReplicatesSpec()
    constraints: tuple[ConstraintSpec, ...] = ()
    scheduler: SchedulerName = "none"
    grace_epochs: int | None = Field(default=None, ge=1, le=MOST_EPOCHS)
    # With more, not even the best of a rung of a hundred trials goes on.
    reduction_factor: int = Field(default=3, ge=2, le=100)

    @field_validator("space")
    @classmethod
    @rule
    def _space_exists(cls, value: str | None) -> str | None:
        if value is not None:
            find_space(value)
        return value

    @model_validator(mode="after")
    @rule
    def _something_is_searched(self) -> Self:
        if self.space is None and not self.ranges:
            raise ConfigError("space is missing: name a search space, or give ranges")
        return self
