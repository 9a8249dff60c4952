"""The training methods of the papers: one file each, found by name."""

from hsplid_core.methods.adversarial import AdversarialConfig
from hsplid_core.methods.cross_entropy import CrossEntropyConfig
from hsplid_core.methods.hbar import HbarConfig
from hsplid_core.methods.hsplid import HsplidConfig, HsplidTerm
from hsplid_core.methods.human_attention import HumanAttentionConfig
from hsplid_core.methods.norm_adversarial import NormAdversarialConfig
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
from hsplid_core.methods.registry import METHODS, method_class
from hsplid_core.methods.sib import SibConfig
from hsplid_core.methods.sparsity import SparsityConfig

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
    "method_class",
]
