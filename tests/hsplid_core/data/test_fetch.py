"""Whole fetches from a server on the loopback, in the data sets' real layouts."""

from __future__ import annotations

import dataclasses
import shutil
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hsplid_core.data import DATA_SETS
from hsplid_core.data.demo.coco import write_coco_demo
from hsplid_core.data.fetching import RECIPES, Item, Patience, Recipe, Remote, Step, fetch
from hsplid_core.data.readers.coco import coco_animals
from hsplid_core.errors import DataError
from tests.hsplid_core.data import bad_server
from tests.hsplid_core.data.archived import FILES, contents, tar_bytes, zip_bytes
from tests.hsplid_core.data.bad_server import BadServer, drops_after, served, status

PATIENCE = Patience(attempts=3, wait_s=0.0, timeout_s=5)
ANNOTATIONS = "/annotations/annotations_trainval2017.zip"


def unpublished(recipe: Recipe) -> Recipe:
    """A recipe without sizes and checksums, which those of other content can't have."""
    items = tuple(
        dataclasses.replace(item, remote=Remote(url=item.remote.url)) for item in recipe.items
    )
    return dataclasses.replace(recipe, items=items)


def fetched(server: BadServer, recipe: Recipe, root: Path, *, again: bool = False) -> list[Step]:
    steps: list[Step] = []
    fetch(
        recipe,
        root,
        progress=steps.append,
        mirror=server.url,
        patience=PATIENCE,
        again=again,
        n_connections=2,
    )
    return steps


