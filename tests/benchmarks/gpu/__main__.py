"""Training steps, HSIC and images on a GPU: `make bench-gpu`, or on the CPU by the same code.

    python -m tests.benchmarks.gpu                        # the GPU if there is one; 10 minutes
    python -m tests.benchmarks.gpu --device cpu --small   # without: small networks, few images

Of each step: a plain writing of the published one in float32, ours in float32, ours with mixed
precision (cuda), and ours compiled too (where a method can be); in one run, so that ratios hold
where times do not. An epoch is of 10,000 images. It needs what `tests.gpu` needs.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config import ModelConfig, TrainingConfig
from hsplid_core.data import ImageSet, build_or_open
from hsplid_core.data.batch import Batch
from hsplid_core.hsic import normalised_operator, operator_product
from hsplid_core.methods import (
    AdversarialConfig,
    CrossEntropyConfig,
    HsplidConfig,
    Shape,
    SibConfig,
    build_objective,
)
from hsplid_core.models import MaskedClassifier, build_model
from hsplid_core.training import Precision, build_optimiser, compiled, set_arithmetic, train_step
from tests.benchmarks._report import Ratio, report
from tests.benchmarks.bench_hsplid import PAIRS, PUBLISHED_PAIRS, published_hsic
from tests.benchmarks.gpu import published
from tests.hsplid_core.data.made_source import MadeSource

EPOCH = 10_000
CLASSES = 4
SIB, ADVERSARIAL = SibConfig(), AdversarialConfig(steps=3)
HSPLID = HsplidConfig(hsic_warmup=0, hard_split=False)
METHODS: dict[str, dict[str, Any]] = {
    "cross-entropy": {},
    "H-SPLID": {"hsplid": HSPLID},
    "S-IB": {"sib": SIB},
    "adversarial, 3 steps": {"adversarial": ADVERSARIAL},
}


@dataclass(frozen=True)
class Setting:
    """A network and its batches."""

    network: str
    norm: str
    size: int
    batch: int
    width: float = 1.0


LARGE = (
    Setting("resnet18", "none", 224, 256),
    Setting("resnet50", "batch", 224, 256),
)
SMALL = (Setting("resnet18", "none", 64, 16, 0.25), Setting("resnet50", "batch", 64, 16, 0.25))


@dataclass(frozen=True)
class Clock:
    """Times what a device does."""

    device: torch.device
    rounds: int

    def wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize()

    def seconds(self, run: Callable[[], object]) -> float:
        """Take the median of some rounds, after three that warm up."""
        for _ in range(3):
            run()
        taken = []
        for _ in range(self.rounds):
            self.wait()
            begin = time.perf_counter()
            run()
            self.wait()
            taken.append(time.perf_counter() - begin)
        return statistics.median(taken)


def network(setting: Setting, device: torch.device) -> MaskedClassifier:
    model = build_model(
        ModelConfig(name=setting.network, norm=setting.norm, width=setting.width),  # type: ignore[arg-type]
        image_shape=(3, setting.size, setting.size),
        num_classes=CLASSES,
        mean=[0.5] * 3,
        std=[0.25] * 3,
        seed=0,
    )
    return model.to(device).train()


def batch_of(setting: Setting, device: torch.device) -> Batch:
    generator = torch.Generator().manual_seed(0)
    size = (setting.batch, 3, setting.size, setting.size)
    image = torch.randint(256, size, generator=generator).float() / 255
    rows = torch.arange(setting.batch)
    return Batch(image.to(device), (rows % CLASSES).to(device), None, rows.to(device))


def our_step(
    setting: Setting, methods: dict[str, Any], batch: Batch, config: TrainingConfig
) -> Callable[[], Tensor]:
    """Return a step as :class:`TrainingRun` takes it."""
    device = batch.image.device
    model = network(setting, device)
    if device.type == "cuda":
        model = model.to(memory_format=torch.channels_last)
    shape = Shape(CLASSES, model.num_features, 1, setting.batch)
    objective = build_objective({"cross_entropy": CrossEntropyConfig(), **methods}, shape)
    objective.to(device).start(model, [batch])
    objective.start_epoch(0)
    model.encoder = compiled(model.encoder, objective, config)
    optimiser = build_optimiser(model, config)
    precision = Precision.pick(config, device)
    scaler = torch.amp.GradScaler(device.type) if precision.autocast == torch.float16 else None

    def step() -> Tensor:
        return train_step(
            model,
            objective,
            optimiser,
            batch,
            clip_norm=published.CLIP_NORM,
            autocast=precision.autocast,
            scaler=scaler,
        ).loss

    return step


def plain_step(setting: Setting, name: str, batch: Batch) -> Callable[[], Tensor]:
    model = network(setting, batch.image.device)
    losses: dict[str, Callable[[], published.Loss]] = {
        "cross-entropy": lambda: published.cross_entropy,
        "H-SPLID": lambda: published.Hsplid(HSPLID, model, batch),
        "S-IB": lambda: published.sib(SIB),
        "adversarial, 3 steps": lambda: published.adversarial(ADVERSARIAL),
    }
    return published.stepper(model, batch, losses[name]())


@contextmanager
def torchs_settings() -> Iterator[None]:
    """Compute as PyTorch does where nobody has set anything."""
    torch.backends.cudnn.benchmark = False
    yield
    set_arithmetic(TrainingConfig())


def steps(setting: Setting, clock: Clock, compile: bool) -> list[Ratio]:
    """Time the steps of a network, print a table, and return ratios with targets."""
    batch, device = batch_of(setting, clock.device), clock.device.type
    config = TrainingConfig(device=device, learning_rate=1e-6)
    ways = {"ours": config}
    if device == "cuda":
        ways["amp"] = TrainingConfig(device=device, learning_rate=1e-6, amp="auto")
    if compile:
        last = list(ways.values())[-1]
        ways["compiled"] = TrainingConfig(
            device=device, learning_rate=1e-6, amp=last.amp, compile="default"
        )
    title = f"{setting.network}, {setting.size} px, batch {setting.batch}, width {setting.width}"
    print(f"\n{title}: ms a step; images/s; seconds for {EPOCH} images; published / ours")
    seconds: dict[tuple[str, str], float] = {}
    for name, methods in METHODS.items():
        with torchs_settings():
            step = plain_step(setting, name, batch)
            first = float(step())
            seconds[name, "published"] = clock.seconds(step)
        del step
        for way, of_way in ways.items():
            if way == "compiled" and name == "S-IB":
                continue  # trains without
            step = our_step(setting, methods, batch, of_way)
            if way == "ours":
                ours = float(step())
                difference = abs(ours - first) / abs(first)
            seconds[name, way] = clock.seconds(step)
            del step
        for way in ("published", *ways):
            if (name, way) in seconds:
                taken = seconds[name, way]
                gain = seconds[name, "published"] / taken
                print(
                    f"  {name:<21} {way:<9} {1000 * taken:8.1f} ms {setting.batch / taken:8.0f}/s "
                    f"{EPOCH / setting.batch * taken:8.1f} s {gain:6.2f}"
                )
        print(f"  {'':<21} first losses differ by {difference:.1e}")
    plain = seconds["cross-entropy", "ours"]
    share = 1 - plain / seconds["H-SPLID", "ours"]
    print(f"  of H-SPLID's step, {share:.3f} is neither network nor cross-entropy")
    return [
        Ratio(f"S-IB / cross-entropy, {title}", seconds["S-IB", "ours"] / plain, 2.5, False),
        Ratio(f"H-SPLID / cross-entropy, {title}", seconds["H-SPLID", "ours"] / plain, 1.2, False),
    ]


def hsic_terms(clock: Clock, rows: int, size: int) -> Ratio:
    """Compare five HSIC terms, forward and backward, with the form that goes through the CPU."""
    device = clock.device
    generator = torch.Generator().manual_seed(0)
    z = torch.randn(rows, 512, generator=generator).relu().to(device)
    labels = F.one_hot(torch.arange(rows) % CLASSES, CLASSES).float().to(device)
    image = torch.randint(256, (rows, 3 * size * size), generator=generator).float().to(device)
    image /= 255

    def parts() -> dict[str, Tensor]:
        leaf = z.clone().requires_grad_()
        return {"s": leaf[:, :300], "n": leaf[:, 300:], "x": image, "y": labels}

    def theirs() -> None:
        given = {name: value.cpu() for name, value in parts().items()}
        values = [
            published_hsic(given[a], given[b], linear_y=b == "y") for a, b in PUBLISHED_PAIRS
        ]
        torch.stack(values[:5]).sum().backward()

    def ours() -> None:
        operators = {
            name: normalised_operator(x, kernel="linear" if name == "y" else "gaussian")
            for name, x in parts().items()
        }
        terms = [operator_product(operators[a], operators[b]) for a, b in PAIRS]
        torch.stack(terms).sum().backward()

    slow, fast = clock.seconds(theirs), clock.seconds(ours)
    print(
        f"\nfive HSIC terms, {rows} images of 3x{size}x{size}: published by way of the CPU "
        f"{1000 * slow:.1f} ms, ours {1000 * fast:.2f} ms"
    )
    return Ratio("five HSIC terms, published / ours", slow / fast, 20.0, True)


def images_a_second(clock: Clock, rows: int, size: int, batch: int) -> list[Ratio]:
    """Time an epoch of batches on the device: from the cache, and kept on the device."""

    def rate(images: ImageSet) -> float:
        def epoch() -> None:
            for _ in images.batches(batch, torch.Generator().manual_seed(0), clock.device):
                pass

        return len(images) / clock.seconds(epoch)

    with tempfile.TemporaryDirectory() as folder:
        images = build_or_open(MadeSource(n_rows=rows, size=size), Path(folder))
        travelling, held = rate(images), rate(images.held_on(clock.device))
    print(
        f"\nimages a second of {size} px in batches of {batch}: {travelling:.0f} from the cache, "
        f"{held:.0f} kept on the device"
    )
    return [Ratio("kept on the device / from the cache", held / travelling, 1.0, True)]


def main(argv: list[str] | None = None) -> int:
    """Measure and print the ratios; return 0 if all reach their targets."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--device", choices=("cpu", "cuda"))
    parser.add_argument("--small", action="store_true", help="for a look, as on a CPU")
    parser.add_argument("--no-compile", action="store_true", help="leave compiled steps out")
    parser.add_argument("--rounds", type=int, default=15)
    arguments = parser.parse_args(argv)
    device = torch.device(arguments.device or ("cuda" if torch.cuda.is_available() else "cpu"))
    name = torch.cuda.get_device_name() if device.type == "cuda" else "CPU"
    threads = f"{torch.get_num_threads()} threads"
    print(f"{name}, {threads}, torch {torch.__version__}, python {sys.version.split()[0]}")
    set_arithmetic(TrainingConfig())
    clock = Clock(device, arguments.rounds)
    ratios = []
    for setting in SMALL if arguments.small else LARGE:
        ratios += steps(setting, clock, compile=not arguments.no_compile)
    ratios.append(hsic_terms(clock, 256, 64 if arguments.small else 224))
    rows, size, batch = (2000, 64, 64) if arguments.small else (4000, 224, 256)
    ratios += images_a_second(clock, rows, size, batch)
    print()
    code = report(ratios)
    if device.type != "cuda":
        print("the targets are a GPU's: here they only show that all of it runs")
        return 0
    return code


if __name__ == "__main__":
    sys.exit(main())
