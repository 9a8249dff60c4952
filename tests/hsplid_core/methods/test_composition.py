"""Methods add up: any of them together, each across a checkpoint, and one from outside."""

from __future__ import annotations

import copy
import itertools
import sys
from collections.abc import Mapping
from dataclasses import dataclass, replace
from types import ModuleType
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from hsplid_core.config import check
from hsplid_core.data.batch import Batch
from hsplid_core.errors import ConfigError
from hsplid_core.hsic import normalised_operator
from hsplid_core.methods import (
    METHODS,
    AdversarialConfig,
    CrossEntropyConfig,
    ForwardPass,
    HbarConfig,
    HsplidConfig,
    HumanAttentionConfig,
    NormAdversarialConfig,
    Objective,
    Shape,
    SibConfig,
    SparsityConfig,
    Step,
    Summand,
    Term,
    build_objective,
    build_part,
    hbar,
    method_class,
)
from hsplid_core.models import LeNet3Encoder, MaskedClassifier, ResNetEncoder
from hsplid_core.training import train_step

CLASSES, FEATURES, BATCH = 3, 16, 8
SHAPE = Shape(CLASSES, FEATURES, batches_per_epoch=2, batch_size=BATCH)
CONFIGS: dict[str, Any] = {
    "adversarial": AdversarialConfig(epsilon=0.5, steps=2),
    "cross_entropy": CrossEntropyConfig(label_smoothing=0.1),
    "hbar": HbarConfig(layer_decay=0.8),
    "hsplid": HsplidConfig(hsic_warmup=0, beta_update_fraction=0.5),
    "human_attention": HumanAttentionConfig(),
    "norm_adversarial": NormAdversarialConfig(mode="group", training="iterative", patch=4),
    "sib": SibConfig(window=5, random_features=8),
    "sparsity": SparsityConfig(kind="group_lasso_weights"),
}
PERTURBATIONS = ("adversarial", "human_attention", "norm_adversarial")
TERMS = [name for name in CONFIGS if name not in PERTURBATIONS]


def tiny_model(seed: int = 0) -> MaskedClassifier:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = LeNet3Encoder(image_size=16, width=FEATURES / 1024)
        head = nn.Linear(FEATURES, CLASSES)
    return MaskedClassifier(encoder, head, mean=[0.5] * 3, std=[0.25] * 3)


def tiny_batch(seed: int = 0) -> Batch:
    generator = torch.Generator().manual_seed(seed)
    image = torch.rand(BATCH, 3, 16, 16, generator=generator)
    mask = torch.rand(BATCH, 1, 16, 16, generator=generator) > 0.5
    target = torch.arange(BATCH) % CLASSES
    return Batch(image, target, mask, torch.arange(BATCH))


class Run:
    """A model, an objective of some methods, and an optimiser."""

    def __init__(self, methods: Mapping[str, Any]) -> None:
        self.model = tiny_model()
        self.objective: Objective = build_objective(methods, SHAPE)
        self.optimiser = torch.optim.Adam(self.model.parameters(), lr=1e-3)

    def start(self) -> Run:
        self.objective.start(self.model, [tiny_batch()])
        self.objective.start_epoch(0)
        return self

    def step(self, seed: int = 0) -> Step:
        return train_step(
            self.model, self.objective, self.optimiser, tiny_batch(seed), clip_norm=1000.0
        )

    def states(self) -> list[dict[str, Any]]:
        parts = (self.model, self.objective, self.optimiser)
        return [part.state_dict() for part in parts]

    def restore(self, states: list[dict[str, Any]]) -> None:
        self.model.load_state_dict(states[0])
        self.objective.load_state_dict(states[1])
        self.optimiser.load_state_dict(states[2])

    def gradients(self) -> list[Tensor]:
        return [p.grad for p in self.model.parameters() if p.grad is not None]


def test_every_registered_method_is_tested_here() -> None:
    assert set(CONFIGS) == set(METHODS)
    assert all(type(config) is METHODS[name] for name, config in CONFIGS.items())


SUBSETS = [
    subset
    for size in range(1, 5)
    for subset in itertools.combinations(
        ("cross_entropy", "hsplid", "norm_adversarial", "sib"), size
    )
    if subset != ("norm_adversarial",)
]


