"""Margins: how far images are from a model's decision boundary, in subspaces of frequencies."""

from hsplid_core.margins.deepfool import DeepFool, Margins, subspace_deepfool
from hsplid_core.margins.subspaces import Subspaces, diagonal_bands, diagonal_blocks, grid_blocks

__all__ = [
    "DeepFool",
    "Margins",
    "Subspaces",
    "diagonal_bands",
    "diagonal_blocks",
    "grid_blocks",
    "subspace_deepfool",
]
