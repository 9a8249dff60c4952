"""Judging saved models: finding one, measuring it on a data set, and showing what was found."""

from sweeps.model_evaluation.find_model import open_judged
from sweeps.model_evaluation.image_log import check_log_file, log_verdict
from sweeps.model_evaluation.measure import Verdict, Wishes, data_sets_of, find_device, judge
from sweeps.model_evaluation.text_tables import print_verdict, tell_progress

__all__ = [
    "Verdict",
    "Wishes",
    "check_log_file",
    "data_sets_of",
    "find_device",
    "judge",
    "log_verdict",
    "open_judged",
    "print_verdict",
    "tell_progress",
]
