"""The training methods of the papers: one file each, found by name."""

from hsplid_core.methods.cross_entropy import CrossEntropyConfig
from hsplid_core.methods.hsplid import HsplidConfig, HsplidTerm
from hsplid_core.methods.objective import (
    ForwardPass,
    MethodConfig,
    Objective,
    Perturbation,
    Shape,
    Step,
    Summand,
    Term,
    build_objective,
)
from hsplid_core.methods.table import METHODS, method_class

__all__ = [
    "METHODS",
    "CrossEntropyConfig",
    "ForwardPass",
    "HsplidConfig",
    "HsplidTerm",
    "MethodConfig",
    "Objective",
    "Perturbation",
    "Shape",
    "Step",
    "Summand",
    "Term",
    "build_objective",
    "method_class",
]
