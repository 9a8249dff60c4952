"""Building a cache: interrupted, killed, on a full disk, from a source that breaks promises."""

from __future__ import annotations

import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
import psutil
import pytest
import torch

from hsplid_core.data import Sample, Skipped
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.data.cache.image_set import ImageSet
from hsplid_core.data.workers import Workers
from hsplid_core.errors import ConfigError, DataError
from tests.hsplid_core.data.made_source import MadeSource
from tests.hsplid_core.data.processes import outputs, started

N_ROWS = 60
BUILD = f"""
import sys
from pathlib import Path
from hsplid_core.data.workers import Workers
from hsplid_core.data.cache.build import build_or_open
from tests.hsplid_core.data.made_source import MadeSource
cache, journal = map(Path, sys.argv[1:3])
wait_s, kind = float(sys.argv[3]), sys.argv[4]
source = MadeSource(n_rows={N_ROWS}, wait_s=wait_s, journal=journal)
print(build_or_open(source, cache, workers=Workers(kind=kind, count=2)).key)
"""


def assert_holds(images: ImageSet, source: MadeSource) -> None:
    """The rows are the source's, whatever way they came into the file."""
    batch = images.batch(torch.arange(len(images)))
    expected = [source.sample(row) for row in range(len(source))]
    samples = [sample for sample in expected if isinstance(sample, Sample)]
    assert images.ids == tuple(sample.id for sample in samples)
    pixels = np.stack([sample.image for sample in samples])
    np.testing.assert_array_equal((batch.image * 255).round().byte(), pixels)


class Interrupted(NamedTuple):
    """A cache folder with a build that stopped at `done` of `N_ROWS` images."""

    folder: Path
    rows: Path
    journal: Path
    done: int


class StopError(KeyboardInterrupt):
    """Ctrl-C at a chosen image."""


@dataclass(frozen=True)
class Counting(MadeSource):
    """Notes which images were decoded, and breaks off at one of them."""

    decoded: Path | None = None
    stop_at: int | None = None

    def sample(self, index: int) -> Sample | Skipped:
        if index == self.stop_at:
            raise StopError
        if self.decoded is not None:
            with self.decoded.open("a") as handle:
                handle.write(f"{index}\n")
        return super().sample(index)


@pytest.fixture
def interrupted(tmp_path: Path) -> Interrupted:
    folder = tmp_path / "cache"
    with pytest.raises(StopError):
        build_or_open(Counting(n_rows=N_ROWS, stop_at=31), folder, workers=Workers(count=1))
    (rows,), (journal,) = folder.glob("*.partial"), folder.glob("*.journal")
    stops = [json.loads(line)["stop"] for line in journal.read_text().splitlines()]
    assert stops == [15, 30]
    return Interrupted(folder, rows, journal, 30)


def rest(interrupted: Interrupted) -> list[int]:
    """Finish the build; returns which images that decoded."""
    log = interrupted.folder / "decoded"
    source = Counting(n_rows=N_ROWS, decoded=log)
    images = build_or_open(source, interrupted.folder, workers=Workers(count=1))
    decoded = [int(line) for line in log.read_text().splitlines()]
    assert_holds(images, MadeSource(n_rows=N_ROWS))
    assert not interrupted.rows.exists()
    assert not interrupted.journal.exists()
    return decoded


def test_an_interrupted_build_goes_on(interrupted: Interrupted) -> None:
    assert rest(interrupted) == list(range(30, N_ROWS))


def _torn_batch(stopped: Interrupted) -> None:
    with stopped.rows.open("ab") as handle:
        handle.write(b"\1" * 1000)


def _torn_line(stopped: Interrupted) -> None:
    with stopped.journal.open("a") as handle:
        handle.write('{"stop": 45, "n_by')


@pytest.mark.parametrize("tear", [_torn_batch, _torn_line])
def test_what_was_not_finished_is_cut_off(
    interrupted: Interrupted, tear: Callable[[Interrupted], None]
) -> None:
    tear(interrupted)
    assert rest(interrupted) == list(range(30, N_ROWS))


def _flip(path: Path, position: int) -> None:
    content = bytearray(path.read_bytes())
    content[position] ^= 1
    path.write_bytes(content)


def _damaged_last_batch(stopped: Interrupted) -> int:
    _flip(stopped.rows, -100)
    return 15


