"""Folders of sweeps: which one a name means, whose it is, and what its note says."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from hsplid_core.errors import ConfigError
from sweeps.spec.loading import load_spec
from sweeps.spec.overrides import parse_overrides
from sweeps.study.location import StorageError, StudyPlace, claim_place, find_place
from sweeps.study.stored_sweep import find_folder
from sweeps.study.study import load_study, open_study, sweep_folder
from sweeps.study.sweep_info import SweepInfo, read_info, write_info
from tests.sweeps.damages import DAMAGES
from tests.sweeps.studies import complete_trial, write_study

NOTES = {
    "truncated": b'{"storage": "journal", "name": "tin',
    "empty": b"",
    "random": bytes(range(256)),
    "a list": b"[]",
    "of other keys": b'{"path": 1}',
    "of other kinds": b'{"storage": "journal", "name": 1, "number": "x"}',
    "of an unknown storage": b'{"storage": "mysql://h/d", "name": "tiny"}',
}


def begun(storage: Path, name: str, *, fresh: bool = False, kind: str = "journal") -> Path:
    """Begin a sweep, or go on with it, as far as its study; returns its folder."""
    overrides = parse_overrides([f"name={name}", f"study.storage={kind}"])
    folder = sweep_folder(storage, name, fresh=fresh)
    folder.mkdir(exist_ok=True)
    study = open_study(folder, load_spec("coco_hsplid", overrides), {}, [])
    study.tell(study.ask(), [0.5, 0.5])
    return folder


def test_a_sweep_goes_on_with_its_own_studies_only(tmp_path: Path) -> None:
    assert begun(tmp_path, "exp-2").name == "exp-2"
    assert begun(tmp_path, "exp").name == "exp"
    assert begun(tmp_path, "exp", fresh=True).name == "exp-3"
    assert begun(tmp_path, "exp").name == "exp-3"
    assert begun(tmp_path, "exp-2").name == "exp-2"
    counts = {folder.name: len(load_study(folder).trials) for folder in tmp_path.iterdir()}
    assert counts == {"exp": 1, "exp-2": 2, "exp-3": 2}
    assert find_place(tmp_path / "exp-3") == StudyPlace("journal", "exp-3", "exp", 3)
    for name, folder in {"exp": "exp-3", "exp-2": "exp-2", "exp-3": "exp-3"}.items():
        assert find_folder(name, tmp_path) == tmp_path / folder
    with pytest.raises(
        ConfigError, match=r"name is exp-3, but .*exp-3 holds study 3 of the sweep"
    ):
        begun(tmp_path, "exp-3")
    assert begun(tmp_path, "exp-3", fresh=True).name == "exp-3-2"


def test_notes_of_before_are_told_apart_by_the_spec_beside_them(tmp_path: Path) -> None:
    for name in ("exp", "exp-2", "exp-3"):
        write_study(tmp_path / name, [complete_trial([0.5, 0.5])])
    (tmp_path / "exp-2" / "spec.yaml").write_text("name: exp\n")
    (tmp_path / "exp-3" / "spec.yaml").write_text("name: exp-3\n")
    assert sweep_folder(tmp_path, "exp", fresh=False).name == "exp-2"
    assert sweep_folder(tmp_path, "exp-3", fresh=False).name == "exp-3"
    assert sweep_folder(tmp_path, "exp", fresh=True).name == "exp-4"


@pytest.mark.parametrize("note", NOTES.values(), ids=NOTES)
@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_damaged_note_is_made_up_for_and_written_anew(
    note: bytes, kind: str, tmp_path: Path
) -> None:
    folder = begun(tmp_path, "tiny", kind=kind)
    written = (folder / "study.json").read_bytes()
    (folder / "study.json").write_bytes(note)
    assert len(load_study(folder).trials) == 1
    assert (folder / "study.json").read_bytes() == note  # a reader writes nothing
    begun(tmp_path, "tiny", kind=kind)
    assert len(load_study(folder).trials) == 2
    assert (folder / "study.json").read_bytes() == written


def test_a_damaged_note_of_a_database_is_made_up_for_by_the_spec(tmp_path: Path) -> None:
    (tmp_path / "study.json").write_text("{")
    with pytest.raises(StorageError, match=r"study.json, .*, is damaged, and neither study.log"):
        find_place(tmp_path)
    url = "postgresql://me@host/db"
    (tmp_path / "spec.yaml").write_text(f"name: tiny\nstudy: {{storage: '{url}'}}\n")
    assert find_place(tmp_path) == StudyPlace(url, tmp_path.name, "tiny", 1)


def test_a_note_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "study.json").mkdir()
    (tmp_path / "study.log").touch()
    with pytest.raises(StorageError, match=r"study.json cannot be written .* move away what has"):
        claim_place(tmp_path, None, tmp_path.name)


def test_the_note_says_whose_study_it_is(tmp_path: Path) -> None:
    folder = begun(tmp_path, "tiny")
    assert json.loads((folder / "study.json").read_text()) == {
        "storage": "journal",
        "name": "tiny",
        "sweep": "tiny",
        "number": 1,
    }


@pytest.mark.parametrize("way", ["empty", "random", "text", "other json", "cut", "folder"])
def test_a_damaged_note_of_where_a_sweep_came_from_is_told(way: str, tmp_path: Path) -> None:
    spec = load_spec("coco_hsplid", parse_overrides([]))
    info = SweepInfo(
        spec=spec,
        fixed={"training.epochs": 3},
        is_demo=True,
        data_key="k",
        weights=None,
        baseline=(0.5, 0.25),
        tracking_uri="sqlite:////runs/mlflow.db",
        tags={"host": "h"},
    )
    write_info(tmp_path, info)
    assert read_info(tmp_path) == info
    DAMAGES[way](tmp_path / "about.json")
    with pytest.raises(
        ConfigError, match=r"about.json, .*, is damaged .* run the sweep again"
    ) as caught:
        read_info(tmp_path)
    assert "\n" not in str(caught.value)


def test_a_note_of_where_a_sweep_came_from_with_a_wrong_value_is_told(tmp_path: Path) -> None:
    (tmp_path / "about.json").write_text('{"fixed": 5}')
    with pytest.raises(ConfigError, match=r"is damaged \(fixed is 5\)"):
        read_info(tmp_path)
