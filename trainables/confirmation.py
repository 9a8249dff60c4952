"""The analysis ``confirmation``: a chosen model on the test split, under a whole attack suite."""

from __future__ import annotations

import dataclasses

from hsplid_core.config import EvaluationConfig
from hsplid_core.data import load
from hsplid_core.evaluation import Suite, evaluate_robustness, find_suite, strengthened
from hsplid_core.evaluation.accuracy import swapped_background_accuracy
from trainables.analysis import Findings, Subject, Table
from trainables.robustness import suite_of

CONFIRMATION = "confirmation"
DOUBTS = "confirmation_warnings"
# Stands for what the trials themselves were judged by, with stronger attacks.
OWN_SUITE = "objective"

# The same attack for every model, whatever its own seed.
_ATTACK_SEED = 0


def confirmation(subject: Subject) -> Findings:
    """Judge a model on images that neither its training nor its choice has seen.

    Returns:
        The table ``confirmation``: region, norm, attack, epsilon (pixel units), accuracy and
        n_images. Its first rows are the clean accuracy, the mean over regions and radii under the
        last attack of each and, where there are masks, the accuracy on swapped backgrounds. And,
        where there is reason to distrust the numbers, ``confirmation_warnings``: code, message.

    Raises:
        SaliencyError: The suite is unknown, or asks for masks that the images lack.
    """
    settings = subject.config.evaluation.confirmation
    assert settings is not None
    images = load(subject.config.data, "test")
    table = evaluate_robustness(
        subject.model,
        images,
        suite_for(subject.config.evaluation),
        batch_size=settings.batch_size,
        seed=_ATTACK_SEED,
        device=subject.device,
    )
    rows: list[tuple[str, str, str, float, float, int]] = [
        ("full", "none", "clean", 0.0, table.clean, table.n_images),
        ("all", "all", "mean", 0.0, table.mean_robust, table.n_images),
    ]
    if images.has_masks and len(images) > 1:
        swapped = swapped_background_accuracy(
            subject.model,
            images,
            batch_size=settings.batch_size,
            seed=_ATTACK_SEED,
            device=subject.device,
        )
        rows.append(("background", "none", "swapped", 0.0, swapped, len(images)))
    rows += [
        (cell.region, cell.norm, cell.attack, cell.epsilon, cell.robust, table.n_images)
        for cell in table.cells
    ]
    names = ("region", "norm", "attack", "epsilon", "accuracy", "n_images")
    columns: Table = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    tables = {CONFIRMATION: columns}
    if table.warnings:
        tables[DOUBTS] = {
            "code": [finding.code for finding in table.warnings],
            "message": [finding.message for finding in table.warnings],
        }
    return Findings(tables=tables)


def suite_for(evaluation: EvaluationConfig) -> Suite:
    """Return the suite that a model is confirmed with.

    Raises:
        ConfigError: It is unknown.
    """
    settings = evaluation.confirmation
    assert settings is not None
    if settings.suite == OWN_SUITE:
        suite = strengthened(suite_of(evaluation))
    else:
        suite = find_suite(settings.suite)
    if settings.max_images is not None:
        suite = dataclasses.replace(suite, max_images=settings.max_images)
    return suite