def _damaged_first_batch(stopped: Interrupted) -> int:
    _flip(stopped.rows, stopped.rows.stat().st_size // 3)
    return 0


def _other_header(stopped: Interrupted) -> int:
    _flip(stopped.rows, 100)
    return 0


def _lost_rows(stopped: Interrupted) -> int:
    stopped.rows.write_bytes(stopped.rows.read_bytes()[:-1])
    return 15


def _lost_journal(stopped: Interrupted) -> int:
    stopped.journal.unlink()
    return 0


def _foreign_journal(stopped: Interrupted) -> int:
    stopped.journal.write_text("[1, 2]\n")
    return 0


@pytest.mark.parametrize(
    "damage",
    [
        _damaged_last_batch,
        _damaged_first_batch,
        _other_header,
        _lost_rows,
        _lost_journal,
        _foreign_journal,
    ],
)
def test_what_is_kept_is_verified(
    interrupted: Interrupted, damage: Callable[[Interrupted], int]
) -> None:
    first_lost = damage(interrupted)
    assert rest(interrupted) == list(range(first_lost, N_ROWS))


@pytest.mark.parametrize("kind", ["threads", "processes"])
def test_a_killed_build_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """`kill -9` of the builder; the same command decodes only the rest, and nobody is left."""
    cache, journal = tmp_path / "cache", tmp_path / "journal"

    def stops() -> list[int]:
        lines = [
            line for path in cache.glob("*.journal") for line in path.read_bytes().split(b"\n")
        ]
        return [json.loads(line)["stop"] for line in lines if line.endswith(b"}")]

    with started(BUILD, cache, journal, 0.05, kind) as (builder,):
        while len(stops()) < 2:
            assert builder.poll() is None, builder.communicate()
            time.sleep(0.02)
        family = psutil.Process(builder.pid).children(recursive=True)
        builder.kill()
        builder.wait()
        _, alive = psutil.wait_procs(family, timeout=20)
        assert alive == []
        assert len(family) > 1 or kind == "threads"
    done = stops()[-1]
    assert 0 < done < N_ROWS
    journal.unlink()
    images = build_or_open(MadeSource(n_rows=N_ROWS, journal=journal), cache)
    assert len(journal.read_text().splitlines()) == N_ROWS - done
    assert_holds(images, MadeSource(n_rows=N_ROWS))
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path))  # as on a machine that verifies first
    assert ImageSet.open(images.path).key == images.key
    assert {path.suffix for path in cache.iterdir()} == {".arrow", ".crc32", ".key", ".lock"}


@pytest.mark.parametrize("content", [b"", b"my diary", b"\xff\xfe", b"0" * 64 + b" of others"])
def test_a_damaged_or_foreign_note_of_the_key_is_written_anew(
    content: bytes, tmp_path: Path
) -> None:
    source = MadeSource(n_rows=20)
    key = build_or_open(source, tmp_path, workers=Workers(count=1)).key
    (note,) = tmp_path.glob("*.key")
    written = note.read_bytes()
    note.write_bytes(content)
    assert build_or_open(source, tmp_path, workers=Workers(count=1)).key == key
    assert note.read_bytes() == written
    note.write_text(key)  # as earlier versions did
    assert build_or_open(source, tmp_path, workers=Workers(count=1)).key == key
    note.unlink()
    note.mkdir()
    assert build_or_open(source, tmp_path, workers=Workers(count=1)).key == key


def test_a_cache_under_the_name_of_another_is_built_again(tmp_path: Path) -> None:
    source = MadeSource(n_rows=20)
    build_or_open(source, tmp_path / "own", workers=Workers(count=1))
    build_or_open(MadeSource(n_rows=30), tmp_path / "other", workers=Workers(count=1))
    (own,) = (tmp_path / "own").glob("*.arrow")
    (other,) = (tmp_path / "other").glob("*.arrow")
    for ending in ("", ".crc32"):
        file = own.with_name(own.name + ending)
        file.unlink()
        shutil.copy(other.with_name(other.name + ending), file)
    assert_holds(build_or_open(source, tmp_path / "own", workers=Workers(count=1)), source)


def test_progress_counts_every_image(tmp_path: Path, interrupted: Interrupted) -> None:
    seen: list[tuple[int, int]] = []
    source, workers = MadeSource(n_rows=N_ROWS), Workers(count=1)

    def note(done: int, total: int) -> None:
        seen.append((done, total))

    build_or_open(source, tmp_path / "fresh", workers=workers, progress=note)
    assert seen == [(done, N_ROWS) for done in (0, 15, 30, 45, 60)]
    seen.clear()
    build_or_open(source, interrupted.folder, workers=workers, progress=note)
    assert seen == [(done, N_ROWS) for done in (30, 45, 60)]
    seen.clear()
    build_or_open(source, interrupted.folder, workers=workers, progress=note)
    assert seen == []


