"""How benchmarks compare two ways of doing the same thing by the clock on the wall."""

from __future__ import annotations

import time
from collections.abc import Callable


def compare(
    first: Callable[[], object], second: Callable[[], object], *, rounds: int
) -> tuple[float, float]:
    """Time two functions in turns, after one warm-up of each.

    Args:
        first: One way.
        second: The other way.
        rounds: Timings of each.

    Returns:
        The best seconds of each; in turns, so that a disturbed machine disturbs both alike.
    """
    first()
    second()
    pairs = [(_seconds(first), _seconds(second)) for _ in range(rounds)]
    one, other = (min(times) for times in zip(*pairs, strict=True))
    return one, other


def _seconds(run: Callable[[], object]) -> float:
    start = time.perf_counter()
    run()
    return time.perf_counter() - start
