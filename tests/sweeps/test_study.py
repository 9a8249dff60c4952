"""Where a study is kept, what it was begun with, how trials are chosen and handed out."""

from __future__ import annotations

import json
import re
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, get_args

import optuna
import pytest
from optuna.distributions import (
    BaseDistribution,
    CategoricalDistribution,
    FloatDistribution,
    IntDistribution,
)
from optuna.trial import FrozenTrial, TrialState
from ray.tune.schedulers import TrialScheduler

from hsplid_core.errors import ConfigError
from search_spaces import SearchSpace
from sweeps.engine.replicates import Replicates
from sweeps.engine.study_searcher import FindCheckpoint, StudySearcher, TrialPlan
from sweeps.search import samplers
from sweeps.search.checks import check_sweep
from sweeps.search.samplers import build_sampler, experimental, grid_of
from sweeps.search.schedulers import build_scheduler
from sweeps.search.space_probe import SpaceProbe, probe_space
from sweeps.spec.loading import load_pretrain_spec, load_spec
from sweeps.spec.overrides import fixed_parameters, parse_overrides
from sweeps.spec.search_spec import ConstraintSpec, SamplerName, SchedulerName
from sweeps.spec.study_url import check_storage
from sweeps.spec.sweep_spec import FailuresSpec, SweepSpec
from sweeps.study.database import open_storage
from sweeps.study.forecast import forecast
from sweeps.study.location import StudyPlace
from sweeps.study.resume_check import (
    ORIGIN,
    StudyChangedError,
    check_distributions,
    check_origin,
    code_state,
    default_items,
    origin_of,
)
from sweeps.study.study import (
    SweepBusyError,
    find_place,
    interrupted_trials,
    load_study,
    open_study,
    reopened_trials,
    sole_driver,
    study_folders,
    sweep_folder,
)
from sweeps.study.sweep_info import SweepInfo, write_info
from trainables.result_keys import ASSIGNMENT

ROOT = Path(__file__).resolve().parents[2]


def spec_of(*overrides: str) -> SweepSpec:
    return load_spec("coco_hsplid", parse_overrides(overrides))


def opened(folder: Path, *overrides: str) -> optuna.Study:
    folder.mkdir(exist_ok=True)
    return open_study(folder, spec_of(*overrides), {}, [])


# -- a sampler from outside -----------------------------------------------------------------------


def test_a_sampler_from_a_file_suggests_trials(tmp_path: Path) -> None:
    file = tmp_path / "own.py"
    file.write_text(
        "import optuna\n\n\ndef make(seed):\n    return optuna.samplers.RandomSampler(seed)\n"
    )
    own, same = (
        optuna.create_study(
            sampler=build_sampler(spec_of(f"search.sampler={name}"), {}, n_trials=0)
        )
        for name in (f"{file}:make", "random")
    )
    rates = [each.ask().suggest_float("rate", 0, 1) for each in (own, same)]
    assert rates[0] == rates[1]


@pytest.mark.parametrize(
    ("sampler", "says"),
    [
        ("optuna.samplers:CmaEs", "'optuna.samplers:CmaEs': optuna.samplers has no CmaEs"),
        ("nowhere:make", "'nowhere:make': cannot import nowhere"),
        ("os:getcwd", "os:getcwd fails: TypeError"),
        ("builtins:dict", "builtins:dict makes a dict: return a sampler of Optuna's"),
    ],
)
def test_what_makes_no_sampler_is_told(sampler: str, says: str) -> None:
    with pytest.raises(ConfigError, match=re.escape(says)):
        check_sweep("coco_hsplid", parse_overrides([f"search.sampler={sampler}"]))


# -- what a sweep will take -----------------------------------------------------------------------


def test_what_a_sweep_takes_is_told_by_trials_of_its_kind(tmp_path: Path) -> None:
    spec = spec_of(f"storage={tmp_path}", "trials=30", "pretrain.training.epochs=4")
    first, unknown = forecast(spec, load_pretrain_spec(spec))
    assert first.startswith("30 trials of 20 epochs, at most 600 in all, after 4 of pretraining")
    assert "lies in" in unknown
    for name, changes, paces in [("before", (), (1.0, 2.0, 6.0)), ("other", ("seed=1",), (99.0,))]:
        changed = [*changes, "data.image_size=32"] if name == "other" else changes
        other = spec_of(f"storage={tmp_path}", f"name={name}", *changed)
        study = opened(tmp_path / name, f"storage={tmp_path}", f"name={name}")
        write_info(tmp_path / name, info_of(other))
        for pace in paces:
            trial = study.ask()
            trial.set_user_attr("metrics", {"epoch": 20.0})
            trial.set_user_attr("seconds", 20 * pace)
            study.tell(trial, [0.9, 0.5])
    _, hours = forecast(spec, None)
    assert hours.startswith("about 20 min of trials (10 min to 1 h), by 3 of this kind in before;")


