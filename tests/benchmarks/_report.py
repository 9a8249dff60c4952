"""How every benchmark reports: ratios of two timings in one run, each with its target."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True)
class Ratio:
    """One measured ratio.

    Attributes:
        name: What was compared.
        value: The ratio.
        target: What it must reach.
        higher_is_better: Whether the target is a lower bound; else it is an upper one.
    """

    name: str
    value: float
    target: float
    higher_is_better: bool

    @property
    def reached(self) -> bool:
        """Whether the value is on the right side of the target."""
        if self.higher_is_better:
            return self.value >= self.target
        return self.value <= self.target


def report(ratios: Sequence[Ratio]) -> int:
    """Print one line a ratio.

    Args:
        ratios: What was measured.

    Returns:
        An exit code: 0 if all reached their targets, else 1.
    """
    width = max((len(ratio.name) for ratio in ratios), default=0)
    for ratio in ratios:
        sign = ">=" if ratio.higher_is_better else "<="
        verdict = "ok" if ratio.reached else "MISSED"
        print(f"{ratio.name:<{width}}  {ratio.value:8.3g}  {sign} {ratio.target:g}  {verdict}")
    return 0 if all(ratio.reached for ratio in ratios) else 1
