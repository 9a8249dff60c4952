"""The networks: equal to torchvision's where they should be, maskable, seeded."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
import torchvision
from torch import nn

from hsplid_core.config import ModelConfig
from hsplid_core.errors import ConfigError
from hsplid_core.models import LeNet3Encoder, MaskedClassifier, ResNetEncoder, build_model
from hsplid_core.models.masked import hidden_outputs
from hsplid_core.models.state_dicts import fit_state
from hsplid_core.models.torchvision_encoder import resolve_stem

STATISTICS: dict[str, Any] = {"mean": [0.5, 0.4, 0.3], "std": [0.2, 0.25, 0.3]}


def build(size: int = 64, seed: int = 0, **config: Any) -> MaskedClassifier:
    return build_model(
        ModelConfig(**config), image_shape=(3, size, size), num_classes=4, seed=seed, **STATISTICS
    )


@pytest.mark.parametrize("name", ["resnet18", "resnet34", "resnet50"])
def test_with_normalisation_it_is_torchvisions_network(name: str) -> None:
    theirs = torchvision.models.get_model(name, weights=None)
    theirs.fc = nn.Identity()
    ours = ResNetEncoder(name, norm="batch")
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(2, 3, 64, 64)
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image))


@pytest.mark.parametrize(
    ("name", "width", "features"),
    [("resnet18", 1.0, 512), ("resnet18", 0.25, 128), ("resnet50", 0.125, 256)],
)
def test_norm_free_networks_of_any_width(name: str, width: float, features: int) -> None:
    model = build(name=name, width=width)
    assert model.num_features == features
    assert not [m for m in model.modules() if isinstance(m, nn.BatchNorm2d)]
    logits = model(torch.rand(2, 3, 64, 64))
    assert logits.shape == (2, 4)
    assert logits.isfinite().all()


def test_small_stem_keeps_the_resolution() -> None:
    shapes = {}
    for stem in ("imagenet", "small"):
        encoder = ResNetEncoder("resnet18", width=0.125, stem=stem)
        x = encoder.maxpool(encoder.conv1(torch.rand(1, 3, 32, 32)))
        shapes[stem] = tuple(x.shape[2:])
    assert shapes == {"imagenet": (8, 8), "small": (32, 32)}


def test_resnet18_3x3_pools_after_its_narrow_convolution() -> None:
    theirs = torchvision.models.resnet18(weights=None)
    theirs.conv1 = nn.Conv2d(3, 64, 3, padding=1, bias=False)
    theirs.fc = nn.Identity()
    ours = ResNetEncoder("resnet18_3x3", norm="batch")
    ours.load_state_dict(theirs.state_dict())
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(ours.eval()(image), theirs.eval()(image))


def test_lenet3_has_1024_features() -> None:
    model = build(size=28, name="lenet3")
    assert model.num_features == 1024
    image = torch.rand(3, 3, 28, 28)
    assert model(image).shape == (3, 4)
    assert LeNet3Encoder(image_size=64).fc1.in_features == 64 * 16 * 16
    # As in the released code: features before their ReLU, which comes behind the mask.
    features = model.encode(image)
    assert features.min() < 0
    model.feature_mask.copy_(torch.rand(1024))
    hidden = torch.relu(features * model.feature_mask)
    torch.testing.assert_close(model(image), model.head(hidden))


def test_lenet5_loads_under_the_released_names() -> None:
    sizes = {
        "conv1": (6, 1, 5, 5),
        "conv2": (16, 6, 5, 5),
        "fc1": (120, 400),
        "fc2": (84, 120),
        "fc3": (4, 84),
    }
    generator = torch.Generator().manual_seed(0)
    state = {
        f"{name}.{part}": torch.randn(
            shape if part == "weight" else shape[:1], generator=generator
        )
        for name, shape in sizes.items()
        for part in ("weight", "bias")
    }
    model = build_model(
        ModelConfig(name="lenet5"),
        image_shape=(1, 28, 28),
        num_classes=4,
        seed=0,
        mean=[0.0],
        std=[1.0],
    )
    fit_state(model, state, source="state")
    image = torch.rand(3, 1, 28, 28)
    w = state
    x = F.max_pool2d(F.relu(F.conv2d(image, w["conv1.weight"], w["conv1.bias"], padding=2)), 2)
    x = F.max_pool2d(F.relu(F.conv2d(x, w["conv2.weight"], w["conv2.bias"])), 2).flatten(1)
    for name in ("fc1", "fc2"):
        x = F.relu(F.linear(x, w[f"{name}.weight"], w[f"{name}.bias"]))
    torch.testing.assert_close(model.encode(image), x)
    torch.testing.assert_close(model(image), F.linear(x, w["fc3.weight"], w["fc3.bias"]))
    with pytest.raises(ConfigError, match="lenet5 but images are 8x8: use square images of at"):
        build(size=8, name="lenet5")


@pytest.mark.parametrize("name", ["vgg19", "vgg19_bn"])
def test_a_small_vgg_has_512_values_and_torchvisions_names(name: str) -> None:
    norm = "batch" if name.endswith("_bn") else "none"
    model = build(size=32, name=name, norm=norm, stem="small").eval()
    theirs = torchvision.models.get_model(name, weights=None)
    state = {n: t for n, t in theirs.state_dict().items() if n.startswith("features.")}
    for layer, rows in (("0", 512), ("3", 512), ("6", 4)):
        state[f"classifier.{layer}.weight"] = torch.randn(rows, 512)
        state[f"classifier.{layer}.bias"] = torch.randn(rows)
    fit_state(model, state, source="state")
    assert model.num_features == 512
    image = torch.rand(2, 3, 32, 32)
    x = theirs.eval().features(model.normalise(image)).flatten(1)
    for layer in ("0", "3"):
        x = F.relu(
            F.linear(x, state[f"classifier.{layer}.weight"], state[f"classifier.{layer}.bias"])
        )
    torch.testing.assert_close(model.encode(image), x)
    assert build(size=64, name="vgg19", stem="small", width=1 / 16).num_features == 32


def test_densenet121_for_small_images_keeps_their_resolution() -> None:
    model = build(size=32, name="densenet121", norm="batch", stem="small", width=0.25)
    assert model.num_features == 256
    with hidden_outputs(model.encoder) as outputs:
        model.encode(torch.rand(2, 3, 32, 32))
    sides = [output.shape[-1] for output in outputs]
    assert (max(sides), sides[-1]) == (32, 4)


@pytest.mark.parametrize(
    ("name", "size", "resolved"),
    [
        ("resnet18", 32, "small"),
        ("resnet18", 223, "small"),
        ("resnet18", 224, "imagenet"),
        ("densenet121", 32, "small"),
        ("vgg16", 32, "imagenet"),
    ],
)
def test_auto_takes_the_small_stem_below_224_where_there_is_one(
    name: str, size: int, resolved: str
) -> None:
    assert resolve_stem(name, "auto", size) == resolved
    assert resolve_stem(name, "imagenet", size) == "imagenet"


def test_the_mask_decides_what_the_head_sees() -> None:
    model = build(width=0.125)
    image = torch.rand(5, 3, 64, 64)
    torch.testing.assert_close(model(image), model.head(model.encode(image)))
    model.feature_mask.zero_()
    torch.testing.assert_close(model(image), model.head.bias.expand(5, 4))
    copy = build(width=0.125, seed=1)
    copy.load_state_dict(model.state_dict())  # the mask travels with the weights
    torch.testing.assert_close(copy(image), model(image))


def test_normalisation_is_inside() -> None:
    model = build(width=0.125)
    pixel = torch.tensor(STATISTICS["mean"]).view(1, 3, 1, 1).expand(1, 3, 8, 8)
    torch.testing.assert_close(model.normalise(pixel), torch.zeros(1, 3, 8, 8))


def test_weights_follow_the_seed_and_leave_the_global_state() -> None:
    torch.manual_seed(3)
    expected = torch.rand(1)
    torch.manual_seed(3)
    first, second, other = build(width=0.125), build(width=0.125), build(width=0.125, seed=1)
    assert torch.equal(torch.rand(1), expected)
    assert torch.equal(first.head.weight, second.head.weight)
    assert not torch.equal(first.head.weight, other.head.weight)


@pytest.mark.parametrize(
    ("size", "name", "message"),
    [
        (64, "resnet81", r"model\.name is resnet81: .*did you mean resnet18"),
        (30, "lenet3", r"images are 30x30: use square images whose side is a multiple of 4"),
    ],
)
def test_what_does_not_fit(size: int, name: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        build(size=size, name=name)
