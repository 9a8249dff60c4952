"""How benchmarks compare two ways of doing the same thing."""

from __future__ import annotations

import time
from collections.abc import Callable


def compare(
    first: Callable[[], object],
    second: Callable[[], object],
    *,
    rounds: int,
    clock: Callable[[], float] = time.perf_counter,
) -> tuple[float, float]:
    """Time two functions in turns, after one warm-up of each.

    Args:
        first: One way.
        second: The other way.
        rounds: Timings of each.
        clock: Seconds: of the clock on the wall, or ``time.process_time``, which other processes
            disturb less.

    Returns:
        The best seconds of each; in turns, so that a disturbed machine disturbs both alike.
    """
    first()
    second()
    pairs = [(_seconds(first, clock), _seconds(second, clock)) for _ in range(rounds)]
    one, other = (min(times) for times in zip(*pairs, strict=True))
    return one, other


def _seconds(run: Callable[[], object], clock: Callable[[], float]) -> float:
    start = clock()
    run()
    return clock() - start
