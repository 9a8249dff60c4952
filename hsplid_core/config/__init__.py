"""Configuration of a trial: the sections that it is made of, as typed and checked values."""

from hsplid_core.config.analyses import (
    ConfirmationConfig,
    MarginsConfig,
    PixelConfig,
    SaliencyConfig,
    SinglePixelConfig,
)
from hsplid_core.config.augmentation import AugmentationConfig
from hsplid_core.config.rules import Section, check
from hsplid_core.config.schedule import ScheduleConfig
from hsplid_core.config.trial import (
    DataConfig,
    EvaluationConfig,
    ModelConfig,
    TrainingConfig,
)

__all__ = [
    "AugmentationConfig",
    "ConfirmationConfig",
    "DataConfig",
    "EvaluationConfig",
    "MarginsConfig",
    "ModelConfig",
    "PixelConfig",
    "SaliencyConfig",
    "ScheduleConfig",
    "Section",
    "SinglePixelConfig",
    "TrainingConfig",
    "check",
]
