"""Image classifiers with an explicit, maskable feature vector."""

from hsplid_core.models.build import build_model
from hsplid_core.models.lenet import LeNet3Encoder
from hsplid_core.models.masked import MaskedClassifier
from hsplid_core.models.names import MODELS, model_faults
from hsplid_core.models.resnet import RESNETS, ResNetEncoder
from hsplid_core.models.torchvision_encoder import TorchvisionEncoder
from hsplid_core.models.weights import read_tensors

__all__ = [
    "MODELS",
    "RESNETS",
    "LeNet3Encoder",
    "MaskedClassifier",
    "ResNetEncoder",
    "TorchvisionEncoder",
    "build_model",
    "model_faults",
    "read_tensors",
]
