"""Verdicts on a claim: its numbers seed by seed, their intervals, and what these decide.

A number is computed under each seed from runs of that seed, so that what a seed does to all of
them cancels out. Its interval is Student's t over the seeds, for the images at hand
(`sweeps.model_evaluation.confidence`). An interval that lies wholly within the row's limits
reproduces the number, one wholly without does not, and any other leaves it open.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from sweeps.model_evaluation.confidence import Spread, spread
from sweeps.reproduction.rows import Claim, Measured, Number

Verdict = Literal["reproduced", "not reproduced", "undecided"]
Metrics = Mapping[str, Mapping[int, Mapping[str, float]]]
"""Run to seed to metric to value."""

LEAST_SEEDS = 3
"""Fewer decide nothing: two seeds agree by chance too often."""


@dataclass(frozen=True, kw_only=True)
class Finding:
    """What was found of one number.

    Attributes:
        number: The row's number.
        by_seed: Its values.
        spread: Mean and interval; None without a value.
        verdict: None where the row has no limit for it.
        lacking: What hinders more, in words; empty where nothing does.
    """

    number: Number
    by_seed: Mapping[int, float]
    spread: Spread | None
    verdict: Verdict | None
    lacking: str = ""


def findings_of(claim: Claim, metrics: Metrics) -> list[Finding]:
    """Compute a claim's numbers.

    Args:
        claim: Its row.
        metrics: What the trials of its runs measured.
    """
    return [_finding(number, metrics) for number in claim.numbers]


def overall(findings: Sequence[Finding]) -> Verdict:
    """Join the verdicts: one number that is not reproduced decides, then one that is open."""
    verdicts = {finding.verdict for finding in findings}
    order: tuple[Verdict, ...] = ("not reproduced", "undecided", "reproduced")
    return next(verdict for verdict in order if verdict in verdicts)


def _finding(number: Number, metrics: Metrics) -> Finding:
    parts = list(number.parts)
    runs = [metrics.get(part.run, {}) for part in parts]
    seeds = sorted(set(runs[0]).intersection(*runs[1:]))
    by_seed = {}
    missing = dict.fromkeys(
        f"{part.metric} of {part.run} is missing under seed {seed}"
        for seed in seeds
        for part in parts
        if _value(part, seed, metrics) is None
    )
    for seed in seeds:
        values = {part: _value(part, seed, metrics) for part in parts}
        known = [value for value in values.values() if value is not None]
        if len(known) < len(values):
            continue
        value = values[parts[0]]
        assert value is not None
        if number.minus is not None:
            value -= values[number.minus] or 0.0
        if number.over is not None:
            below = values[number.over]
            if not below:
                missing[f"{number.over.metric} of {number.over.run} is 0 under seed {seed}"] = None
                continue
            value /= below
        by_seed[seed] = value
    found = spread(list(by_seed.values()), bounds=_bounds(number)) if by_seed else None
    lacking = "; ".join(missing)
    if len(by_seed) < LEAST_SEEDS and not lacking:
        lacking = f"{len(by_seed)} of at least {LEAST_SEEDS} seeds"
    return Finding(
        number=number,
        by_seed=by_seed,
        spread=found,
        verdict=_verdict(number, found, is_whole=not lacking),
        lacking=lacking,
    )


def _bounds(number: Number) -> tuple[float, float]:
    """Where an interval ends at the latest: shares and their differences have ends."""
    if not number.percent or number.over is not None:
        return -math.inf, math.inf
    return (0.0, 1.0) if number.minus is None else (-1.0, 1.0)


def _value(part: Measured, seed: int, metrics: Metrics) -> float | None:
    return metrics[part.run][seed].get(part.metric)


def _verdict(number: Number, found: Spread | None, *, is_whole: bool) -> Verdict | None:
    if number.above is None and number.below is None:
        return None
    if found is None or found.low is None or found.high is None or not is_whole:
        return "undecided"
    low = -math.inf if number.above is None else number.above
    high = math.inf if number.below is None else number.below
    if low < found.low and found.high < high:
        return "reproduced"
    return "not reproduced" if found.high <= low or found.low >= high else "undecided"