@pytest.mark.parametrize(
    "subset", [*SUBSETS, tuple(TERMS), *((*TERMS, name) for name in PERTURBATIONS)]
)
def test_methods_add_up(subset: tuple[str, ...]) -> None:
    run = Run({name: CONFIGS[name] for name in subset}).start()
    for seed in range(2):
        step = run.step(seed)
        assert step.loss.isfinite()
        assert {name.split("/")[0] for name in step.values} == set(subset) & set(TERMS)
        assert len(run.gradients()) > 0
        assert all(gradient.isfinite().all() for gradient in run.gradients())


def test_a_sum_has_the_sum_of_the_gradients() -> None:
    names = ("cross_entropy", "hbar", "hsplid", "sib", "sparsity")

    def gradient(*chosen: str) -> Tensor:
        run = Run({name: CONFIGS[name] for name in chosen}).start()
        step: Step = run.objective(run.model, tiny_batch())
        parameters = list(run.model.parameters())
        parts = torch.autograd.grad(step.loss, parameters, materialize_grads=True)
        return torch.cat([part.flatten() for part in parts])

    # H-SPLID masks the features that are classified, so it has to be there each time.
    alone = gradient("hsplid")
    together = gradient(*names)
    others = [gradient("hsplid", name) - alone for name in names if name != "hsplid"]
    torch.testing.assert_close(
        together, alone + torch.stack(others).sum(0), rtol=1e-3, atol=1e-5 * float(together.norm())
    )


@pytest.mark.parametrize("name", sorted(METHODS))
def test_a_restored_run_takes_the_same_next_step(name: str) -> None:
    methods = {"cross_entropy": CONFIGS["cross_entropy"], name: CONFIGS[name]}
    straight = Run(methods).start()
    for seed in range(2):
        straight.step(seed)
    states = copy.deepcopy(straight.states())
    resumed = Run(methods)
    resumed.restore(states)
    losses = []
    for run in (straight, resumed):
        torch.manual_seed(1)  # as a training run does
        run.objective.start_epoch(1)  # checkpoints are written between epochs
        losses.append(float(run.step(2).loss.detach()))
    assert losses[0] == losses[1]
    for ours, theirs in zip(
        resumed.model.state_dict().values(), straight.model.state_dict().values(), strict=True
    ):
        assert torch.equal(ours, theirs)


@pytest.mark.parametrize("name", sorted(METHODS))
def test_the_defaults_build(name: str) -> None:
    assert build_part(METHODS[name](), SHAPE) is not None


OFF: dict[str, Any] = {
    "cross_entropy": CrossEntropyConfig(weight=0.0),
    "hbar": HbarConfig(lambda_x=0.0, lambda_y=0.0),
    "human_attention": HumanAttentionConfig(epsilon=0.0),
    "norm_adversarial": NormAdversarialConfig(epsilon=0.0, epsilon2=0.0),
    "sib": SibConfig(lambda_fg=0.0, lambda_bg=0.0),
    "sparsity": SparsityConfig(weight=0.0),
}


def counted_forward_passes(methods: Mapping[str, Any]) -> tuple[int, int, bool]:
    """Encodings, hidden layers kept, and whether the inputs' gradient was prepared, in a step."""
    run = Run(methods).start()
    seen: list[bool] = []
    run.model.encoder.register_forward_pre_hook(lambda _, x: seen.append(x[0].requires_grad))
    kept: list[int] = []
    original = run.model.encode_with_hidden

    def counting(inputs: Tensor) -> tuple[Tensor, tuple[Tensor, ...]]:
        features, hidden = original(inputs)
        kept.append(len(hidden))
        return features, hidden

    run.model.encode_with_hidden = counting  # type: ignore[method-assign]
    run.step()
    return len(seen), sum(kept), seen[-1]


def test_what_is_switched_off_costs_nothing() -> None:
    plain = {"cross_entropy": CrossEntropyConfig()}
    assert counted_forward_passes(plain) == (1, 0, False)
    for name, config in OFF.items():
        if name != "cross_entropy":
            assert build_part(config, SHAPE) is None
            assert counted_forward_passes({**plain, name: config}) == (1, 0, False)
    assert counted_forward_passes({**plain, "sib": CONFIGS["sib"]}) == (1, 0, True)
    assert counted_forward_passes({**plain, "hbar": CONFIGS["hbar"]}) == (1, 3, False)
    adversarial = {**plain, "norm_adversarial": CONFIGS["norm_adversarial"]}
    assert counted_forward_passes(adversarial) == (1 + 7, 0, False)


