"""The Arrow cache against decoding, and the memory that a second process adds.

An epoch in batches of 32 from the cache is compared with a plain reader, which decodes each JPEG
file, unites its masks with pycocotools and resizes both: on the demo's own 64x64 pictures, the
smallest and so the hardest to beat, and on pictures of 480x480 shrunk to 224, as COCO's are.
For the memory, two processes go through the same 300 MB; what counts is the second one's private
memory, since the pages of the file that both map are in memory once.

    python -m tests.benchmarks.bench_data

Half a minute on one slow CPU core; expected near 45, 35 and 0.02.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import numpy as np
import torch

from hsplid_core.data.arrow_cache import build_or_open
from hsplid_core.data.batch import Batch
from hsplid_core.data.coco import CocoAnimals
from hsplid_core.data.demo import write_coco_demo
from hsplid_core.data.image_set import ImageSet
from hsplid_core.data.source import Sample, Skipped
from tests.benchmarks._report import Ratio, report
from tests.hsplid_core.data.made_source import MadeSource

ROUNDS = 3
BATCH_SIZE = 32
MEMORY_ROWS, MEMORY_SIZE = 19_000, 64  # times 4 bytes a pixel with its mask: 311 MB
PRIVATE = ("Private_Clean:", "Private_Dirty:")


def decoded(source: CocoAnimals) -> Iterator[Batch]:
    """The plain reader: the same batches, decoded anew each time."""
    for start in range(0, len(source), BATCH_SIZE):
        rows = range(start, min(start + BATCH_SIZE, len(source)))
        samples = [sample for sample in map(source.sample, rows) if isinstance(sample, Sample)]
        pixels = torch.from_numpy(np.stack([sample.image for sample in samples]))
        masks = np.stack([sample.mask for sample in samples if sample.mask is not None])
        yield Batch(
            image=pixels.to(torch.float32).div_(255),
            target=torch.tensor([sample.label for sample in samples]),
            mask=torch.from_numpy(masks).to(torch.bool),
            index=torch.tensor(rows),
        )


def seconds(epoch: Callable[[], Iterator[Batch]], rounds: int) -> float:
    """Best time of a whole epoch: other load on the machine only ever adds."""
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        for _batch in epoch():
            pass
        times.append(time.perf_counter() - start)
    return min(times)


def epoch_ratio(name: str, folder: Path, *, stored: int, size: int, n_images: int) -> Ratio:
    """How many times faster an epoch from the cache is than decoding."""
    root = write_coco_demo(folder / name, n_train=n_images, n_val=4, image_size=stored)
    source = CocoAnimals(root, "train", size)
    images = build_or_open(source, folder / "cache")

    def cached() -> Iterator[Batch]:
        return images.batches(BATCH_SIZE, generator=torch.Generator().manual_seed(0))

    from_files = seconds(lambda: decoded(source), ROUNDS)
    from_cache = seconds(cached, 3 * ROUNDS)
    return Ratio(f"epoch: decoding / cache, {name}", from_files / from_cache, 20, True)


def private_bytes() -> int:
    """Memory of this process that no other shares."""
    lines = Path("/proc/self/smaps_rollup").read_text(encoding="ascii").splitlines()
    return 1024 * sum(int(line.split()[1]) for line in lines if line.startswith(PRIVATE))


class Repeated(MadeSource):
    """Rows that are cheap to make: the content does not matter here."""

    def sample(self, index: int) -> Sample | Skipped:
        image = np.full(self.image_shape, index % 256, dtype=np.uint8)
        mask = np.full((1, self.size, self.size), index % 2, dtype=np.uint8)
        return Sample(image, mask, index % 2, str(index))


def scan(path: Path) -> tuple[ImageSet, int]:
    """Open a cache and go through it; returns the private memory that this added."""
    warm_up = torch.zeros(BATCH_SIZE, 3, MEMORY_SIZE, MEMORY_SIZE)  # torch's own first pages
    warm_up.div_(255)
    before = private_bytes()
    images = ImageSet.open(path)
    for _batch in images.batches(BATCH_SIZE, generator=torch.Generator().manual_seed(0)):
        pass
    return images, private_bytes() - before


def memory_ratio(folder: Path) -> Ratio:
    """Private memory that a second process adds, relative to the data's size."""
    build_or_open(Repeated(n_rows=MEMORY_ROWS, size=MEMORY_SIZE), folder / "large")
    (path,) = (folder / "large").glob("*.arrow")
    first, _ = scan(path)  # stays mapped while the second process runs
    second = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_data", str(path)],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    size = path.stat().st_size
    assert len(first) == MEMORY_ROWS
    name = f"memory of a second process / data of {size / 1e6:.0f} MB"
    return Ratio(name, int(second.stdout) / size, 0.1, False)


def run() -> list[Ratio]:
    """Measure all ratios."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            epoch_ratio("64x64", folder, stored=64, size=64, n_images=600),
            epoch_ratio("480x480 to 224", folder, stored=480, size=224, n_images=128),
            memory_ratio(folder),
        ]


def main(arguments: Sequence[str] = ()) -> int:
    """Run the benchmark, or, given a cache file, be its second process."""
    if arguments:
        torch.set_num_threads(1)
        print(scan(Path(arguments[0]))[1])
        return 0
    report(run())
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
