"""Judging saved models: finding one, measuring it on a data set, and showing what was found."""

from sweeps.model_evaluation.find_model import JudgedModel, open_judged
from sweeps.model_evaluation.image_log import ENDINGS, write_log
from sweeps.model_evaluation.measure import Verdict, Wishes, judge
from sweeps.model_evaluation.text_tables import (
    accuracies_table,
    notes,
    radius_text,
    robustness_table,
)

__all__ = [
    "ENDINGS",
    "JudgedModel",
    "Verdict",
    "Wishes",
    "accuracies_table",
    "judge",
    "notes",
    "open_judged",
    "radius_text",
    "robustness_table",
    "write_log",
]
