"""Workers of a sweep, made as Ray makes them."""

from __future__ import annotations

from typing import Any

from trainables.config import TrialConfig
from trainables.trainable import Assignment, SweepTrainable


def assigned(**parameters: Any) -> dict[str, Any]:
    """Make what the searcher hands to a worker for a trial, which may halve its batch twice."""
    assignment = Assignment(
        number=0,
        parameters=parameters,
        threads=1,
        resume_from=None,
        memory_retries=2,
        memory_share=None,
    )
    return {"assignment": assignment}


def worker(base: TrialConfig, config: dict[str, Any] | None = None) -> SweepTrainable:
    """Make a worker of a sweep, as Ray does.

    Args:
        base: The sweep's configuration.
        config: Of its first trial; None changes nothing of the sweep's.
    """
    of_sweep = type("OfSweep", (SweepTrainable,), {"base": base})
    made = of_sweep(config or assigned())
    assert isinstance(made, SweepTrainable)
    return made
