"""Robust accuracy over the radius of the attack, read from a trial's metrics."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

_METRIC = re.compile(
    r"val/robust_accuracy/(?P<attack>.+)/(?P<region>[^/]+)/(?P<kind>eps|l2)_(?P<radius>[\d.]+)"
)
_UNITS = {"eps": "1/255", "l2": "L2 norm"}


@dataclass(frozen=True, kw_only=True)
class RobustCurve:
    """Accuracy of one model under one attack in one region.

    Attributes:
        model: What the curve belongs to, for people.
        attack: Name of the attack.
        region: Name of the pixels that it may change.
        unit: What the radii are in: ``1/255`` of the pixel range for L-infinity, or ``L2 norm``.
        epsilons: Radii, ascending; 0 is clean.
        robust: Accuracy at each radius, in [0, 1].
    """

    model: str
    attack: str
    region: str
    unit: str
    epsilons: tuple[float, ...]
    robust: tuple[float, ...]


def robust_curves(model: str, metrics: Mapping[str, float]) -> list[RobustCurve]:
    """Collect the curves of a model.

    Args:
        model: What to call it.
        metrics: Its metrics; ``val/robust_accuracy/ATTACK/REGION/eps_E`` (or ``l2_E``) are taken,
            and ``val/accuracy`` begins each curve.

    Returns:
        A curve for each attack, region and norm, in the order of their names.
    """
    points: defaultdict[tuple[str, str, str], list[tuple[float, float]]] = defaultdict(list)
    for name, value in metrics.items():
        match = _METRIC.fullmatch(name)
        if match is not None:
            kind = (match["attack"], match["region"], _UNITS[match["kind"]])
            points[kind].append((float(match["radius"]), value))
    curves = []
    for (attack, region, unit), found in sorted(points.items()):
        if "val/accuracy" in metrics:
            found.append((0.0, metrics["val/accuracy"]))
        radii, robust = zip(*sorted(found), strict=True)
        curves.append(
            RobustCurve(
                model=model,
                attack=attack,
                region=region,
                unit=unit,
                epsilons=radii,
                robust=robust,
            )
        )
    return curves
