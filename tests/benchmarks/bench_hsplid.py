"""H-SPLID's cost: HSIC terms against their published form, a step against cross-entropy's.

    python -m tests.benchmarks.bench_hsplid

The published form is written here from its formulas: for each of six HSIC values (one of the five
is computed twice there) it builds both kernels, centres them on the right, inverts both and takes
the trace of the product.

One thread, as a trial has on a machine of two processors that runs two trials: there both forms
are bound by their arithmetic. A last line tells the small images' ratio with all threads.
"""

from __future__ import annotations

import sys
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.config import ModelConfig
from hsplid_core.data.batch import Batch
from hsplid_core.hsic import normalised_operator, operator_product
from hsplid_core.methods import CrossEntropyConfig, HsplidConfig, Shape, build_objective
from hsplid_core.models import build_model
from hsplid_core.training import train_step
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare

ROUNDS = 7
SIGMA, RIDGE = 5.0, 1e-5
# The six values that the released code evaluates: salient, non-salient, image, label.
PAIRS = (("s", "y"), ("n", "x"), ("n", "s"), ("n", "y"), ("s", "x"))
PUBLISHED_PAIRS = (*PAIRS, ("s", "n"))


def published_kernel(x: Tensor, *, linear: bool) -> Tensor:
    m, d = x.shape
    product = x @ x.T
    if linear:
        kernel = product
    else:
        norms = (x * x).sum(dim=1)[:, None]
        kernel = torch.exp(-(norms - 2 * product + norms.T).abs() / (2 * SIGMA**2 * d))
    return kernel @ (torch.eye(m) - torch.ones(m, m) / m)


def published_hsic(x: Tensor, y: Tensor, *, linear_y: bool) -> Tensor:
    m = x.shape[0]
    kernel_x = published_kernel(x, linear=False)
    kernel_y = published_kernel(y, linear=linear_y)
    inverse_x = torch.inverse(kernel_x + RIDGE * m * torch.eye(m))
    inverse_y = torch.inverse(kernel_y + RIDGE * m * torch.eye(m))
    return ((kernel_x @ inverse_x) * (kernel_y @ inverse_y).T).sum()


def hsic_terms(size: int, target: float) -> Ratio:
    batch, salient_dims, features, classes = 256, 300, 512, 4
    z = torch.randn(batch, features).relu()
    labels = F.one_hot(torch.randint(classes, (batch,)), classes).float()
    # As data sets hold them: 8 bits a colour.
    image = torch.randint(256, (batch, 3 * size * size)).float() / 255

    def parts() -> dict[str, Tensor]:
        leaf = z.clone().requires_grad_()
        return {
            "s": leaf[:, :salient_dims],
            "n": leaf[:, salient_dims:],
            "x": image,
            "y": labels,
        }

    def published() -> Tensor:
        given = parts()
        values = [
            published_hsic(given[a], given[b], linear_y=b == "y") for a, b in PUBLISHED_PAIRS
        ]
        torch.stack(values[:5]).sum().backward()
        return torch.stack(values[:5]).detach()

    def ours() -> Tensor:
        operators = {
            name: normalised_operator(x, kernel="linear" if name == "y" else "gaussian")
            for name, x in parts().items()
        }
        values = torch.stack([operator_product(operators[a], operators[b]) for a, b in PAIRS])
        values.sum().backward()
        return values.detach()

    difference = ((ours() - published()) / published()).abs().max()
    slow, fast = compare(published, ours, rounds=ROUNDS)
    print(
        f"five HSIC terms, 3x{size}x{size}: published {slow * 1e3:.0f} ms, ours "
        f"{fast * 1e3:.0f} ms; values differ by at most {float(difference):.1e}"
    )
    return Ratio(f"five HSIC terms, B 256, d 512, 3x{size}x{size}", slow / fast, target, True)


def training_step() -> Ratio:
    size, batch_size, classes = 64, 64, 4
    image, target = torch.rand(batch_size, 3, size, size), torch.randint(classes, (batch_size,))
    batch = Batch(image, target, None, torch.arange(batch_size))

    def stepper(methods: dict[str, object]) -> Callable[[], None]:
        model = build_model(
            ModelConfig(),
            image_shape=(3, size, size),
            num_classes=classes,
            mean=[0.5] * 3,
            std=[0.25] * 3,
            seed=0,
        )
        objective = build_objective(methods, Shape(classes, model.num_features, 1, batch_size))
        objective.start(model, [batch])
        objective.start_epoch(0)
        optimiser = torch.optim.Adam(model.parameters(), lr=1e-6)

        def step() -> None:
            train_step(model, objective, optimiser, batch, clip_norm=1000.0)

        return step

    cross_entropy = CrossEntropyConfig(weight=10.0)
    plain = stepper({"cross_entropy": cross_entropy})
    ours = stepper({"cross_entropy": cross_entropy, "hsplid": HsplidConfig()})
    slow, fast = compare(ours, plain, rounds=ROUNDS)
    print(f"training step: cross-entropy {fast * 1e3:.0f} ms, H-SPLID {slow * 1e3:.0f} ms")
    return Ratio("H-SPLID step / cross-entropy step, ResNet-18, 64x64", slow / fast, 1.05, False)


def main() -> int:
    """Measure and print the ratios; return 0 if all reach their targets."""
    torch.manual_seed(0)
    all_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    code = report([hsic_terms(224, 2.5), hsic_terms(64, 4.0), training_step()])
    torch.set_num_threads(all_threads)
    print(f"with {all_threads} threads, 3x64x64: {hsic_terms(64, 4.0).value:.2f}")
    return code


if __name__ == "__main__":
    sys.exit(main())