def info_of(spec: SweepSpec) -> SweepInfo:
    return SweepInfo(
        spec=spec,
        fixed={},
        is_demo=True,
        data_key="",
        weights=None,
        baseline=None,
        tracking_uri="sqlite:///mlflow.db",
        tags={},
    )


# -- storage --------------------------------------------------------------------------------------


def tell_and_reopen(folder: Path, storage: str) -> optuna.Study:
    study = opened(folder, f"study.storage={storage}")
    trial = study.ask()
    trial.set_user_attr("parameters", {"training.learning_rate": 1e-3})
    trial.set_constraint("hsplid/salient_dims", -0.5)
    study.tell(trial, [0.9, 0.5])
    study.ask()
    return opened(folder, f"study.storage={storage}")


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_study_is_kept_in_a_file(tmp_path: Path, kind: str) -> None:
    for study in (tell_and_reopen(tmp_path / "tiny", kind), load_study(tmp_path / "tiny")):
        first, second = study.trials
        assert (first.values, first.constraints) == ([0.9, 0.5], {"hsplid/salient_dims": -0.5})
        assert first.user_attrs["parameters"] == {"training.learning_rate": 1e-3}
        assert second.state == TrialState.RUNNING
    assert interrupted_trials(study) == [1]
    assert study_folders(tmp_path) == [tmp_path / "tiny"]
    assert sweep_folder(tmp_path, "tiny", fresh=True) == tmp_path / "tiny-2"


