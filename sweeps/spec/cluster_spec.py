"""Resources of a trial, and the Ray cluster that has them: two sections of a sweep's spec."""

from __future__ import annotations

from typing import Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    ValidationError,
    ValidatorFunctionWrapHandler,
    field_validator,
)

from hsplid_core.config.rules import rule, rules_hold
from hsplid_core.errors import ConfigError
from sweeps.spec.addresses import check_cluster_address

MOST_TRIALS = 100_000  # a sampler looks at all of them for each new one
MOST_CORES = 4096

# Errors of values that have the right type, in pydantic's words.
_LIMITS = {
    "greater_than",
    "greater_than_equal",
    "less_than_equal",
    "finite_number",
    "string_pattern_mismatch",
    "string_too_long",
    "string_too_short",
}


class SpecSection(BaseModel):
    """Base of a spec's sections: read once, and a misspelt key is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    @field_validator("*", mode="wrap")
    @classmethod
    def _limits_hold(cls, value: object, handler: ValidatorFunctionWrapHandler) -> object:
        try:
            return handler(value)
        except ValidationError as error:
            if rules_hold() or not {fault["type"] for fault in error.errors()} <= _LIMITS:
                raise
            return value


class ResourcesSpec(SpecSection):
    """What one trial occupies.

    Attributes:
        cpu: CPU cores; also the number of threads that a trial uses.
        gpu: GPUs; a fraction shares one, and its memory likewise. ``auto`` runs the first trial
            alone on a GPU, and packs the others by the memory that it needed.
        max_concurrent: Most trials at a time; None fills the cluster.
    """

    # Ray counts in ten-thousandths; no machine has more.
    cpu: float = Field(default=1.0, ge=0.0001, le=MOST_CORES)
    gpu: float | Literal["auto"] = 0.0
    max_concurrent: int | None = Field(default=None, ge=1, le=MOST_TRIALS)

    @field_validator("gpu")
    @classmethod
    @rule
    def _gpu_is_an_amount(cls, value: float | str) -> float | str:
        # Ray shares a GPU in ten-thousandths.
        if isinstance(value, float) and not (value == 0 or 0.0001 <= value <= 1):
            raise ConfigError(
                f"gpu is {value:g}: use 0, 0.0001 to 1, or auto; a trial trains on one GPU at "
                "most, and several GPUs train as many trials at a time"
            )
        return value


class ClusterSpec(SpecSection):
    """Which Ray cluster runs the trials.

    Attributes:
        address: HOST:PORT of a running cluster, or ``auto`` on one of its nodes; None starts one
            on this machine.
        num_cpus: Cores given to the cluster started here; None takes all that this process may
            use.
        num_gpus: GPUs given to the cluster started here; None takes all.
        lost_after: Minutes to wait for a running cluster that does not answer any more, or for a
            node of it that a trial fits on.
    """

    address: str | None = None
    num_cpus: int | None = Field(default=None, ge=1, le=MOST_CORES)
    num_gpus: int | None = Field(default=None, ge=0, le=1024)
    lost_after: float = Field(default=10.0, ge=0, le=10_080)

    @field_validator("address")
    @classmethod
    @rule
    def _address_is_one(cls, value: str | None) -> str | None:
        return None if value is None else check_cluster_address(value)