def test_skipped_images_are_counted_over_an_interruption(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    class Gaps(Counting):
        def sample(self, index: int) -> Sample | Skipped:
            found = super().sample(index)
            return Skipped("a gap") if index % 3 == 0 or 15 <= index < 30 else found

    with pytest.raises(StopError):
        build_or_open(Gaps(n_rows=N_ROWS, stop_at=31), tmp_path, workers=Workers(count=1))
    images = build_or_open(Gaps(n_rows=N_ROWS), tmp_path, workers=Workers(count=1))
    assert len(images) == 30
    assert "made: left out 30 of 60 images: a gap" in caplog.messages


def test_a_full_disk_keeps_what_is_finished(tmp_path: Path) -> None:
    """A limit on the size of files stands in for a full disk: the same failing write."""
    code = """
import resource, sys
from pathlib import Path
from hsplid_core.data.workers import Workers
from hsplid_core.data.cache.build import build_or_open
from hsplid_core.errors import DataError
from tests.hsplid_core.data.made_source import MadeSource
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
try:
    build_or_open(MadeSource(n_rows=600, size=16), Path(sys.argv[1]), workers=Workers(count=1))
except DataError as error:
    print(error)
"""
    (message,) = outputs(code, tmp_path)
    assert message.count("\n") == 1
    assert "cache_dir must have room for 1 MB" in message
    assert "File too large" in message
    assert {path.suffix for path in tmp_path.iterdir()} == {
        ".key",
        ".lock",
        ".partial",
        ".journal",
    }
    log = tmp_path / "decoded"
    source = Counting(n_rows=600, size=16, decoded=log)
    assert_holds(build_or_open(source, tmp_path, workers=Workers(count=1)), source)
    assert log.read_text().splitlines()[0] == "150"
    assert {path.suffix for path in tmp_path.iterdir()} == {
        ".arrow",
        ".crc32",
        ".key",
        ".lock",
        "",
    }


def test_a_disk_too_small_is_told_before_decoding(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=600 * 4 * 16 * 16 - 1)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    source = MadeSource(n_rows=600, size=16, journal=tmp_path / "journal")
    with pytest.raises(DataError, match=r"room for 1 MB, .* failed .No space left on device"):
        build_or_open(source, tmp_path)
    assert not (tmp_path / "journal").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_folder_that_is_not_writable(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    with pytest.raises(DataError, match=r"must be writable .*Permission denied"):
        build_or_open(MadeSource(), tmp_path)


@pytest.mark.parametrize("folder", ["/sys", "/proc"])
def test_a_file_system_that_is_not_writable(folder: str) -> None:
    """Not even root may make files here."""
    with pytest.raises(DataError, match=f"{folder} must be writable .*choose another cache_dir"):
        build_or_open(MadeSource(), Path(folder))


@pytest.mark.parametrize(
    "error", [DataError("broken.jpg"), RuntimeError("surprise"), OSError("broken.jpg")]
)
def test_a_failing_source_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    def fail(self: MadeSource, index: int) -> Sample | Skipped:
        if index == 50:
            raise error
        return Skipped("not needed")

    with monkeypatch.context() as patch:
        patch.setattr(MadeSource, "sample", fail)
        kind = DataError if isinstance(error, OSError) else type(error)
        with pytest.raises(kind, match=str(error)):
            build_or_open(MadeSource(n_rows=N_ROWS), tmp_path)
    assert {path.suffix for path in tmp_path.iterdir()} == {".key", ".lock"}
    assert_holds(build_or_open(MadeSource(), tmp_path), MadeSource())


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"label": 2}, "the label of 000000 must be one of 0 to 1, got 2"),
        ({"label": -1}, "the label of 000000 must be one of 0 to 1, got -1"),
        ({"mask": None}, "000000 must have a mask"),
        ({"image": np.zeros((1, 8, 8), np.uint8)}, r"read as uint8 of \(3, 8, 8\), got uint8 of"),
        ({"image": np.zeros((3, 8, 8))}, r"got float64 of \(3, 8, 8\)"),
        ({"mask": np.zeros((1, 4, 8), np.uint8)}, r"uint8 of \(1, 8, 8\), got uint8 of \(1, 4, 8"),
    ],
)
def test_a_source_that_breaks_its_promise(
    tmp_path: Path, change: dict[str, object], message: str
) -> None:
    class Broken(MadeSource):
        def sample(self, index: int) -> Sample | Skipped:
            sample = super().sample(index)
            assert isinstance(sample, Sample)
            return sample._replace(**change)  # type: ignore[arg-type]

    with pytest.raises(DataError, match=message):
        build_or_open(Broken(), tmp_path)
    assert list(tmp_path.glob("*.arrow*")) == []


def test_a_mask_too_many(tmp_path: Path) -> None:
    class TooMany(MadeSource):
        def sample(self, index: int) -> Sample | Skipped:
            return MadeSource(has_masks=True).sample(index)

    with pytest.raises(DataError, match="000000 must not have a mask"):
        build_or_open(TooMany(has_masks=False), tmp_path)


def test_processes_and_threads_write_the_same_rows(tmp_path: Path) -> None:
    source = MadeSource(n_rows=25)
    one = build_or_open(source, tmp_path / "1", workers=Workers(kind="processes", count=2))
    other = build_or_open(source, tmp_path / "2", workers=Workers(count=3))
    every = torch.arange(25)
    assert torch.equal(one.batch(every).image, other.batch(every).image)
    assert (one.key, one.ids) == (other.key, other.ids)


def test_the_number_of_workers_chooses_their_kind() -> None:
    assert Workers.for_many_images(2) == Workers(kind="threads", count=2)
    assert Workers.for_many_images(16) == Workers(kind="processes", count=16)
    with pytest.raises(ConfigError, match="workers is 0: use at least 1"):
        Workers.for_many_images(0)
