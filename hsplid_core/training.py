"""One training run: an epoch loop whose state can be saved and restored exactly.

The random state of an epoch depends on the seed and the epoch alone, never on what ran before in
the process. So a resumed run gives the numbers of an uninterrupted one, and a worker that is
reused for another trial cannot leak into it.
"""

from __future__ import annotations

import math
import os
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from hsplid_core.config import TrainingConfig
from hsplid_core.data.augmentation import augment
from hsplid_core.data.batch import Batch
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.crops import random_crop
from hsplid_core.errors import TrainingDivergedError
from hsplid_core.methods.accumulation import backward_in_parts
from hsplid_core.methods.objective import Objective, Step
from hsplid_core.models.frozen_layers import freeze_layers
from hsplid_core.models.masked import MaskedClassifier
from hsplid_core.schedules import build_schedule

# How many steps may pass on a GPU before the loss is looked at: each look waits for the device.
_CHECK_EVERY_ON_CUDA = 20


def pick_device(name: str) -> torch.device:
    """Turn ``auto`` into cuda where there is one, else cpu; other names are taken as they are."""
    if name != "auto":
        return torch.device(name)
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


def set_arithmetic(config: TrainingConfig) -> None:
    """Set how this process computes on cuda: how exactly, and whether always the same way."""
    torch.set_float32_matmul_precision("high" if config.tf32 == "all" else "highest")
    torch.backends.cudnn.allow_tf32 = config.tf32 != "off"
    # All batches but the last have one shape, so looking for the fastest convolution pays.
    torch.backends.cudnn.benchmark = not config.deterministic
    torch.backends.cudnn.deterministic = config.deterministic
    if config.deterministic:
        os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # what cuBLAS asks for
    torch.use_deterministic_algorithms(config.deterministic)


@dataclass(frozen=True)
class Precision:
    """Mixed precision of a run: the autocast dtype, None for full precision."""

    autocast: torch.dtype | None

    @staticmethod
    def pick(config: TrainingConfig, device: torch.device) -> Precision:
        """Choose bfloat16 on cuda where the hardware has it, else float16; None on CPU."""
        if device.type != "cuda" or config.amp == "off":
            return Precision(None)
        # Emulated, as before Ampere, it is slower than float32.
        in_hardware = torch.cuda.is_bf16_supported(including_emulation=False)
        return Precision(torch.bfloat16 if in_hardware else torch.float16)


_Model = TypeVar("_Model", bound=nn.Module)


def train_step(
    model: _Model,
    objective: Callable[[_Model, Batch], Step],
    optimiser: torch.optim.Optimizer,
    batch: Batch,
    *,
    clip_norm: float,
    part_size: int | None = None,
    autocast: torch.dtype | None = None,
    scaler: torch.amp.GradScaler | None = None,
) -> Step:
    """Evaluate the objective, backpropagate, clip the gradient's global L2 norm, and step.

    Args:
        model: Trained in place.
        objective: What to minimise.
        optimiser: Steps the model's parameters.
        batch: On the model's device.
        clip_norm: Largest norm.
        part_size: Most images that are held at a time (``accumulation``); None for the whole
            batch, and for what is no :class:`Objective`.
        autocast: Dtype of mixed precision; None for full precision.
        scaler: Loss scaling for float16; None without.

    Returns:
        The loss and the unweighted values, of the whole batch, detached.
    """
    optimiser.zero_grad(set_to_none=True)
    device = batch.image.device.type

    def backward(loss: Tensor) -> None:
        with torch.autocast(device, enabled=False):
            (loss if scaler is None else scaler.scale(loss)).backward()  # type: ignore[no-untyped-call]

    parts = batch.parts(part_size or len(batch.target))
    with torch.autocast(device, autocast, enabled=autocast is not None):
        if len(parts) > 1:
            assert isinstance(objective, Objective), "only an Objective is computed in parts"
            assert isinstance(model, MaskedClassifier)
            step = backward_in_parts(objective, model, parts, backward)
        else:
            step = objective(model, batch)
            backward(step.loss)
    if scaler is not None:
        scaler.unscale_(optimiser)
    nn.utils.clip_grad_norm_(model.parameters(), clip_norm)
    if scaler is None:
        optimiser.step()
    else:
        scaler.step(optimiser)
        scaler.update()
    return Step(step.loss.detach(), step.values)


