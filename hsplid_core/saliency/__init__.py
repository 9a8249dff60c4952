"""Saliency: attributions of a model's decisions to pixels, and how good they are."""

from hsplid_core.saliency.attributions import (
    ATTRIBUTIONS,
    AttributionSettings,
    attribute,
    find_attribution,
)
from hsplid_core.saliency.evaluating import SaliencyReport, evaluate_saliency
from hsplid_core.saliency.probes import ProbeReport, linear_probe_accuracy, probe_spaces
from hsplid_core.saliency.scores import (
    NEEDS_MASK,
    SCORES,
    Curve,
    Explained,
    check_scores,
    energy_inside,
    gini,
    heat_map,
    mask_iou,
    patch_gini,
    pointing_game,
    rank_correlation,
    revealing_curve,
    zero_patches,
)
from hsplid_core.saliency.simple_gradient import agg_clip, simple_gradient

__all__ = [
    "ATTRIBUTIONS",
    "NEEDS_MASK",
    "SCORES",
    "AttributionSettings",
    "Curve",
    "Explained",
    "ProbeReport",
    "SaliencyReport",
    "agg_clip",
    "attribute",
    "check_scores",
    "energy_inside",
    "evaluate_saliency",
    "find_attribution",
    "gini",
    "heat_map",
    "linear_probe_accuracy",
    "mask_iou",
    "patch_gini",
    "pointing_game",
    "probe_spaces",
    "rank_correlation",
    "revealing_curve",
    "simple_gradient",
    "zero_patches",
]
