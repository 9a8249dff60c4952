"""Ranges of a search in a spec: where one field's values come from, and when it is searched."""

from __future__ import annotations

from typing import Any, Self

from pydantic import Field, model_serializer, model_validator

from hsplid_core.config.rules import rule
from hsplid_core.errors import ConfigError, Fault
from sweeps.spec.cluster_spec import SpecSection
from trainables.config import ParameterValue


class RangeSpec(SpecSection):
    """Where the values of one field come from: between two numbers, or among choices.

    A list stands for its choices.

    Attributes:
        low: Smallest value.
        high: Largest value.
        log: Draw on a logarithmic scale.
        step: Distance between two values; None for any, in whole numbers for a field of integers.
        or_off: Beside the range, exactly 0, by a switch of its own: a logarithmic range cannot
            hold 0, and a tiny weight costs its computation.
        choices: The values, in place of a range.
        when: Fields on which it depends whether this one is searched: each has the value, or one
            of the values; ``on`` stands for any but 0 and null, ``off`` for these. Otherwise the
            field has the spec's own value.
    """

    low: float | None = None
    high: float | None = None
    log: bool = False
    step: float | None = Field(default=None, gt=0)
    or_off: bool = False
    choices: tuple[ParameterValue, ...] | None = None
    when: dict[str, ParameterValue | tuple[ParameterValue, ...]] = Field(default_factory=dict)

    @model_validator(mode="before")
    @classmethod
    def _list_is_choices(cls, value: Any) -> Any:
        return {"choices": value} if isinstance(value, list | tuple) else value

    @model_validator(mode="after")
    @rule
    def _is_one_or_the_other(self) -> Self:
        if self.choices is not None:
            if (self.low, self.high, self.step) != (None, None, None) or self.log or self.or_off:
                raise ConfigError(Fault("choices", "is given: leave low, high and their like out"))
            if not self.choices or len(set(self.choices)) < len(self.choices):
                text = f"is {list(self.choices)}: give different values"
                raise ConfigError(Fault("choices", text))
            return self
        if self.low is None or self.high is None:
            name = "low" if self.low is None else "high"
            raise ConfigError(Fault(name, "is missing: give low and high, or a list of choices"))
        if self.low >= self.high:
            raise ConfigError(Fault("low", f"is {self.low:g}: use less than high, {self.high:g}"))
        if self.log and self.low <= 0:
            raise ConfigError(
                Fault(
                    "low",
                    f"is {self.low:g}: a logarithmic range begins above 0; or_off: true adds "
                    "exactly 0",
                )
            )
        if self.log and self.step is not None:
            raise ConfigError(Fault("step", f"is {self.step:g}: leave it out, or log"))
        if self.or_off and self.low <= 0:
            raise ConfigError(Fault("low", f"is {self.low:g}: with or_off use a value above 0"))
        return self

    @model_serializer
    def _shortest(self) -> Any:
        fields = type(self).model_fields
        own = {name: getattr(self, name) for name in fields}
        changed = {name: own[name] for name, f in fields.items() if own[name] != f.get_default()}
        if not self.when:
            changed.pop("when", None)
        changed = {k: list(v) if isinstance(v, tuple) else v for k, v in changed.items()}
        return changed["choices"] if list(changed) == ["choices"] else changed

    def holds(self, path: str, value: ParameterValue) -> bool:
        """Tell whether a value of a field of ``when`` lets this one be searched.

        Args:
            path: The field, a key of ``when``.
            value: What a trial has there.
        """
        wanted = self.when[path]
        allowed = wanted if isinstance(wanted, tuple) else (wanted,)
        if isinstance(value, bool):
            return value in allowed
        return any(
            bool(value) is each if isinstance(each, bool) else value == each for each in allowed
        )