@pytest.mark.parametrize("half", ["lambda_x", "lambda_y"])
def test_hbar_computes_an_operator_once_and_only_for_a_weight(
    half: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls: list[tuple[int, ...]] = []

    def counting(x: Tensor, **settings: Any) -> Tensor:
        calls.append(tuple(x.shape))
        return normalised_operator(x, **settings)

    monkeypatch.setattr(hbar, "normalised_operator", counting)
    Run({"hbar": replace(HbarConfig(), **{half: 0.0})}).start().step()  # type: ignore[arg-type]
    other = (BATCH, 3 * 16 * 16) if half == "lambda_y" else (BATCH, CLASSES)
    assert len(calls) == 3 + 1
    assert calls[-1] == other


def test_two_perturbations_are_refused() -> None:
    both = {name: CONFIGS[name] for name in ("human_attention", "norm_adversarial")}
    with pytest.raises(ConfigError, match="two perturbations"):
        build_objective({"cross_entropy": CONFIGS["cross_entropy"], **both}, SHAPE)


def test_all_of_them_train_a_resnet_with_batch_normalisation() -> None:
    encoder = ResNetEncoder("resnet18", width=0.125, norm="batch", stem="small")
    model = MaskedClassifier(encoder, nn.Linear(64, CLASSES), mean=[0.5] * 3, std=[0.25] * 3)
    names = [*TERMS, "norm_adversarial"]
    shape = SHAPE._replace(num_features=64)
    objective = build_objective({name: CONFIGS[name] for name in names}, shape)
    objective.start(model, [tiny_batch()])
    objective.start_epoch(0)
    step: Step = objective(model.train(), tiny_batch(1))
    torch.autograd.backward(step.loss)
    gradients = [p.grad for p in model.parameters()]
    assert all(g is not None and g.isfinite().all() for g in gradients)


# -- a method from outside the package ---------------------------------------------------------


class ToyTerm(Term):
    """Pulls the mean feature towards zero; counts its steps across checkpoints."""

    steps: Tensor

    def __init__(self, weight: float) -> None:
        super().__init__()
        self.weight = weight
        self.register_buffer("steps", torch.zeros((), dtype=torch.int64))

    def forward(self, step: ForwardPass) -> list[Summand]:
        self.steps += 1
        return [Summand("mean_feature", self.weight, step.features.mean().square())]


@dataclass(frozen=True, kw_only=True)
class ToyConfig:
    weight: float = 1.0

    def __post_init__(self) -> None:
        check([(self.weight >= 0, f"weight is {self.weight}: use 0 or more")])

    def build(self, shape: Shape) -> ToyTerm | None:
        return ToyTerm(self.weight) if self.weight else None


@pytest.fixture
def toy_address(monkeypatch: pytest.MonkeyPatch) -> str:
    """The address of the toy method, in a module that anybody could have written."""
    module = ModuleType("somebody.methods")
    module.ToyConfig = ToyConfig  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, module.__name__, module)
    return "somebody.methods:ToyConfig"


def test_a_method_from_outside_trains(toy_address: str) -> None:
    config = method_class(toy_address)(weight=0.5)
    run = Run({"cross_entropy": CONFIGS["cross_entropy"], toy_address: config}).start()
    before = copy.deepcopy(run.model.state_dict())
    values = [run.step().values["ToyConfig/mean_feature"] for _ in range(3)]
    assert values[-1] < values[0]
    assert any(
        not torch.equal(old, new)
        for old, new in zip(before.values(), run.model.state_dict().values(), strict=True)
    )
    assert [int(value) for value in run.objective.state_dict().values()] == [3]


def test_two_methods_of_the_same_class_name_are_refused(toy_address: str) -> None:
    methods = {toy_address: ToyConfig(), "elsewhere:ToyConfig": ToyConfig()}
    with pytest.raises(ConfigError, match="ToyConfig"):
        build_objective(methods, SHAPE)


def test_an_unknown_method_is_refused_with_a_hint() -> None:
    with pytest.raises(ConfigError, match=r"did you mean hbar\?"):
        method_class("hbarr")
    with pytest.raises(ConfigError, match="cannot be imported"):
        method_class("somebody.methods:Nothing")
