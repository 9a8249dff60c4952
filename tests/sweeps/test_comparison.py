"""Several sweeps beside each other: what each has reached, under which spec, and by chance."""

from __future__ import annotations

import dataclasses
import re
from pathlib import Path
from typing import Any

import numpy as np
import optuna
import pytest
from optuna.trial import create_trial

from hsplid_core.errors import ConfigError
from sweeps.fronts.attainment import attainment, points_by_seed
from sweeps.outputs.comparison import compare, write_comparison
from sweeps.report import main
from sweeps.spec.objective import Objective
from sweeps.study.stored_sweep import StoredSweep
from tests.sweeps.records import GOALS
from tests.sweeps.reports import made_up
from tests.sweeps.studies import cloud_study, complete_trial, write_study


def under_seeds(*values: tuple[float, float]) -> optuna.trial.FrozenTrial:
    """Make a trial that has reached these values under one seed after the other."""
    metrics = [dict(zip([g.metric for g in GOALS], each, strict=True)) for each in values]
    means = np.mean(values, axis=0).tolist()
    replicates = {str(k): {"seed": k + 5, "metrics": each} for k, each in enumerate(metrics)}
    attributes = {"replicates": replicates, "metrics": dict(zip(metrics[0], means, strict=True))}
    return create_trial(values=means, user_attrs=attributes)


def test_attained_is_what_so_many_fronts_have_reached() -> None:
    goals = [Objective(metric="a"), Objective(metric="b", direction="minimize")]
    fronts = [np.array([[1.0, 1.0], [3.0, 3.0]]), np.array([[2.0, 2.0]]), np.array([[2.0, 0.5]])]
    found = {
        name: sorted(map(tuple, points.tolist()))
        for name, points in attainment(fronts, goals).items()
    }
    assert found == {
        "reached by 1 of 3": [(2.0, 0.5), (3.0, 3.0)],
        "reached by 2 of 3": [(1.0, 1.0), (2.0, 2.0)],
        "reached by 3 of 3": [(1.0, 2.0), (2.0, 3.0)],
    }


def test_points_by_seed_are_of_trials_that_ran_under_all_of_them() -> None:
    trials = [
        under_seeds((0.5, 0.6), (0.7, 0.4)),
        under_seeds((0.1, 0.2), (0.3, 0.2)),
        complete_trial((0.9, 0.9)),  # with one seed alone, its luck is not known
    ]
    found = points_by_seed(trials, GOALS)
    assert {seed: points.tolist() for seed, points in found.items()} == {
        5: [[0.5, 0.6], [0.1, 0.2]],
        6: [[0.7, 0.4], [0.3, 0.2]],
    }


def other(sweep: StoredSweep, **changes: Any) -> StoredSweep:
    assert sweep.info is not None
    spec = sweep.info.spec.model_copy(update=changes)
    return dataclasses.replace(sweep, info=dataclasses.replace(sweep.info, spec=spec))


def test_sweeps_are_judged_by_one_reference_and_their_differences_told(tmp_path: Path) -> None:
    first = made_up(cloud_study(30), tmp_path / "first")
    study = optuna.create_study(directions=["maximize", "maximize"])
    study.add_trials([under_seeds((0.9, 0.1), (0.8, 0.3)), under_seeds((0.6, 0.5), (0.7, 0.4))])
    second = other(made_up(study, tmp_path / "second"), seed=5, trials=99)
    one, two = compare([first, second])
    assert one.selection.reference == two.selection.reference == (0.0, 0.0)
    assert two.selection.hypervolume == pytest.approx(0.85 * 0.2 + 0.65 * 0.25)
    assert one.history.hypervolumes[-1] == pytest.approx(one.selection.hypervolume)
    text = write_comparison([first, second], tmp_path / "compare.html").read_text()
    page = re.sub(r"<script.*?</script>", "", text, flags=re.S)
    # Alike but for their seeds, they are two tries of one search; and the second has its own.
    for caption in ("second, seeds of its trials.", "first and second."):
        assert f"<figcaption>{caption}</figcaption>" in page
    rows = re.findall(r'<tr><th scope="row">([^<]*)</th><td>([^<]*)</td><td>([^<]*)</td>', page)
    assert rows == [("seed", "0", "5"), ("trials", "5", "99")]
    assert "DEMO data" in page


def test_the_command_takes_several_names(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    for name in ("one", "two"):
        write_study(tmp_path / "runs" / name, [complete_trial((0.5, 0.5))])
    assert main(["one", "two", "storage=runs"]) == 0
    assert capsys.readouterr().out == "compare.html\n"
    assert "one, two: the folder does not say which spec." in Path("compare.html").read_text()
    assert main(["one", "three"]) == 2
    assert "sweep three is not in runs: it has one, two" in capsys.readouterr().err
    assert main(["one", "two", "--running"]) == 2
    assert "--running and --ui are of one sweep's page" in capsys.readouterr().err


def test_sweeps_that_measure_something_else_are_told(tmp_path: Path) -> None:
    first = made_up(cloud_study(3), tmp_path / "first")
    study = optuna.create_study()
    study.add_trial(create_trial(value=0.5, user_attrs={"metrics": {"train/loss": 0.5}}))
    second = dataclasses.replace(
        made_up(study, tmp_path / "second"), objectives=(Objective("train/loss", "minimize"),)
    )
    with pytest.raises(ConfigError, match=r"second has no val/accuracy, an objective of first"):
        compare([first, second])
