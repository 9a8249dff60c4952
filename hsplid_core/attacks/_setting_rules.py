"""Rules that the settings of several attacks share, as pairs for `hsplid_core.config.check`."""

from __future__ import annotations

import math
from collections.abc import Collection

from hsplid_core.attacks.balls import BALLS, Norm

Rule = tuple[bool, str]
"""Whether it holds, and what to say where it does not."""


def radius_rules(epsilon: float, norm: Norm) -> list[Rule]:
    """Rules for the ball that an attack stays in.

    Args:
        epsilon: Radius in pixel units.
        norm: Name of the ball's norm.

    Returns:
        Pairs of (rule holds, message).
    """
    return [
        (
            0 < epsilon < math.inf,
            f"epsilon is {epsilon}: use a radius above 0, in pixel units",
        ),
        (
            norm != "linf" or not epsilon > 1,
            f"epsilon is {epsilon}: pixels lie in [0, 1], so use at most 1 for "
            "linf (8/255, not 8)",
        ),
        (norm in BALLS, f"norm is {norm!r}: use one of {sorted(BALLS)}"),
    ]


def count_rules(**counts: int) -> list[Rule]:
    """Rules for numbers of steps, restarts and the like, which begin at 1.

    Args:
        **counts: Values by their field's name.

    Returns:
        Pairs of (rule holds, message).
    """
    return [(count >= 1, f"{name} is {count}: use at least 1") for name, count in counts.items()]


def iterate_rule(iterate: str, choices: Collection[str]) -> Rule:
    """Rule for the iterate that an attack returns.

    Args:
        iterate: Its name.
        choices: The names there are.

    Returns:
        Whether it holds, and its message.
    """
    return iterate in choices, f"iterate is {iterate!r}: use one of {sorted(choices)}"
