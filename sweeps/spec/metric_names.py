"""Metric names in a spec: does a method or the evaluation measure what objectives and limits name?

A name that nothing measures would be missed only when a trial has trained to its end. What most
sweeps name is known without torch, whose import takes seconds; the library is asked for the rest.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from difflib import get_close_matches

from hsplid_core.config import DataConfig, EvaluationConfig, check
from hsplid_core.config.names import EPOCH_METRICS, METHOD_METRICS
from hsplid_core.errors import did_you_mean

ACCURACY = "val/accuracy"
_ROBUST = "val/robust_accuracy"
# First word of an analysis' metrics, to its section of the evaluation.
_ANALYSES = {"margin": "margins", "saliency": "saliency", "single_pixel": "single_pixel"}


def only_when_due(metric: str) -> bool:
    """Tell whether a metric is measured every ``evaluation.every`` epochs only."""
    return metric.startswith("val/") and metric != ACCURACY


def check_metrics(
    named: Mapping[str, str],
    methods: Collection[str],
    data: DataConfig,
    evaluation: EvaluationConfig,
) -> None:
    """Refuse metrics that no trial will report, before one trains for them.

    Args:
        named: Metrics by the path of the field that names each.
        methods: Names of the methods that take part. Of one from outside, any name is taken that
            begins as its metrics do, with the class's name.
        data: Its images' size decides which margins there are.
        evaluation: The analyses.

    Raises:
        ConfigError: Nothing measures a metric of that name, or what does is off.
    """
    known = {*EPOCH_METRICS, *_without_torch(evaluation)}
    known |= {name for method in methods for name in METHOD_METRICS.get(method, ())}
    outside = [m.rpartition(":")[2] for m in methods if m not in METHOD_METRICS]
    begins = tuple(start for label in outside for start in (f"{label}/", f"train/{label}/"))
    rest = [(f, m) for f, m in named.items() if m not in known and not m.startswith(begins)]
    off = {metric: text for _, metric in rest if (text := _is_off(metric, methods, evaluation))}
    if any(metric not in off for _, metric in rest):
        known |= set(_with_torch(data, evaluation))
    check(
        (metric in known, _fault(field, metric, known, off.get(metric))) for field, metric in rest
    )


def _fault(field: str, metric: str, known: Collection[str], off: str | None) -> str:
    if off is not None:
        return f"{field} is {metric}: {off}"
    near = ", ".join(get_close_matches(metric, known, n=3, cutoff=0.0))
    return (
        f"{field} is {metric}, which nothing measures: use a metric such as {near}"
        f"{did_you_mean(metric, known)}"
    )


def _is_off(metric: str, methods: Collection[str], evaluation: EvaluationConfig) -> str | None:
    """Say what has to be switched on for a metric; None where it is not that."""
    owner = next((name for name, names in METHOD_METRICS.items() if metric in names), None)
    if owner is not None and owner not in methods:
        return f"it is measured by method.{owner}, which takes no part; add it to method"
    begin, _, rest = metric.removeprefix("val/").partition("/")
    section = _ANALYSES.get(begin) if rest else None
    if section is not None and getattr(evaluation, section) is None:
        return (
            f"evaluation.{section} is null, so that nothing measures it; write {{}} for the "
            "default settings"
        )
    return None


def _without_torch(evaluation: EvaluationConfig) -> Iterator[str]:
    yield _ROBUST
    if evaluation.margins is not None:
        yield from ("val/margin/smallest", "val/margin/not_fooled")
    if evaluation.single_pixel is not None:
        yield "val/single_pixel/attribution_correct"
        yield from (f"val/single_pixel/accuracy_{kind}" for kind in ("same", "diff", "nopix"))
    saliency = evaluation.saliency
    if saliency is None:
        return
    yield from ("val/saliency/images", "val/saliency/without_mask")
    yield from (f"val/saliency/{m}/{score}" for m in saliency.methods for score in saliency.scores)
    if saliency.probes:
        yield from (f"val/saliency/probe/{space}_accuracy" for space in ("salient", "nonsalient"))
        yield "val/saliency/salient_features"


def _with_torch(data: DataConfig, evaluation: EvaluationConfig) -> Iterator[str]:
    from trainables.robustness import robustness_metrics

    yield from robustness_metrics(evaluation)
    if evaluation.margins is not None:
        from trainables.margins import margin_metrics

        yield from margin_metrics(evaluation.margins, data.image_size)
    if evaluation.single_pixel is not None:
        from trainables.single_pixel import single_pixel_metrics

        yield from single_pixel_metrics()
