"""Margins: how far images are from a model's decision boundary, in subspaces of frequencies."""

from hsplid_core.margins.deepfool import DeepFool, Margins, subspace_deepfool
from hsplid_core.margins.distribution import MarginDistribution, measure_margins
from hsplid_core.margins.subspaces import (
    Subspaces,
    choose_subspaces,
    diagonal_bands,
    diagonal_blocks,
    grid_blocks,
)

__all__ = [
    "DeepFool",
    "MarginDistribution",
    "Margins",
    "Subspaces",
    "choose_subspaces",
    "diagonal_bands",
    "diagonal_blocks",
    "grid_blocks",
    "measure_margins",
    "subspace_deepfool",
]
