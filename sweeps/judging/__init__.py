"""Judging saved models: finding one, measuring it on a data set, and showing what was found."""

from sweeps.judging.logs import ENDINGS, write_log
from sweeps.judging.measuring import Verdict, Wishes, judge
from sweeps.judging.models import JudgedModel, open_judged
from sweeps.judging.tables import accuracies_table, notes, radius_text, robustness_table

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
