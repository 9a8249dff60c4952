"""The mask of S-IB against a plain writing of its README's formulas: same numbers, time, memory.

Both go forward and backward on the gradients of 32 images of 224x224 in float32, with the README's
window of 31 pixels. The plain writing sorts the image four times, weighs every rank, and averages
over a square with a pooling layer. Times are CPU seconds of a single thread: on a machine shared
with others, threads wait for each other and the wall clock measures the others.

    python -m tests.benchmarks.bench_sib

Half a minute on one slow CPU core; expected near 12 for time and 0.5 for memory.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import Tensor

from hsplid_core.methods._sib_mask import density_mask
from tests.benchmarks._report import Ratio, report

ROUNDS = 5
WINDOW, TEMPERATURE, SLOPE = 31, 0.1, 10.0


def published_quantile(rows: Tensor, q: float, temperature: float) -> Tensor:
    """The soft quantile of [B, n], [B, 1, 1]: a weighted mean of all sorted values."""
    n = rows.shape[1]
    ranks = torch.arange(n, dtype=rows.dtype, device=rows.device)
    weights = torch.softmax(-(ranks - q * (n - 1)).abs() / temperature, dim=0)
    return (rows.sort(dim=1).values * weights).sum(dim=1)[:, None, None]


def published_mask(
    reconstruction: Tensor, window: int, temperature: float, slope: float
) -> Tensor:
    """The mask [B, H, W] of maps [B, C, H, W], formula by formula."""
    grey = reconstruction.mean(dim=1).abs()
    low = published_quantile(grey.flatten(1), 0.05, temperature)
    high = published_quantile(grey.flatten(1), 0.95, temperature)
    normalised = (grey - low) / (high - low + 1e-8)
    threshold = published_quantile(normalised.flatten(1), 0.8, temperature)
    strong = torch.sigmoid((normalised - threshold) * slope)
    density = F.avg_pool2d(strong[:, None], window, stride=1, padding=window // 2)[:, 0]
    threshold = published_quantile(density.flatten(1), 0.8, temperature)
    return torch.sigmoid((density - threshold) * slope)


def our_mask(reconstruction: Tensor, window: int, temperature: float, slope: float) -> Tensor:
    return density_mask(reconstruction, window=window, temperature=temperature, slope=slope)


Mask = Callable[[Tensor, int, float, float], Tensor]
FORMS: dict[str, Mask] = {"published": published_mask, "ours": our_mask}


def problem() -> tuple[Tensor, Tensor]:
    """Maps [32, 3, 224, 224] as small as gradients are, and the gradient of their masks."""
    generator = torch.Generator().manual_seed(0)
    reconstruction = 1e-4 * torch.randn(32, 3, 224, 224, generator=generator)
    return reconstruction.requires_grad_(), torch.randn(32, 224, 224, generator=generator)


def forward_backward(form: Mask, reconstruction: Tensor, gradient: Tensor) -> Tensor:
    """Run a form both ways and return the mask."""
    mask = form(reconstruction, WINDOW, TEMPERATURE, SLOPE)
    torch.autograd.grad(mask, reconstruction, gradient)
    return mask.detach()


def seconds(run: Callable[[], Tensor]) -> float:
    """CPU seconds of one run."""
    start = time.process_time()
    run()
    return time.process_time() - start


def resident_mib(field: str) -> float:
    """Memory that this process holds now (VmRSS) or has held at most (VmHWM); Linux only."""
    status = dict(
        line.split(":", 1) for line in Path("/proc/self/status").read_text().splitlines()
    )
    return int(status[field].split()[0]) / 2**10


def peak_mib(name: str) -> float:
    """What a form adds to the memory of a process that holds its input already."""
    command = [sys.executable, "-m", "tests.benchmarks.bench_sib", "--peak-of", name]
    return float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)


def print_peak(name: str) -> int:
    reconstruction, gradient = problem()
    # Whatever is loaded at first use shall not count: run on a corner first.
    corner = reconstruction[:1, :, :32, :32].detach().requires_grad_()
    forward_backward(FORMS[name], corner, gradient[:1, :32, :32])
    Path("/proc/self/clear_refs").write_text("5")  # forgets what importing torch has held at most
    before = resident_mib("VmRSS")
    forward_backward(FORMS[name], reconstruction, gradient)
    print(resident_mib("VmHWM") - before)
    return 0


def largest_relative_difference(reconstruction: Tensor, dtype: torch.dtype) -> float:
    """Compare both forms' masks of the first images."""
    few = reconstruction[:4].detach().to(dtype)
    ours, theirs = (FORMS[name](few, WINDOW, TEMPERATURE, SLOPE) for name in ("ours", "published"))
    return float(((ours - theirs).abs() / theirs).max())


def main(argv: list[str] | None = None) -> int:
    """Measure and print the ratios; return 0 if all reach their targets."""
    parser = argparse.ArgumentParser(description=__doc__, add_help=False)
    parser.add_argument("--peak-of", choices=FORMS)
    chosen: str | None = parser.parse_args(argv).peak_of
    torch.set_num_threads(1)
    if chosen is not None:
        return print_peak(chosen)
    reconstruction, gradient = problem()
    runs = {
        name: partial(forward_backward, form, reconstruction, gradient)
        for name, form in FORMS.items()
    }
    for warm_up in runs.values():
        warm_up()
    # Alternating, and the best of each: a machine shared with others disturbs both alike.
    times: dict[str, list[float]] = {name: [] for name in runs}
    for _ in range(ROUNDS):
        for name, run in runs.items():
            times[name].append(seconds(run))
    slow, fast = (min(times[name]) for name in ("published", "ours"))
    peaks = {name: peak_mib(name) for name in FORMS}
    print(f"published {slow:.2f} s, {peaks['published']:.0f} MiB above its input")
    print(f"ours      {fast:.2f} s, {peaks['ours']:.0f} MiB above its input")
    return report(
        [
            Ratio("S-IB mask, [32, 3, 224, 224], forward + backward", slow / fast, 8.0, True),
            Ratio("its peak memory", peaks["ours"] / peaks["published"], 1.0, False),
            Ratio(
                "largest difference of a mask in float32",
                largest_relative_difference(reconstruction, torch.float32),
                1e-5,
                False,
            ),
            Ratio(
                "largest difference of a mask in float64",
                largest_relative_difference(reconstruction, torch.float64),
                1e-8,
                False,
            ),
        ]
    )


if __name__ == "__main__":
    sys.exit(main())
