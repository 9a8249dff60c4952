"""What the commands on stored sweeps share."""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from hsplid_core.errors import ConfigError, SaliencyError
from sweeps.overrides import parse_overrides
from sweeps.stored import DEFAULT_STORAGE


def storage_of(texts: Sequence[str]) -> Path:
    """Read ``storage=FOLDER`` from a command line, as ``sweeps.run`` takes it.

    Raises:
        ConfigError: Something else is set.
    """
    storage = DEFAULT_STORAGE
    for override in parse_overrides(texts):
        if override.path != "storage" or not isinstance(override.value, str):
            raise ConfigError(f"override {override.path}: only storage=FOLDER can be given here")
        storage = Path(override.value)
    return storage


def report_errors(run: Callable[[], int]) -> int:
    """Run a command; an error that its user can mend becomes one line, and exit code 2."""
    try:
        return run()
    except SaliencyError as error:
        sys.stderr.write(f"error: {error}\n")
        return 2
