"""The command line for data sets, against a server on the loopback where it fetches."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from hsplid_core.data import DATA_SETS, ImageSet
from hsplid_core.data.fetching import RECIPES, Patience
from sweeps.data import main
from tests.hsplid_core.data.archived import zip_bytes
from tests.hsplid_core.data.bad_server import BadServer, drops_after, served, status
from tests.hsplid_core.data.test_contract import small_demo
from tests.hsplid_core.data.test_fetch import ANNOTATIONS, unpublished


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Work in a folder of its own, with recipes that fit made-up contents, and without waiting."""
    monkeypatch.chdir(tmp_path)
    for name, recipe in RECIPES.items():
        monkeypatch.setitem(RECIPES, name, unpublished(recipe))
    monkeypatch.setattr(
        "hsplid_core.data.fetching.fetch_data_set.Patience",
        lambda: Patience(attempts=3, wait_s=0.0),
    )


@pytest.fixture(scope="module")
def demos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("demos")


@pytest.fixture
def server(demos: Path) -> Iterator[BadServer]:
    """Serves COCO and MNIST from the addresses that the recipes know."""
    coco, mnist = small_demo("coco_animals", demos), small_demo("mnist", demos)
    annotations = {
        f"annotations/{path.name}": path.read_bytes() for path in coco.glob("annotations/*.json")
    }
    files = {ANNOTATIONS: zip_bytes(annotations)}
    files |= {f"/{path.relative_to(coco)}": path.read_bytes() for path in coco.glob("*2017/*")}
    files |= {f"/mnist/{path.name}": path.read_bytes() for path in mnist.glob("*.gz")}
    with served(BadServer(files)) as running:
        yield running


def told(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, str, str]:
    code = main(arguments)
    captured = capsys.readouterr()
    return code, captured.out, captured.err


def parsed(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, Any]:
    code, out, _ = told(capsys, *arguments, "--json")
    return code, json.loads(out)


