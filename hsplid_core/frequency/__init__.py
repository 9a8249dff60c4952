"""Images by their frequencies: the cosine transform, filters, and projections beside them."""

from hsplid_core.frequency.dct import dct_matrix
from hsplid_core.frequency.dykstra import project_onto_ball_and_box
from hsplid_core.frequency.filters import (
    FILTERS,
    FilterKind,
    FrequencyFilter,
    filtered_statistics,
)

__all__ = [
    "FILTERS",
    "FilterKind",
    "FrequencyFilter",
    "dct_matrix",
    "filtered_statistics",
    "project_onto_ball_and_box",
]
