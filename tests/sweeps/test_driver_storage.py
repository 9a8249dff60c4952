from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import optuna
import pytest
from optuna.distributions import CategoricalDistribution
from optuna.storages import RDBStorage
from optuna.trial import FrozenTrial, TrialState
from sqlalchemy import event
from sqlalchemy.exc import OperationalError

from sweeps.storage.local_disk import is_local
from sweeps.study.database import open_storage
from sweeps.study.driver_storage import DriverStorage, driven, one_step
from sweeps.study.location import StudyPlace


def opened(folder: Path) -> optuna.Study:
    """Open a study as its driver does."""
    storage = open_storage(folder, StudyPlace("sqlite", "s"), writes=True)
    sampler = optuna.samplers.RandomSampler(seed=0)
    study = optuna.create_study(
        study_name="s",
        storage=storage,
        directions=["maximize", "minimize"],
        load_if_exists=True,
        sampler=sampler,
    )
    study = driven(study)
    study.sampler = sampler
    return study


def on_disk(folder: Path) -> list[FrozenTrial]:
    """Read the trials as any other process does, through Optuna's own storage."""
    storage = RDBStorage(f"sqlite:///{folder / 'study.db'}")
    return optuna.load_study(study_name="s", storage=storage).get_trials()


def told(study: optuna.Study, values: list[float] | None = None) -> int:
    """Run one trial with a bit of everything."""
    with one_step(study):
        trial = study.ask()
        trial.suggest_float("x", 1e-3, 1.0, log=True)
        trial.suggest_categorical("kind", ["a", None, 3])
        trial.set_user_attr("parameters", {"x": 1.5, "shape": (3, 4), "text": "é"})
    with one_step(study):
        trial.set_constraint("limit", -0.5)
        trial.set_user_attr("metrics", {"val/accuracy": 0.1 + 0.2, "bad": float("nan")})
        state = TrialState.COMPLETE if values else TrialState.PRUNED
        study.tell(trial, values, state=state)
    return trial.number


def test_what_is_read_from_memory_is_what_stands_in_the_database(tmp_path: Path) -> None:
    study = opened(tmp_path)
    study.enqueue_trial({"x": 0.5, "kind": 3}, user_attrs={"why": "first"})
    for values in ([0.1 + 0.2, float("inf")], [float("-inf"), -2.0], None):
        told(study, values)
    running = study.ask()
    running.suggest_int("layers", 1, 9)
    study.enqueue_trial({"x": 0.25})
    ours, theirs = study.get_trials(), on_disk(tmp_path)
    assert [trial.state.name for trial in theirs] == [
        "COMPLETE",
        "COMPLETE",
        "PRUNED",
        "RUNNING",
        "WAITING",
    ]
    assert theirs[0].params == {"x": 0.5, "kind": 3}
    for mine, other in zip(ours, theirs, strict=True):
        for name in ("number", "state", "params", "distributions", "system_attrs", "values"):
            assert getattr(mine, name) == getattr(other, name), name
        # As texts, for NaN is not equal to itself.
        assert sorted(map(str, mine.user_attrs.items())) == sorted(
            map(str, other.user_attrs.items())
        )
        assert mine.constraints == other.constraints
        for moment in ("datetime_start", "datetime_complete"):
            known, stored = getattr(mine, moment), getattr(other, moment)
            assert (known is None) == (stored is None)
            assert known is None or abs(known - stored) < timedelta(seconds=5)


def test_a_reopened_study_goes_on(tmp_path: Path) -> None:
    study = opened(tmp_path)
    study.set_user_attr("sweep_id", "abc")
    told(study, [1.0, 2.0])
    left = study.ask()
    left.suggest_float("x", 1e-3, 1.0, log=True)
    again = opened(tmp_path)
    assert again.user_attrs == {"sweep_id": "abc"}
    assert again.metric_names is None
    (running,) = again.get_trials(states=[TrialState.RUNNING])
    resumed = optuna.Trial(again, running._trial_id)
    assert resumed.suggest_float("x", 1e-3, 1.0, log=True) == left.params["x"]
    again.tell(resumed, [3.0, 4.0])
    assert told(again, [5.0, 6.0]) == 2
    assert [trial.values for trial in on_disk(tmp_path)] == [[1.0, 2.0], [3.0, 4.0], [5.0, 6.0]]
    with pytest.raises(ValueError, match="CategoricalDistribution"):
        again.ask({"kind": CategoricalDistribution(["other"])})


def backend_of(study: optuna.Study) -> RDBStorage:
    storage = study._storage
    assert isinstance(storage, DriverStorage)
    return storage._backend


def test_a_new_trial_is_one_transaction(tmp_path: Path) -> None:
    study = opened(tmp_path)
    commits: list[object] = []
    event.listen(backend_of(study).engine, "commit", commits.append)
    with one_step(study):
        trial = study.ask()
        trial.suggest_int("n", 0, 1)
        trial.set_user_attr("parameters", {"n": 1})
        assert len(study.get_trials()) == 1
        assert not commits
    assert len(commits) == 1
    assert on_disk(tmp_path)[0].user_attrs == {"parameters": {"n": 1}}
    trial.set_user_attr("attempts", 1)  # outside of a step at once
    assert on_disk(tmp_path)[0].user_attrs["attempts"] == 1


def test_what_could_not_be_written_is_written_whole_with_the_next_step(tmp_path: Path) -> None:
    study = opened(tmp_path)
    engine, trial = backend_of(study).engine, study.ask()
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE trial_values RENAME TO away")

    def tell() -> None:
        with one_step(study):
            study.tell(trial, [1.0, 2.0])

    trial.set_user_attr("seconds", 3.0)
    with pytest.raises(OperationalError):
        tell()
    with pytest.raises(OperationalError):
        study.ask()
    assert [t.state for t in study.get_trials()] == [TrialState.COMPLETE, TrialState.RUNNING]
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE away RENAME TO trial_values")
    assert [t.state for t in on_disk(tmp_path)] == [TrialState.RUNNING]
    study.set_user_attr("any", "step")
    with one_step(study):
        pass
    found = on_disk(tmp_path)
    assert [t.state for t in found] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert (found[0].values, found[0].user_attrs) == ([1.0, 2.0], {"seconds": 3.0})


def test_an_error_in_a_step_loses_nothing(tmp_path: Path) -> None:
    study = opened(tmp_path)

    def hand_out() -> float:
        with one_step(study):
            return study.ask().suggest_float("x", 0, 1) / 0

    with pytest.raises(ZeroDivisionError):
        hand_out()
    assert list(on_disk(tmp_path)[0].params) == ["x"]


def test_other_storages_stay_as_they_are(tmp_path: Path) -> None:
    study = optuna.create_study()
    assert driven(study) is study
    with one_step(study):
        assert study.ask().number == 0


def test_a_log_ahead_is_only_for_local_disks() -> None:
    assert not is_local(Path("/proc"))
    assert not is_local(Path("/sys"))
