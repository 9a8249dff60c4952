"""Torchvision's classifiers behind one interface: heads, features, what does not fit."""

from __future__ import annotations

import pickle
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torchvision.models import get_model

from hsplid_core.config import ModelConfig
from hsplid_core.errors import ConfigError
from hsplid_core.models import MaskedClassifier, build_model


def build(
    name: str, size: int = 64, channels: int = 3, classes: int = 4, **config: Any
) -> MaskedClassifier:
    return build_model(
        ModelConfig(name=name, **{"norm": "batch", **config}),
        image_shape=(channels, size, size),
        num_classes=classes,
        mean=[0.5] * channels,
        std=[0.25] * channels,
        seed=0,
    )


# One of each family of heads; the wide classifiers of VGGs in their small version.
NETWORKS: list[tuple[str, int, dict[str, Any]]] = [
    ("vgg11", 512, {"width": 0.125}),
    ("vgg16", 256, {"width": 0.0625, "norm": "none"}),
    ("densenet121", 128, {"width": 0.125}),
    ("efficientnet_b0", 1280, {}),
    ("mobilenet_v2", 1280, {"width": 0.25}),
    ("mobilenet_v3_small", 1024, {}),
    ("shufflenet_v2_x0_5", 1024, {}),
    ("mnasnet0_5", 1280, {}),
    ("regnet_x_400mf", 400, {}),
    ("googlenet", 1024, {}),
    ("swin_t", 768, {}),
    ("vit_b_32", 768, {}),
]


@pytest.mark.parametrize(("name", "features", "config"), NETWORKS, ids=[n[0] for n in NETWORKS])
def test_a_network_is_an_encoder_and_a_head(
    name: str, features: int, config: dict[str, Any]
) -> None:
    model = build(name, **config)
    image = torch.rand(2, 3, 64, 64)
    model.eval()
    z = model.encode(image)
    assert z.shape == (2, features) == (2, model.num_features)
    assert model.predict(z).shape == (2, 4)
    model.feature_mask[: features // 2] = 0
    changed = z.clone()
    changed[:, : features // 2] += 1
    torch.testing.assert_close(model.predict(changed), model.predict(z))
    copy = pickle.loads(pickle.dumps(model))
    torch.testing.assert_close(copy(image), model(image))
    assert not any(getattr(module, "inplace", False) for module in model.modules())


def test_the_numbers_are_torchvisions() -> None:
    theirs = get_model("mobilenet_v3_small", weights=None).eval()
    ours = build("mobilenet_v3_small", classes=1000).eval()
    state = theirs.state_dict()
    ours.encoder.get_submodule("network").load_state_dict(
        {name: value for name, value in state.items() if not name.startswith("classifier.3.")}
    )
    ours.head.load_state_dict({name: state[f"classifier.3.{name}"] for name in ("weight", "bias")})
    image = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours(image), theirs(ours.normalise(image)))


@pytest.mark.parametrize(
    ("name", "layers"), [("vgg16", 5), ("densenet121", 10), ("swin_t", 8), ("vit_b_32", 12)]
)
def test_hidden_layers_run_in_order(name: str, layers: int) -> None:
    width = 0.0625 if name in ("vgg16", "densenet121") else 1.0
    model = build(name, width=width).eval()
    features, hidden = model.encode_with_hidden(torch.rand(2, 3, 64, 64))
    assert len(hidden) == layers
    assert all(layer.shape[0] == 2 for layer in hidden)
    assert features.shape == (2, model.num_features)


@pytest.mark.parametrize("name", ["vgg11", "densenet121", "resnet18"])
@pytest.mark.parametrize("size", [32, 48])
def test_grey_images_and_small_ones(name: str, size: int) -> None:
    model = build(name, size=size, channels=1, width=0.125)
    assert model(torch.rand(2, 1, size, size)).shape == (2, 4)


def test_the_small_stem_of_a_densenet_keeps_the_resolution() -> None:
    model = build("densenet121", size=32, width=0.125, stem="auto")
    stem = nn.Sequential(*list(model.encoder.get_submodule("network.features").children())[:4])
    assert stem(torch.rand(1, 3, 32, 32)).shape == (1, 8, 32, 32)


@pytest.mark.parametrize("name", ["vgg11", "densenet121"])
def test_second_derivatives_reach_the_weights(name: str) -> None:
    model = build(name, size=32, width=0.0625).double().eval()
    image = torch.rand(2, 3, 32, 32, dtype=torch.float64, requires_grad=True)
    energy = model(image).softmax(dim=1).square().sum()
    (gradient,) = torch.autograd.grad(energy, image, create_graph=True)
    gradient.square().sum().backward()
    weight = next(model.encoder.parameters())
    assert weight.grad is not None
    assert weight.grad.isfinite().all()
    assert weight.grad.abs().max() > 0


def test_torch_func_differentiates_each_image() -> None:
    model = build("vgg11", size=32, width=0.0625).eval()
    parameters: dict[str, Tensor] = dict(model.named_parameters())

    def score(image: Tensor) -> Tensor:
        logits: Tensor = torch.func.functional_call(model, parameters, (image[None],))
        return logits.square().sum()

    image = torch.rand(3, 3, 32, 32)
    gradients = torch.func.vmap(torch.func.grad(score))(image)
    leaf = image.clone().requires_grad_()
    (expected,) = torch.autograd.grad(model(leaf).square().sum(), leaf)
    torch.testing.assert_close(gradients, expected, rtol=1e-3, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "size", "config", "says"),
    [
        ("squeezenet1_1", 64, {}, "squeezenet1_1: it has no linear classification layer"),
        ("vit_b_16", 60, {}, "vit_b_16: it cannot be built for images of 60x60"),
        ("alexnet", 16, {}, "alexnet: it does not take images of 3x16x16 .*data.image_size"),
        ("densenet121", 64, {"norm": "none"}, "norm is none: densenet121 has normalisation"),
        ("mobilenet_v2", 64, {"stem": "small"}, "stem is small: mobilenet_v2 has no 7x7 stem"),
        ("efficientnet_b0", 64, {"width": 0.5}, "width is 0.5: efficientnet_b0 has one width"),
        ("vgg17", 64, {}, "model.name is vgg17: use lenet3, .*did you mean vgg1"),
    ],
)
def test_what_does_not_fit_is_told(
    name: str, size: int, config: dict[str, Any], says: str
) -> None:
    with pytest.raises(ConfigError, match=says):
        build(name, size=size, **config)