def build_optimiser(model: nn.Module, config: TrainingConfig) -> torch.optim.Optimizer:
    """Build the optimiser of a model's parameters."""
    # One kernel for all of them on cuda; elsewhere torch chooses.
    fused = True if next(model.parameters()).is_cuda else None
    if config.optimiser == "sgd":
        return torch.optim.SGD(
            model.parameters(),
            lr=config.learning_rate,
            momentum=config.beta1,
            weight_decay=config.weight_decay,
            fused=fused,
        )
    kind = torch.optim.AdamW if config.optimiser == "adamw" else torch.optim.Adam
    return kind(
        model.parameters(),
        lr=config.learning_rate,
        betas=(config.beta1, 0.999),
        weight_decay=config.weight_decay,
        fused=fused,
    )


def compiled(encoder: nn.Module, objective: Objective, config: TrainingConfig) -> nn.Module:
    """Compile an encoder, where that is wanted and the objective sees only what it puts out.

    Compiled code has no hidden layers to look at, nor a gradient that can be differentiated.

    Args:
        encoder: Left as it is; the result shares its parameters.
        objective: What its features are for.
        config: Says how.
    """
    looks_inside = any(
        term.needs_hidden or term.needs_input_gradient for _, term in objective.named_terms()
    )
    if config.compile == "off" or looks_inside:
        return encoder
    # A last batch of another size is compiled once more, instead of all for any size.
    fast: Any = torch.compile(encoder, mode=config.compile, dynamic=False)
    module: nn.Module = fast
    return module


@contextmanager
def _in_place_of_encoder(model: MaskedClassifier, encoder: nn.Module) -> Iterator[None]:
    own = model.encoder
    model.encoder = encoder
    try:
        yield
    finally:
        model.encoder = own


class _Restartable:
    """An iterable that begins again for each of its readers."""

    def __init__(self, begin: Callable[[], Iterator[Batch]]) -> None:
        self._begin = begin

    def __iter__(self) -> Iterator[Batch]:
        return self._begin()


class _Means:
    """Running means of scalars that stay on their device until they are read."""

    def __init__(self) -> None:
        self._sums: dict[str, Tensor] = {}
        self._counts: dict[str, float] = {}

    def add(self, name: str, value: Tensor, weight: float) -> None:
        value = weight * value
        self._sums[name] = self._sums[name] + value if name in self._sums else value
        self._counts[name] = self._counts.get(name, 0.0) + weight

    def read(self) -> dict[str, float]:
        return {name: float(total) / self._counts[name] for name, total in self._sums.items()}


