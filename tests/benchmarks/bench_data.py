"""The Arrow cache: against decoding, its build, and the memory that it takes.

An epoch in batches of 32 from the cache is compared with a plain reader, which decodes each JPEG
file, unites its masks with pycocotools and resizes both: on the demo's own 64x64 pictures, the
smallest and so the hardest to beat, and on pictures of 480x480 shrunk to 224, as COCO's are. What
reaches the device in a second is compared with the same batches from a tensor that lies in memory
as bytes, decoded: the most that any storage could give.

A build with a worker for each core is compared with a build with one, and what it gains with what
independent processes gain at that time; and the largest memory of a
process that builds 20,000 images of 96x96 with one that builds 2,000, a tenth of 740 MB.

A machine verifies a cache before it first reads it: that is compared with building it, on pictures
of 480x480 shrunk to 224 and with the file in the system's page cache.

For the memory of a trial, two processes go through the same 300 MB; what counts is the second
one's private memory, since the pages of the file that both map are in memory once.

    python -m tests.benchmarks.bench_data

A minute and a half on two slow CPU cores; expected near 40, 35, 0.95, 0.01, 0.7, 0.9, 1.05
and 0.02.
"""

from __future__ import annotations

import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from hsplid_core.config import DataConfig
from hsplid_core.data import DATA_SETS
from hsplid_core.data.batch import Batch
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.check_files import check_sources
from hsplid_core.data.demo.coco import write_coco_demo
from hsplid_core.data.readers.coco import coco_animals
from hsplid_core.data.source import Sample, Skipped, Source
from hsplid_core.data.workers import Workers, n_cores
from tests.benchmarks._report import Ratio, report
from tests.benchmarks._timing import compare
from tests.hsplid_core.data.made_source import MadeSource

ROUNDS = 3
BATCH_SIZE = 32
MEMORY_ROWS, MEMORY_SIZE = 19_000, 64  # times 4 bytes a pixel with its mask: 311 MB
# A build's pictures: small ones would measure the start of the workers.
BUILD_IMAGES, BUILD_STORED, BUILD_SIZE = 512, 480, 224
SMALL_FILES, SMALL_SIZE = 1_000, 32
FEW_ROWS, MANY_ROWS, GROWTH_SIZE = 2_000, 20_000, 96
PRIVATE = ("Private_Clean:", "Private_Dirty:")


def decoded(source: Source) -> Iterator[Batch]:
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
    source = coco_animals(root, "train", size)
    images = build_or_open(source, folder / "cache")

    def cached() -> Iterator[Batch]:
        return images.batches(BATCH_SIZE, generator=torch.Generator().manual_seed(0))

    from_files = seconds(lambda: decoded(source), ROUNDS)
    from_cache = seconds(cached, 3 * ROUNDS)
    return Ratio(f"epoch: decoding / cache, {name}", from_files / from_cache, 20, True)


SPIN = """
import time
start = time.perf_counter()
total = 0
for number in range(8_000_000):
    total += number
print(time.perf_counter() - start)
"""


def cores_to_be_had(count: int) -> float:
    """How many cores so many processes get that have nothing to do with each other."""

    def slowest(n_processes: int) -> float:
        command = [sys.executable, "-c", SPIN]
        running = [
            subprocess.Popen(command, stdout=subprocess.PIPE, text=True)
            for _ in range(n_processes)
        ]
        return max(float(process.communicate()[0]) for process in running)

    return count * slowest(1) / slowest(count)


def build_ratio(folder: Path) -> Ratio:
    """What a build gains with every core, relative to processes that share nothing.

    Both are measured in turns: a machine that does other work, too, has fewer cores than it says.
    """
    root = write_coco_demo(
        folder / "build", n_train=BUILD_IMAGES, n_val=4, image_size=BUILD_STORED
    )
    source = coco_animals(root, "train", BUILD_SIZE)

    def build(workers: Workers) -> None:
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            build_or_open(source, Path(cache), workers=workers)

    one, every = Workers(count=1), Workers.for_many_images(n_cores())
    gains, cores = [], []
    for _ in range(2):
        cores.append(cores_to_be_had(every.count))
        alone, together = compare(partial(build, one), partial(build, every), rounds=1)
        gains.append(alone / together)
    gain, had = max(gains), sum(cores) / len(cores)
    name = f"build: gain {gain:.2f} with {every.count} {every.kind} / {had:.2f} cores to be had"
    # The identity is hashed before, and the rows are written by one.
    return Ratio(name, gain / had, 0.75, True)


def verifying_ratio(folder: Path) -> Ratio:
    """What it costs a machine to verify a cache, relative to building it."""
    root = write_coco_demo(
        folder / "verified", n_train=BUILD_IMAGES, n_val=4, image_size=BUILD_STORED
    )
    source = coco_animals(root, "train", BUILD_SIZE)
    start = time.perf_counter()
    images = build_or_open(source, folder / "verified-cache")
    build_s = time.perf_counter() - start

    def verified() -> None:
        images.path.touch()  # another content, for all that is known
        ImageSet.open(images.path)

    def known() -> None:
        ImageSet.open(images.path)

    verified_s, known_s = compare(verified, known, rounds=ROUNDS)
    size = images.path.stat().st_size / 1e6
    cost_s = verified_s - known_s
    name = f"verifying {size:.0f} MB ({size / cost_s / 1e3:.1f} GB/s) / building"
    return Ratio(name, cost_s / build_s, 0.05, False)