def test_the_list_names_every_data_set(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    code, out, _ = told(capsys, "list")
    assert code == 0
    for name, entry in DATA_SETS.items():
        (line,) = (line for line in out.splitlines() if line.split()[:1] == [name])
        assert entry.summary in line
        assert RECIPES[name.partition("/")[0]].licence in line
    small_demo("cifar10", tmp_path).rename(tmp_path / "cifar10")
    code, rows = parsed(capsys, "list", f"root={tmp_path}")
    assert code == 0
    assert {name for name, row in rows.items() if row["present"]} == {"cifar10"}
    assert rows["imagenet"]["got_by"] == "login or form"
    assert rows["coco_animals"]["got_by"] == "fetch"
    assert rows["cmnist"]["root"] == f"{tmp_path}/mnist"


def test_fetch_check_and_build_coco(capsys: pytest.CaptureFixture[str], server: BadServer) -> None:
    server.faults[ANNOTATIONS] = [drops_after(3000), status(500)]
    code, out, err = told(capsys, "fetch", "coco_animals", f"mirror={server.url}")
    assert code == 0, err
    assert out == (
        "coco_animals is in data/coco_animals; next: python -m sweeps.data build coco_animals "
        "root=data/coco_animals\n"
    )
    assert "downloading annotations_trainval2017.zip" in err
    assert "downloading animal images: 24 of 24" in err
    code, out, _ = told(capsys, "check", "coco_animals")
    assert code == 0
    *notes, last = out.splitlines()
    assert last == "coco_animals in data/coco_animals: no findings"
    assert "2 of 18 images are left out: they show several of the classes" in "".join(notes)
    covered = [note for note in notes if re.search(r"object covers [12]\d\.\d% of the pix", note)]
    assert len(covered) == 2
    code, result = parsed(capsys, "build", "coco_animals", "image_size=24", "cache_dir=cache")
    assert code == 0
    assert [cache["source"] for cache in result["caches"]] == [
        "coco_animals-train-24",
        "coco_animals-val-24",
    ]
    assert [cache["images"] for cache in result["caches"]] == [16, 8]
    assert not any(cache["demo"] for cache in result["caches"])
    opened = {ImageSet.open(path).key for path in Path("cache").glob("*.arrow")}
    assert opened == {cache["key"] for cache in result["caches"]}


def test_a_fetch_that_fails_is_one_line_and_goes_on_later(
    capsys: pytest.CaptureFixture[str], server: BadServer
) -> None:
    lost = server.files.pop("/mnist/t10k-labels-idx1-ubyte.gz")
    code, out, err = told(capsys, "fetch", "mnist", "root=digits", f"mirror={server.url}")
    assert (code, out) == (2, "")
    (line,) = (line for line in err.splitlines() if line.startswith("error:"))
    assert re.search(r"t10k-labels-idx1-ubyte.gz must be there .* answers 404 Not Found", line)
    assert "Traceback" not in err
    assert len(list(Path("digits").glob("*.gz"))) == 3
    server.files["/mnist/t10k-labels-idx1-ubyte.gz"] = lost
    server.asked.clear()
    code, out, _ = told(capsys, "fetch", "mnist", "root=digits", f"mirror={server.url}")
    assert code == 0
    assert [path for path, _ in server.asked] == ["/mnist/t10k-labels-idx1-ubyte.gz"]
    assert told(capsys, "check", "cmnist", "root=digits")[0] == 0


@pytest.mark.parametrize(
    ("name", "where", "layout"),
    [
        ("imagenet", "https://image-net.org/download", "train/n01440764/*.JPEG"),
        ("isic2017", "https://challenge.isic-archive.com/data/#2017", "ISIC-2017_Training_Data/"),
        ("counter_animal", "https://counteranimal.github.io", "LAION-final/9 ostrich/"),
        ("folder", "a folder of your own", "train/CLASS/*.jpg"),
    ],
)
def test_what_people_have_to_get(
    capsys: pytest.CaptureFixture[str], demos: Path, name: str, where: str, layout: str
) -> None:
    code, out, err = told(capsys, "fetch", name, "root=there")
    assert (code, out) == (2, "")
    assert err.startswith(
        f"error: {name} can't be fetched from here, it must be laid out in there"
    )
    assert where in err
    assert layout in err
    assert err.endswith(f"python -m sweeps.data check {name} root=there\n")
    full = name if name in DATA_SETS else next(key for key in DATA_SETS if key.startswith(name))
    code, out, _ = told(capsys, "fetch", name, f"root={small_demo(full, demos)}")
    assert code == 0
    assert out.startswith(f"{name} is in ")


def test_findings_are_listed_and_make_the_exit_code(
    capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    root = small_demo("isic2017", tmp_path)
    image = sorted((root / "ISIC-2017_Training_Data").glob("*.jpg"))[0]
    image.write_bytes(image.read_bytes()[:200])
    mask = sorted((root / "ISIC-2017_Test_v2_Part1_GroundTruth").iterdir())[0]
    mask.unlink()
    (root / "ISIC-2017_Training_Data" / "notes.txt").write_text("")
    code, out, _ = told(capsys, "check", "isic2017", f"root={root}")
    assert code == 1
    lines = out.splitlines()
    assert [line.split(":")[0] for line in lines[:3]] == ["damaged", "missing", "foreign"]
    assert all(line.startswith("note: isic2017-") for line in lines[3:-1])
    assert str(image) in lines[0]
    assert str(mask) in lines[1]
    assert lines[-1] == f"isic2017 in {root}: 3 findings (1 damaged, 1 missing, 1 foreign)"
    code, result = parsed(capsys, "check", "isic2017", f"root={root}", "workers=3")
    assert code == 1
    assert [finding["kind"] for finding in result["findings"]] == ["damaged", "missing", "foreign"]


def test_check_looks_at_all_variants(capsys: pytest.CaptureFixture[str], demos: Path) -> None:
    root = small_demo("imagenet9/original", demos)
    code, out, err = told(capsys, "check", "imagenet9", f"root={root}")
    assert (code, out) == (0, f"imagenet9 in {root}: no findings\n")
    assert "of 108" in err  # six variants of 18 images


def test_build_without_a_root_builds_the_demo(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    code, out, err = told(capsys, "build", "mnist", "image_size=16", "cache_dir=cache")
    assert code == 0
    assert "no root= given and no data/mnist: building the embedded demo of mnist\n" in err
    assert "building mnist-demo-train-16: 1400 of 1400" in err
    assert "mnist-demo-train-16: 1400 images in cache, demo" in out
    code, out, err = told(capsys, "build", "mnist", "image_size=16", "cache_dir=cache")
    assert "building mnist-demo-train-16" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["check", "coco_animal"], "data set coco_animal is unknown: .*mean coco_animals?"),
        (["check", "imagenet8"], r"did you mean imagenet9?"),
        (["check", "mnist", "root=nowhere"], "root is nowhere, which is no folder: .*fetch mnist"),
        (["check", "mnist"], "root is data/mnist, which is no folder"),
        (["build", "mnist", "root=nowhere"], "root is nowhere, which is no folder"),
        (
            ["build", "mnist", "imagesize=3"],
            "imagesize is no setting of build: .*image_size?",
        ),
        (["build", "mnist", "image_size=7"], "data.image_size is 7: use at least 8"),
        (["build", "mnist", "workers=none"], "workers is none: use a whole number, 1 or more"),
        (["fetch", "mnist", "mirror=localhost"], "mirror is localhost: use an address such as"),
        (["fetch", "mnist", "root="], "setting 'root=': write key=value"),
        (["fetch", "mnist", "here"], "setting 'here': write key=value"),
        (["check", "mnist", "--again"], "--again is no option of check"),
        (["list", "mirror=http://a"], "mirror is no setting of list: use root"),
        (["build", "mnist", "cache_dir=/sys/a"], "cache_dir must be a folder|must be a folder"),
    ],
)
def test_slips_are_one_clear_error(
    capsys: pytest.CaptureFixture[str], arguments: list[str], message: str
) -> None:
    code, out, err = told(capsys, *arguments)
    assert (code, out) == (2, "")
    errors = [line for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == 1
    assert re.search(message, errors[0])
    assert list(Path().iterdir()) == []


@pytest.mark.parametrize("arguments", [[], ["fetch"], ["build", "root=here"], ["get", "mnist"]])
def test_a_call_without_a_name(capsys: pytest.CaptureFixture[str], arguments: list[str]) -> None:
    with pytest.raises(SystemExit) as stopped:
        main(arguments)
    assert stopped.value.code == 2
    assert "usage: python -m sweeps.data" in capsys.readouterr().err


def test_several_slips_are_told_together(capsys: pytest.CaptureFixture[str]) -> None:
    code, _, err = told(capsys, "build", "mnist", "workers=0", "size=3")
    assert code == 2
    assert err.count("\n") == 2


def test_ctrl_c_says_that_the_command_goes_on(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*_: object, **__: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("sweeps.data_sets.actions.build_or_open", stop)
    code, _, err = told(capsys, "build", "mnist", "cache_dir=cache", "image_size=16")
    assert code == 130
    assert err.endswith("stopped; the same command goes on\n")
