"""Starting weights: from a server, from files of several programs, and what does not fit."""

from __future__ import annotations

import io
import pickle
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torchvision.models import get_model_weights

from hsplid_core.config import ModelConfig
from hsplid_core.errors import CheckpointError, ConfigError
from hsplid_core.models import MaskedClassifier, build_model
from tests.weights_server import weights_server

NETWORK = "shufflenet_v2_x0_5"
State = dict[str, Tensor]


def build(classes: int = 4, channels: int = 3, **config: Any) -> MaskedClassifier:
    return build_model(
        ModelConfig(**{"name": "resnet18", "width": 0.0625, **config}),
        image_shape=(channels, 32, 32),
        num_classes=classes,
        mean=[0.5] * channels,
        std=[0.25] * channels,
        seed=1,
    )


def native(model: MaskedClassifier) -> State:
    """The tensors under the names of the bare network."""
    state = model.state_dict()
    inner = {k.removeprefix("encoder."): v for k, v in state.items() if k.startswith("encoder.")}
    return {**inner, "fc.weight": state["head.weight"], "fc.bias": state["head.bias"]}


@pytest.fixture
def trained() -> MaskedClassifier:
    """Weights other than those of a new model."""
    model = build()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.01)
    return model


@pytest.fixture
def save(tmp_path: Path) -> Callable[[object], Path]:
    def saved(content: object) -> Path:
        torch.save(content, tmp_path / "weights.pt")
        return tmp_path / "weights.pt"

    return saved


def lightning(state: State) -> dict[str, Any]:
    return {
        "epoch": 3,
        "pytorch-lightning_version": "2.5.0",
        "state_dict": {f"model.{name}": value for name, value in state.items()},
        "hyper_parameters": {"learning_rate": 5e-4},
    }


FORMATS: dict[str, Callable[[State], Any]] = {
    "bare": lambda state: state,
    "lightning": lightning,
    "lightning net": lambda state: {"state_dict": {f"net.{k}": v for k, v in state.items()}},
    "parallel": lambda state: {f"module.{name}": value for name, value in state.items()},
    "compiled": lambda state: {f"_orig_mod.model.{name}": v for name, v in state.items()},
    "advgrad": lambda state: {"net": state, "acc": 91.0, "epoch": 7},
}


@pytest.mark.parametrize("form", FORMATS)
def test_files_of_several_programs(
    form: str, trained: MaskedClassifier, save: Callable[[object], Path]
) -> None:
    path = save(FORMATS[form](native(trained)))
    model = build(checkpoint=path)
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model(image), trained(image))
    assert not torch.equal(model(image), build()(image))


def test_our_own_checkpoint_brings_its_mask(
    trained: MaskedClassifier, save: Callable[[object], Path]
) -> None:
    trained.feature_mask[:10] = 0
    trained.mean.fill_(0.3)
    model = build(checkpoint=save({"model": trained.state_dict(), "epoch": 2, "objective": {}}))
    for name, value in trained.state_dict().items():
        assert torch.equal(model.state_dict()[name], value)


@pytest.mark.parametrize("salient", [10, 1])
def test_the_released_split_becomes_the_mask(
    salient: int, trained: MaskedClassifier, save: Callable[[object], Path]
) -> None:
    content = lightning(native(trained))
    hard = torch.zeros(2, trained.num_features)
    hard[0, :salient] = 1
    hard[1, salient:] = 1
    soft = torch.rand(trained.num_features)
    content["state_dict"] |= {"hard_betas": hard, "beta_cs": soft, "cs_centers": torch.zeros(4, 9)}
    model = build(checkpoint=save(content))
    torch.testing.assert_close(model.feature_mask, hard[0] if salient > 1 else soft)


def test_a_network_for_other_classes(
    trained: MaskedClassifier, save: Callable[[object], Path]
) -> None:
    path = save(native(trained))
    with pytest.raises(CheckpointError, match=r"2 of another shape \(head\.weight is \[4, 32\] "):
        build(classes=7, checkpoint=path)
    model = build(classes=7, checkpoint=path, new_head=True)
    image = torch.rand(2, 3, 32, 32)
    torch.testing.assert_close(model.encode(image), trained.encode(image))
    assert torch.equal(model.head.weight, build(classes=7).head.weight)


def test_lenets_released_names(save: Callable[[object], Path]) -> None:
    def lenet(**config: Any) -> MaskedClassifier:
        return build(name="lenet3", channels=1, **config)

    state = {
        name.replace("encoder.", "").replace("head.", "fc2."): value + 0.01
        for name, value in lenet().state_dict().items()
        if name.startswith(("encoder.", "head."))
    }
    model = lenet(checkpoint=save({"state_dict": {f"model.{k}": v for k, v in state.items()}}))
    torch.testing.assert_close(model.head.weight, state["fc2.weight"])
    torch.testing.assert_close(model.state_dict()["encoder.fc1.bias"], state["fc1.bias"])


