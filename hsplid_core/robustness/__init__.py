"""Robustness as one table: attacks, regions and radii, with a log of every image and warnings."""

from hsplid_core.robustness._campaign import Progress, Told
from hsplid_core.robustness.evaluating import evaluate_robustness
from hsplid_core.robustness.suites import SUITES, Suite, Threat, find_suite, strengthened
from hsplid_core.robustness.table import LOG_SCHEMA, Cell, Finding, RobustnessTable, WarningCode
from hsplid_core.robustness.transfer import RelabelledModel, judged_on

__all__ = [
    "LOG_SCHEMA",
    "SUITES",
    "Cell",
    "Finding",
    "Progress",
    "RelabelledModel",
    "RobustnessTable",
    "Suite",
    "Threat",
    "Told",
    "WarningCode",
    "evaluate_robustness",
    "find_suite",
    "judged_on",
    "strengthened",
]
