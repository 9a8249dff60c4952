"""The robustness that a trial reports: metrics for the study, tables and warnings for people."""

from __future__ import annotations

import dataclasses
import math

import torch

from hsplid_core.attacks import PGD, Model, Norm
from hsplid_core.config import EvaluationConfig
from hsplid_core.data import ImageSet
from hsplid_core.evaluation import (
    Cell,
    RobustnessTable,
    Suite,
    Threat,
    evaluate_robustness,
    find_suite,
)
from trainables.analysis import Findings, Table

ROBUST_ACCURACY = "val/robust_accuracy"
ROBUST_ACCURACY_ERROR = f"{ROBUST_ACCURACY}_error"
ROBUSTNESS = "robustness"
WARNINGS = "robustness_warnings"


def measure_robustness(
    model: Model, images: ImageSet, settings: EvaluationConfig, device: torch.device
) -> Findings:
    """Attack a trial's model on its validation images.

    Args:
        model: In eval mode, on the device.
        images: Validation images.
        settings: Which attack or suite.
        device: Where the model is.

    Returns:
        ``val/robust_accuracy``, the mean over regions and radii under the last attack of each;
        ``val/robust_accuracy_error``, its standard error over the images, up to 0.09 with 32 of
        them; one metric for each cell; and the tables ``robustness`` and, where there is reason to
        distrust the numbers, ``robustness_warnings``.
    """
    found = evaluate_robustness(
        model,
        images,
        suite_of(settings),
        batch_size=settings.batch_size,
        device=device,
        seed=0,  # not the trial's seed: all trials of a sweep face the same attack
    )
    cells = {f"{ROBUST_ACCURACY}/{cell_name(cell)}": cell.robust for cell in found.cells}
    means = {ROBUST_ACCURACY: found.mean_robust, ROBUST_ACCURACY_ERROR: _error(found)}
    return Findings(metrics={**means, **cells}, tables=tables_of(found))


def _error(found: RobustnessTable) -> float:
    """Standard error of the mean robust accuracy, as other images would bring another one."""
    shares = found.mean_correct
    # With n - 1 beneath both roots, one image has an error of 0 and none that is not a number.
    return float(shares.std(correction=0)) / math.sqrt(max(1, len(shares) - 1))


def suite_of(settings: EvaluationConfig) -> Suite:
    """Return the suite that a trial runs: the one named, else the one attack described.

    Raises:
        ConfigError: A value is out of range or unknown.
    """
    if settings.suite is not None:
        named = find_suite(settings.suite)
        return dataclasses.replace(named, max_images=named.max_images or settings.max_images)
    attack = PGD(
        epsilon=settings.epsilons_255[0] / 255,
        steps=settings.steps,
        relative_step=settings.relative_step,
        random_start=settings.random_start,
        restarts=settings.restarts,
        iterate="first_fooling",
    )
    threat = Threat(
        region=settings.region,
        epsilons=tuple(epsilon / 255 for epsilon in sorted(set(settings.epsilons_255))),
        attacks=(("pgd", attack),),
    )
    return Suite(
        name="trial",
        summary="the attack that the evaluation describes",
        threats=(threat,),
        max_images=settings.max_images,
    )


def robustness_metrics(settings: EvaluationConfig) -> list[str]:
    """Name all that `measure_robustness` will measure.

    Raises:
        ConfigError: A value is out of range or unknown.
    """
    cells = [
        f"{ROBUST_ACCURACY}/{_name(name, threat.region_name, threat.norm, epsilon)}"
        for threat in suite_of(settings).threats
        for name, _ in threat.attacks
        for epsilon in threat.epsilons
    ]
    return [ROBUST_ACCURACY, ROBUST_ACCURACY_ERROR, *cells]


def cell_name(cell: Cell) -> str:
    """Name a cell: ``pgd/background/eps_2`` in 1/255 for L-infinity, ``pgd/full/l2_0.5``."""
    return _name(cell.attack, cell.region, cell.norm, cell.epsilon)


def _name(attack: str, region: str, norm: Norm, epsilon: float) -> str:
    size = f"eps_{epsilon * 255:g}" if norm == "linf" else f"l2_{epsilon:g}"
    return f"{attack}/{region}/{size}"


def tables_of(found: RobustnessTable) -> dict[str, Table]:
    """Lay a table and its warnings out as columns of plain values."""
    tables: dict[str, Table] = {ROBUSTNESS: found.to_arrow().to_pydict()}
    if found.warnings:
        tables[WARNINGS] = {
            "code": [finding.code for finding in found.warnings],
            "message": [finding.message for finding in found.warnings],
        }
    return tables