@pytest.fixture
def _connections_end(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Close the connections of studies, as the end of their process does."""
    opened_storages: list[Any] = []

    def open_and_note(folder: Path, place: StudyPlace, *, writes: bool) -> Any:
        opened_storages.append(open_storage(folder, place, writes=writes))
        return opened_storages[-1]

    for module in ("study", "damage"):
        monkeypatch.setattr(f"sweeps.study.{module}.open_storage", open_and_note)
    yield
    for storage in opened_storages:
        storage.engine.dispose()


@pytest.mark.usefixtures("_connections_end")
def test_a_study_is_kept_in_postgresql(tmp_path: Path, postgres: str) -> None:
    study = tell_and_reopen(tmp_path / "tiny", postgres)
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE, TrialState.RUNNING]
    assert opened(tmp_path / "tiny-2", f"study.storage={postgres}").trials == []
    assert len(load_study(tmp_path / "tiny").trials) == 2
    with (
        sole_driver(tmp_path / "tiny", postgres),
        pytest.raises(SweepBusyError, match=r"the study tiny in .* is in use"),
        # Another machine, with a folder of its own.
        sole_driver(tmp_path / "elsewhere" / "tiny", postgres),
    ):
        pass
    with sole_driver(tmp_path / "tiny", postgres):  # the lock ended with its holder
        pass


def test_a_sweep_that_could_not_begin_leaves_no_folder(tmp_path: Path) -> None:
    folder = tmp_path / "runs" / "tiny"

    def fail_after(leave: Callable[[], object]) -> None:
        leave()
        raise ConfigError("no such data")

    def is_deleted() -> None:  # by somebody else, while it runs
        shutil.rmtree(folder.parent)

    for leave in (folder.stat, is_deleted):
        with pytest.raises(ConfigError, match="no such data"), sole_driver(folder):
            fail_after(leave)
        assert list(tmp_path.iterdir()) == []
    with pytest.raises(ConfigError, match="no such data"), sole_driver(folder):
        fail_after((folder / "study.log").touch)
    assert sorted(file.name for file in tmp_path.rglob("*.lo*")) == ["driver.lock", "study.log"]


def test_the_study_of_a_folder_stays_where_it_is(tmp_path: Path) -> None:
    opened(tmp_path / "tiny", "study.storage=sqlite").ask()
    with pytest.raises(ConfigError, match=r"is journal, but the study in .* is kept in sqlite"):
        opened(tmp_path / "tiny", "study.storage=journal")
    opened(tmp_path / "tiny")
    assert not (tmp_path / "tiny" / "study.log").exists()
    opened(tmp_path / "new")
    assert find_place(tmp_path / "new") == StudyPlace("journal", "new", "coco_hsplid", 1)
    with pytest.raises(ConfigError, match=r"objectives are maximize val/accuracy, but .* has max"):
        opened(tmp_path / "tiny", "objectives=[{metric: val/accuracy}]")


def test_a_line_that_a_killed_driver_left_unfinished_is_cut_off(tmp_path: Path) -> None:
    tell_and_reopen(tmp_path / "tiny", "journal")
    file = tmp_path / "tiny" / "study.log"
    whole = file.read_bytes()
    file.write_bytes(whole + b'{"op_code":5,"work')
    assert len(load_study(tmp_path / "tiny").trials) == 2  # a reader leaves it as it is
    assert file.read_bytes() != whole
    study = opened(tmp_path / "tiny", "study.storage=journal")
    study.tell(1, [0.1, 0.1])
    assert file.read_bytes().startswith(whole)
    assert load_study(tmp_path / "tiny").trials[1].values == [0.1, 0.1]


@pytest.mark.parametrize(
    ("storage", "says"),
    [
        ("sqlit", "storage is sqlit: use journal, sqlite or postgresql.*did you mean sqlite"),
        ("mysql://host/db", "storage is mysql://host/db: use journal"),
        ("postgresql://me:secret@host/db", "storage is postgresql://me@host/db, with a password"),
        ("postgresql://me@host/db?password=secret", "me@host/db, with a password"),
    ],
)
def test_a_wrong_storage_is_told_without_its_password(storage: str, says: str) -> None:
    with pytest.raises(ConfigError, match=says) as caught:
        check_storage(storage)
    assert "secret" not in str(caught.value)


def test_a_database_that_does_not_answer(tmp_path: Path) -> None:
    with (
        pytest.raises(Exception, match=r"storage is postgresql://x@127.0.0.1:1/y: it cannot be"),
        sole_driver(tmp_path / "tiny", "postgresql://x@127.0.0.1:1/y"),
    ):
        pass


# -- origin ---------------------------------------------------------------------------------------


def origin(*overrides: str, data: str = "d1") -> dict[str, str]:
    texts = parse_overrides(overrides)
    spec = load_spec("coco_hsplid", texts)
    return origin_of(spec, fixed_parameters(spec.resolved(), texts), data)


def test_an_origin_names_spec_data_code_and_versions() -> None:
    found = origin("training.epochs=3")
    assert found["spec training.epochs"] == "3"
    assert found["data"] == "d1"
    assert found["version torch"]
    assert len(found["code hsplid_core/methods/hsplid.py"]) == 12
    assert found == origin(
        "training.epochs=3",
        "trials=99",
        "storage=/elsewhere",
        "resources.cpu=2",
        "failures.max_losses=9",
    )


def test_changes_are_told_one_by_one_and_allowed_on_demand(tmp_path: Path) -> None:
    study = opened(tmp_path / "tiny")
    before = origin()
    check_origin(study, before, allow_changed=False)
    check_origin(study, origin("trials=50"), allow_changed=False)
    now = origin("training.epochs=3", "method.hsplid.rho_n=0.1", data="d2")
    now["code hsplid_core/methods/hsplid.py"] = "0" * 12
    now["version torch"] = "3.0"
    del now["code trainables/trial.py"]
    with pytest.raises(StudyChangedError) as caught:
        check_origin(study, now, allow_changed=False)
    text = str(caught.value)
    for line in (
        "  training.epochs: 20, now 3",
        "  method.hsplid.rho_n: 0.00621, now 0.1",
        "  method.hsplid.rho_n: was searched, now fixed at 0.1",
        "  content of the data: d1, now d2",
        f"  torch: {before['version torch']}, now 3.0",
        "  code hsplid_core/methods/hsplid.py has changed",
        "  code trainables/trial.py is gone",
        "add --allow-changed",
    ):
        assert line in text
    state = code_state(study)
    assert state is not None
    assert len(state) == 8
    study.ask()
    check_origin(study, now, allow_changed=True)
    assert code_state(study) is None  # trials of two states of the code
    assert study.user_attrs[ORIGIN] == now
    assert study.user_attrs["origin_changes"][0]["from_trial"] == 1
    check_origin(study, now, allow_changed=False)  # what was allowed once is the new origin


def test_a_field_that_the_version_before_did_not_have_changes_nothing_at_its_default(
    tmp_path: Path,
) -> None:
    study = opened(tmp_path / "tiny")
    now, defaults = origin(), default_items(spec_of())
    before = {item: v for item, v in now.items() if "training.schedule" not in item}
    assert len(now) - len(before) > 5
    check_origin(study, before, allow_changed=False)
    check_origin(study, now, allow_changed=False, defaults=defaults)
    other = origin("training.schedule.kind=cosine")
    changed = default_items(spec_of("training.schedule.kind=cosine"))
    with pytest.raises(StudyChangedError, match=r'kind: not there, now "cosine"\n  tr[^\n]*\nadd'):
        check_origin(study, other, allow_changed=False, defaults=changed)


def _first_space(trial: optuna.Trial) -> dict[str, Any]:
    trial.suggest_float("rate", 1e-4, 1e-2, log=True)
    trial.suggest_categorical("kind", ["a", "b", None])
    return {"epochs": trial.suggest_int("epochs", 1, 9), "width": trial.suggest_float("w", 0, 1)}


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"rate": FloatDistribution(1e-5, 1e-1, log=True)}, None),
        ({"epochs": IntDistribution(1, 99), "new": FloatDistribution(0, 1)}, None),
        ({"rate": FloatDistribution(1e-4, 1e-2)}, "rate was on a logarithmic scale, now on a lin"),
        ({"w": FloatDistribution(1e-3, 1, log=True)}, "w was on a linear scale, now on a logarit"),
        (
            {"kind": CategoricalDistribution(["a", None])},
            'kind had the choices "a", "b", null, now "a", null',
        ),
        ({"epochs": FloatDistribution(1, 9)}, "epochs was an integer, now a float"),
        ({"rate": CategoricalDistribution([1e-3, 1e-2])}, "rate was a float, now a choice"),
    ],
)
def test_a_space_that_no_study_could_hold_is_told_before_anything_starts(
    changed: dict[str, BaseDistribution], says: str | None
) -> None:
    study = optuna.create_study()
    _first_space(study.ask())
    space = SpaceProbe({**study.trials[0].distributions, **changed})
    if says is None:
        check_distributions(study, space)
        return
    with pytest.raises(StudyChangedError, match=re.escape(says)) as caught:
        check_distributions(study, space)
    assert "--allow-changed does not help" in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("kind", ["journal", "sqlite"])
def test_a_study_without_a_trial_that_began_takes_corrected_values(
    tmp_path: Path, kind: str
) -> None:
    def queued(*overrides: str) -> optuna.Study:
        spec = spec_of(f"study.storage={kind}", *overrides)
        return open_study(tmp_path, spec, {}, [{"x": 1}])

    study = queued("name=" + tmp_path.name)
    check_origin(study, origin(), allow_changed=False)
    study.set_user_attr("sweep_id", "0" * 32)
    study = queued("name=" + tmp_path.name, "objectives=[{metric: val/accuracy}]")
    check_origin(study, origin("training.epochs=3"), allow_changed=False)
    assert study.user_attrs["sweep_id"] == "0" * 32
    assert study.user_attrs[ORIGIN]["spec training.epochs"] == "3"
    assert [trial.state for trial in study.trials] == [TrialState.WAITING]
    assert len(load_study(tmp_path).directions) == 1
    study.ask()
    again = queued("name=" + tmp_path.name, "objectives=[{metric: val/accuracy}]")
    assert [trial.state for trial in again.trials] == [TrialState.RUNNING]
    with pytest.raises(StudyChangedError, match=r"training.epochs: 3, now 20"):
        check_origin(again, origin(), allow_changed=False)


# -- samplers -------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["tpe", "nsga2", "nsga3", "gp", "random", "qmc"])
def test_every_sampler_learns_from_every_kind_of_outcome(name: str) -> None:
    spec = spec_of(f"search.sampler={name}", "search.startup_trials=3")
    study = optuna.create_study(directions=["maximize"] * 2)
    study.sampler = build_sampler(spec, {"method.hsplid.rho_n": 0.1}, n_trials=0)
    plan = TrialPlan(space=SearchSpace(_space), objectives=["a", "b"])
    for _ in range(8):
        trial = study.ask()
        x = plan.space(trial)["x"]
        assert isinstance(x, float)
        if trial.number == 2:
            trial.set_constraint("diverged", 1.0)
            study.tell(trial, state=TrialState.PRUNED)
        elif trial.number == 3:
            study.tell(trial, state=TrialState.PRUNED)
        elif trial.number != 4:  # that one is running all the time
            trial.set_constraint("dims", 0.5 - x)
            study.tell(trial, [x, 1 - x])
    xs = [trial.params["x"] for trial in study.trials]
    assert len(set(xs)) >= 7  # a child of the NSGAs may take it over from its parent
    again = optuna.create_study(directions=["maximize"] * 2)
    again.sampler = build_sampler(spec, {}, n_trials=8)
    # A resumed random search does not draw the same trials again.
    if name == "random":
        assert again.ask().suggest_float("x", 0, 1) not in xs


def test_tpe_asks_for_no_point_of_a_finite_space_again() -> None:
    spec = spec_of("search.sampler=tpe", "search.startup_trials=2")
    study = optuna.create_study(directions=["maximize"] * 2)
    study.sampler = build_sampler(spec, {}, n_trials=0)
    points = []
    for _ in range(12):
        trial = study.ask()
        point = trial.suggest_int("x", 0, 3), trial.suggest_categorical("y", ["a", "b", None])
        points.append(point)
        study.tell(trial, [point[0], 3 - point[0]])
    assert len(set(points[2:8])) == 6
    assert not set(points[:2]) & set(points[2:8])


def _branched(trial: optuna.Trial) -> list[float]:
    x = trial.suggest_float("x", 0, 1)
    kind = trial.suggest_categorical("kind", ["a", "b", "c"])
    if kind == "a":
        return [x, trial.suggest_float("y", 0, 1) - x]
    z = trial.suggest_float("z", 1e-3, 1, log=True)
    return [x, z + (trial.suggest_int("n", 0, 9) / 10 if kind == "b" else 0)]


def test_tpe_asks_for_the_same_points_as_optunas_own() -> None:
    spec = spec_of("search.sampler=tpe", "search.startup_trials=5", "search.seed=3")
    with experimental():
        own = optuna.samplers.TPESampler(
            seed=3, n_startup_trials=5, multivariate=True, group=True, constant_liar=True
        )
    asked = []
    for sampler in (own, build_sampler(spec, {}, n_trials=0)):
        study = optuna.create_study(directions=["maximize"] * 2, sampler=sampler)
        running = []
        for number in range(30):
            trial = study.ask()
            running.append((trial, _branched(trial)))
            if number < 2:
                continue
            trial, values = running.pop(1)  # trial 0 outlives all others
            if number % 7 == 6:
                study.tell(trial, state=TrialState.PRUNED)
            else:
                study.tell(trial, values)
        asked.append([trial.params for trial in study.trials])
    assert asked[0] == asked[1]
    assert len({frozenset(params) for params in asked[0]}) == 3


@pytest.mark.parametrize("name", ["tpe", "nsga2"])
def test_samplers_stay_away_from_infeasible_trials(name: str) -> None:
    spec = spec_of(f"search.sampler={name}", "search.startup_trials=8")
    found = {}
    for limit in (0, 6):
        study = optuna.create_study(directions=["maximize"] * 2)
        study.sampler = build_sampler(spec, {}, n_trials=0)
        limits = [ConstraintSpec(metric="dims", minimum=limit)]
        searcher = searcher_of(study, 40, constraints=limits)
        for number in range(40):
            x = handed(searcher, str(number))["parameters"]["x"]
            searcher.on_trial_complete(str(number), {**done(), "metrics/dims": 10 * x})
        found[limit] = sum(trial.params["x"] >= 0.6 for trial in study.trials[20:])
        for trial in study.trials:
            excess = (limit - 10 * trial.params["x"]) / (limit or 1)
            assert trial.constraints == {"dims": pytest.approx(excess)}
        assert all(10 * trial.params["x"] >= limit for trial in study.best_trials)
    assert found[6] >= found[0] + 4


def _space(trial: optuna.Trial) -> dict[str, Any]:
    values: dict[str, Any] = {"x": trial.suggest_float("x", 0, 1)}
    if trial.suggest_categorical("use/y", [True, False]):
        values["y"] = trial.suggest_float("y", 1e-3, 1, log=True)
    return values


def test_the_papers_grid_is_gone_through_once() -> None:
    texts = parse_overrides(
        ["trials=16", "method.hsplid.lambda_s=0.1", "method.hsplid.rho_n=0.05"]
    )
    spec = load_spec("coco_hsplid_grid", texts)
    fixed = fixed_parameters(spec.resolved(), texts)
    assert {
        name.rpartition(".")[2]: values
        for name, values in grid_of(spec, fixed, probe_space(spec)).items()
    } == {
        "lambda_n": (0.0, 0.05, 0.1, 1.0),
        "rho_s": (0.0, 0.1, 0.15, 0.5),
    }
    space = TrialPlan(space=_registered("hsplid_grid"), objectives=[])
    study = optuna.create_study(direction="maximize")
    seen = list[tuple[Any, Any]]()
    for number in range(16):
        # Each time a new driver, as after a kill.
        study.sampler = build_sampler(spec, fixed, n_trials=number)
        trial = study.ask()
        values = space.space(trial)
        seen.append((values["method.hsplid.lambda_n"], values["method.hsplid.rho_s"]))
        study.tell(trial, 0.5)
    assert len(set(seen)) == 16
    assert seen[0] == (0.1, 0.5)  # the nearest to the paper's
    late = load_spec("coco_hsplid_grid", [*texts, *parse_overrides(["search.paper_first=false"])])
    shuffled = optuna.create_study(sampler=build_sampler(late, fixed, n_trials=0))
    values = space.space(shuffled.ask())
    assert (values["method.hsplid.lambda_n"], values["method.hsplid.rho_s"]) != seen[0]
    with pytest.raises(
        ConfigError, match=r"trials is 16, but the grid of search\.space hsplid_grid has 4 points"
    ):
        grid_of(spec, {**fixed, "method.hsplid.lambda_n": 0.1}, probe_space(spec))
    whole = load_spec("coco_hsplid_grid", parse_overrides(["data.root=/coco"]))
    assert whole.trials == 384
    grid_of(whole, {}, probe_space(whole))


def _registered(name: str) -> SearchSpace:
    from search_spaces import SPACES

    return SPACES[name]


def test_a_grid_of_ranges_is_refused() -> None:
    spec = spec_of("search.sampler=grid")
    with pytest.raises(ConfigError, match=r"suggests .* from a range: use a space of choices"):
        grid_of(spec, {}, probe_space(spec))


# -- searcher -------------------------------------------------------------------------------------


def searcher_of(
    study: optuna.Study,
    total: int,
    told: list[int] | None = None,
    constraints: Sequence[ConstraintSpec] = (),
    interrupted: Sequence[optuna.Trial] = (),
    find_checkpoint: FindCheckpoint = lambda number, *_: Path(f"/checkpoints/{number}"),
    replicates: Replicates = Replicates(),  # noqa: B008 (frozen)
    **failures: Any,
) -> StudySearcher:
    plan = TrialPlan(
        space=SearchSpace(_space),
        objectives=["val/accuracy"] * len(study.directions),
        constraints=constraints,
        failures=FailuresSpec(**failures),
        replicates=replicates,
    )
    return StudySearcher(
        study,
        plan,
        total=total,
        interrupted=interrupted,
        find_checkpoint=find_checkpoint,
        on_told=(told if told is not None else []).append,
    )


def done(accuracy: float = 0.5, **more: Any) -> dict[str, Any]:
    return {"metrics/val/accuracy": accuracy, "ended": True, **more}


def handed(searcher: StudySearcher, trial_id: str) -> Mapping[str, Any]:
    config = searcher.suggest(trial_id)
    assert isinstance(config, dict)
    assignment: Mapping[str, Any] = config[ASSIGNMENT]
    return assignment


def is_over(searcher: StudySearcher) -> bool:
    answer: object = searcher.suggest("one more")
    return answer == StudySearcher.FINISHED


def test_trials_are_handed_out_told_and_handed_out_again() -> None:
    study, told = optuna.create_study(direction="maximize"), list[int]()
    first = searcher_of(study, 3, told)
    assert [handed(first, name)["number"] for name in "ab"] == [0, 1]
    assert [first.note_start(name) for name in "aab"] == [1, 2, 1]
    first.on_trial_complete("a", done())
    first.on_trial_complete("b")  # the user stopped the sweep
    assert (told, first.remaining) == ([0], 2)  # b itself, and one more
    # In memory a trial's id is its number.
    second = searcher_of(study, 3, told, interrupted=[optuna.Trial(study, 1)])
    assert second.remaining == 2
    again = handed(second, "x")
    assert (again["number"], again["resume_from"]) == (1, "/checkpoints/1")
    assert again["parameters"] == study.trials[1].user_attrs["parameters"]
    assert second.note_start("x") == 2
    new = handed(second, "y")
    assert (new["number"], new["resume_from"]) == (2, None)
    assert second.suggest("z") is None  # while some run, more may be asked for
    second.on_trial_complete("x", done(0.7))
    second.on_trial_complete("y", error=True)
    assert is_over(second)
    states = [trial.state for trial in study.trials]
    assert states == [TrialState.COMPLETE, TrialState.COMPLETE, TrialState.FAIL]
    assert study.trials[0].user_attrs["attempts"] == 2
    assert study.trials[0].user_attrs["resources"] == {"cpu": 1.0, "gpu": 0.0}
    assert study.trials[2].user_attrs["cause"] == "worker_lost"


def test_what_a_killed_driver_told_of_another_end_does_not_stay() -> None:
    study = optuna.create_study(direction="maximize")
    constraints = [ConstraintSpec(metric="hsplid/salient_dims", minimum=2)]
    first = searcher_of(study, 1, constraints=constraints)
    handed(first, "a")
    trial = optuna.Trial(study, 0)
    # All but the state, which is told last.
    trial.set_user_attr("failure", "no memory")
    trial.set_user_attr("cause", "memory")
    trial.set_constraint("hsplid/salient_dims", -0.5)
    second = searcher_of(study, 1, constraints=constraints, interrupted=[trial])
    handed(second, "b")
    second.on_trial_complete("b", done(**{"metrics/hsplid/salient_dims": 3.0}))
    (ended,) = study.trials
    assert ended.state == TrialState.COMPLETE
    assert (ended.user_attrs["failure"], ended.user_attrs["cause"]) == (None, None)
    assert ended.constraints == {"hsplid/salient_dims": -0.5}


def test_losses_count_between_two_checkpoints() -> None:
    searcher = searcher_of(optuna.create_study(direction="maximize"), 2)
    for name in "ab":
        handed(searcher, name)
    assert [searcher.note_loss("a") for _ in range(3)] == [None] * 3
    searcher.forget_losses("a")
    assert [searcher.note_loss("a") for _ in range(4)] == [None, None, None, 4]
    assert searcher.note_loss("b") is None
    assert searcher.stop_reason is None
    # Told to give up, it would say so in its next worker, if there were any.
    assert [searcher.note_loss("a") for _ in range(3)] == [5, 6, 7]
    assert "workers cannot be started: trial 0 lost 7 in a row" in str(searcher.stop_reason)


@pytest.mark.parametrize(
    ("outcomes", "stops"),
    [
        ("ffs", False),
        ("sff", False),
        ("fsff", True),
        ("fff", True),
        ("ssssffff", False),
        ("dddd", False),
    ],
)
def test_a_sweep_whose_first_trials_fail_is_stopped(outcomes: str, stops: bool) -> None:
    study = optuna.create_study(direction="maximize")
    searcher = searcher_of(study, 20, stop_share=0.5, stop_after=4)
    results = {
        "s": done(),
        "f": {"failure": "KeyError: 'x'", "cause": "error", "ended": True},
        "d": {"failure": "NaN", "cause": "diverged", "ended": True},
    }
    for number, outcome in enumerate(outcomes):
        handed(searcher, str(number))
        searcher.on_trial_complete(str(number), results[outcome])
    assert (searcher.stop_reason is not None) == stops
    if stops:
        assert is_over(searcher)
        assert "3 of the first" in str(searcher.stop_reason)
        assert "KeyError: 'x'" in str(searcher.stop_reason)


def test_a_trial_under_several_seeds_ends_with_their_means() -> None:
    study, told = optuna.create_study(direction="maximize"), list[int]()
    three = Replicates(seeds=(5, 6, 7))
    first = searcher_of(study, 2, told, replicates=three)
    assert (handed(first, "a")["number"], handed(first, "b")["number"]) == (0, 1)
    first.on_trial_complete("a", done(0.5, trial_seconds=10.0, tables="of the first seed"))
    # Its further seeds come before any other trial, and are no attempts of their own.
    assert (told, first.remaining) == ([], 2)
    c, d = handed(first, "c"), handed(first, "d")
    assert [
        (each["number"], each["replicate"], each["parameters"]["seed"]) for each in (c, d)
    ] == [
        (0, 1, 6),
        (0, 2, 7),
    ]
    assert first.note_start("c") == 1
    first.on_trial_complete("d", done(0.8, trial_seconds=10.0))
    first.on_trial_complete("c")  # the user stopped the sweep
    first.on_trial_complete("b")
    # The next driver trains what it lacks, from its own checkpoint, and nothing twice.
    asked: list[tuple[int, object, int]] = []

    def find(number: int, parameters: Mapping[str, Any], replicate: int) -> None:
        asked.append((number, parameters.get("seed"), replicate))

    open_trials = [optuna.Trial(study, 0), optuna.Trial(study, 1)]
    second = searcher_of(
        study, 2, told, interrupted=open_trials, replicates=three, find_checkpoint=find
    )
    assert [handed(second, name)["number"] for name in "xy"] == [0, 1]
    assert asked == [(0, 6, 1), (1, None, 0)]
    ended: list[FrozenTrial] = []
    second.on_end = ended.append
    second.on_trial_complete("x", done(0.5, trial_seconds=10.0))
    (trial,) = ended
    assert (told, trial.state, trial.values) == ([0], TrialState.COMPLETE, [pytest.approx(0.6)])
    metrics = trial.user_attrs["metrics"]
    assert metrics == {
        "val/accuracy": pytest.approx(0.6),
        "sd/val/accuracy": pytest.approx(0.03**0.5),
        "seeds": 3,
    }
    assert (trial.user_attrs["seconds"], trial.user_attrs["tables"]) == (30, "of the first seed")
    results = trial.user_attrs["replicates"]
    assert {each["seed"]: each["metrics"]["val/accuracy"] for each in results.values()} == {
        5: 0.5,
        6: 0.5,
        7: 0.8,
    }


def test_a_driver_killed_before_a_trials_end_runs_its_last_seed_once_more() -> None:
    study, told = optuna.create_study(direction="maximize"), list[int]()
    two = Replicates(seeds=(0, 1))
    first = searcher_of(study, 1, replicates=two)
    handed(first, "a")
    first.on_trial_complete("a", done(0.5))
    handed(first, "b")
    trial = optuna.Trial(study, 0)
    known = study.trials[0].user_attrs["replicates"]
    trial.set_user_attr("replicates", {**known, "1": {**known["0"], "seed": 1}})
    second = searcher_of(study, 1, told, interrupted=[trial], replicates=two)
    assert handed(second, "x")["replicate"] == 1
    second.on_trial_complete("x", done(0.7))
    assert (told, study.trials[0].values) == ([0], [pytest.approx(0.6)])


def test_only_what_reaches_the_front_gets_further_seeds() -> None:
    study, told = optuna.create_study(direction="maximize"), list[int]()
    few = Replicates(seeds=(0, 1), is_worth=lambda first: (first.values or [0])[0] > 0.5)
    searcher = searcher_of(study, 3, told, replicates=few)
    handed(searcher, "a")
    searcher.on_trial_complete("a", done(0.4))
    handed(searcher, "b")
    searcher.on_trial_complete("b", done(0.6))
    assert told == [0]
    # A sweep that ends lets trials go on to their ends, so that they get their seeds.
    searcher.closed = "enough"
    assert handed(searcher, "c")["number"] == 1
    assert searcher.has_begun("c")  # not taken back while it waits for a worker
    assert searcher.suggest("d") is None
    searcher.on_trial_complete("c", done(0.4))
    assert is_over(searcher)
    assert [trial.values for trial in study.trials] == [[0.4], [pytest.approx(0.5)]]
    assert ["seeds" in trial.user_attrs["metrics"] for trial in study.trials] == [False, True]


def test_a_seed_that_fails_ends_its_trial() -> None:
    study, told = optuna.create_study(direction="maximize"), list[int]()
    searcher = searcher_of(study, 1, told, replicates=Replicates(seeds=(0, 1, 2, 3)))
    handed(searcher, "a")
    searcher.on_trial_complete("a", done(0.5, trial_seconds=10.0))
    handed(searcher, "b")
    handed(searcher, "c")
    diverged = {"failure": "NaN", "cause": "diverged", "ended": True, "trial_seconds": 2.0}
    searcher.on_trial_complete("b", diverged)
    # The one that still runs ends with its epoch and changes nothing; none is handed out any more.
    assert searcher.ends_early("c")
    searcher.on_trial_complete("c", done(0.9))
    assert is_over(searcher)
    (trial,) = study.trials
    assert (told, trial.state, trial.constraints) == ([0], TrialState.PRUNED, {"diverged": 1.0})
    assert trial.user_attrs["failure"] == "with seed 1: NaN"
    assert trial.user_attrs["seconds"] == 12


_KILLED = """
import os, signal, sys
from pathlib import Path
from tests.sweeps.test_study import handed, opened, searcher_of
study = opened(Path(sys.argv[1]), "study.storage=" + sys.argv[2])
searcher = searcher_of(study, 5)
for name in "abc":
    handed(searcher, name)
    searcher.note_start(name)
print(len(study.trials), flush=True)
os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.parametrize("kind", ["sqlite", "journal"])
def test_a_killed_drivers_trials_are_found_again(tmp_path: Path, kind: str) -> None:
    command = [sys.executable, "-c", _KILLED, str(tmp_path / "tiny"), kind]
    killed = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert (killed.returncode, killed.stdout) == (-signal.SIGKILL, "3\n")
    study = opened(tmp_path / "tiny", f"study.storage={kind}")
    searcher = searcher_of(study, 5, interrupted=reopened_trials(tmp_path / "tiny", study))
    assert [handed(searcher, name)["number"] for name in "abcde"] == [0, 1, 2, 3, 4]
    for name in "abcde":
        searcher.on_trial_complete(name, done())
    assert [trial.state for trial in study.trials] == [TrialState.COMPLETE] * 5
    assert json.loads((tmp_path / "tiny" / "study.json").read_text())["storage"] == kind
    assert find_place(tmp_path / "tiny") is not None


def test_names_of_samplers_and_schedulers_are_those_that_there_are() -> None:
    assert set(get_args(SamplerName)) == {*samplers._SAMPLERS, "grid"}
    for name in get_args(SchedulerName):
        spec = spec_of(f"search.scheduler={name}", "evaluation.every=1", *_ONE_OBJECTIVE)
        built = build_scheduler(spec, optuna.create_study(), lambda *_: None)
        assert isinstance(built, TrialScheduler)


_ONE_OBJECTIVE = ("objectives=[{metric: val/accuracy}]",)
