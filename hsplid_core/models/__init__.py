"""Image classifiers with an explicit, maskable feature vector."""

from hsplid_core.models.build import MODELS, build_model
from hsplid_core.models.lenet import LeNet3Encoder
from hsplid_core.models.masked import MaskedClassifier
from hsplid_core.models.resnet import RESNETS, ResNetEncoder

__all__ = [
    "MODELS",
    "RESNETS",
    "LeNet3Encoder",
    "MaskedClassifier",
    "ResNetEncoder",
    "build_model",
]