@pytest.fixture(scope="module")
def coco_files(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """A small COCO as its servers have it."""
    root = write_coco_demo(
        tmp_path_factory.mktemp("coco") / "demo", n_train=24, n_val=8, image_size=32
    )
    annotations = {
        f"annotations/{path.name}": path.read_bytes() for path in (root / "annotations").iterdir()
    }
    archive = zip_bytes({**annotations, "annotations/captions_val2017.json": b"{}"})
    images = {f"/{p.relative_to(root)}": p.read_bytes() for p in root.glob("*2017/*.jpg")}
    return {ANNOTATIONS: archive, **images}


@pytest.fixture
def coco_server(coco_files: dict[str, bytes]) -> Iterator[BadServer]:
    with served(BadServer(dict(coco_files))) as running:
        yield running


COCO = unpublished(RECIPES["coco_animals"])


def assert_coco_is_whole(root: Path) -> None:
    for split in ("train", "val"):
        source = coco_animals(root, split, 32)
        source.identity()
        for index in range(len(source)):
            source.sample(index)
    assert sorted(path.name for path in root.iterdir()) == ["annotations", "train2017", "val2017"]
    assert list(root.rglob("captions*")) == []


def test_coco_comes_with_its_animal_images_only(coco_server: BadServer, tmp_path: Path) -> None:
    steps = fetched(coco_server, COCO, tmp_path / "coco")
    assert_coco_is_whole(tmp_path / "coco")
    n_images = len(list((tmp_path / "coco").glob("*2017/*.jpg")))
    assert n_images == 32
    assert len(coco_server.files) > 33  # images of two kinds of animal, or of none
    assert steps[-1] == Step("animal images", "downloading", 32, 32, "files")
    assert {step.doing for step in steps} == {"downloading", "unpacking"}
    asked = len(coco_server.asked)
    fetched(coco_server, COCO, tmp_path / "coco")
    assert len(coco_server.asked) == asked


def test_coco_from_a_server_with_every_fault(coco_server: BadServer, tmp_path: Path) -> None:
    jpegs = sorted(path for path in coco_server.files if path.endswith(".jpg"))
    faults = [drops_after(100), status(503), bad_server.corrupts, bad_server.sends_less]
    for number, path in enumerate(jpegs):
        coco_server.faults[path] = [faults[number % len(faults)]]
    coco_server.faults[ANNOTATIONS] = [drops_after(5000), status(500)]
    fetched(coco_server, COCO, tmp_path / "coco")
    assert_coco_is_whole(tmp_path / "coco")


def test_images_that_do_not_come(coco_server: BadServer, tmp_path: Path) -> None:
    root = tmp_path / "coco"
    fetched(coco_server, COCO, tmp_path / "whole")
    gone = sorted(f"/val2017/{path.name}" for path in (tmp_path / "whole").glob("val2017/*"))[:3]
    kept = {path: coco_server.files.pop(path) for path in gone}
    with pytest.raises(DataError, match="every animal image, 3 could not be fetched, 3") as caught:
        fetched(coco_server, COCO, root)
    assert "of 32 are missing; the first failure: http://127.0.0.1" in str(caught.value)
    assert "the server answers 404 Not Found" in str(caught.value)
    assert len(list(root.glob("*2017/*.jpg"))) == 29
    coco_server.files |= kept
    coco_server.asked.clear()
    fetched(coco_server, COCO, root)
    assert_coco_is_whole(root)
    assert {path for path, _ in coco_server.asked} == set(gone)


def test_a_dead_server_is_given_up(coco_server: BadServer, tmp_path: Path) -> None:
    for path in coco_server.files:
        if path.endswith(".jpg"):
            coco_server.faults[path] = [status(500)] * 9
    with pytest.raises(DataError, match="10 could not be fetched, 32 of 32 are missing"):
        fetched(coco_server, COCO, tmp_path / "coco")
    assert len(coco_server.asked) < 32 * PATIENCE.attempts
    assert list((tmp_path / "coco").glob("*2017/*.jpg")) == []


def test_a_picture_of_another_size(coco_server: BadServer, tmp_path: Path) -> None:
    with served(BadServer()) as other:
        other.files = dict(coco_server.files)
        larger = write_coco_demo(tmp_path / "64", n_train=24, n_val=8, image_size=64)
        for path in (larger / "val2017").iterdir():
            other.files[f"/val2017/{path.name}"] = path.read_bytes()
        with pytest.raises(DataError, match=r"it is \(64, 64\) pixels large, annotated is \(32,"):
            fetched(other, COCO, tmp_path / "coco")
    assert list((tmp_path / "coco" / "val2017").iterdir()) == []


RECIPE = Recipe(
    licence="mine",
    items=(
        Item(remote=Remote(url="http://example.org/d/x.tgz"), provides=("a/1.txt", "c.txt")),
        Item(remote=Remote(url="http://example.org/d/y.bin"), provides=("y.bin",), unpack=False),
        Item(remote=Remote(url="http://example.org/d/z.zip"), provides=("a/z/c.txt",), into="a/z"),
    ),
)


@pytest.fixture
def server() -> Iterator[BadServer]:
    files = {"/d/x.tgz": tar_bytes(FILES, "w:gz"), "/d/y.bin": b"y" * 1000}
    with served(BadServer({**files, "/d/z.zip": zip_bytes(FILES)})) as running:
        yield running


def expected() -> dict[str, bytes]:
    below = {f"a/z/{name}": content for name, content in FILES.items()}
    return {**FILES, "y.bin": b"y" * 1000, **below}


def test_archives_and_plain_files(server: BadServer, tmp_path: Path) -> None:
    steps = fetched(server, RECIPE, tmp_path / "root")
    assert contents(tmp_path / "root") == expected()
    assert [step for step in steps if step.what == "y.bin"][-1] == Step(
        "y.bin", "downloading", 1000, 1000, "bytes"
    )


def test_only_what_is_missing_is_fetched(server: BadServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    fetched(server, RECIPE, root)
    (root / "c.txt").unlink()
    (root / "a" / "own.txt").write_text("mine")
    server.asked.clear()
    fetched(server, RECIPE, root)
    assert contents(root) == {**expected(), "a/own.txt": b"mine"}
    assert [path for path, _ in server.asked] == ["/d/x.tgz"]


def test_again_replaces_what_is_damaged(server: BadServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    fetched(server, RECIPE, root)
    (root / "a" / "3.txt").write_bytes(b"damaged")
    (root / "y.bin").write_bytes(b"damaged")
    fetched(server, RECIPE, root)
    assert (root / "a" / "3.txt").read_bytes() == b"damaged"
    fetched(server, RECIPE, root, again=True)
    assert contents(root) == expected()


def test_an_archive_that_came_damaged_is_fetched_anew(server: BadServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    server.faults["/d/x.tgz"] = [bad_server.corrupts]
    with pytest.raises(DataError, match=r"x.tgz must be a whole archive"):
        fetched(server, RECIPE, root)
    assert contents(root) == {}
    fetched(server, RECIPE, root)
    assert contents(root) == expected()


def test_an_interrupted_fetch_goes_on(server: BadServer, tmp_path: Path) -> None:
    root = tmp_path / "root"
    server.files["/d/x.tgz"] = tar_bytes({**FILES, "big": bytes(range(256)) * 4000}, "w:gz")
    half = len(server.files["/d/x.tgz"]) // 2
    server.faults["/d/x.tgz"] = [drops_after(half), status(403)]
    with pytest.raises(DataError, match="403"):
        fetched(server, RECIPE, root)
    server.asked.clear()
    fetched(server, RECIPE, root)
    assert server.asked[0] == ("/d/x.tgz", f"bytes={half}-")
    assert set(contents(root)) == {*expected(), "big"}


def test_stopped_while_unpacking(
    server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = tmp_path / "root"

    def stop(step: Step) -> None:
        if step.doing == "unpacking" and step.done == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(RECIPE, root, progress=stop, mirror=server.url, patience=PATIENCE)
    assert [path.name for path in root.iterdir()] == [".fetch"]
    fetched(server, RECIPE, root)
    assert contents(root) == expected()
    assert [path for path, _ in server.asked].count("/d/x.tgz") == 1


def test_an_archive_of_something_else(server: BadServer, tmp_path: Path) -> None:
    server.files["/d/x.tgz"] = tar_bytes({"other.txt": b""}, "w:gz")
    with pytest.raises(DataError, match=r"x.tgz must hold a/1.txt, c.txt, but does not"):
        fetched(server, RECIPE, tmp_path / "root")


def test_two_fetches_at_once_download_once(server: BadServer, tmp_path: Path) -> None:
    with ThreadPoolExecutor(2) as pool:
        running = [pool.submit(fetched, server, RECIPE, tmp_path / "root") for _ in range(2)]
        for fetching in running:
            fetching.result()
    assert contents(tmp_path / "root") == expected()
    assert sorted(path for path, _ in server.asked) == ["/d/x.tgz", "/d/y.bin", "/d/z.zip"]


def test_a_root_that_can_not_be_made(server: BadServer, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="root must be a folder that can be created"):
        fetched(server, RECIPE, tmp_path / "file")
    with pytest.raises(DataError, match=r"/sys/nothing"):
        fetched(server, RECIPE, Path("/sys/nothing"))


def test_a_disk_too_small_is_told_before_the_download(
    server: BadServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=10**6)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage)
    with pytest.raises(DataError, match=r"room for 1557 MB more of imagenette2.tgz, got 1 MB"):
        fetched(server, RECIPES["imagenette"], tmp_path / "root")
    assert server.asked == []


def test_every_data_set_has_a_recipe() -> None:
    assert {name.partition("/")[0] for name in DATA_SETS} == set(RECIPES)


@pytest.mark.parametrize("name", RECIPES)
def test_recipes_are_complete(name: str) -> None:
    recipe = RECIPES[name]
    assert recipe.licence
    assert recipe.items or recipe.by_hand
    for item in recipe.items:
        parts = urlsplit(item.remote.url)
        assert parts.scheme in ("http", "https")
        assert item.remote.name == Path(parts.path).name
        assert item.provides
        if item.remote.checksum is not None:
            kind, digits = item.remote.checksum.split(":")
            assert len(bytes.fromhex(digits)) == {"md5": 16, "sha256": 32}[kind]
            assert item.remote.size is not None
            assert item.remote.size > 1000
