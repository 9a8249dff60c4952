"""Settings of methods, made of what a spec says about each."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from pydantic import TypeAdapter, ValidationError
from pydantic_core import ErrorDetails

from hsplid_core.config.method_classes import method_class
from hsplid_core.errors import ConfigError


class MethodFaultsError(ValueError):
    """Faults in the configurations of methods, each located below ``method``."""

    def __init__(self, errors: list[ErrorDetails]) -> None:
        super().__init__("; ".join(f"{error['loc']}: {error['msg']}" for error in errors))
        self.errors = errors


def configured_methods(section: Mapping[str, object]) -> dict[str, Any]:
    """Turn the section ``method`` of a spec into the configurations of its methods.

    Args:
        section: Method name to its values; None takes the defaults.

    Raises:
        MethodFaultsError: A method is unknown, or values are wrong.
    """
    configs: dict[str, Any] = {}
    errors: list[ErrorDetails] = []
    for name, given in section.items():
        try:
            configs[name] = _configured(name, given)
        except ValidationError as error:
            errors += [{**e, "loc": (name, *e["loc"])} for e in error.errors()]
        except ConfigError as error:
            fault = ErrorDetails(type="value_error", loc=(name,), msg=str(error), input=given)
            errors.append({**fault, "ctx": {"error": error}})
    if errors:
        raise MethodFaultsError(errors)
    return configs


def _configured(name: str, given: object) -> object:
    kind = method_class(name)
    if isinstance(given, Mapping) and dataclasses.is_dataclass(kind):
        # A class from outside has no reason to know pydantic, which would pass over slips.
        known = [field.name for field in dataclasses.fields(kind)]
        unknown = sorted(str(key) for key in given if key not in known)
        if unknown and not hasattr(kind, "__pydantic_config__"):
            raise ConfigError(f"method {name} has no {unknown[0]}, only {', '.join(known)}")
    try:
        return TypeAdapter(kind).validate_python({} if given is None else given)
    except (ValidationError, ConfigError):
        raise
    except Exception as error:
        # Of a class from outside, whatever its own code raises.
        reason = f"{type(error).__name__}: {error}".partition("\n")[0]
        raise ConfigError(f"method {name} refuses its settings: {reason}") from error