class TrainingRun:
    """A model, its objective and its optimiser over epochs of one image set.

    Args:
        model: Trained in place; moved to the device.
        objective: What to minimise.
        images: Training images.
        config: Optimisation settings.
        seed: Seed of the image order and of any randomness inside a step.

    Raises:
        ConfigError: The network has no layer of a name that shall be frozen.
    """

    def __init__(
        self,
        model: MaskedClassifier,
        objective: Objective,
        images: ImageSet,
        config: TrainingConfig,
        *,
        seed: int,
    ) -> None:
        self.device = pick_device(config.device)
        self.precision = Precision.pick(config, self.device)
        self.model = model.to(self.device)
        if self.device.type == "cuda":
            self.model = self.model.to(memory_format=torch.channels_last)
        self.frozen = freeze_layers(self.model, config.frozen)
        self.objective = objective.to(self.device)
        self._encoder = compiled(self.model.encoder, self.objective, config)
        self.images = images
        self.config = config
        self.seed = seed
        self.epoch = 0
        self.started = False
        self.optimiser = build_optimiser(self.model, config)
        self.schedule = build_schedule(
            self.optimiser,
            config,
            steps_per_epoch=_steps_per_epoch(len(images), config.batch_size),
        )
        use_scaler = self.precision.autocast == torch.float16
        self.scaler = torch.amp.GradScaler(self.device.type) if use_scaler else None

    def _order(self) -> torch.Generator:
        return torch.Generator().manual_seed(_mix(self.seed, self.epoch))

    def _batches(self) -> Iterator[Batch]:
        window = self.images.window
        batches = self.images.batches(
            self.config.batch_size, generator=self._order(), device=self.device, uncropped=True
        )
        for step, batch in enumerate(batches):
            # HSIC and the unbiased variance need more than one sample; torch's batch statistics
            # do too. A single left-over image waits for another epoch's order.
            if len(batch.target) > 1:
                choices = torch.Generator().manual_seed(_mix(_mix(self.seed, self.epoch), step))
                if window is not None:
                    batch = random_crop(batch, window, choices)
                yield augment(batch, self.config.augmentation, choices)

    def _initial_batches(self) -> Iterator[Batch]:
        return self.images.batches(
            self.config.part_size, generator=self._order(), device=self.device
        )

    def start(self) -> None:
        """Let the objective initialise itself; a restored run has done so already."""
        if not self.started:
            self.objective.start(self.model, _Restartable(self._initial_batches))
            self.started = True

    def train_epoch(self) -> dict[str, float]:
        """Train for one epoch.

        Returns:
            ``train/loss``, each term's mean unweighted value under ``train/``, what the terms
            report, the learning rate of the last step, and the seconds the epoch took.

        Raises:
            TrainingDivergedError: The loss became NaN or infinite.
        """
        begin = time.perf_counter()
        self.start()
        torch.manual_seed(_mix(self.seed, self.epoch))
        self.model.train()
        for layer in self.frozen:
            layer.eval()
        self.objective.start_epoch(self.epoch)
        with _in_place_of_encoder(self.model, self._encoder):
            means, rate = self._steps()
        metrics = {f"train/{name}": value for name, value in means.read().items()}
        if not math.isfinite(metrics["train/loss"]):
            raise self._diverged(None, {})
        if self.schedule is not None and self.config.schedule.per == "epoch":
            self.schedule.step()
        self.epoch += 1
        return {
            "epoch": float(self.epoch),
            **metrics,
            **self.objective.metrics(),
            "train/learning_rate": rate,
            "train/seconds": time.perf_counter() - begin,
        }

    def _steps(self) -> tuple[_Means, float]:
        """Take an epoch's steps; return means of what was measured, and the last step's rate."""
        means = _Means()
        rate = 0.0
        every = _CHECK_EVERY_ON_CUDA if self.device.type == "cuda" else 1
        for number, batch in enumerate(self._batches()):
            if self.config.compile == "reduce-overhead":
                # The last step's outputs may go.
                torch.compiler.cudagraph_mark_step_begin()  # type: ignore[no-untyped-call]
            step = train_step(
                self.model,
                self.objective,
                self.optimiser,
                batch,
                clip_norm=self.config.clip_norm,
                part_size=self.config.part_size,
                autocast=self.precision.autocast,
                scaler=self.scaler,
            )
            if number % every == 0 and not math.isfinite(float(step.loss)):
                raise self._diverged(number, step.values)
            rate = float(self.optimiser.param_groups[0]["lr"])
            if self.schedule is not None and self.config.schedule.per == "step":
                self.schedule.step()
            means.add("loss", step.loss, 1.0)
            for name, value in step.values.items():
                means.add(name, value, 1.0)
        return means, rate

    def _diverged(self, step: int | None, values: Mapping[str, Tensor]) -> TrainingDivergedError:
        bad = [name for name, value in values.items() if not math.isfinite(float(value))]
        where = f"epoch {self.epoch + 1}" + ("" if step is None else f", step {step + 1}")
        which = f" (terms: {', '.join(bad)})" if bad else ""
        return TrainingDivergedError(
            f"the loss became NaN or infinite in {where}{which}: lower training.learning_rate "
            "or the weights of the objective"
        )

    def state_dict(self) -> dict[str, Any]:
        """Return everything a later process needs to go on from the end of this epoch."""
        return {
            "model": self.model.state_dict(),
            "objective": self.objective.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "scaler": self.scaler.state_dict() if self.scaler else None,
            "schedule": self.schedule.state_dict() if self.schedule else None,
            "epoch": self.epoch,
            "started": self.started,
        }

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Go on from a saved state; the run must have been built from the same configuration."""
        self.model.load_state_dict(state["model"])
        self.objective.load_state_dict(state["objective"])
        self.optimiser.load_state_dict(state["optimiser"])
        if self.scaler and state["scaler"]:
            self.scaler.load_state_dict(state["scaler"])
        if self.schedule is not None:
            self.schedule.load_state_dict(state["schedule"])
        self.epoch = state["epoch"]
        self.started = state["started"]


def _steps_per_epoch(n_images: int, batch_size: int) -> int:
    """Count an epoch's steps; a single left-over image makes none."""
    steps = -(-n_images // batch_size)
    return steps - 1 if n_images % batch_size == 1 else steps


def _mix(seed: int, epoch: int) -> int:
    """Spread (seed, epoch) over 62 bits, so that neighbouring seeds share no epoch's order."""
    return (seed * 0x9E3779B97F4A7C15 + epoch * 0xBF58476D1CE4E5B9 + 1) % 2**62
