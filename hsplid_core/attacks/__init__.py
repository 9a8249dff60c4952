"""Attacks on a classifier's input, in pixel space and within a region of the image.

A model is any callable from pixels [B, C, H, W] in [0, 1] to logits [B, K]. An attack is a frozen
dataclass of its settings that can be called on a batch (`Attack`); a region is a mask of the
pixels it may change (`region_mask`).
"""

from hsplid_core.attacks._attacked_batch import AttackedBatch
from hsplid_core.attacks._frozen import frozen, refuse_training_mode
from hsplid_core.attacks.apgd import APGD
from hsplid_core.attacks.attack import Attack
from hsplid_core.attacks.autoattack import AutoAttack
from hsplid_core.attacks.balls import L2Ball, LinfBall, Norm
from hsplid_core.attacks.fab import FAB
from hsplid_core.attacks.model_queries import Model, ModelQueries
from hsplid_core.attacks.pgd import PGD, fgsm
from hsplid_core.attacks.regions import REGIONS, Region, find_region, region_mask, user_region
from hsplid_core.attacks.square import Square

__all__ = [
    "APGD",
    "FAB",
    "PGD",
    "REGIONS",
    "Attack",
    "AttackedBatch",
    "AutoAttack",
    "L2Ball",
    "LinfBall",
    "Model",
    "ModelQueries",
    "Norm",
    "Region",
    "Square",
    "fgsm",
    "find_region",
    "frozen",
    "refuse_training_mode",
    "region_mask",
    "user_region",
]