def test_old_names_of_densenets(save: Callable[[object], Path]) -> None:
    settings: dict[str, Any] = {"name": "densenet121", "norm": "batch"}
    theirs = {
        name.replace("encoder.network.", "")
        .replace("head.", "classifier.")
        .replace("norm1.", "norm.1.")
        .replace("conv2.", "conv.2."): value
        for name, value in build(**settings).state_dict().items()
        if name.startswith(("encoder.", "head.")) and "num_batches" not in name
    }
    assert any(".norm.1." in name for name in theirs)
    build(**settings, checkpoint=save(theirs))


def test_resnets_of_pytorch_cifar(save: Callable[[object], Path]) -> None:
    settings: dict[str, Any] = {"norm": "batch", "stem": "small"}
    trained = build(**settings)
    theirs = {
        f"module.{name.replace('.downsample.', '.shortcut.').replace('fc.', 'linear.')}": value
        for name, value in native(trained).items()
    }
    assert any(".shortcut." in name for name in theirs)
    image = torch.rand(2, 3, 32, 32)
    model = build(**settings, checkpoint=save({"net": theirs}))
    torch.testing.assert_close(model.eval()(image), trained.eval()(image))


class CifarDenseNet(nn.Module):
    """As pytorch-cifar has it: new channels come first, and nothing stands behind the stem."""

    def __init__(self, growth: int, layers: tuple[int, ...], classes: int) -> None:
        super().__init__()
        width = 2 * growth
        self.layers = layers
        self.conv1 = nn.Conv2d(3, width, 3, padding=1, bias=False)
        for number, count in enumerate(layers, start=1):
            block = nn.Sequential()
            for _ in range(count):
                layer = nn.Module()
                layer.bn1 = nn.BatchNorm2d(width)
                layer.conv1 = nn.Conv2d(width, 4 * growth, 1, bias=False)
                layer.bn2 = nn.BatchNorm2d(4 * growth)
                layer.conv2 = nn.Conv2d(4 * growth, growth, 3, padding=1, bias=False)
                block.append(layer)
                width += growth
            self.add_module(f"dense{number}", block)
            if number < len(layers):
                transition = nn.Module()
                transition.bn = nn.BatchNorm2d(width)
                transition.conv = nn.Conv2d(width, width // 2, 1, bias=False)
                self.add_module(f"trans{number}", transition)
                width //= 2
        self.bn = nn.BatchNorm2d(width)
        self.linear = nn.Linear(width, classes)
        for module in self.modules():  # no two channels alike
            if isinstance(module, nn.BatchNorm2d):
                for values in (module.weight, module.bias, module.running_mean):
                    assert values is not None
                    nn.init.normal_(values, std=0.5)

    def forward(self, x: Tensor) -> Tensor:
        def part(path: str, values: Tensor) -> Tensor:
            found: Tensor = self.get_submodule(path)(values)
            return found

        x = self.conv1(x)
        for number, count in enumerate(self.layers, start=1):
            for layer in (f"dense{number}.{k}" for k in range(count)):
                new = part(f"{layer}.conv1", F.relu(part(f"{layer}.bn1", x)))
                new = part(f"{layer}.conv2", F.relu(part(f"{layer}.bn2", new)))
                x = torch.cat([new, x], dim=1)
            if number < len(self.layers):
                x = part(f"trans{number}.conv", F.relu(part(f"trans{number}.bn", x)))
                x = F.avg_pool2d(x, 2)
        logits: Tensor = self.linear(F.relu(self.bn(x)).mean((2, 3)))
        return logits


def test_densenets_of_pytorch_cifar(save: Callable[[object], Path]) -> None:
    torch.manual_seed(0)
    theirs = CifarDenseNet(4, (6, 12, 24, 16), 4).eval()
    settings: dict[str, Any] = {"name": "densenet121", "width": 1 / 8, "norm": "batch"}
    model = build(**settings, stem="bare", checkpoint=save(theirs.state_dict())).eval()
    image = torch.rand(2, 3, 32, 32)
    with torch.no_grad():
        expected = theirs(model.normalise(image))
        torch.testing.assert_close(model(image), expected, rtol=1e-4, atol=1e-4)
    assert float(expected.std()) > 0.1
    with pytest.raises(CheckpointError, match="norm0"):
        build(**settings, stem="small", checkpoint=save(theirs.state_dict()))
    for name in ("resnet18", "vgg16"):
        with pytest.raises(ConfigError, match=f"stem is bare: {name} is no DenseNet; use small"):
            build(name=name, stem="bare")


def without(state: State, *names: str) -> State:
    return {name: value for name, value in state.items() if name not in names}


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (
            lambda s: without(s, "layer1.0.conv1.weight"),
            r"1 missing \(encoder\.layer1\.0\.conv1\.weight\)",
        ),
        (lambda s: {**s, "extra.weight": s["fc.bias"]}, r"1 unexpected \(encoder\.extra\.weight"),
        (
            lambda s: {**s, "conv1.weight": torch.zeros(5, 3, 7, 7)},
            r"conv1\.weight is \[5, 3, 7, 7\] and must be \[4, 3, 7, 7\]",
        ),
        (lambda s: {"a.b": torch.zeros(1)}, "holds another network than this ResNetEncoder"),
        (lambda s: {"epoch": 3}, "holds no state dict"),
        (lambda s: [1, 2], "holds no state dict"),
        (lambda s: {"state_dict": s, "code": Path("x")}, "objects besides tensors"),
    ],
)
def test_what_does_not_fit_is_counted_and_named(
    change: Callable[[State], Any],
    says: str,
    trained: MaskedClassifier,
    save: Callable[[object], Path],
) -> None:
    path = save(change(native(trained)))
    with pytest.raises(CheckpointError, match=says) as caught:
        build(checkpoint=path)
    assert str(path) in str(caught.value)
    assert "\n" not in str(caught.value)


