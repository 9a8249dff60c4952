"""The analysis ``confirmation``: a chosen model on the test split, under a whole attack suite."""

from __future__ import annotations

import base64
import dataclasses
import zlib

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from hsplid_core.config import EvaluationConfig
from hsplid_core.data import load
from hsplid_core.evaluation import Suite, evaluate_robustness, find_suite, strengthened
from hsplid_core.evaluation.accuracy import swapped_background_correct
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
        The table ``confirmation``: region, norm, attack, epsilon (pixel units), accuracy, n_images
        and which images are classified correctly (`unpack_images`). Its first rows are the clean
        accuracy, the mean over regions and radii under the last attack of each and, where there
        are masks, the accuracy on swapped backgrounds. And, where there is reason to distrust the
        numbers, ``confirmation_warnings``: code, message.

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
        cascade=settings.cascade,
    )
    n = table.n_images
    rows: list[tuple[str, str, str, float, float, int, str]] = [
        ("full", "none", "clean", 0.0, table.clean, n, _pack(table.clean_correct)),
        ("all", "all", "mean", 0.0, table.mean_robust, n, _pack(table.mean_correct)),
    ]
    if images.has_masks and len(images) > 1:
        swapped = swapped_background_correct(
            subject.model,
            images,
            batch_size=settings.batch_size,
            seed=_ATTACK_SEED,
            device=subject.device,
        )
        share = float(swapped.double().mean())
        rows.append(("background", "none", "swapped", 0.0, share, len(images), _pack(swapped)))
    rows += [
        (cell.region, cell.norm, cell.attack, cell.epsilon, cell.robust, n, _pack(correct))
        for cell, correct in zip(table.cells, table.correct, strict=True)
    ]
    names = ("region", "norm", "attack", "epsilon", "accuracy", "n_images", "images")
    columns: Table = dict(zip(names, map(list, zip(*rows, strict=True)), strict=True))
    tables = {CONFIRMATION: columns}
    if table.warnings:
        tables[DOUBTS] = {
            "code": [finding.code for finding in table.warnings],
            "message": [finding.message for finding in table.warnings],
        }
    return Findings(tables=tables)


def _pack(shares: Tensor) -> str:
    """Write how often each image is classified correctly, in [0, 1], as text."""
    values = shares.cpu().numpy().astype("<f4")
    return base64.b64encode(zlib.compress(values.tobytes())).decode()


def unpack_images(text: str) -> NDArray[np.float32]:
    """Read the column ``images`` of the table ``confirmation``.

    Args:
        text: A cell of it.

    Returns:
        How often each image is classified correctly, in [0, 1], float32, [N]: 0 or 1 but in the
        mean over several attacks.
    """
    return np.frombuffer(zlib.decompress(base64.b64decode(text)), dtype="<f4")


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
