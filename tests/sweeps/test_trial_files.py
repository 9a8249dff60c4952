from __future__ import annotations

import logging
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from hsplid_core.models.state_files import write_state
from sweeps.study.damage import DamagedStudyError
from sweeps.study.study import open_study, reopened_trials
from sweeps.trials.checkpoint_files import SweepCheckpoints, checkpoints_of, trial_folder
from sweeps.trials.record import TrialRecord
from tests.sweeps.test_study import handed, opened, searcher_of, spec_of
from trainables.checkpoints import TrialIdentity

OLD, NEW = "a" * 32, "b" * 32


def made(
    folder: Path, attempt: int, *epochs: int, number: int = 0, sweep: str | None = None
) -> list[Path]:
    run = f"attempt_{attempt:03d}" + ("" if sweep is None else f"_{sweep[:8]}")
    trial = folder / "ray" / run / trial_folder(number)
    checkpoints = [trial / f"checkpoint_{epoch:06d}" for epoch in epochs]
    for checkpoint in checkpoints:
        checkpoint.mkdir(parents=True)
        (checkpoint / "state.pt").touch()
    return checkpoints


def test_two_checkpoints_of_a_trial_stay_over_all_runs(tmp_path: Path) -> None:
    oldest, old = made(tmp_path, 1, 3, 4)
    other = made(tmp_path, 1, 0, 1, number=1)
    (new,) = made(tmp_path, 2, 0, sweep=NEW)
    checkpoints = SweepCheckpoints(folder=tmp_path, sweep_id=NEW)
    checkpoints.remove_superseded(0)
    assert [path.exists() for path in (oldest, old, new)] == [False, True, True]
    # Of its own Ray may be about to remove the first one.
    newer = made(tmp_path, 2, 1, 2, sweep=NEW)
    checkpoints.remove_superseded(0)
    assert [path.exists() for path in (old, new, *newer, *other)] == [False, *[True] * 5]


def saved(
    folder: Path, attempt: int, epoch: int, sweep: str | None, parameters: Mapping[str, Any]
) -> Path:
    (checkpoint,) = made(folder, attempt, epoch, sweep=sweep)
    state: dict[str, Any] = {"epoch": epoch}
    if sweep is not None:
        identity = TrialIdentity(sweep=sweep, number=0, parameters=parameters)
        state["identity"] = identity.described()
    write_state(checkpoint / "state.pt", state)
    return checkpoint / "state.pt"


def test_a_checkpoint_of_another_study_or_of_other_parameters_is_passed_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    parameters = {"training.learning_rate": 0.1, "recipe": None}
    unnamed = saved(tmp_path, 1, 9, None, {})
    lost = saved(tmp_path, 2, 8, OLD, parameters)
    other = saved(tmp_path, 3, 7, NEW, {**parameters, "training.learning_rate": 0.2})
    own = saved(tmp_path, 4, 2, NEW, parameters)
    checkpoints = SweepCheckpoints(folder=tmp_path, sweep_id=NEW, always_told=True)
    with caplog.at_level(logging.WARNING):
        assert checkpoints.find(0, parameters) == own
    told = sorted(record.getMessage() for record in caplog.records)
    assert told == [
        f"passed over the checkpoint {unnamed}: it does not say whose it is",
        f"passed over the checkpoint {lost}: it is of another study, with the id {OLD}",
        f"passed over the checkpoint {other}: it is of a trial with other parameters: "
        '{"recipe": null, "training.learning_rate": 0.2}',
    ]
    assert checkpoints.find(0) == other
    # A study from before checkpoints said whose they are.
    before = SweepCheckpoints(folder=tmp_path, sweep_id=NEW)
    assert before.find(0, parameters) == unnamed


def test_a_new_study_goes_on_from_nothing_of_a_lost_one(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"

    def interrupted_trial() -> Mapping[str, Any]:
        """Hand a trial out, and out again as by the next driver, after this one was killed."""
        study = opened(folder)
        first = handed(searcher_of(study, 1), "a")
        study = opened(folder)
        again = searcher_of(
            study,
            1,
            interrupted=reopened_trials(folder, study),
            find_checkpoint=checkpoints_of(folder, study).find,
        )
        second = handed(again, "a")
        assert (second["number"], second["parameters"]) == (first["number"], first["parameters"])
        return second

    before = interrupted_trial()
    assert before["resume_from"] is None
    checkpoint = saved(folder, 1, 3, before["sweep"], before["parameters"])
    study = opened(folder)
    again = searcher_of(
        study,
        1,
        interrupted=reopened_trials(folder, study),
        find_checkpoint=checkpoints_of(folder, study).find,
    )
    assert handed(again, "a")["resume_from"] == str(checkpoint)
    for file in ("study.log", "study.json"):
        (folder / file).unlink()
    with pytest.raises(DamagedStudyError, match=r"is gone, while .* has checkpoints of 1"):
        opened(folder)
    # Put where a new study is, as a person might, they are still of the old one.
    (folder / "ray").rename(tmp_path / "ray")
    handed(searcher_of(opened(folder), 1), "a")
    (tmp_path / "ray").rename(folder / "ray")
    study = opened(folder)
    own = checkpoints_of(folder, study)
    new = searcher_of(
        study, 1, interrupted=reopened_trials(folder, study), find_checkpoint=own.find
    )
    after = handed(new, "a")
    assert after["number"] == before["number"] == 0
    assert after["sweep"] != before["sweep"]
    assert after["resume_from"] is None
    assert checkpoint.is_file()


def test_what_another_study_left_is_never_cleared_away(tmp_path: Path) -> None:
    (unnamed,) = made(tmp_path, 1, 0)
    (lost,) = made(tmp_path, 2, 0, 1, sweep=OLD)[:1]
    checkpoints = SweepCheckpoints(folder=tmp_path, sweep_id=NEW, always_told=True)
    assert checkpoints.next_attempt() == "attempt_003_bbbbbbbb"
    (own,) = made(tmp_path, 3, 0, sweep=NEW)
    checkpoints.remove_superseded(0)
    assert [path.exists() for path in (unnamed, lost, own)] == [True] * 3
    ended = TrialRecord(number=0, state="failed", parameters={})
    checkpoints.collect_garbage([ended])
    assert [path.exists() for path in (unnamed, lost, own)] == [True, True, False]
    before = SweepCheckpoints(folder=tmp_path, sweep_id=NEW)
    before.remove(0)
    assert [path.exists() for path in (unnamed, lost)] == [False, True]


def test_a_new_study_has_an_identity_of_its_own_and_an_old_one_keeps_its(tmp_path: Path) -> None:
    folder = tmp_path / "tiny"
    folder.mkdir()
    found = [
        checkpoints_of(folder, open_study(folder, spec_of(), {}, [{"a": 1.0}])) for _ in range(2)
    ]
    assert found[0] == found[1]
    assert found[0].always_told
    (tmp_path / "other").mkdir()
    other = checkpoints_of(tmp_path, open_study(tmp_path / "other", spec_of(), {}, ()))
    assert other.sweep_id not in (None, found[0].sweep_id)
