"""The training methods of the papers: one file each, found by name."""

from hsplid_core.config.method_classes import method_class
from hsplid_core.config.methods import (
    METHODS,
    AdversarialConfig,
    CrossEntropyConfig,
    HbarConfig,
    HsplidConfig,
    HumanAttentionConfig,
    NormAdversarialConfig,
    SibConfig,
    SparsityConfig,
)
from hsplid_core.methods.build import build_objective, build_part
from hsplid_core.methods.hsplid import HsplidTerm
from hsplid_core.methods.objective import (
    ForwardPass,
    MethodConfig,
    Objective,
    Perturbation,
    Shape,
    Step,
    Summand,
    Term,
)

__all__ = [
    "METHODS",
    "AdversarialConfig",
    "CrossEntropyConfig",
    "ForwardPass",
    "HbarConfig",
    "HsplidConfig",
    "HsplidTerm",
    "HumanAttentionConfig",
    "MethodConfig",
    "NormAdversarialConfig",
    "Objective",
    "Perturbation",
    "Shape",
    "SibConfig",
    "SparsityConfig",
    "Step",
    "Summand",
    "Term",
    "build_objective",
    "build_part",
    "method_class",
]
