"""Analyses of a trial's model, beyond accuracy and robustness.

An analysis is switched on by the section of ``EvaluationConfig`` that has its name. It runs
whenever robustness is due, on the model as it then is, and leaves two things: metrics, which join
the epoch's own and can be a sweep's objectives, and tables, which a sweep collects from all its
trials into one file each. The next analysis is one more function in :data:`ANALYSES`.
"""

from __future__ import annotations

from hsplid_core.attacks import find_region
from hsplid_core.config import EvaluationConfig
from hsplid_core.data import ImageSet
from hsplid_core.errors import ConfigError
from hsplid_core.saliency import check_scores
from trainables.analysis import Analysis, Findings, Subject, Table
from trainables.confirmation import confirmation
from trainables.margins import margins
from trainables.robustness import suite_of
from trainables.saliency import saliency
from trainables.single_pixel import planted_pixels, single_pixel

ANALYSES: dict[str, Analysis] = {
    "confirmation": confirmation,
    "margins": margins,
    "saliency": saliency,
    "single_pixel": single_pixel,
}


def check_analyses(evaluation: EvaluationConfig, validation: ImageSet) -> None:
    """Refuse analyses that these images do not allow, before anything is trained.

    Args:
        evaluation: Which analyses are on.
        validation: Images that they will look at.

    Raises:
        ConfigError: A region or a score needs masks, or the benchmark a planted pixel, that the
            images lack.
    """
    for threat in suite_of(evaluation).threats:
        region = find_region(threat.region)
        if region.needs_mask and not validation.has_masks:
            raise ConfigError(
                f"evaluation.region is {region.name}, but this data has no object "
                "masks: use full, left or right"
            )
    if evaluation.saliency is not None:
        check_scores(evaluation.saliency.scores, has_masks=validation.has_masks)
    if evaluation.single_pixel is not None:
        planted_pixels(validation)


def analyse(subject: Subject) -> Findings:
    """Run every analysis whose section is given.

    Args:
        subject: The trial's model and images.

    Returns:
        What all of them found, together.

    Raises:
        SaliencyError: An analysis cannot do what its section asks.
    """
    metrics: dict[str, float] = {}
    tables: dict[str, Table] = {}
    for name, run in ANALYSES.items():
        if getattr(subject.config.evaluation, name) is not None:
            found = run(subject)
            metrics |= found.metrics
            tables |= found.tables
    return Findings(metrics=metrics, tables=tables)