def test_damaged_and_missing_files(tmp_path: Path) -> None:
    (tmp_path / "noise.pt").write_bytes(b"no weights at all")
    with pytest.raises(CheckpointError, match=r"noise\.pt"):
        build(checkpoint=tmp_path / "noise.pt")
    with pytest.raises(ConfigError, match=r"model\.checkpoint is .*gone\.pt: there is no such"):
        build(checkpoint=tmp_path / "gone.pt")


def _pickled(value: object) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer)
    return buffer.getvalue()


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "no file of PyTorch's: EOFError"),
        (b"hello\n", "no file of PyTorch's"),
        (b"\x89PNG\r\n\x1a\n" + bytes(100), "no file of PyTorch's"),
        (pickle.dumps({"a": 1}), "no file of PyTorch's"),
        (_pickled({"a": torch.zeros(9)})[:-40], "no file of PyTorch's"),
        (_pickled(nn.Linear(2, 2)), "holds objects besides tensors, which could run code"),
        (_pickled([1, 2]), "holds no state dict"),
        (_pickled({1: torch.zeros(2)}), "holds another network"),
    ],
)
def test_any_file_is_answered_in_one_line(tmp_path: Path, content: bytes, says: str) -> None:
    (tmp_path / "any.pt").write_bytes(content)
    with pytest.raises(CheckpointError, match=says) as caught:
        build(checkpoint=tmp_path / "any.pt")
    assert "any.pt" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"weights": "DEFAULT", "checkpoint": Path("x")}, "give one of them"),
        ({"new_head": True}, "new_head is true"),
        ({"weights": "IMAGENET1K_V9"}, "resnet18 has IMAGENET1K_V1, DEFAULT"),
        ({"weights": "DEFAULT", "name": "lenet3"}, "lenet3 has none"),
        ({"weights": "DEFAULT", "width": 0.5}, "published for width 1 only"),
    ],
)
def test_impossible_choices_are_refused(config: dict[str, Any], says: str) -> None:
    with pytest.raises(ConfigError, match=says):
        build(**config)


@pytest.fixture
def server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[State]:
    """Torchvision's weights of one small network, served on the loopback."""
    with weights_server(NETWORK, "IMAGENET1K_V1", tmp_path, monkeypatch) as state:
        yield state


def published(**config: Any) -> MaskedClassifier:
    settings = {"name": NETWORK, "norm": "batch", "width": 1.0, "weights": "DEFAULT"}
    return build(**{**settings, **config})


def test_published_weights(server: State, tmp_path: Path) -> None:
    model = published(classes=1000)
    assert torch.equal(model.head.weight, server["fc.weight"])
    assert torch.equal(
        model.state_dict()["encoder.network.conv1.0.weight"], server["conv1.0.weight"]
    )
    # The weights expect the normalisation that they were trained with.
    torch.testing.assert_close(model.mean.flatten(), torch.tensor([0.485, 0.456, 0.406]))
    four = published()
    assert four.num_classes == 4
    grey = published(channels=1)
    torch.testing.assert_close(
        grey.state_dict()["encoder.network.conv1.0.weight"],
        server["conv1.0.weight"].sum(dim=1, keepdim=True),
    )
    torch.testing.assert_close(grey.mean.flatten(), torch.tensor([0.5]))
    with pytest.raises(ConfigError, match="images have 4 channels"):
        published(channels=4)


def test_damaged_downloads_and_no_network(
    server: State, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    entry = get_model_weights(NETWORK)["IMAGENET1K_V1"].value
    whole = next((tmp_path / "served").glob("*.pth"))
    content = whole.read_bytes()
    whole.write_bytes(content[: len(content) // 2])
    with pytest.raises(CheckpointError, match="cannot be had from http"):
        published()
    assert not list((tmp_path / "hub").rglob("*.pth"))  # nothing half stays in the cache
    monkeypatch.setattr(entry, "url", entry.url.replace(whole.stem, "net-00000000"))
    with pytest.raises(CheckpointError, match=r"404.*put the file at .*net-00000000\.pth"):
        published()
    monkeypatch.setattr(entry, "url", "http://127.0.0.1:9/net-00000000.pth")
    with pytest.raises(CheckpointError, match=r"without a network put the file at"):
        published()
    # Put there by hand, it is found.
    cache = tmp_path / "hub" / "hub" / "checkpoints"
    cache.mkdir(parents=True, exist_ok=True)
    (cache / "net-00000000.pth").write_bytes(content)
    assert published().num_classes == 4