def small_file_ratios(folder: Path) -> list[Ratio]:
    """CPU seconds of Pillow alone, which opens and decodes, over those of a check and of a build.

    Small files are the hardest: of photographs, nearly all the time is decoding.
    """
    root = folder / "small"
    for number in range(SMALL_FILES):
        path = root / ("even", "odd")[number % 2] / f"{number}.jpg"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (SMALL_SIZE, SMALL_SIZE, 3))
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    files = sorted(root.rglob("*.jpg"))
    data = DataConfig(name="folder", image_size=SMALL_SIZE)
    entry = DATA_SETS["folder"]
    assert entry.training is not None
    openers = [partial(entry.training, root, data), partial(entry.testing, root, data)]
    one = Workers(count=1)

    def plain() -> None:
        for path in files:
            with Image.open(path) as picture:
                picture.load()

    def check() -> None:
        check_sources(openers, progress=lambda *_: None, workers=one)

    def build() -> None:
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            for opener in openers:
                build_or_open(opener(), Path(cache), workers=one)

    ratios = []
    for name, ours in (("check", check), ("build", build)):
        pillow_s, ours_s = compare(plain, ours, rounds=ROUNDS, clock=time.process_time)
        title = f"{name}: Pillow alone / ours, {SMALL_FILES} JPEGs of {SMALL_SIZE} pixels"
        ratios.append(Ratio(title, pillow_s / ours_s, 1.0, True))
    return ratios


def delivery_ratio(folder: Path, *, size: int, n_rows: int) -> Ratio:
    """Images a second from the cache to the device, relative to a tensor of bytes in memory."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    images = build_or_open(Repeated(n_rows=n_rows, size=size), folder / f"delivery-{size}")
    resident = torch.zeros(n_rows, 3, size, size, dtype=torch.uint8)
    masks = torch.zeros(n_rows, 1, size, size, dtype=torch.uint8)

    def order() -> Iterator[torch.Tensor]:
        return iter(torch.randperm(n_rows).split(BATCH_SIZE))

    def from_memory() -> None:
        for rows in order():
            resident.index_select(0, rows).to(device).to(torch.float32).div_(255)
            masks.index_select(0, rows).to(device).to(torch.bool)

    def from_cache() -> None:
        for rows in order():
            images.batch(rows, device)

    memory_s, cache_s = compare(from_memory, from_cache, rounds=3)
    name = f"{n_rows / cache_s:,.0f} images/s to {device.type} at {size}, relative to memory"
    return Ratio(name, memory_s / cache_s, 0.5, True)


def peak_bytes(n_rows: int, folder: Path) -> int:
    """Largest memory of this process, which is to be a fresh one, after a build."""
    source = Repeated(n_rows=n_rows, size=GROWTH_SIZE)
    build_or_open(source, folder, workers=Workers())
    # Not getrusage: its maximum begins with what the process held that started this one.
    lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    (peak,) = (line for line in lines if line.startswith("VmHWM:"))
    return 1024 * int(peak.split()[1])


def growth_ratio(folder: Path) -> Ratio:
    """How the largest memory of a build grows with ten times the images."""
    few, many = (
        int(_in_a_process("build", str(n_rows), str(folder / f"growth-{n_rows}")))
        for n_rows in (FEW_ROWS, MANY_ROWS)
    )
    megabytes = f"{many / 1e6:.0f} / {few / 1e6:.0f} MB"
    name = f"peak memory of a build, {MANY_ROWS} / {FEW_ROWS} images ({megabytes})"
    return Ratio(name, many / few, 1.1, False)


def _in_a_process(*arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "tests.benchmarks.bench_data", *arguments],
        check=True,
        stdout=subprocess.PIPE,
        text=True,
    )
    return done.stdout


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
    second = int(_in_a_process("scan", str(path)))
    size = path.stat().st_size
    assert len(first) == MEMORY_ROWS
    name = f"memory of a second process / data of {size / 1e6:.0f} MB"
    return Ratio(name, second / size, 0.1, False)


def run() -> list[Ratio]:
    """Measure all ratios."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        return [
            epoch_ratio("64x64", folder, stored=64, size=64, n_images=600),
            epoch_ratio("480x480 to 224", folder, stored=480, size=224, n_images=128),
            build_ratio(folder),
            verifying_ratio(folder),
            *small_file_ratios(folder),
            delivery_ratio(folder, size=64, n_rows=8000),
            delivery_ratio(folder, size=224, n_rows=1000),
            growth_ratio(folder),
            memory_ratio(folder),
        ]


def main(arguments: Sequence[str] = ()) -> int:
    """Run the benchmark, or be its second process: `scan FILE` or `build ROWS FOLDER`."""
    torch.set_num_threads(1)
    if arguments[:1] == ["scan"]:
        print(scan(Path(arguments[1]))[1])
        return 0
    if arguments[:1] == ["build"]:
        print(peak_bytes(int(arguments[1]), Path(arguments[2])))
        return 0
    return report(run())


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
