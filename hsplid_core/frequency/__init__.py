"""Images by their frequencies: the cosine transform, filters, and projections beside them."""

from hsplid_core.frequency.dct import dct2, dct_matrix, idct2
from hsplid_core.frequency.dykstra import project_onto_ball_and_box
from hsplid_core.frequency.filters import (
    FILTERS,
    FilterKind,
    FrequencyFilter,
    cut_low,
    filtered_statistics,
    flip,
    high_pass,
    low_pass,
)

__all__ = [
    "FILTERS",
    "FilterKind",
    "FrequencyFilter",
    "cut_low",
    "dct2",
    "dct_matrix",
    "filtered_statistics",
    "flip",
    "high_pass",
    "idct2",
    "low_pass",
    "project_onto_ball_and_box",
]
