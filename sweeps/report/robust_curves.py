"""Robust accuracy over the radius of the attack, read from a trial's metrics."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

_METRIC = re.compile(r"val/robust_accuracy/(?P<attack>.+)/(?P<region>[^/]+)/eps_(?P<eps>[\d.]+)")


@dataclass(frozen=True, kw_only=True)
class RobustCurve:
    """Accuracy of one model under one attack in one region.

    Attributes:
        model: What the curve belongs to, for people.
        attack: Name of the attack.
        region: Name of the pixels that it may change.
        epsilons_255: Radii in 1/255 of the pixel range, ascending; 0 is clean.
        robust: Accuracy at each radius, in [0, 1].
    """

    model: str
    attack: str
    region: str
    epsilons_255: tuple[float, ...]
    robust: tuple[float, ...]


def robust_curves(model: str, metrics: Mapping[str, float]) -> list[RobustCurve]:
    """Collect the curves of a model.

    Args:
        model: What to call it.
        metrics: Its metrics; ``val/robust_accuracy/ATTACK/REGION/eps_E`` are taken, and
            ``val/accuracy`` begins each curve.

    Returns:
        A curve for each attack and region, in the order of their names.
    """
    points: defaultdict[tuple[str, str], list[tuple[float, float]]] = defaultdict(list)
    for name, value in metrics.items():
        match = _METRIC.fullmatch(name)
        if match is not None:
            points[match["attack"], match["region"]].append((float(match["eps"]), value))
    curves = []
    for (attack, region), found in sorted(points.items()):
        if "val/accuracy" in metrics:
            found.append((0.0, metrics["val/accuracy"]))
        epsilons, robust = zip(*sorted(found), strict=True)
        curves.append(
            RobustCurve(
                model=model, attack=attack, region=region, epsilons_255=epsilons, robust=robust
            )
        )
    return curves
