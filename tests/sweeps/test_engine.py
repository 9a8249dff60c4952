"""Whole sweeps as a user runs them: a real Ray, sqlite for study and MLflow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from mlflow.tracking import MlflowClient
from optuna.trial import TrialState

from tests.sweeps.whole_sweep import Sweep, check_tracked

FAULTY = "tests.faults:FaultyConfig"

pytestmark = [
    pytest.mark.cluster,
    pytest.mark.timeout(600),
    pytest.mark.filterwarnings("default"),
]


def test_a_sweep_from_pretraining_to_results_and_on(sweep: Sweep) -> None:
    sweep.write(
        "pre", method={"cross_entropy": {}}, search={"space": "pretrain"}, training={"epochs": 1}
    )
    # Batches of 32 do not fit into the memory of this method, halves of them do.
    method = {"cross_entropy": {"weight": 10.0}, "hsplid": {}, FAULTY: {"max_images": 16}}
    sweep.write(pretrain="pre.yaml", trials=2, method=method)
    code, output = sweep.run()
    assert code == 0, output
    for text in ("python -m sweeps.ui", "clean", "robust", "front.png"):
        assert text in output
    folder = sweep.folder / "runs" / "tiny"
    assert (folder / "front.png").stat().st_size > 5_000
    assert (folder / "report.html").is_file()
    trials = sweep.trials()
    assert [trial.state for trial in trials] == [TrialState.COMPLETE] * 2
    assert trials[0].user_attrs["parameters"]["method.hsplid.rho_s"] == 0.5  # the paper's first
    table = pq.read_table(folder / "trials.parquet")
    assert table.column("objective/val/accuracy").to_pylist() == [t.values[0] for t in trials]
    check_tracked(sweep, trials=2, epochs=2)
    weights = list((sweep.folder / "runs" / "pretrained").glob("*.pt"))
    assert len(weights) == 1
    for trial in trials:
        assert trial.user_attrs["attempts"] == 1
        assert trial.user_attrs["resources"] == {"cpu": 1, "gpu": 0}
        assert trial.user_attrs["tags"] == {"out_of_memory": "batch split into 2 parts"}
    (first,) = [run for run in sweep.runs() if run.data.tags.get("sweep.trial") == "0"]
    assert first.data.tags["sweep.out_of_memory"] == "batch split into 2 parts"
    # Two steps of a quarter of epsilon cannot cross the ball: whoever opens the run is told so.
    assert "cannot cross balls of 2/255" in first.data.tags["sweep.warning.step_too_small"]
    assert table.column("warnings").to_pylist()[0].split(",").count("step_too_small") == 1
    # Only the front keeps its checkpoints.
    front = table.column("on_front").to_pylist()
    assert [bool(sweep.checkpoints(number)) for number in range(2)] == front

    # Once more with other values: that is asked about, and nothing is touched.
    moved = 'search.space: "hsplid", now "pretrain"'
    changes = ["training.learning_rate=9", "training.clip_norm=1e9", "trials=3"]
    changes.append("search.space=pretrain")
    code, output = sweep.run(*changes)
    assert code == 2, output
    for text in (
        "learning_rate: 0.0005, now 9.0",
        "searched, now fixed",
        "--allow-changed",
        moved,
    ):
        assert text in output
    # Then only the new trial runs, from the same weights; it diverges.
    code, output = sweep.run(*changes, "--allow-changed")
    assert code == 0, output
    later = sweep.trials()
    assert [trial.values for trial in later[:2]] == [trial.values for trial in trials]
    assert [trial.state for trial in later[2:]] == [TrialState.PRUNED]
    assert later[2].constraints == {"diverged": 1.0}
    assert later[2].user_attrs["cause"] == "diverged"
    assert "NaN or infinite" in later[2].user_attrs["failure"]
    assert "NaN or infinite" in output
    (failed,) = [run for run in sweep.runs() if run.data.tags.get("sweep.trial") == "2"]
    assert failed.info.status == "FAILED"
    assert list((sweep.folder / "runs" / "pretrained").glob("*.pt")) == weights
    assert not [path for path in later[2].params if path.startswith("method.hsplid.")]

    # A space that no study can hold beside its trials is refused, whatever is allowed.
    (sweep.folder / "own_space.py").write_text(
        "def space(trial):\n"
        "    name = 'method.hsplid.rho_s'\n"
        "    return {name: trial.suggest_int(name, 1, 2)}\n"
    )
    code, output = sweep.run("search.space=own_space.py:space", "trials=4", "--allow-changed")
    assert code == 2, output
    assert "method.hsplid.rho_s was a float, now an integer" in output
    assert len(sweep.trials()) == 3


def test_mistakes_in_a_method_stop_the_sweep_and_are_in_mlflow(sweep: Sweep) -> None:
    sweep.write(
        method={"cross_entropy": {}, FAULTY: {"raises": True}},
        search={"space": "pretrain"},
        trials=30,
        study={"storage": "journal"},
    )
    code, output = sweep.run()
    assert code == 2, output
    assert "the sweep was stopped: 3 of the first" in output
    assert 'KeyError: "a mistake in somebody\'s method"' in output
    trials = sweep.trials()
    failed = [trial for trial in trials if trial.state == TrialState.FAIL]
    assert 3 <= len(failed) <= len(trials) <= 5
    assert {trial.user_attrs["cause"] for trial in failed} == {"error"}
    assert all(trial.user_attrs["attempts"] == 1 for trial in failed)  # none was tried again
    run = next(run for run in sweep.runs() if run.data.tags.get("sweep.trial") == "0")
    assert run.info.status == "FAILED"
    client = MlflowClient(f"sqlite:///{sweep.folder}/runs/mlflow.db")
    text = Path(client.download_artifacts(run.info.run_id, "traceback.txt")).read_text()
    assert "tests/faults.py" in text
    assert "KeyError" in text


def test_a_sweep_that_only_measures_and_one_that_starts_from_it(sweep: Sweep) -> None:
    own = "import optuna\n\ndef make(seed):\n    return optuna.samplers.RandomSampler(seed)\n"
    (sweep.folder / "own_sampler.py").write_text(own)
    measuring: dict[str, Any] = {"training": {"epochs": 0, "batch_size": 32}}
    sweep.write(
        **measuring, trials=2, search={"space": "hsplid", "sampler": "own_sampler.py:make"}
    )
    code, output = sweep.run()
    assert code == 0, output
    first, second = sweep.trials()
    # The same start, whatever the search would have trained it with.
    assert first.values == second.values
    assert first.user_attrs["metrics"]["epoch"] == 0
    runs = [run for run in sweep.runs() if "sweep.trial" in run.data.tags]
    for run in runs:
        assert sweep.steps(run, "val/accuracy") == [0]
        assert run.data.metrics["val/accuracy"] == first.values[0]
    assert len(sweep.checkpoints(0)) == 1
    code, output = sweep.run("trials=3")
    assert code == 0, output
    assert len(sweep.trials()) == 3

    # Another begins with its points, as far as its own space has them, and under two seeds.
    narrow = {"low": 1e-4, "high": 1e-3, "log": True}
    search = {
        "space": "hsplid",
        "ranges": {"training.learning_rate": narrow},
        "warm_start": ["tiny"],
        "replicates": {"front": 2},
    }
    sweep.write("warm", **measuring, trials=1, search=search)
    code, output = sweep.run(name="warm")
    assert code == 0, output
    assert "of 3 trials on the front of tiny come first" in output
    assert "of 3 trials of tiny teach the sampler" in output
    assert "(2 seeds)" in output
    trial, *waiting = sweep.trials("warm")
    assert {other.state for other in waiting} == {TrialState.WAITING}
    assert trial.user_attrs["parameters"] == first.user_attrs["parameters"]
    results = trial.user_attrs["replicates"]
    accuracies = [each["metrics"]["val/accuracy"] for each in results.values()]
    assert [each["seed"] for each in results.values()] == [0, 1]
    assert trial.values[0] == pytest.approx(sum(accuracies) / 2)
    # The first seed's model stands for both.
    assert len(sweep.checkpoints(0, "warm")) == 1
    assert not list(sweep.folder.glob("runs/warm/ray/*/trial_00000_1/checkpoint_*"))
    (run,) = [r for r in sweep.runs("warm") if "sweep.trial" in r.data.tags]
    assert (run.info.status, run.data.metrics["seeds"]) == ("FINISHED", 2)
    assert run.data.metrics["objective/val/accuracy"] == trial.values[0]


def test_multi_objective_early_stopping(sweep: Sweep) -> None:
    sweep.write(
        training={"epochs": 5, "batch_size": 32},
        search={
            "space": "hsplid",
            "startup_trials": 4,
            "scheduler": "mo_asha",
            "reduction_factor": 2,
        },
        resources={"max_concurrent": 2},
        trials=7,
    )
    code, output = sweep.run()
    assert code == 0, output
    trials = sweep.trials()
    stopped = [trial for trial in trials if trial.state == TrialState.PRUNED]
    complete = [trial for trial in trials if trial.state == TrialState.COMPLETE]
    assert stopped
    assert complete
    assert len(stopped) + len(complete) == 7
    assert "stopped early" in output
    for trial in stopped:
        last = int(trial.user_attrs["metrics"]["epoch"])
        assert last in (1, 2, 4)
        assert max(map(int, trial.user_attrs["rungs"])) == last
        assert trial.values is None
        # Whoever was on the front of what was known is not among them.
        mine = trial.user_attrs["rungs"][str(last)]
        others = [other.user_attrs["rungs"].get(str(last)) for other in trials if other != trial]
        assert any(
            found and found != mine and all(a <= b for a, b in zip(found, mine, strict=True))
            for found in others
        )
    table = pq.read_table(sweep.folder / "runs" / "tiny" / "trials.parquet")
    rows = zip(
        table.column("state").to_pylist(), table.column("on_front").to_pylist(), strict=True
    )
    assert not any(on_front for state, on_front in rows if state == "stopped")
    runs = {
        int(r.data.tags["sweep.trial"]): r for r in sweep.runs() if "sweep.trial" in r.data.tags
    }
    assert runs[stopped[0].number].data.tags["sweep.state"] == "stopped"


def test_what_does_not_fit_is_told_in_one_line(sweep: Sweep) -> None:
    code, output = sweep.run("resources.cpu=999")
    errors = [line for line in output.splitlines() if line.startswith("error: ")]
    assert code == 2, output
    assert len(errors) == 1
    assert "resources.cpu is 999, but the cluster has " in errors[0]
