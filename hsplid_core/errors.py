"""The exceptions that the whole project raises on purpose.

Every message names the rule that was broken, the value that broke it, and what to do next.
"""

from __future__ import annotations


class SaliencyError(Exception):
    """Base of every error that a user can cause or mend."""


class ConfigError(SaliencyError, ValueError):
    """A configured value is out of range, of the wrong kind, or clashes with another."""


class DataError(SaliencyError, ValueError):
    """A data set on disk is missing, incomplete or not what its layout promises."""


class CheckpointError(SaliencyError, ValueError):
    """A checkpoint is damaged, or does not belong to what is being restored."""


class TrainingDivergedError(SaliencyError, ArithmeticError):
    """A loss or a metric became NaN or infinite; going on would only waste time."""
